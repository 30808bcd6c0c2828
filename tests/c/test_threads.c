/* Threads of one process over one segment: every exported call beside every other one.
 * What a value must be is checked to the last byte; what the calls do to each other's
 * memory is for the sanitizers. */
#include <pthread.h>

#include "cachetest.h"
#include "lc_atomic.h"
#include "lc_row.h"

#define THREADS    4
#define KEYS       600
#define VALUE_MAX  (80u << 10) /* past the border of large values */
#define COUNTERS   4
#define BATCH      8
#define SLOW_VIEWS 3

static uint32_t stop;

struct actor {
    pthread_t thread;
    struct ct_random random;
    struct lilcache *cache;
    const char *name; /* of a named segment */
    uint64_t hits;
    uint8_t *value;
    uint8_t *found;
};

/* The seed of a value stands in its first 8 bytes, the rest follows from it. */
static void value_make(uint8_t *to, size_t length, uint64_t seed) {
    memcpy(to, &seed, 8);
    ct_fill(to + 8, length - 8, seed);
}

static void value_check(const uint8_t *at, size_t length) {
    uint64_t seed;
    CHECK(length >= 8);
    memcpy(&seed, at, 8);
    CHECK(ct_matches(at + 8, length - 8, seed));
}

static size_t value_length(struct actor *actor) {
    return 8 + ct_spread(&actor->random, 0,
                         ct_below(&actor->random, 20) ? 3000 : VALUE_MAX - 8);
}

static const char *key_any(struct actor *actor) {
    static _Thread_local char key[CT_KEY_BYTES + 1];
    ct_key(ct_below(&actor->random, KEYS), key);
    return key;
}

#define KEY(key) key, CT_KEY_BYTES, LILCACHE_KEY_STR

static void act_read(struct actor *actor) {
    const char *key = key_any(actor);
    struct lilcache_view view;
    struct lilcache_version version;
    int64_t ttl;
    int64_t result;
    switch (ct_below(&actor->random, 5)) {
    case 0:
        result = lilcache_ttl(actor->cache, KEY(key), &ttl);
        CHECK(result == LILCACHE_OK || result == LILCACHE_MISS);
        CHECK(result != LILCACHE_OK || (ttl >= -1 && ttl <= 60000));
        break;
    case 1:
        result = lilcache_pin(actor->cache, KEY(key), &view);
        if (result >= 0) {
            if (ct_below(&actor->random, 40) < SLOW_VIEWS) {
                lct_sleep_ms(1);
            }
            value_check(view.data, view.length);
            lilcache_unpin(actor->cache, view.pin);
        }
        break;
    case 2:
        result = lilcache_get_version(actor->cache, KEY(key), actor->found, VALUE_MAX,
                                      &version);
        if (result >= 0) {
            value_check(actor->found, LILCACHE_LENGTH(result));
        }
        for (int i = 0; i < 3; i++) {
            result = lilcache_is_current(actor->cache, &version);
            CHECK(result == LILCACHE_OK || result == LILCACHE_MISS);
        }
        break;
    default:
        result = lilcache_get(actor->cache, KEY(key), actor->found, VALUE_MAX);
        if (result >= 0) {
            value_check(actor->found, LILCACHE_LENGTH(result));
            actor->hits++;
        }
    }
}

static void act_write(struct actor *actor) {
    const char *key = key_any(actor);
    size_t length = value_length(actor);
    uint32_t stamp;
    int64_t result;
    int64_t ttl = ct_below(&actor->random, 3) ? LILCACHE_TTL_NONE : 5;
    value_make(actor->value, length, ct_random(&actor->random));
    switch (ct_below(&actor->random, 8)) {
    case 0:
        result = lilcache_gets(actor->cache, KEY(key), actor->found, VALUE_MAX, &stamp);
        if (result >= 0) {
            value_check(actor->found, LILCACHE_LENGTH(result));
            result = lilcache_cas(actor->cache, KEY(key), actor->value, length, 1, ttl,
                                  stamp);
            CHECK(result == LILCACHE_OK || result == LILCACHE_EXISTS ||
                  result == LILCACHE_MISS || result == LILCACHE_BUSY);
        }
        break;
    case 1:
        result = lilcache_delete(actor->cache, KEY(key));
        CHECK(result == LILCACHE_OK || result == LILCACHE_MISS ||
              result == LILCACHE_BUSY);
        break;
    case 2:
        result = lilcache_pop(actor->cache, KEY(key), actor->found, VALUE_MAX);
        if (result >= 0) {
            value_check(actor->found, LILCACHE_LENGTH(result));
        }
        break;
    case 3:
        result = lilcache_touch(actor->cache, KEY(key), 60000);
        CHECK(result == LILCACHE_OK || result == LILCACHE_MISS ||
              result == LILCACHE_BUSY);
        break;
    case 4:
        lilcache_try_set(actor->cache, KEY(key), actor->value, length, 1,
                         LILCACHE_TTL_NONE, LILCACHE_SET);
        lilcache_try_delete(actor->cache, KEY(key_any(actor)));
        break;
    default:
        result = lilcache_set(actor->cache, KEY(key), actor->value, length, 1, ttl,
                              (int)ct_below(&actor->random, 3));
        CHECK(result == LILCACHE_OK || result == LILCACHE_EXISTS ||
              result == LILCACHE_MISS || result == LILCACHE_BUSY);
    }
}

