/* Capacity, eviction in slices, and sets that never fail.
 *
 *   test_evict never-fails 600      mixed sizes for that many seconds
 *   test_evict overwrites 100000000 that many overwrites of one key */
#include "cachetest.h"
#include "lc_evict.h"

#define SMALL_ITEMS 440000u
#define LARGE_ITEMS 15000u

/* Sets `count` new keys from `first` on and returns how many are there afterwards;
 * every one that is has its value. */
static uint64_t fill(struct lilcache *cache, uint64_t first, uint64_t count,
                     size_t length) {
    uint64_t held = 0;
    for (uint64_t n = first; n < first + count; n++) {
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
    }
    for (uint64_t n = first; n < first + count; n++) {
        enum ct_outcome outcome = ct_get(cache, n, n, length);
        CHECK(outcome != CT_WRONG);
        held += outcome == CT_RIGHT;
    }
    return held;
}

TEST(a_64_mib_segment_holds_small_then_large_then_small_items, 120) {
    struct lilcache *cache = ct_open(64 * MIB);
    uint64_t small = fill(cache, 0, 500000, 100);
    uint64_t large = fill(cache, 1000000, 20000, 4096);
    uint64_t again = fill(cache, 2000000, 500000, 100);
    printf("  held %llu small, %llu large, %llu small items\n",
           (unsigned long long)small, (unsigned long long)large,
           (unsigned long long)again);
    CHECK(small >= SMALL_ITEMS);
    CHECK(large >= LARGE_ITEMS);
    CHECK(again >= SMALL_ITEMS);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* The bound of E1, seen from outside. A run larger than a block is the exception. */
TEST(no_call_relocates_more_than_its_share, 60) {
    struct lilcache *cache = ct_open(4 * MIB);
    struct ct_random random = {7};
    uint64_t block = ct_stat(cache, "block_bytes");
    uint64_t most = 0;
    uint64_t evictions = 0;
    for (uint64_t i = 0; i < 60000; i++) {
        uint64_t n = ct_below(&random, 20000);
        size_t length = ct_spread(&random, 1, block / 2);
        if (ct_get(cache, n % 2000, 0, 0) == CT_RIGHT) {
            continue;
        }
        uint64_t before = ct_stat(cache, "relocations");
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
        uint64_t moved = ct_stat(cache, "relocations") - before;
        /* Records are at least 16 bytes, so bytes bound the number beyond 32, too. */
        uint64_t bound = LC_SLICE_FACTOR * (length + 64) / 16;
        CHECK(moved <= (bound > LC_SLICE_RECORDS ? bound : LC_SLICE_RECORDS));
        most = moved > most ? moved : most;
    }
    evictions = ct_stat(cache, "evictions");
    printf("  at most %llu records in one call, %llu evictions, %llu relocations\n",
           (unsigned long long)most, (unsigned long long)evictions,
           (unsigned long long)ct_stat(cache, "relocations"));
    CHECK(evictions > 1000);
    CHECK(ct_stat(cache, "relocations") > 1000);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* Bytes, exactly: small values, so that the budget is 32 records. */
TEST(small_sets_relocate_at_most_32_records, 60) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct ct_random random = {11};
    uint64_t relocations = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t n = ct_below(&random, 12000);
        if (ct_get(cache, n, n, 100) == CT_RIGHT) {
            continue;
        }
        CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
        uint64_t now = ct_stat(cache, "relocations");
        CHECK(now - relocations <= LC_SLICE_RECORDS);
        relocations = now;
    }
    CHECK(relocations > 1000);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(overwrites_of_one_key_evict_nothing_else, 120) {
    struct lilcache *cache = ct_open(64 * MIB);
    uint64_t times = lct_number(1000000);
    uint64_t items = 0;
    /* 95 % of what it holds without an eviction. */
    while (ct_stat(cache, "evictions") == 0) {
        for (int i = 0; i < 1000; i++) {
            CHECK_EQ(ct_set(cache, items, items, 100), LILCACHE_OK);
            items++;
        }
    }
    lilcache_close(cache);
    cache = ct_open(64 * MIB);
    items = items * 95 / 100;
    for (uint64_t n = 0; n < items; n++) {
        CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
    }
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    for (uint64_t i = 0; i < times; i++) {
        CHECK_EQ(ct_set(cache, items, i, 100), LILCACHE_OK);
    }
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    CHECK_EQ(ct_stat(cache, "index_evictions"), 0);
    for (uint64_t n = 0; n < items; n++) {
        CHECK(ct_get(cache, n, n, 100) == CT_RIGHT);
    }
    printf("  %llu overwrites beside %llu items\n", (unsigned long long)times,
           (unsigned long long)items);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(mixed_sizes_never_fails, 90) {
    struct lilcache *cache = ct_open(64 * MIB);
    struct ct_random random = {3};
    double until = lct_seconds() + (double)lct_number(30);
    uint64_t sets = 0;
    uint64_t bytes = 0;
    while (lct_seconds() < until) {
        uint64_t n = ct_below(&random, 100000);
        size_t length = ct_spread(&random, 1, 8 * MIB);
        int status = ct_set(cache, n, n, length);
        if (status != LILCACHE_OK) {
            LCT_FAIL("set %llu of %zu bytes: %s", (unsigned long long)sets, length,
                     lilcache_status_name(status));
        }
        if (sets % 16 == 0) { /* what was stored can be read at once */
            CHECK(ct_get(cache, n, n, length) == CT_RIGHT);
        }
        sets++;
        bytes += length;
    }
    printf("  %llu sets, %llu MiB, none failed\n", (unsigned long long)sets,
           (unsigned long long)(bytes / MIB));
    CHECK(sets > 100);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
