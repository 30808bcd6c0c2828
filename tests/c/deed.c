#include "deed.h"

#include <sys/wait.h>

#include "lc_hash.h"

#define HOLD_US 1000 /* longer than a waiter tries by itself */
/* A process that a deed starts takes no longer, or it hangs. */
#define CHILD_SECONDS 20
#define NEW_SEED      77

struct world w;

uint64_t world_key(uint32_t n) { return n < KEYS_MAX && w.names[n] ? w.names[n] : n; }

uint64_t world_hash(uint64_t number) {
    char key[CT_KEY_BYTES + 1];
    ct_key(number, key);
    return lc_hash_key(&w.cache->segment->hash, key, CT_KEY_BYTES, LILCACHE_KEY_STR);
}

uint32_t world_shard(uint32_t n) {
    struct lc_segment *segment = w.cache->segment;
    if (segment->shard_count == 1) {
        return 0;
    }
    return (uint32_t)(lc_shard_of(segment, world_hash(world_key(n))) - segment->shards);
}

const struct deed deeds[] = {
    {"set new", V_SET, KEY_NEW, 200},
    {"overwrite", V_SET, KEY_OLD, 200},
    {"set large", V_SET, KEY_NEW, 100000},
    {"overwrite by large", V_SET, KEY_OLD, 200000},
    {"add", V_ADD, KEY_NEW, 4000},
    {"replace", V_REPLACE, KEY_OLD, 1},
    {"cas", V_CAS, KEY_OLD, 3000},
    {"delete", V_DELETE, KEY_OLD, 0},
    {"pop", V_POP, KEY_OLD, 0},
    {"incr", V_INCR, KEY_COUNT, 8},
    {"incr new", V_INCR, KEY_NEW, 8},
    {"touch", V_TOUCH, KEY_OLD, 0},
    {"set many", V_SET_MANY, KEY_MANY, 300},
    {"clear", V_CLEAR, KEY_ABSENT, 0},
    {"set with ttl", V_SET_TTL, KEY_OLD, 500},
    {"set without waiting", V_TRY_SET, KEY_NEW, 300},
    {"delete without waiting", V_TRY_DELETE, KEY_OLD, 0},
    {"delete nothing", V_DELETE, KEY_ABSENT, 0},
    {"delete many", V_DELETE_MANY, KEY_FREE, 0},
    {"get", V_GET, KEY_OLD, 0},
    {"get nothing", V_GET, KEY_ABSENT, 0},
    {"gets", V_GETS, KEY_OLD, 0},
    {"version", V_VERSION, KEY_TIMED, 0},
    {"ttl", V_TTL, KEY_TIMED, 0},
    {"get many", V_GET_MANY, KEY_FREE, 0},
    {"scan", V_SCAN, KEY_ABSENT, 0},
    {"stats", V_STATS, KEY_ABSENT, 0},
    {"pin and unpin", V_PIN, KEY_OLD, 0},
    {"pin", V_PIN_KEPT, KEY_OLD, 0},
    {"fork with a view", V_FORK, KEY_OLD, 0},
    {"fork without handlers", V_RAW_FORK, KEY_ABSENT, 0},
    {"touch again", V_TOUCH, KEY_TIMED, 0},
    {"set while waiting", V_SET_WAITING, KEY_NEW, 200},
};
const size_t deed_count = sizeof deeds / sizeof *deeds;

/* The first of them that is neither done nor a miss; else the first miss, or OK. */
static int many_status(const int64_t results[MANY]) {
    int status = LILCACHE_OK;
    for (uint32_t i = 0; i < MANY; i++) {
        if (results[i] < 0 && results[i] != LILCACHE_MISS) {
            return (int)results[i];
        }
        if (results[i] == LILCACHE_MISS && status == LILCACHE_OK) {
            status = LILCACHE_MISS;
        }
    }
    return status;
}

/* set, delete or get of MANY keys. */
static int deed_many(const struct deed *deed) {
    char keys[MANY * CT_KEY_BYTES + 1];
    uint8_t values[MANY * 2000];
    uint32_t key_lengths[MANY];
    uint8_t key_types[MANY];
    uint64_t lengths[MANY];
    uint8_t types[MANY];
    int64_t results[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        ct_key(world_key(deed->key + i), keys + i * CT_KEY_BYTES);
        ct_fill(values + i * deed->length, deed->length, NEW_SEED);
        key_lengths[i] = CT_KEY_BYTES;
        key_types[i] = LILCACHE_KEY_STR;
        lengths[i] = deed->length;
        types[i] = 7;
    }
    switch (deed->verb) {
    case V_SET_MANY:
        lilcache_set_many(w.cache, MANY, keys, key_lengths, key_types, values, lengths,
                          types, LILCACHE_TTL_NONE, results);
        break;
    case V_DELETE_MANY:
        lilcache_delete_many(w.cache, MANY, keys, key_lengths, key_types, results);
        break;
    default:
        lilcache_get_many(w.cache, MANY, keys, key_lengths, key_types, values,
                          sizeof values, results);
        break;
    }
    return many_status(results);
}

