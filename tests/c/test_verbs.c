/* Verbs beside eviction, expiry and other processes; test_ops.c has each by itself. */
#include "cachetest.h"
#include "lc_index.h"
#include "lc_read.h"

#define KEY(key_) key_, strlen(key_), LILCACHE_KEY_STR

static struct lilcache *cache;
static char out[LILCACHE_SCAN_MIN];

static int set(const char *key, const char *value, int64_t ttl, int mode) {
    return lilcache_set(cache, KEY(key), value, strlen(value), 9, ttl, mode);
}

static int64_t get(const char *key) {
    return lilcache_get(cache, KEY(key), out, sizeof out);
}

static uint32_t stamp_of(const char *key) {
    uint32_t stamp;
    CHECK(lilcache_gets(cache, KEY(key), out, sizeof out, &stamp) >= 0);
    return stamp;
}

static void close_checked(void) {
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(stamps_and_ttls_survive_relocation, 20) {
    int64_t ttl;
    cache = ct_open(1 * MIB);
    CHECK_EQ(set("a", "value", 1000000, LILCACHE_SET), LILCACHE_OK);
    uint32_t stamp = stamp_of("a");
    for (uint64_t n = 0; n < 20000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 500), LILCACHE_OK);
        ct_get(cache, n / 2, n / 2, 500);
        CHECK(get("a") >= 0); /* always hit, so never evicted */
    }
    CHECK(ct_stat(cache, "recycles") > 1000);
    CHECK_EQ(stamp_of("a"), stamp);
    CHECK_EQ(lilcache_ttl(cache, KEY("a"), &ttl), LILCACHE_OK);
    CHECK(ttl > 900000 && ttl <= 1000000);
    close_checked();
}

/* Expired records make room before anything that lives. */
TEST(expired_records_go_first, 20) {
    cache = ct_open(1 * MIB);
    for (uint64_t n = 0; n < 800; n++) {
        CHECK_EQ(ct_set_ttl(cache, n, n, 900, n < 500 ? 1 : 0), LILCACHE_OK);
    }
    lct_sleep_ms(10);
    for (uint64_t n = 1000; n < 1400; n++) {
        CHECK_EQ(ct_set(cache, n, n, 900), LILCACHE_OK);
    }
    for (uint64_t n = 500; n < 800; n++) {
        CHECK_EQ(ct_get(cache, n, n, 900), CT_RIGHT);
    }
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    close_checked();
}

TEST(incr_by_many_processes_loses_nothing, 60) {
    int64_t zero = 0;
    int64_t result;
    pid_t children[4];
    cache = ct_open(1 * MIB);
    for (int c = 0; c < 4; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            for (int i = 0; i < 3000; i++) {
                int status;
                do {
                    status = lilcache_incr(cache, KEY("n"), 1, &zero, 0, &result);
                } while (status == LILCACHE_BUSY);
                CHECK_EQ(status, LILCACHE_OK);
            }
            _exit(0);
        }
    }
    for (int c = 0; c < 4; c++) {
        lct_join(children[c]);
    }
    CHECK_EQ(lilcache_incr(cache, KEY("n"), 0, NULL, 0, &result), LILCACHE_OK);
    CHECK_EQ(result, 4 * 3000 - 1); /* the first one stored 0 */
    close_checked();
}

TEST(one_of_many_processes_adds, 60) {
    cache = ct_open(1 * MIB);
    for (int round = 0; round < 50; round++) {
        char key[32];
        pid_t children[4];
        int added = 0;
        snprintf(key, sizeof key, "round %d", round);
        for (int c = 0; c < 4; c++) {
            children[c] = fork();
            if (children[c] == 0) {
                int status;
                do {
                    status = set(key, "mine", 0, LILCACHE_ADD);
                } while (status == LILCACHE_BUSY);
                _exit(status == LILCACHE_OK);
            }
        }
        for (int c = 0; c < 4; c++) {
            int status;
            CHECK(waitpid(children[c], &status, 0) == children[c] && WIFEXITED(status));
            added += WEXITSTATUS(status);
        }
        CHECK_EQ(added, 1);
    }
    close_checked();
}

