/* A version is current exactly as long as a get returns that very value: nothing may
 * happen to key, record, block or page that it does not notice. */
#include "cachetest.h"
#include "lc_block.h"
#include "lc_index.h"
#include "lc_read.h"

#include <sys/syscall.h>

#define KEYS   400
#define VALUES 700

static struct lilcache *cache;
static long ahead_s;

/* In the place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *out) {
    if (syscall(SYS_clock_gettime, clock, out) != 0) {
        return -1;
    }
    out->tv_sec += clock == CLOCK_BOOTTIME ? ahead_s : 0;
    return 0;
}

static struct lilcache_version version_of(uint64_t n) {
    char key[CT_KEY_BYTES + 1];
    uint8_t out[VALUES];
    struct lilcache_version version;
    ct_key(n, key);
    int64_t result = lilcache_get_version(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR,
                                          out, sizeof out, &version);
    CHECK((result >= 0) == (version.slot != 0));
    return version;
}

static bool is_current(const struct lilcache_version *version) {
    int status = lilcache_is_current(cache, version);
    CHECK(status == LILCACHE_OK || status == LILCACHE_MISS);
    return status == LILCACHE_OK;
}

static void touch(uint64_t n, int64_t ttl_ms) {
    char key[CT_KEY_BYTES + 1];
    ct_key(n, key);
    CHECK_EQ(lilcache_touch(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, ttl_ms),
             LILCACHE_OK);
}

TEST(every_way_in_which_a_value_goes, 20) {
    cache = ct_open(MIB);
    for (int way = 0; way < 5; way++) {
        int64_t number = 1;
        char key[CT_KEY_BYTES + 1];
        uint8_t out[64];
        ct_key(1, key);
        CHECK_EQ(ct_set(cache, 1, 1, 40), LILCACHE_OK);
        CHECK_EQ(ct_set(cache, 2, 1, 40), LILCACHE_OK);
        struct lilcache_version version = version_of(1);
        struct lilcache_version other = version_of(2);
        CHECK(is_current(&version));
        switch (way) {
        case 0:
            CHECK_EQ(ct_set(cache, 1, 1, 40), LILCACHE_OK); /* of the same bytes */
            break;
        case 1:
            CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
            break;
        case 2:
            CHECK(lilcache_pop(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, out,
                               sizeof out) >= 0);
            break;
        case 3:
            CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
            for (int i = 0; i < 2; i++) {
                CHECK_EQ(lilcache_incr(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, 1,
                                       &number, 0, &number),
                         LILCACHE_OK);
                CHECK(!is_current(&version));
                version = version_of(1);
                CHECK(is_current(&version));
            }
            CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
            break;
        default:
            CHECK_EQ(lilcache_clear(cache), LILCACHE_OK);
            CHECK(!is_current(&other));
            break;
        }
        CHECK(!is_current(&version));
        CHECK(way == 4 || is_current(&other));
    }
    lilcache_close(cache);
}

TEST(of_a_miss_and_of_nothing, 20) {
    struct lilcache_version none = {0};
    cache = ct_open(MIB);
    struct lilcache_version version = version_of(1);
    CHECK(!is_current(&version));
    CHECK(!is_current(&none));
    lilcache_close(cache);
}

TEST(a_ttl_that_ends_or_changes, 20) {
    cache = ct_open(MIB);
    ahead_s = 0;
    CHECK_EQ(ct_set_ttl(cache, 1, 1, 40, 50000), LILCACHE_OK);
    struct lilcache_version version = version_of(1);
    CHECK(is_current(&version));
    ahead_s = 51;
    CHECK(!is_current(&version));
    ahead_s = 0;
    touch(1, 500000);
    ahead_s = 51;
    CHECK(is_current(&version)); /* the very record, and it lives longer */
    touch(1, LILCACHE_TTL_NONE);
    ahead_s = 5000;
    CHECK(is_current(&version));
    version = version_of(1); /* of a record that does not expire now */
    touch(1, 10000);
    CHECK(is_current(&version));
    ahead_s += 11;
    CHECK(!is_current(&version));
    CHECK_EQ(ct_get(cache, 1, 1, 40), CT_MISS);
    lilcache_close(cache);
}

TEST(a_first_ttl_of_a_record_without_one, 20) {
    cache = ct_open(MIB);
    ahead_s = 0;
    CHECK_EQ(ct_set(cache, 1, 1, 40), LILCACHE_OK);
    struct lilcache_version version = version_of(1);
    touch(1, 10000);
    ahead_s = 11;
    CHECK(!is_current(&version));
    lilcache_close(cache);
}