static int deed_scan(void) {
    uint8_t *out = malloc(LILCACHE_SCAN_MIN);
    uint64_t cursor = 0;
    uint32_t count;
    int64_t bytes;
    do {
        bytes = lilcache_scan(w.cache, &cursor, out, LILCACHE_SCAN_MIN, &count);
    } while (bytes >= 0 && cursor != 0);
    free(out);
    return bytes < 0 ? (int)bytes : LILCACHE_OK;
}

static int deed_pin(const char *key, enum verb verb) {
    struct lilcache_view view;
    int64_t result = lilcache_pin(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view);
    if (result < 0) {
        return (int)result;
    }
    if (verb == V_FORK) {
        pid_t child = fork();
        if (child == 0) {
            alarm(CHILD_SECONDS);
            lilcache_unpin(w.cache, view.pin);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    if (verb != V_PIN_KEPT) {
        lilcache_unpin(w.cache, view.pin);
    }
    return LILCACHE_OK;
}

/* A fork that runs no handlers. */
static int deed_raw_fork(void) {
    pid_t child = _Fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        ct_delete(w.cache, KEY_ABSENT);
        _exit(0);
    }
    return waitpid(child, NULL, 0) == child ? LILCACHE_OK : LILCACHE_OS;
}

void (*deed_neighbour)(void);
void (*deed_ready)(void);

/* Starts a process that has the lock when this returns, and gives it up soon. Not where
 * the last owner died: whoever takes the lock then must repair. */
static pid_t neighbour_start(uint32_t key) {
    struct lc_shard *shard = &w.cache->segment->shards[world_shard(key)];
    pthread_mutex_t *mutex = &shard->ctl->sh_mutex;
    char byte = 0;
    int ends[2];
    if (w.rebuilding || w.repairs) {
        return 0;
    }
    CHECK(pipe(ends) == 0);
    pid_t child = _Fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(CHILD_SECONDS);
        if (deed_neighbour) {
            deed_neighbour();
        }
        bool locked = pthread_mutex_lock(mutex) == 0;
        bool told = write(ends[1], &byte, 1) == 1;
        usleep(HOLD_US);
        _exit(locked && told && pthread_mutex_unlock(mutex) == 0 ? 0 : LCT_FAILED);
    }
    close(ends[1]); /* the end of a neighbour that died ends the wait, too */
    CHECK(read(ends[0], &byte, 1) == 1);
    close(ends[0]);
    return child;
}

static int deed_set_waiting(const struct deed *deed, const uint8_t *value) {
    char key[CT_KEY_BYTES + 1];
    int status;
    ct_key(world_key(deed->key), key);
    pid_t neighbour = neighbour_start(deed->key);
    do {
        status = lilcache_set(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                              deed->length, 7, LILCACHE_TTL_NONE, LILCACHE_SET);
    } while (status == LILCACHE_BUSY);
    if (neighbour) {
        lct_join(neighbour);
    }
    return status;
}

static int plain(int64_t result) { return result < 0 ? (int)result : LILCACHE_OK; }