TEST(clear_forgets_everything, 20) {
    cache = ct_open(1 * MIB);
    for (int round = 0; round < 20; round++) {
        for (uint64_t n = 0; n < 300; n++) {
            CHECK_EQ(ct_set(cache, n, n, 1000), LILCACHE_OK);
        }
        CHECK_EQ(lilcache_clear(cache), LILCACHE_OK);
        CHECK_EQ(ct_stat(cache, "items"), 0);
        for (uint64_t n = 0; n < 300; n++) {
            CHECK_EQ(ct_get(cache, n, n, 1000), CT_MISS);
            CHECK_EQ(ct_delete(cache, n), LILCACHE_MISS);
        }
        ct_check(cache);
    }
    CHECK_EQ(ct_stat(cache, "clears"), 20);
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    close_checked();
}

TEST(clear_forgets_every_shard, 20) {
    struct lilcache_options options = {.name = lct_name("shards"),
                                       .size_bytes = 16 * MIB,
                                       .flags = LILCACHE_ANONYMOUS,
                                       .max_value_bytes = MIB / 2,
                                       .cores = 4,
                                       .owner = -1,
                                       .group = -1};
    struct lilcache_error error;
    CHECK_EQ(lilcache_open(&options, &cache, &error), LILCACHE_OK);
    CHECK_EQ(cache->segment->shard_count, 4);
    for (uint64_t n = 0; n < 200; n++) {
        CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
    }
    CHECK_EQ(lilcache_clear(cache), LILCACHE_OK);
    for (uint64_t n = 0; n < 200; n++) {
        CHECK_EQ(ct_get(cache, n, n, 100), CT_MISS);
    }
    close_checked();
}

/* Every verb says what is wrong with its arguments, and has done nothing. */
TEST(wrong_arguments_are_refused, 20) {
    int64_t number = 1;
    int64_t ttl;
    uint32_t stamp;
    struct lilcache_view view;
    cache = ct_open(1 * MIB);
    static const struct {
        size_t length;
        int type;
        int status;
    } wrong[] = {{0, LILCACHE_KEY_STR, LILCACHE_KEY_SIZE},
                 {LILCACHE_KEY_MAX + 1, LILCACHE_KEY_STR, LILCACHE_KEY_SIZE},
                 {1, -1, LILCACHE_INVALID},
                 {1, LILCACHE_KEY_TUPLE + 1, LILCACHE_INVALID}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t length = wrong[i].length;
        int type = wrong[i].type;
        int status = wrong[i].status;
        CHECK_EQ(lilcache_get(cache, out, length, type, out, 8), status);
        CHECK_EQ(lilcache_gets(cache, out, length, type, out, 8, &stamp), status);
        CHECK_EQ(lilcache_ttl(cache, out, length, type, &ttl), status);
        CHECK_EQ(lilcache_pin(cache, out, length, type, &view), status);
        CHECK_EQ(lilcache_set(cache, out, length, type, out, 1, 0, 0, LILCACHE_SET),
                 status);
        CHECK_EQ(lilcache_try_set(cache, out, length, type, out, 1, 0,
                                  LILCACHE_TTL_NONE, LILCACHE_SET),
                 status);
        CHECK_EQ(lilcache_cas(cache, out, length, type, out, 1, 0, 0, 1), status);
        CHECK_EQ(lilcache_delete(cache, out, length, type), status);
        CHECK_EQ(lilcache_try_delete(cache, out, length, type), status);
        CHECK_EQ(lilcache_pop(cache, out, length, type, out, 8), status);
        CHECK_EQ(lilcache_touch(cache, out, length, type, 0), status);
        CHECK_EQ(lilcache_incr(cache, out, length, type, 1, &number, 0, &number),
                 status);
    }
    static const int64_t bad_ttls[] = {-2, INT64_MIN, INT64_MAX / 2 + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof bad_ttls / sizeof *bad_ttls; i++) {
        int64_t bad = bad_ttls[i];
        CHECK_EQ(set("a", "b", bad, LILCACHE_SET), LILCACHE_TTL);
        CHECK_EQ(lilcache_cas(cache, KEY("a"), "b", 1, 0, bad, 1), LILCACHE_TTL);
        CHECK_EQ(lilcache_touch(cache, KEY("a"), bad), LILCACHE_TTL);
        CHECK_EQ(lilcache_incr(cache, KEY("a"), 1, &number, bad, &number),
                 LILCACHE_TTL);
    }
    CHECK_EQ(lilcache_touch(cache, KEY("a"), -1), LILCACHE_TTL);
    CHECK_EQ(set("a", "b", -1, LILCACHE_SET), LILCACHE_TTL);
    CHECK_EQ(set("a", "b", 0, LILCACHE_SET - 1), LILCACHE_INVALID);
    CHECK_EQ(set("a", "b", 0, LILCACHE_REPLACE + 1), LILCACHE_INVALID);
    CHECK_EQ(lilcache_set(cache, KEY("a"), "b", 1, -1, 0, LILCACHE_SET),
             LILCACHE_INVALID);
    CHECK_EQ(lilcache_set(cache, KEY("a"), "b", 1, 256, 0, LILCACHE_SET),
             LILCACHE_INVALID);
    CHECK_EQ(ct_stat(cache, "items"), 0);
    CHECK_EQ(ct_stat(cache, "sets"), 0);
    CHECK_EQ(set("a", "b", INT64_MAX / 2, LILCACHE_SET), LILCACHE_OK);
    CHECK_EQ(lilcache_set(cache, KEY("b"), "b", 1, 255, 0, LILCACHE_SET), LILCACHE_OK);
    close_checked();
}

