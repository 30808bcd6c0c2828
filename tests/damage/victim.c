/* Who meets the damage. Every value tells its key and which of the key's values it is,
 * so that a wrong one shows, wherever it comes from. */
#include "damage.h"

#include <fcntl.h>

#include "lc_fork.h"

#define VALUE_MAX 3000
#define LARGE     36000

struct told { /* in front of every value */
    uint64_t key;
    uint64_t seed;
    uint64_t length;
};

static uint8_t buffer[1 << 20];
static struct met *met;

static int value_type(uint64_t n) { return 3 + (int)(n % 200); }

static uint64_t value_length(uint64_t n, uint64_t seed) {
    uint64_t mixed = (n * 31 + seed) * 0x9E3779B97F4A7C15ULL >> 40;
    return n % 37 == 36 ? LARGE
                        : sizeof(struct told) + mixed % (seed % 4 ? 400 : VALUE_MAX);
}

static uint64_t make_value(uint8_t *to, uint64_t n, uint64_t seed) {
    struct told told = {n, seed, value_length(n, seed)};
    memcpy(to, &told, sizeof told);
    ct_fill(to + sizeof told, told.length - sizeof told, n * 1000003 + seed);
    return told.length;
}

int victim_set(struct lilcache *cache, uint64_t n, uint64_t seed, int64_t ttl_ms) {
    static uint8_t value[LARGE + 64];
    char key[CT_KEY_BYTES + 1];
    ct_key(n, key);
    uint64_t length = make_value(value, n, seed);
    return lilcache_set(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value, length,
                        value_type(n), ttl_ms, LILCACHE_SET);
}

void victim_fill(struct lilcache *cache, uint64_t keys) {
    int64_t number = COUNTER_FROM;
    char key[CT_KEY_BYTES + 1];
    for (uint64_t n = 0; n < keys; n++) {
        int64_t ttl = n % 3 == 0 ? 100000000 : LILCACHE_TTL_NONE;
        CHECK_EQ(victim_set(cache, n, n, ttl), LILCACHE_OK);
    }
    ct_key(COUNTER, key);
    CHECK_EQ(lilcache_incr(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, 1, &number,
                           LILCACHE_TTL_NONE, &number),
             LILCACHE_OK);
}

/* --- judging -----------------------------------------------------------------------
 */

bool victim_beside_writer;

static void wrong(const char *what, uint64_t n) {
    if (met->wrong++ == 0) {
        snprintf(met->which, sizeof met->which, "%s of key %llu, in %s", what,
                 (unsigned long long)n, met->at);
    }
}

static void note(int64_t status) {
    if (status < 0) {
        met->statuses[lc_min64((uint64_t)-status, STATUSES - 1)]++;
    }
}

static void judge(uint64_t n, const void *value, int64_t result) {
    struct told told;
    note(result);
    if (result < 0) {
        return;
    }
    uint64_t length = LILCACHE_LENGTH(result);
    if (length < sizeof told) {
        wrong("too short a value", n);
        return;
    }
    memcpy(&told, value, sizeof told);
    if (told.key != n || told.length != length ||
        LILCACHE_VALUE_TYPE(result) != (uint32_t)value_type(n)) {
        wrong("another value, length or type", n);
    } else if (told.length != value_length(n, told.seed) ||
               !ct_matches((const uint8_t *)value + sizeof told, length - sizeof told,
                           n * 1000003 + told.seed)) {
        wrong("bytes", n);
    }
}

static void judge_number(int64_t status, int64_t number) {
    note(status);
    if (status == LILCACHE_OK && (number < COUNTER_FROM || number > COUNTER_TO)) {
        wrong("number", COUNTER);
    }
}

/* --- operations --------------------------------------------------------------------
 */

static uint64_t clock_us(void) { return (uint64_t)(lct_seconds() * 1e6); }

