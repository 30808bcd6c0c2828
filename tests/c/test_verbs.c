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