TEST(names_of_statuses_and_statistics, 10) {
    int count = 0;
    CHECK(strcmp(lilcache_status_name(LILCACHE_BUSY), "BUSY") == 0);
    CHECK(strcmp(lilcache_status_name(12345), "UNKNOWN") == 0);
    CHECK(strlen(lilcache_status_text(LILCACHE_OK)) > 0);
    while (lilcache_stat_name(count)) {
        CHECK(strlen(lilcache_stat_help(count)) > 0);
        count++;
    }
    CHECK(lilcache_stat_name(-1) == NULL && lilcache_stat_help(count) == NULL);
    cache = ct_open(1 * MIB);
    CHECK_EQ(lilcache_stats(cache, NULL, 0), count);
    close_checked();
}

TEST(statistics_count, 10) {
    cache = ct_open(1 * MIB);
    set("a", "x", 0, LILCACHE_SET);
    set("b", "x", 0, LILCACHE_SET);
    CHECK(get("a") >= 0);
    CHECK_EQ(get("c"), LILCACHE_MISS);
    CHECK_EQ(get("d"), LILCACHE_MISS);
    CHECK_EQ(lilcache_delete(cache, KEY("a")), LILCACHE_OK);
    CHECK(lilcache_pop(cache, KEY("b"), out, sizeof out) >= 0);
    set("e", "x", 0, LILCACHE_SET);
    CHECK_EQ(ct_stat(cache, "sets"), 3);
    CHECK_EQ(ct_stat(cache, "hits"), 2);
    CHECK_EQ(ct_stat(cache, "misses"), 2);
    CHECK_EQ(ct_stat(cache, "deletes"), 2);
    CHECK_EQ(ct_stat(cache, "items"), 1);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    CHECK_EQ(ct_stat(cache, "size_bytes"), 1 * MIB);
    CHECK_EQ(ct_stat(cache, "live_bytes"), 16);
    close_checked();
}