/* So long has this process waited for a processor. 0 where the kernel does not tell. */
static uint64_t delayed_us(void) {
    static int fd = -1;
    static pid_t opened_by;
    char text[64] = "";
    unsigned long long run;
    unsigned long long delayed;
    if (opened_by != getpid()) {
        opened_by = getpid();
        fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    }
    return pread(fd, text, sizeof text - 1, 0) > 0 &&
                   sscanf(text, "%llu %llu", &run, &delayed) == 2
               ? delayed / 1000
               : 0;
}

#define BRIEF_US 100 /* so short an operation has hardly waited for a processor */

#define LATE 200 /* operations of a writer; by then it has done its part */

static uint64_t began_us;
static uint64_t delayed_before_us;
static bool stops; /* a writer */

static void begin(const char *what) {
    snprintf(met->at, sizeof met->at, "%s", what);
    began_us = clock_us();
    met->operations++;
}
static void end(void) {
    uint64_t took_us = clock_us() - began_us;
    if (took_us > BRIEF_US) {
        uint64_t delayed = delayed_us();
        took_us -= lc_min64(delayed - delayed_before_us, took_us);
        delayed_before_us = delayed;
    }
    if (took_us > met->slowest_us) {
        met->slowest_us = took_us;
        memcpy(met->slowest, met->at, sizeof met->slowest);
    }
    if (stops && __atomic_load_n(&met->stop, __ATOMIC_RELAXED)) {
        _exit(0);
    }
    if (stops && met->operations > LATE) {
        usleep(100); /* for the driver, which waits for a processor */
    }
}

#define DO(what, ...)                                                                  \
    do {                                                                               \
        begin(what);                                                                   \
        __VA_ARGS__;                                                                   \
        end();                                                                         \
    } while (0)

#define KEY key, CT_KEY_BYTES, LILCACHE_KEY_STR

static void read_some(struct lilcache *cache, uint64_t first, uint64_t step) {
    char key[CT_KEY_BYTES + 1];
    uint32_t stamp;
    int64_t ttl;
    struct lilcache_version version;
    struct lilcache_view view;
    for (uint64_t n = first; n < KEYS; n += step) {
        ct_key(n, key);
        DO("get", judge(n, buffer, lilcache_get(cache, KEY, buffer, sizeof buffer)));
        DO("gets",
           judge(n, buffer, lilcache_gets(cache, KEY, buffer, sizeof buffer, &stamp)));
        if (n % 8 == first % 8) {
            DO("ttl", note(lilcache_ttl(cache, KEY, &ttl)));
            DO("version", judge(n, buffer,
                                lilcache_get_version(cache, KEY, buffer, sizeof buffer,
                                                     &version)));
            DO("is current", note(lilcache_is_current(cache, &version)));
            begin("pin");
            int64_t result = lilcache_pin(cache, KEY, &view);
            if (result >= 0) {
                memcpy(buffer, view.data, view.length);
                lilcache_unpin(cache, view.pin);
            }
            if (victim_beside_writer) {
                note(result);
            } else {
                judge(n, buffer, result);
            }
            end();
        }
    }
}

static void many(struct lilcache *cache, uint64_t first, uint64_t seed) {
    enum { COUNT = 6 };
    char keys[COUNT * CT_KEY_BYTES + 1];
    uint32_t key_lengths[COUNT];
    uint8_t key_types[COUNT];
    uint64_t lengths[COUNT];
    uint8_t types[COUNT];
    int64_t results[COUNT];
    uint64_t at = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t n = (first + i) % 30;
        ct_key(n, keys + i * CT_KEY_BYTES);
        key_lengths[i] = CT_KEY_BYTES;
        key_types[i] = LILCACHE_KEY_STR;
        lengths[i] = make_value(buffer + at, n, seed);
        types[i] = (uint8_t)value_type(n);
        at += lengths[i];
    }
    DO("set_many", lilcache_set_many(cache, COUNT, keys, key_lengths, key_types, buffer,
                                     lengths, types, LILCACHE_TTL_NONE, results));
    for (uint64_t i = 0; i < COUNT; i++) {
        note(results[i]);
    }
    begin("get_many");
    lilcache_get_many(cache, COUNT, keys, key_lengths, key_types, buffer, sizeof buffer,
                      results);
    at = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        judge((first + i) % 30, buffer + at, results[i]);
        at += results[i] >= 0 ? LILCACHE_LENGTH(results[i]) : 0;
    }
    end();
    DO("delete_many",
       lilcache_delete_many(cache, 2, keys, key_lengths, key_types, results));
    note(results[0]);
    note(results[1]);
}

