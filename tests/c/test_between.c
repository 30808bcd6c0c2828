/* What happens between the halves of a call, and every call on a segment that is
 * retired, locked by a stopped process or lost. */
#include "cachetest.h"
#include "lc_block.h"
#include "lc_fork.h"
#include "lc_index.h"
#include "lc_read.h"
#include "lc_shard.h"

#define LARGE 100000

static struct lilcache *cache;
static void (*meanwhile)(void);
static enum lc_crash_point where;

static void act_once(enum lc_crash_point point) {
    if (point == where && meanwhile) {
        void (*act)(void) = meanwhile;
        meanwhile = NULL;
        act();
    }
}

static void between(enum lc_crash_point point, void (*act)(void)) {
    where = point;
    meanwhile = act;
    lc_crash_hook = act_once;
}

static int set(uint64_t n, uint64_t seed, size_t length, int mode, int64_t stamp) {
    static uint8_t value[LARGE];
    char key[CT_KEY_BYTES + 1];
    ct_key(n, key);
    ct_fill(value, length, seed);
    return stamp >= 0 ? lilcache_cas(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                                     length, 7, LILCACHE_TTL_NONE, (uint32_t)stamp)
                      : lilcache_set(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                                     length, 7, LILCACHE_TTL_NONE, mode);
}

static void clear(void) { CHECK_EQ(lilcache_clear(cache), LILCACHE_OK); }
static void delete_it(void) { CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK); }
static void set_it(void) { CHECK_EQ(ct_set(cache, 1, 77, 20), LILCACHE_OK); }

static void evict_all(void) {
    for (uint64_t n = 100; n < 3000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 1000), LILCACHE_OK);
    }
}

static void lock(void) {
    CHECK_EQ(pthread_mutex_lock(&ct_shard(cache)->ctl->sh_mutex), 0);
}

static void unlock(void) {
    CHECK_EQ(pthread_mutex_unlock(&ct_shard(cache)->ctl->sh_mutex), 0);
}