static void act_count(struct actor *actor) {
    const char key[] = {'c', (char)('0' + ct_below(&actor->random, COUNTERS))};
    const int64_t zero = 0;
    int64_t result;
    int status = lilcache_incr(actor->cache, key, sizeof key, LILCACHE_KEY_BYTES, 1,
                               &zero, LILCACHE_TTL_NONE, &result);
    CHECK(status == LILCACHE_OK || status == LILCACHE_BUSY);
}

static void act_many(struct actor *actor) {
    char keys[BATCH * CT_KEY_BYTES + 1];
    uint32_t lengths[BATCH];
    uint64_t value_lengths[BATCH];
    uint8_t types[BATCH];
    int64_t results[BATCH];
    for (int i = 0; i < BATCH; i++) {
        ct_key(ct_below(&actor->random, KEYS), keys + i * CT_KEY_BYTES);
        lengths[i] = CT_KEY_BYTES;
        types[i] = LILCACHE_KEY_STR;
        value_lengths[i] = 100;
        value_make(actor->value + 100 * i, 100, ct_random(&actor->random));
    }
    switch (ct_below(&actor->random, 3)) {
    case 0:
        lilcache_set_many(actor->cache, BATCH, keys, lengths, types, actor->value,
                          value_lengths, types, LILCACHE_TTL_NONE, results);
        break;
    case 1:
        lilcache_delete_many(actor->cache, BATCH, keys, lengths, types, results);
        break;
    default:
        lilcache_get_many(actor->cache, BATCH, keys, lengths, types, actor->found,
                          VALUE_MAX, results);
        for (int i = 0; i < BATCH; i++) {
            CHECK(results[i] >= 0 || results[i] == LILCACHE_MISS ||
                  results[i] == LILCACHE_TOO_LARGE);
        }
    }
}

static void act_look(struct actor *actor) {
    uint64_t values[128];
    uint64_t cursor = 0;
    uint32_t count;
    char report[256] = "";
    switch (ct_below(&actor->random, 4)) {
    case 0:
        CHECK(lilcache_stats(actor->cache, values, 128) > 0);
        break;
    case 1:
        do {
            int64_t bytes = lilcache_scan(actor->cache, &cursor, actor->found,
                                          LILCACHE_SCAN_MIN, &count);
            CHECK(bytes >= 0 || bytes == LILCACHE_BUSY);
        } while (cursor != 0);
        break;
    case 2: {
        int violated = lilcache_check(actor->cache, report, sizeof report);
        if (violated == 1) {
            LCT_FAIL("check: %s", report);
        }
        break;
    }
    default:
        if (ct_below(&actor->random, 8) == 0) {
            int status = lilcache_clear(actor->cache);
            CHECK(status == LILCACHE_OK || status == LILCACHE_BUSY);
        }
    }
}

static void act(struct actor *actor) {
    uint64_t which = ct_below(&actor->random, 100);
    if (which < 45) {
        act_read(actor);
    } else if (which < 80) {
        act_write(actor);
    } else if (which < 88) {
        act_count(actor);
    } else if (which < 98) {
        act_many(actor);
    } else {
        act_look(actor);
    }
}

static void *every_call(void *argument) {
    struct actor *actor = argument;
    while (!lc_load_relaxed32(&stop)) {
        act(actor);
    }
    return NULL;
}

static struct actor actors[THREADS];

static void actors_start(struct lilcache *cache, const char *name,
                         void *(*run)(void *)) {
    for (int i = 0; i < THREADS; i++) {
        struct actor *actor = &actors[i];
        *actor = (struct actor){.random = {(uint64_t)i * 77 + 1},
                                .cache = cache,
                                .name = name,
                                .value = calloc(1, VALUE_MAX),
                                .found = calloc(1, LILCACHE_SCAN_MIN)};
        CHECK(actor->value && actor->found);
        CHECK_EQ(pthread_create(&actor->thread, NULL, run, actor), 0);
    }
}

static uint64_t actors_join(void) {
    uint64_t hits = 0;
    lc_store_relaxed32(&stop, 1);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(actors[i].thread, NULL), 0);
        hits += actors[i].hits;
        free(actors[i].value);
        free(actors[i].found);
    }
    return hits;
}