/* The key's record comes to the same place in the same slot, with other bytes. */
TEST(the_same_place_in_another_life_of_the_block, 20) {
    cache = ct_open(MIB);
    struct lc_shard *shard = ct_shard(cache);
    CHECK_EQ(ct_set(cache, 1, 1, 40), LILCACHE_OK);
    struct lilcache_version version = version_of(1);
    uint64_t *slot = (uint64_t *)(cache->segment->base + version.slot);
    uint64_t word = *slot;
    uint32_t head = lc_block_head_locked(shard, version.block);
    CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
    CHECK(!is_current(&version));
    lc_run_seal_all_locked(shard);
    lc_run_free_locked(shard, head);
    *slot = word; /* as it would be once a set had found this place again */
    CHECK(!is_current(&version));
    version.generation = shard->blocks[version.block].bl_generation;
    CHECK(is_current(&version)); /* so it was the generation that told */
    *slot = 0;
    lilcache_close(cache);
}

TEST(pages_that_move, 20) {
    cache = ct_open(4 * MIB);
    CHECK_EQ(ct_set(cache, 1, 1, 40), LILCACHE_OK);
    struct lilcache_version version = version_of(1);
    uint64_t moved = ct_shard(cache)->groups[version.group].gr_changes;
    for (uint64_t n = 2; ct_shard(cache)->groups[version.group].gr_changes == moved;
         n++) {
        CHECK(is_current(&version));
        CHECK_EQ(ct_set(cache, n, n, 8), LILCACHE_OK);
    }
    CHECK(!is_current(&version));
    CHECK_EQ(ct_get(cache, 1, 1, 40), CT_RIGHT);
    lilcache_close(cache);
}

TEST(being_current_is_a_hit, 20) {
    cache = ct_open(MIB);
    CHECK_EQ(ct_set(cache, 1, 1, 40), LILCACHE_OK);
    struct lilcache_version version = version_of(1);
    const uint64_t *slot = (const uint64_t *)(cache->segment->base + version.slot);
    uint64_t hits = ct_stat(cache, "hits");
    uint64_t bits = lc_slot_hits(*slot);
    CHECK(is_current(&version));
    CHECK_EQ(ct_stat(cache, "hits"), hits + 1);
    CHECK_EQ(lc_slot_hits(*slot), bits + 1);
    while (lc_slot_hits(*slot) * LC_SLOT_HIT < LC_SLOT_HITS) {
        CHECK(is_current(&version)); /* the bits are no part of it */
    }
    uint64_t misses = ct_stat(cache, "misses");
    CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
    hits = ct_stat(cache, "hits");
    CHECK(!is_current(&version));
    CHECK_EQ(ct_stat(cache, "hits"), hits); /* the get that follows counts */
    CHECK_EQ(ct_stat(cache, "misses"), misses);
    lilcache_close(cache);
}

TEST(a_segment_that_is_retired, 20) {
    cache = ct_open_named(lct_name("version"), MIB, 0);
    CHECK_EQ(ct_set(cache, 1, 1, 40), LILCACHE_OK);
    struct lilcache_version version = version_of(1);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    CHECK_EQ(lilcache_is_current(cache, &version), LILCACHE_RETIRED);
    lilcache_close(cache);
}

/* Versions of all ages beside a cache that evicts, grows and clears: what one calls
 * current, a get returns. */
static void random_life(uint32_t flags, uint64_t seed) {
    static struct lilcache_version versions[KEYS];
    static uint64_t seeds[KEYS]; /* of the value that was copied; 0: none */
    static uint64_t newest[KEYS];
    struct ct_random dice = {seed};
    uint64_t current = 0;
    uint64_t outdated = 0;
    cache = ct_open_flags(MIB, flags);
    memset(newest, 0, sizeof newest);
    memset(seeds, 0, sizeof seeds);
    for (uint64_t step = 1; step <= 60000; step++) {
        uint64_t n = ct_below(&dice, KEYS);
        char key[CT_KEY_BYTES + 1];
        uint8_t out[4000];
        ct_key(n, key);
        switch (ct_below(&dice, 8)) {
        case 0:
        case 1:
            newest[n] =
                ct_set(cache, n, step, 40 + step % 3900) == LILCACHE_OK ? step : 0;
            break;
        case 2:
            ct_delete(cache, n);
            newest[n] = 0;
            break;
        case 3:
            if (ct_below(&dice, 400) == 0) {
                CHECK_EQ(lilcache_clear(cache), LILCACHE_OK);
                memset(newest, 0, sizeof newest);
            }
            break;
        case 4:
        case 5:
            seeds[n] = lilcache_get_version(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR,
                                            out, sizeof out, &versions[n]) >= 0
                           ? newest[n]
                           : 0;
            CHECK((seeds[n] != 0) == (versions[n].slot != 0));
            break;
        default:
            if (seeds[n] && is_current(&versions[n])) {
                CHECK_EQ(seeds[n], newest[n]);
                CHECK_EQ(ct_get(cache, n, seeds[n], 40 + seeds[n] % 3900), CT_RIGHT);
                current++;
            } else if (seeds[n]) {
                outdated++;
            }
            break;
        }
    }
    CHECK(current > 1000 && outdated > 1000);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(versions_of_all_ages, 60) {
    for (uint64_t seed = 1; seed <= 4; seed++) {
        random_life(seed % 2 ? LILCACHE_CHECKSUMS : 0, seed);
    }
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