TEST(a_clear_while_a_large_value_is_copied, 20) {
    cache = ct_open(MIB);
    between(LC_CRASH_large_copied, clear);
    CHECK_EQ(set(1, 5, LARGE, LILCACHE_SET, -1), LILCACHE_OK);
    CHECK(!meanwhile);
    CHECK_EQ(ct_get(cache, 1, 5, LARGE), CT_RIGHT);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(evictions_while_a_large_value_is_copied, 30) {
    cache = ct_open(MIB);
    between(LC_CRASH_large_copied, evict_all);
    CHECK_EQ(set(1, 5, LARGE, LILCACHE_SET, -1), LILCACHE_OK);
    CHECK(!meanwhile);
    CHECK_EQ(ct_get(cache, 1, 5, LARGE), CT_RIGHT);
    ct_check_unhurt(cache);
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    lilcache_close(cache);
}

TEST(conditions_that_change_while_a_large_value_is_copied, 20) {
    cache = ct_open(MIB);
    CHECK_EQ(set(1, 4, 20, LILCACHE_SET, -1), LILCACHE_OK);
    between(LC_CRASH_large_copied, delete_it);
    CHECK_EQ(set(1, 5, LARGE, LILCACHE_REPLACE, -1), LILCACHE_MISS);
    between(LC_CRASH_large_copied, set_it);
    CHECK_EQ(set(1, 5, LARGE, LILCACHE_ADD, -1), LILCACHE_EXISTS);
    CHECK_EQ(ct_get(cache, 1, 77, 20), CT_RIGHT);

    uint8_t found[32];
    uint32_t stamp;
    char key[CT_KEY_BYTES + 1];
    ct_key(1, key);
    CHECK(lilcache_gets(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, found, sizeof found,
                        &stamp) >= 0);
    between(LC_CRASH_large_copied, set_it);
    CHECK_EQ(set(1, 5, LARGE, LILCACHE_SET, stamp), LILCACHE_EXISTS);
    between(LC_CRASH_large_copied, delete_it);
    CHECK(lilcache_gets(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, found, sizeof found,
                        &stamp) >= 0);
    CHECK_EQ(set(1, 5, LARGE, LILCACHE_SET, stamp), LILCACHE_MISS);
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* The copy would be for nothing: it waits for ten slices, then it is given up. */
TEST(a_lock_that_does_not_come_back_after_the_copy, 20) {
    cache = ct_open(MIB);
    between(LC_CRASH_large_copied, lock);
    double before = lct_seconds();
    CHECK_EQ(set(1, 5, LARGE, LILCACHE_SET, -1), LILCACHE_BUSY);
    CHECK(lct_seconds() - before >= 0.18);
    unlock();
    CHECK_EQ(ct_get(cache, 1, 5, LARGE), CT_MISS);
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

#define KEY "key", 3, LILCACHE_KEY_STR

/* Calls everything; `wanted` of each. */
static void all_return(int reads, int writes) {
    const uint32_t lengths[] = {3, 3};
    const uint64_t value_lengths[] = {1, 1};
    const uint8_t types[] = {LILCACHE_KEY_STR, LILCACHE_KEY_STR};
    static uint8_t out[LILCACHE_SCAN_MIN];
    int64_t results[2];
    struct lilcache_view view;
    uint64_t cursor = 0;
    uint32_t count;
    uint32_t stamp;
    int64_t ttl;
    int64_t sum;
    int64_t one = 1;
    CHECK_EQ(lilcache_get(cache, KEY, out, 10), reads);
    CHECK_EQ(lilcache_gets(cache, KEY, out, 10, &stamp), reads);
    CHECK_EQ(lilcache_ttl(cache, KEY, &ttl), reads);
    CHECK_EQ(lilcache_pin(cache, KEY, &view), reads);
    lilcache_get_many(cache, 2, "keykex", lengths, types, out, 10, results);
    CHECK(results[0] == reads && results[1] == reads);
    CHECK_EQ(lilcache_set(cache, KEY, "v", 1, 1, 0, LILCACHE_SET), writes);
    CHECK_EQ(lilcache_cas(cache, KEY, "v", 1, 1, 0, 1), writes);
    CHECK_EQ(lilcache_try_set(cache, KEY, "v", 1, 1, LILCACHE_TTL_NONE, LILCACHE_SET),
             writes);
    CHECK_EQ(lilcache_delete(cache, KEY), writes);
    CHECK_EQ(lilcache_try_delete(cache, KEY), writes);
    CHECK_EQ(lilcache_pop(cache, KEY, out, 10), writes);
    CHECK_EQ(lilcache_touch(cache, KEY, 5), writes);
    CHECK_EQ(lilcache_incr(cache, KEY, 1, &one, 0, &sum), writes);
    CHECK_EQ(lilcache_try_incr(cache, KEY, 1, &one, 0, &sum), writes);
    CHECK_EQ(lilcache_clear(cache), writes);
    CHECK_EQ(lilcache_scan(cache, &cursor, out, sizeof out, &count), writes);
    lilcache_set_many(cache, 2, "keykex", lengths, types, "vw", value_lengths, types, 0,
                      results);
    CHECK(results[0] == writes && results[1] == writes);
    lilcache_delete_many(cache, 2, "keykex", lengths, types, results);
    CHECK(results[0] == writes && results[1] == writes);
}

TEST(every_call_on_a_retired_segment, 20) {
    cache = ct_open_named(lct_name("r"), MIB, 0);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    all_return(LILCACHE_RETIRED, LILCACHE_RETIRED);
    lilcache_close(cache);
}

TEST(every_call_while_the_lock_is_held, 30) {
    char report[64];
    cache = ct_open(MIB);
    lock();
    all_return(LILCACHE_MISS, LILCACHE_BUSY);
    CHECK_EQ(set(1, 5, LARGE, LILCACHE_SET, -1), LILCACHE_BUSY);
    CHECK_EQ(lilcache_check(cache, report, sizeof report), LILCACHE_BUSY);
    unlock();
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* Somebody took the lock of a dead owner and let it go without repairing the shard. */
TEST(a_shard_whose_lock_is_lost, 30) {
    cache = ct_open(MIB);
    pid_t child = fork();
    if (child == 0) {
        lock();
        _exit(0);
    }
    lct_join(child);
    CHECK_EQ(pthread_mutex_lock(&ct_shard(cache)->ctl->sh_mutex), EOWNERDEAD);
    unlock();
    CHECK_EQ(ct_get(cache, 1, 1, 30), CT_MISS);
    CHECK_EQ(set(1, 1, 30, LILCACHE_SET, -1), LILCACHE_CORRUPT);
    lilcache_close(cache);
}

TEST(every_status_has_a_name_and_a_text, 10) {
    static const int codes[] = {
#define X(name, code, class_, text) code,
#include "status.def"
#undef X
    };
    static const char *const names[] = {
#define X(name, code, class_, text) #name,
#include "status.def"
#undef X
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        CHECK(strcmp(lilcache_status_name(codes[i]), names[i]) == 0);
        CHECK(strlen(lilcache_status_text(codes[i])) > 3);
        for (size_t j = 0; j < i; j++) {
            CHECK(codes[i] != codes[j]);
        }
    }
    CHECK(strcmp(lilcache_status_text(12345), "unknown status") == 0);
    CHECK(lilcache_stat_help(-1) == NULL);
    CHECK(lilcache_stat_name(10000) == NULL);
}

struct hashed {
    uint64_t tag_and_group;
    uint64_t n;
};

static int compare(const void *a, const void *b) {
    uint64_t x = ((const struct hashed *)a)->tag_and_group;
    uint64_t y = ((const struct hashed *)b)->tag_and_group;
    return x < y ? -1 : x > y;
}

/* All that the index knows of a key is its tag and group: two keys may share both. */
TEST(two_keys_of_one_tag, 60) {
    enum { CANDIDATES = 300000 };
    struct hashed *all = malloc(CANDIDATES * sizeof *all);
    CHECK(all != NULL);
    cache = ct_open(MIB);
    struct lc_shard *shard = ct_shard(cache);
    for (uint64_t n = 0; n < CANDIDATES; n++) {
        char text[CT_KEY_BYTES + 1];
        struct lc_key made;
        ct_key(n, text);
        CHECK_EQ(
            lc_key_make(cache->segment, text, CT_KEY_BYTES, LILCACHE_KEY_STR, &made),
            LILCACHE_OK);
        all[n].tag_and_group =
            lc_tag_of(made.hash) << 32 | lc_group_of(shard, made.hash);
        all[n].n = n;
    }
    qsort(all, CANDIDATES, sizeof *all, compare);
    uint32_t pairs = 0;
    for (size_t i = 1; i < CANDIDATES; i++) {
        if (all[i].tag_and_group != all[i - 1].tag_and_group) {
            continue;
        }
        uint64_t a = all[i].n;
        uint64_t b = all[i - 1].n;
        pairs++;
        CHECK_EQ(ct_set(cache, a, 1, 30), LILCACHE_OK);
        CHECK_EQ(ct_get(cache, b, 2, 30), CT_MISS);
        CHECK_EQ(ct_delete(cache, b), LILCACHE_MISS);
        CHECK_EQ(ct_set(cache, b, 2, 30), LILCACHE_OK);
        CHECK_EQ(ct_get(cache, a, 1, 30), CT_RIGHT);
        CHECK_EQ(ct_get(cache, b, 2, 30), CT_RIGHT);
        CHECK_EQ(ct_delete(cache, a), LILCACHE_OK);
        CHECK_EQ(ct_get(cache, b, 2, 30), CT_RIGHT);
    }
    CHECK(pairs > 0);
    ct_check_unhurt(cache);
    free(all);
    lilcache_close(cache);
}

TEST(a_damaged_counter_counts_as_none, 20) {
    int64_t sum;
    const int64_t ten = 10;
    cache = ct_open_flags(MIB, LILCACHE_CHECKSUMS);
    CHECK_EQ(lilcache_incr(cache, KEY, 1, &ten, 0, &sum), LILCACHE_OK);
    CHECK_EQ(lilcache_incr(cache, KEY, 1, NULL, 0, &sum), LILCACHE_OK);
    CHECK_EQ(sum, 11);
    struct lc_shard *shard = ct_shard(cache);
    struct lc_key made;
    struct lc_found found;
    CHECK_EQ(lc_key_make(cache->segment, "key", 3, LILCACHE_KEY_STR, &made),
             LILCACHE_OK);
    CHECK(lc_index_find_locked(shard, made.hash, made.bytes, made.length, made.type,
                               &found, NULL));
    shard->heap[found.record.value_at] ^= 4;
    CHECK_EQ(lilcache_incr(cache, KEY, 1, NULL, 0, &sum), LILCACHE_MISS);
    CHECK_EQ(lilcache_incr(cache, KEY, 1, &ten, 0, &sum), LILCACHE_OK);
    CHECK_EQ(sum, 10);
    CHECK(ct_stat(cache, "corrupt_reads") > 0);
    lilcache_close(cache);
}

/* Shards so small that each has a single group. */
TEST(many_small_shards, 30) {
    struct lilcache_options options = {
        .name = "test",
        .size_bytes = 2 * MIB,
        .max_value_bytes = 2000,
        .flags = LILCACHE_ANONYMOUS,
        .cores = 64,
        .owner = -1,
        .group = -1,
    };
    struct lilcache_error error;
    CHECK_EQ(lilcache_open(&options, &cache, &error), LILCACHE_OK);
    CHECK(cache->segment->shard_count > 1);
    for (uint64_t n = 0; n < 5000; n++) {
        CHECK_EQ(ct_set(cache, n, n, n % 500), LILCACHE_OK);
        CHECK_EQ(ct_get(cache, n, n, n % 500), CT_RIGHT);
    }
    ct_check_unhurt(cache);
    struct lc_shard *last = &cache->segment->shards[cache->segment->shard_count - 1];
    last->ctl->sh_free_blocks++;
    CHECK_EQ(lilcache_check(cache, NULL, 0), 1);
    last->ctl->sh_free_blocks--;
    struct lc_shard *shard = &cache->segment->shards[0];
    shard->ctl->sh_free_blocks++;
    CHECK_EQ(lilcache_check(cache, NULL, 0), 1);
    shard->ctl->sh_free_blocks--;
    CHECK_EQ(lilcache_clear(cache), LILCACHE_OK);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* More key bytes in one group than a step may return, and a header that makes no sense
 * on the way. */
TEST(a_scan_of_a_group_that_does_not_fit, 30) {
    static uint8_t key[LILCACHE_KEY_MAX];
    static uint8_t out[LILCACHE_SCAN_MIN];
    cache = ct_open(2 * MIB);
    struct lc_shard *shard = ct_shard(cache);
    uint64_t cursor = 0;
    uint32_t returned = 0;
    uint32_t stored = 0;
    uint32_t steps = 0;
    for (uint32_t n = 0; stored < 7 && n < 1000; n++) {
        struct lc_key made;
        memcpy(key, &n, sizeof n);
        CHECK_EQ(
            lc_key_make(cache->segment, key, sizeof key, LILCACHE_KEY_BYTES, &made),
            LILCACHE_OK);
        if (lc_group_of(shard, made.hash) == 0) {
            CHECK_EQ(lilcache_set(cache, key, sizeof key, LILCACHE_KEY_BYTES, "v", 1, 1,
                                  0, LILCACHE_SET),
                     LILCACHE_OK);
            stored++;
        }
    }
    do {
        uint32_t count;
        CHECK(lilcache_scan(cache, &cursor, out, sizeof out, &count) >= 0);
        CHECK(count <= 4);
        returned += count;
        steps++;
    } while (cursor != 0);
    CHECK_EQ(returned, stored);
    CHECK(steps > shard->group_count);

    struct lc_key made;
    struct lc_found found;
    CHECK_EQ(ct_set(cache, 1, 1, 30), LILCACHE_OK);
    char text[CT_KEY_BYTES + 1];
    ct_key(1, text);
    CHECK_EQ(lc_key_make(cache->segment, text, CT_KEY_BYTES, LILCACHE_KEY_STR, &made),
             LILCACHE_OK);
    CHECK(lc_index_find_locked(shard, made.hash, made.bytes, made.length, made.type,
                               &found, NULL));
    lc_record_at(shard, found.record.offset)->rc_key_length = 0;
    returned = 0;
    do {
        uint32_t count;
        CHECK(lilcache_scan(cache, &cursor, out, sizeof out, &count) >= 0);
        returned += count;
    } while (cursor != 0);
    CHECK_EQ(returned, stored);
    lilcache_close(cache);
}

/* A child whose fork ran no handler drops the parent's view first thing. */
TEST(a_child_of_a_bare_fork_drops_a_view, 20) {
    struct lilcache_view view;
    cache = ct_open(MIB);
    CHECK_EQ(lilcache_set(cache, KEY, "value", 5, 1, 0, LILCACHE_SET), LILCACHE_OK);
    CHECK(lilcache_pin(cache, KEY, &view) >= 0);
    pid_t child = _Fork();
    if (child == 0) {
        lilcache_unpin(cache, view.pin);
        CHECK_EQ(lilcache_set(cache, KEY, "other", 5, 1, 0, LILCACHE_SET), LILCACHE_OK);
        _exit(0);
    }
    lct_join(child);
    CHECK(memcmp(view.data, "value", 5) == 0);
    CHECK_EQ(ct_stat(cache, "pins"), 1);
    lilcache_unpin(cache, view.pin);
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