/* A copy made by eviction would get a fresh checksum over the wrong bytes. */
TEST(a_damaged_value_is_not_lifted, 20) {
    char key[CT_KEY_BYTES + 1];
    struct lc_key made;
    struct lc_found found;
    cache = ct_open_flags(1 * MIB, LILCACHE_CHECKSUMS);
    struct lc_shard *shard = ct_shard(cache);
    ct_key(0, key);
    CHECK_EQ(ct_set(cache, 0, 0, 300), LILCACHE_OK);
    CHECK_EQ(lc_key_make(cache->segment, KEY(key), &made), LILCACHE_OK);
    CHECK(lc_index_find_locked(shard, made.hash, KEY(key), &found, NULL));
    CHECK_EQ(ct_get(cache, 0, 0, 300), CT_RIGHT); /* a hit, or it would not be lifted */
    shard->heap[found.record.value_at] ^= 1;
    for (uint64_t n = 1; n < 10000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 500), LILCACHE_OK);
        CHECK_EQ(ct_get(cache, n, n, 500), CT_RIGHT);
        CHECK_EQ(ct_get(cache, 0, 0, 300), CT_MISS);
    }
    close_checked();
}

/* Who learns that the value is longer than thought, and asks again, asks once. */
TEST(a_value_that_did_not_fit_was_not_hit, 10) {
    struct lc_key made;
    struct lc_found found;
    cache = ct_open(1 * MIB);
    CHECK_EQ(set("a", "a value", 0, LILCACHE_SET), LILCACHE_OK);
    CHECK_EQ(lc_key_make(cache->segment, KEY("a"), &made), LILCACHE_OK);
    CHECK(lc_index_find_locked(ct_shard(cache), made.hash, KEY("a"), &found, NULL));
    CHECK_EQ(lilcache_get(cache, KEY("a"), out, 6), LILCACHE_TOO_LARGE);
    CHECK_EQ(lc_slot_hits(*found.place.slot), 0);
    CHECK_EQ(ct_stat(cache, "hits"), 0);
    CHECK(get("a") >= 0);
    CHECK_EQ(lc_slot_hits(*found.place.slot), 1);
    CHECK_EQ(ct_stat(cache, "hits"), 1);
    close_checked();
}

/* After a call, whatever its result, the lock is free. */
static void unlocked_after(int64_t result) {
    (void)result;
    CHECK_EQ(pthread_mutex_trylock(&ct_shard(cache)->ctl->sh_mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(&ct_shard(cache)->ctl->sh_mutex), 0);
}

TEST(nothing_is_left_locked, 20) {
    int64_t number = 1;
    uint64_t cursor = 0;
    uint32_t count;
    char report[64];
    cache = ct_open(4 * MIB);
    unlocked_after(set("a", "x", 0, LILCACHE_SET));
    unlocked_after(set("a", "x", 0, LILCACHE_ADD));
    unlocked_after(set("b", "x", 0, LILCACHE_REPLACE));
    unlocked_after(lilcache_cas(cache, KEY("a"), "x", 1, 9, 0, 0));
    unlocked_after(lilcache_delete(cache, KEY("zz")));
    unlocked_after(lilcache_pop(cache, KEY("a"), out, 0));
    unlocked_after(lilcache_touch(cache, KEY("zz"), 5));
    unlocked_after(lilcache_touch(cache, KEY("a"), 100000));
    unlocked_after(lilcache_incr(cache, KEY("a"), 1, NULL, 0, &number));
    unlocked_after(lilcache_incr(cache, KEY("n"), 1, &number, 0, &number));
    unlocked_after(lilcache_clear(cache));
    unlocked_after(lilcache_scan(cache, &cursor, out, sizeof out, &count));
    unlocked_after(lilcache_check(cache, report, sizeof report));
    unlocked_after(ct_set(cache, 1, 1, 900000));
    unlocked_after(ct_set(cache, 1, 1, lilcache_max_value(cache) + 1));
    close_checked();
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