static void scan(struct lilcache *cache) {
    static uint8_t out[LILCACHE_SCAN_MIN];
    uint64_t cursor = 0;
    uint32_t count;
    int64_t bytes;
    int steps = 0;
    begin("scan");
    do {
        bytes = lilcache_scan(cache, &cursor, out, sizeof out, &count);
        for (int64_t at = 0; at < bytes;) {
            uint16_t length;
            memcpy(&length, out + at, 2);
            if (length != CT_KEY_BYTES || memcmp(out + at + 3, "key-", 4) != 0) {
                wrong("key of a scan", (uint64_t)at);
            }
            at += 3 + length;
        }
    } while (bytes >= 0 && cursor != 0 && ++steps < 100000);
    note(bytes < 0 ? bytes : 0);
    end();
}

static void write_some(struct lilcache *cache, uint64_t seed) {
    char key[CT_KEY_BYTES + 1];
    uint32_t stamp = 0;
    int64_t number = COUNTER_FROM;
    uint64_t n = seed % 30;
    uint64_t length;
    DO("set", note(victim_set(cache, n, seed, LILCACHE_TTL_NONE)));
    DO("set with ttl", note(victim_set(cache, n + 1, seed, 1000000)));
    ct_key(n, key);
    length = make_value(buffer, n, seed + 2);
    DO("try_set", note(lilcache_try_set(cache, KEY, buffer, length, value_type(n),
                                        LILCACHE_TTL_NONE, LILCACHE_SET)));
    DO("get", judge(n, buffer, lilcache_get(cache, KEY, buffer, sizeof buffer)));
    DO("set large", note(victim_set(cache, 36, seed, LILCACHE_TTL_NONE)));
    ct_key(n + 2, key);
    length = make_value(buffer, n + 2, seed);
    DO("add", note(lilcache_set(cache, KEY, buffer, length, value_type(n + 2), 0,
                                LILCACHE_ADD)));
    DO("replace", note(lilcache_set(cache, KEY, buffer, length, value_type(n + 2), 0,
                                    LILCACHE_REPLACE)));
    DO("gets",
       judge(n + 2, buffer, lilcache_gets(cache, KEY, buffer, sizeof buffer, &stamp)));
    length = make_value(buffer, n + 2, seed + 1);
    DO("cas",
       note(lilcache_cas(cache, KEY, buffer, length, value_type(n + 2), 0, stamp)));
    DO("touch", note(lilcache_touch(cache, KEY, 5000000)));
    ct_key(n + 3, key);
    DO("touch", note(lilcache_touch(cache, KEY, LILCACHE_TTL_NONE)));
    DO("get", judge(n + 3, buffer, lilcache_get(cache, KEY, buffer, sizeof buffer)));
    DO("pop", judge(n + 3, buffer, lilcache_pop(cache, KEY, buffer, sizeof buffer)));
    ct_key(n + 4, key);
    DO("delete", note(lilcache_delete(cache, KEY)));
    ct_key(n + 1, key);
    DO("try_delete", note(lilcache_try_delete(cache, KEY)));
    ct_key(COUNTER, key);
    DO("incr", judge_number(lilcache_incr(cache, KEY, 1, &number, 0, &number), number));
    DO("decr",
       judge_number(lilcache_incr(cache, KEY, -1, NULL, 0, &number), number + 1));
    many(cache, n + 5, seed);
}

static void look_inside(struct lilcache *cache) {
    uint64_t values[128];
    char report[256] = "";
    DO("stats", lilcache_stats(cache, values, 128));
    begin("check");
    int violated = lilcache_check(cache, report, sizeof report);
    end();
    note(violated < 0 ? violated : 0);
    met->violated += violated == 1;
}