int deed_run(const struct deed *deed) {
    char key[CT_KEY_BYTES + 1];
    uint8_t *value = malloc(deed->length + 1);
    uint8_t old[1024];
    uint32_t stamp = 0;
    struct lilcache_version version;
    int64_t number = 1000;
    int64_t ttl;
    uint64_t values[128];
    int status = LILCACHE_OK;
    ct_key(world_key(deed->key), key);
    ct_fill(value, deed->length, NEW_SEED);
    if (deed_ready) {
        deed_ready();
    }
    switch (deed->verb) {
    case V_SET:
    case V_ADD:
    case V_REPLACE:
        status = lilcache_set(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                              deed->length, 7, LILCACHE_TTL_NONE,
                              deed->verb == V_ADD       ? LILCACHE_ADD
                              : deed->verb == V_REPLACE ? LILCACHE_REPLACE
                                                        : LILCACHE_SET);
        break;
    case V_SET_TTL:
        status = lilcache_set(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                              deed->length, 7, FOREVER, LILCACHE_SET);
        break;
    case V_TRY_SET:
        status = lilcache_try_set(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                                  deed->length, 7, LILCACHE_TTL_NONE, LILCACHE_SET);
        break;
    case V_TRY_DELETE:
        status = lilcache_try_delete(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR);
        break;
    case V_CAS:
        status = plain(lilcache_gets(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, old,
                                     sizeof old, &stamp));
        if (status == LILCACHE_OK) {
            status = lilcache_cas(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                                  deed->length, 7, LILCACHE_TTL_NONE, stamp);
        }
        break;
    case V_SET_WAITING:
        status = deed_set_waiting(deed, value);
        break;
    case V_DELETE:
        status = ct_delete(w.cache, world_key(deed->key));
        break;
    case V_POP:
        status = plain(lilcache_pop(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, old,
                                    sizeof old));
        break;
    case V_INCR:
        status = lilcache_incr(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, 1, &number,
                               LILCACHE_TTL_NONE, &number);
        break;
    case V_TOUCH:
        status = lilcache_touch(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, FOREVER);
        break;
    case V_CLEAR:
        status = lilcache_clear(w.cache);
        break;
    case V_SET_MANY:
    case V_DELETE_MANY:
    case V_GET_MANY:
        status = deed_many(deed);
        break;
    case V_GET:
        status = plain(lilcache_get(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, old,
                                    sizeof old));
        break;
    case V_GETS:
        status = plain(lilcache_gets(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, old,
                                     sizeof old, &stamp));
        break;
    case V_VERSION:
        status = plain(lilcache_get_version(
            w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, old, sizeof old, &version));
        if (status == LILCACHE_OK) {
            status = lilcache_is_current(w.cache, &version);
        }
        break;
    case V_TTL:
        status = lilcache_ttl(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &ttl);
        break;
    case V_SCAN:
        status = deed_scan();
        break;
    case V_STATS:
        status = lilcache_stats(w.cache, values, 128) > 0 ? LILCACHE_OK : LILCACHE_OS;
        break;
    case V_RAW_FORK:
        status = deed_raw_fork();
        break;
    case V_PIN:
    case V_PIN_KEPT:
    case V_FORK:
        status = deed_pin(key, deed->verb);
        break;
    }
    free(value);
    return status;
}

static bool deed_concerns(const struct deed *deed, uint32_t key) {
    switch (deed->verb) {
    case V_SET_MANY:
    case V_DELETE_MANY:
        return key >= deed->key && key < deed->key + MANY;
    default:
        return key == deed->key;
    }
}

bool deed_wants_nothing(const struct deed *deed) {
    return deed->key != KEY_OLD && deed->key != KEY_TIMED;
}

bool deed_succeeds(const struct deed *deed, int status) {
    bool nothing_there =
        deed->key == KEY_ABSENT && (deed->verb == V_DELETE || deed->verb == V_GET);
    bool many = deed->verb == V_DELETE_MANY || deed->verb == V_GET_MANY;
    return status == (nothing_there ? LILCACHE_MISS : LILCACHE_OK) ||
           (many && status == LILCACHE_MISS) ||
           (deed->verb == V_GET_MANY && status == LILCACHE_TOO_LARGE);
}

bool deed_may_fail(const struct deed *deed, int status) {
    bool pins = deed->verb == V_PIN || deed->verb == V_PIN_KEPT || deed->verb == V_FORK;
    /* Its key was evicted, or lies in the damaged part; the scene holds all pins; its
     * shards are small. */
    return (status == LILCACHE_VALUE_SIZE &&
            deed->length > w.cache->segment->header->hd_max_value) ||
           (status == LILCACHE_MISS && (w.evicting || w.rebuilding)) ||
           (status == LILCACHE_NO_PIN && pins && w.pins > 0);
}

static struct value deed_after(const struct deed *deed, const struct value *before) {
    struct value after = {.present = true,
                          .must = before->must,
                          .seed = NEW_SEED,
                          .length = deed->length};
    switch (deed->verb) {
    case V_DELETE:
    case V_POP:
    case V_CLEAR:
    case V_TRY_DELETE:
    case V_DELETE_MANY:
        return (struct value){0};
    case V_INCR:
        after.number = true;
        after.seed = before->present ? before->seed + 1 : 1000;
        return after;
    case V_SET:
    case V_SET_TTL:
    case V_SET_WAITING:
    case V_TRY_SET:
    case V_ADD:
    case V_REPLACE:
    case V_CAS:
    case V_SET_MANY:
        return after;
    default:
        return *before;
    }
}