static void every_call_at_once(uint32_t flags) {
    struct lilcache *cache = ct_open_flags(MIB, flags);
    actors_start(cache, NULL, every_call);
    /* Long enough for everything to have happened, on a slow machine, too. */
    for (int i = 0; i < 200 || ct_stat(cache, "recycles") < 100 ||
                    ct_stat(cache, "growths") == 0 || ct_stat(cache, "clears") < 3 ||
                    ct_stat(cache, "relocations") == 0;
         i++) {
        lct_sleep_ms(10);
    }
    CHECK(actors_join() > 0);
    ct_check_unhurt(cache);
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    CHECK_EQ(ct_stat(cache, "corrupt_reads"), 0);
    lilcache_close(cache);
}

TEST(every_call_beside_every_other, 30) { every_call_at_once(0); }
TEST(every_call_with_checksums, 30) { every_call_at_once(LILCACHE_CHECKSUMS); }

static void *count_up(void *argument) {
    struct actor *actor = argument;
    const int64_t zero = 0;
    int64_t result;
    for (int i = 0; i < 3000; i++) {
        int status = lilcache_incr(actor->cache, "n", 1, LILCACHE_KEY_STR, 1, &zero,
                                   LILCACHE_TTL_NONE, &result);
        CHECK(status == LILCACHE_OK || status == LILCACHE_BUSY);
        actor->hits += status == LILCACHE_OK;
    }
    return NULL;
}

TEST(increments_of_threads_add_up, 30) {
    struct lilcache *cache = ct_open(MIB);
    int64_t result;
    actors_start(cache, NULL, count_up);
    int64_t wanted = (int64_t)actors_join();
    /* The initial value counts, too: the first call stores 0. */
    CHECK_EQ(lilcache_incr(cache, "n", 1, LILCACHE_KEY_STR, 0, NULL, LILCACHE_TTL_NONE,
                           &result),
             LILCACHE_OK);
    CHECK_EQ(result, wanted - 1);
    lilcache_close(cache);
}

/* Handles of one name come and go, and so does the segment. */
static void *attach_and_leave(void *argument) {
    struct actor *actor = argument;
    for (int round = 0; !lc_load_relaxed32(&stop); round++) {
        struct lilcache *own = ct_open_named(actor->name, MIB, 0);
        for (int i = 0; i < 20; i++) {
            int64_t result =
                lilcache_get(own, KEY(key_any(actor)), actor->found, VALUE_MAX);
            CHECK(result >= 0 || result == LILCACHE_MISS || result == LILCACHE_RETIRED);
            if (result == LILCACHE_RETIRED) {
                break;
            }
            ct_key(ct_below(&actor->random, KEYS), (char *)actor->value);
            result = lilcache_set(own, KEY(actor->value), actor->value, 500, 1,
                                  LILCACHE_TTL_NONE, LILCACHE_SET);
            CHECK(result == LILCACHE_OK || result == LILCACHE_BUSY ||
                  result == LILCACHE_RETIRED);
            actor->hits++;
        }
        if (round % 16 == 7) {
            CHECK_EQ(lilcache_retire(own), LILCACHE_OK);
        }
        lilcache_close(own);
    }
    return NULL;
}

TEST(attaching_and_retiring_beside_use, 30) {
    actors_start(NULL, lct_name("s"), attach_and_leave);
    lct_sleep_ms(1000);
    CHECK(actors_join() > 0);
}

/* Children of a process with threads, made while these are inside calls. */
TEST(forks_beside_threads, 30) {
    struct lilcache *cache = ct_open(MIB);
    actors_start(cache, NULL, every_call);
    for (int i = 0; i < 12; i++) {
        struct lilcache_view view;
        int status = lilcache_set(cache, "mine", 4, LILCACHE_KEY_STR, "value", 5, 1,
                                  LILCACHE_TTL_NONE, LILCACHE_SET);
        CHECK(status == LILCACHE_OK || status == LILCACHE_BUSY);
        int64_t pinned =
            lilcache_pin(cache, "mine", 4, LILCACHE_KEY_STR, &view); /* or evicted */
        pid_t child = fork();
        if (child == 0) {
            char found[8];
            int64_t result =
                lilcache_get(cache, "mine", 4, LILCACHE_KEY_STR, found, sizeof found);
            CHECK(result == LILCACHE_MISS || memcmp(found, "value", 5) == 0);
            if (pinned >= 0) {
                CHECK(memcmp(view.data, "value", 5) == 0);
                lilcache_unpin(cache, view.pin);
            }
            _exit(0);
        }
        lct_join(child);
        if (pinned >= 0) {
            lilcache_unpin(cache, view.pin);
        }
    }
    CHECK(actors_join() > 0);
    ct_check_unhurt(cache);
    lc_row_sweep(cache->segment); /* children end with the views of our threads */
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