/* Its operations are judged as ours. The wait for it is not: it may have to wait for a
 * processor itself. */
static void fork_once(struct lilcache *cache) {
    pid_t child = fork();
    if (child == 0) {
        char key[CT_KEY_BYTES + 1];
        ct_key(1, key);
        delayed_before_us = 0;
        DO("get in a child",
           judge(1, buffer, lilcache_get(cache, KEY, buffer, sizeof buffer)));
        DO("delete in a child", note(lilcache_delete(cache, KEY)));
        _exit(0);
    }
    int status;
    snprintf(met->at, sizeof met->at, "fork");
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) {
        raise(WTERMSIG(status)); /* its death is ours */
    }
}

/* Values stored now are found, or there is a clear error. A lock that nobody gives back
 * is one only where it was the lock that was damaged. */
static bool is_usable(struct lilcache *cache, bool locked, uint64_t seed) {
    uint64_t good = 0;
    for (uint64_t n = FRESH; n < FRESH + 8; n++) {
        char key[CT_KEY_BYTES + 1];
        ct_key(n, key);
        begin("set at last");
        int status = victim_set(cache, n, seed, LILCACHE_TTL_NONE);
        end();
        begin("get at last");
        int64_t result = lilcache_get(cache, KEY, buffer, sizeof buffer);
        judge(n, buffer, result);
        end();
        note(status);
        good += status == LILCACHE_OK && result >= 0;
        if (status != LILCACHE_OK || result < 0) {
            snprintf(met->which, sizeof met->which, "key %llu: set %d, get %lld",
                     (unsigned long long)n, status, (long long)result);
        }
        if (status == LILCACHE_CORRUPT || (locked && status == LILCACHE_BUSY) ||
            status == LILCACHE_RETIRED || result == LILCACHE_RETIRED) {
            return true;
        }
    }
    return good == 8;
}

static void use(struct lilcache *cache, uint64_t seed) {
    read_some(cache, seed % 4, 4);
    write_some(cache, seed);
    scan(cache);
    fork_once(cache);
    look_inside(cache);
    read_some(cache, 0, 1);
    if (seed % 4 == 0) {
        DO("clear", note(lilcache_clear(cache)));
        write_some(cache, seed + 2);
        look_inside(cache);
    }
}

static void anew(const char *name, bool locked, uint64_t seed) {
    struct lilcache *cache = NULL;
    struct lilcache_error error;
    struct lilcache_options options = {.name = name,
                                       .size_bytes = SEGMENT_BYTES,
                                       .cores = 1,
                                       .owner = -1,
                                       .group = -1};
    struct lc_segment *known = *lc_fork_registry();
    *lc_fork_registry() = NULL; /* as a process that has never been there */
    begin("open");
    int status = lilcache_open(&options, &cache, &error);
    end();
    if (status != LILCACHE_OK) {
        met->refused = status;
    } else {
        read_some(cache, seed % 16, 16);
        write_some(cache, seed);
        met->usable = is_usable(cache, locked, seed);
        DO("close", lilcache_close(cache));
    }
    *lc_fork_registry() = known;
}

void victim_round(struct lilcache *cache, const char *name, bool anew_first,
                  bool locked, uint64_t seed, struct met *to) {
    met = to;
    if (anew_first) {
        anew(name, locked, seed + 7);
    }
    use(cache, seed);
    bool usable = is_usable(cache, locked, seed);
    if (!anew_first) {
        anew(name, locked, seed + 7);
    }
    met->usable = (met->usable || met->refused) && usable;
    met->repaired = ct_stat(cache, "repaired");
    met->rebuilt = ct_stat(cache, "rebuilt");
    met->emptied = ct_stat(cache, "emptied");
    DO("close", lilcache_close(cache));
    met->ended = true;
}

void victim_write(struct lilcache *cache, uint64_t seed, struct met *to) {
    met = to;
    stops = true;
    for (;; seed++) {
        write_some(cache, seed);
        read_some(cache, seed % 16, 16);
    }
}