struct value deed_result(const struct deed *deed, uint32_t n,
                         const struct value *before) {
    bool concerned = deed->verb == V_CLEAR || deed_concerns(deed, n);
    return concerned ? deed_after(deed, before) : *before;
}

/* --- looking ---------------------------------------------------------------------- */

enum found look(uint32_t n, const struct value *wanted) {
    char key[CT_KEY_BYTES + 1];
    int64_t number;
    if (!wanted->present || !wanted->number) {
        enum ct_outcome outcome =
            ct_get(w.cache, world_key(n), wanted->seed, wanted->length);
        return outcome == CT_MISS                       ? FOUND_NOTHING
               : outcome == CT_RIGHT && wanted->present ? FOUND_IT
                                                        : FOUND_OTHER;
    }
    ct_key(world_key(n), key);
    int64_t result =
        lilcache_get(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &number, 8);
    if (result == LILCACHE_MISS) {
        return FOUND_NOTHING;
    }
    return result >= 0 && LILCACHE_VALUE_TYPE(result) == LILCACHE_TYPE_INT64 &&
                   number == (int64_t)wanted->seed
               ? FOUND_IT
               : FOUND_OTHER;
}

/* It is the wanted value, or nothing if the scene evicts. */
static bool fits(enum found found, const struct value *wanted) {
    bool lost = found == FOUND_NOTHING && (w.emptying || (w.evicting && !wanted->must));
    return wanted->present ? found == FOUND_IT || lost : found == FOUND_NOTHING;
}

static bool is(uint32_t n, const struct value *wanted) {
    return fits(look(n, wanted), wanted);
}

enum found (*verify_look)(uint32_t n, const struct value *wanted) = look;
const bool *(*verify_changed)(void);

/* A clear goes shard by shard: the first key of each tells whether it was there. */
static void note_cleared(bool completed, bool cleared[SHARDS_MAX]) {
    uint32_t count = w.cache->segment->shard_count;
    for (uint32_t n = 0, seen = 0; n < KEY_FREE + w.used && seen < (1u << count) - 1;
         n++) {
        uint32_t shard = world_shard(n);
        if (w.keys[n].present && !(seen & 1u << shard)) {
            seen |= 1u << shard;
            cleared[shard] = completed || look(n, &w.keys[n]) == FOUND_NOTHING;
        }
    }
}

void verify_keys(const struct deed *deed, bool completed) {
    static const struct value nothing = {0};
    const bool *changed = verify_changed ? verify_changed() : NULL;
    bool cleared_shards[SHARDS_MAX] = {false};
    CHECK(w.cache->segment->shard_count <= SHARDS_MAX);
    if (deed->verb == V_CLEAR) {
        note_cleared(completed, cleared_shards);
    }
    for (uint32_t n = 0; n < KEY_FREE + w.used; n++) {
        bool concerned = deed_concerns(deed, n);
        bool cleared = deed->verb == V_CLEAR && cleared_shards[world_shard(n)];
        if (n == KEY_SPARE || (changed && !changed[n] && !concerned && !cleared)) {
            continue;
        }
        struct value after = deed_after(deed, &w.keys[n]);
        struct value anew = deed_after(deed, &nothing);
        if (cleared) {
            CHECK(is(n, &nothing));
        } else if (concerned) {
            CHECK((!completed && is(n, &w.keys[n])) || is(n, &after) ||
                  (w.rebuilding && is(n, &anew)));
        } else {
            CHECK(fits(verify_look(n, &w.keys[n]), &w.keys[n]));
        }
    }
}

void verify_use(void) {
    for (uint32_t i = 0; i < 400; i++) {
        uint64_t n = KEYS_MAX + ct_below(&w.random, 200);
        uint64_t length = ct_spread(&w.random, 0, i % 50 == 0 ? 60000 : 5000);
        CHECK_EQ(ct_set(w.cache, n, n + i, length), LILCACHE_OK);
        CHECK_EQ(ct_get(w.cache, n, n + i, length), CT_RIGHT);
        if (i % 3 == 0) {
            ct_delete(w.cache, KEYS_MAX + ct_below(&w.random, 200));
        }
    }
    ct_check(w.cache);
}

void first_operation(const struct deed *deed, uint64_t k, bool completed) {
    switch (k % 3) {
    case 0:
        CHECK_EQ(ct_set(w.cache, KEY_SPARE, 1, 100), LILCACHE_OK);
        break;
    case 1:
        CHECK_EQ(ct_delete(w.cache, KEY_ABSENT), LILCACHE_MISS);
        break;
    default: /* reads do not wait for a repair */
        verify_keys(deed, completed);
        break;
    }
}
