/* Keys chosen by their hash: of one tag, of one home bucket, of another shard. They are
 * found by trying, under the hash key of the segment. */
#include "cachetest.h"
#include "lc_append.h"
#include "lc_block.h"
#include "lc_hash.h"
#include "lc_index.h"
#include "lc_recover.h"
#include "lc_shard.h"

#define TRIED 200000 /* of each kind: about nine pairs agree in tag and group */

static struct lilcache *cache;

struct key {
    lc_hash64 hash;
    uint32_t length;
    int type;
    uint64_t number;
    char bytes[24];
};

static struct key make(uint64_t number, uint32_t length, int type) {
    struct key key = {.length = length, .type = type, .number = number};
    memset(key.bytes, '.', sizeof key.bytes);
    snprintf(key.bytes, 9, "%08llx", (unsigned long long)number);
    key.bytes[8] = '.';
    key.hash =
        lc_hash_key(&cache->segment->hash, key.bytes, key.length, (uint32_t)key.type);
    return key;
}

static int set(const struct key *key, const char *value) {
    return lilcache_set(cache, key->bytes, key->length, key->type, value, strlen(value),
                        1, 0, LILCACHE_SET);
}

static bool has(const struct key *key, const char *value) {
    char out[64];
    int64_t found = lilcache_get(cache, key->bytes, key->length, key->type, out, 64);
    return found >= 0 && LILCACHE_LENGTH(found) == strlen(value) &&
           memcmp(out, value, strlen(value)) == 0;
}

/* --- one tag ---------------------------------------------------------------------- */

static lc_hash64 compared; /* bits */

static int by_hash(const void *a, const void *b) {
    lc_hash64 x = ((const struct key *)a)->hash & compared;
    lc_hash64 y = ((const struct key *)b)->hash & compared;
    return x < y ? -1 : x > y;
}

/* Tag and group of one shard; the shard is chosen by the lowest bits. */
static lc_hash64 tag_and_group(const struct lc_shard *shard) {
    lc_hash64 group = shard->group_count == 1 ? 0 : ~0ULL << shard->group_shift;
    return group | (uint64_t)LC_TAG_MASK << 6;
}

/* Two keys of these kinds that agree in `same` and, unless it is 0, differ in `other`.
 */
static void find_pair(uint32_t length, int type, uint32_t length2, int type2,
                      lc_hash64 same, lc_hash64 other, struct key pair[2]) {
    struct key *keys = malloc(2 * TRIED * sizeof *keys);
    CHECK(keys != NULL);
    for (uint64_t from = 0;; from += TRIED) {
        CHECK(from < 20 * TRIED);
        for (uint64_t n = 0; n < TRIED; n++) {
            keys[2 * n] = make(from + n, length, type);
            keys[2 * n + 1] = make(from + n, length2, type2);
        }
        compared = same;
        qsort(keys, 2 * TRIED, sizeof *keys, by_hash);
        for (size_t i = 1; i < 2 * TRIED; i++) {
            const struct key *a = &keys[i - 1];
            const struct key *b = &keys[i];
            bool kinds = (a->length == length && a->type == type &&
                          b->length == length2 && b->type == type2) ||
                         (b->length == length && b->type == type &&
                          a->length == length2 && a->type == type2);
            if (a->hash != b->hash && by_hash(a, b) == 0 && kinds &&
                (other == 0 || ((a->hash ^ b->hash) & other) != 0)) {
                pair[0] = *a;
                pair[1] = *b;
                free(keys);
                return;
            }
        }
    }
}

/* Of another length, of another type, or with other bytes. */
TEST(keys_of_one_tag_are_told_apart, 60) {
    static const struct {
        uint32_t length;
        int type;
    } others[] = {
        {17, LILCACHE_KEY_STR}, {16, LILCACHE_KEY_BYTES}, {16, LILCACHE_KEY_STR}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct key pair[2];
        struct lilcache_view view;
        int64_t ttl;
        cache = ct_open(MIB);
        struct lc_shard *shard = ct_shard(cache);
        find_pair(16, LILCACHE_KEY_STR, others[i].length, others[i].type,
                  tag_and_group(shard), 0, pair);
        CHECK(lc_tag_of(pair[0].hash) == lc_tag_of(pair[1].hash));
        CHECK_EQ(set(&pair[0], "first"), LILCACHE_OK);
        CHECK(!has(&pair[1], "first"));
        CHECK_EQ(lilcache_ttl(cache, pair[1].bytes, pair[1].length, pair[1].type, &ttl),
                 LILCACHE_MISS);
        CHECK_EQ(
            lilcache_pin(cache, pair[1].bytes, pair[1].length, pair[1].type, &view),
            LILCACHE_MISS);
        CHECK_EQ(lilcache_delete(cache, pair[1].bytes, pair[1].length, pair[1].type),
                 LILCACHE_MISS);
        CHECK_EQ(set(&pair[1], "second"), LILCACHE_OK);
        CHECK(has(&pair[0], "first") && has(&pair[1], "second"));
        CHECK_EQ(set(&pair[0], "third"), LILCACHE_OK);
        CHECK(has(&pair[0], "third") && has(&pair[1], "second"));
        CHECK_EQ(ct_stat(cache, "items"), 2);
        CHECK_EQ(lilcache_delete(cache, pair[0].bytes, pair[0].length, pair[0].type),
                 LILCACHE_OK);
        CHECK(!has(&pair[0], "third") && has(&pair[1], "second"));
        ct_check_unhurt(cache);
        lilcache_close(cache);
    }
}

/* --- one home --------------------------------------------------------------------- */

/* However many pages the group has, they begin at one bucket: it does not grow for them
 * without end, and what has been read stays longest. */
TEST(keys_of_one_home_cost_records_and_no_pages, 60) {
    enum { KEYS = 260, HOME_BITS = 10 };
    static struct key keys[KEYS];
    lc_hash64 home = ((1ULL << HOME_BITS) - 1) << (6 + LC_TAG_BITS - HOME_BITS);
    cache = ct_open(MIB);
    struct lc_shard *shard = ct_shard(cache);
    lc_hash64 group = shard->group_count == 1 ? 0 : ~0ULL << shard->group_shift;
    uint64_t found = 0;
    for (uint64_t n = 0; found < KEYS; n++) {
        struct key key = make(n, 16, LILCACHE_KEY_STR);
        if (((key.hash ^ make(0, 16, LILCACHE_KEY_STR).hash) & (home | group)) == 0) {
            keys[found++] = key;
        }
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        CHECK_EQ(set(&keys[i], "value"), LILCACHE_OK);
        CHECK(has(&keys[i], "value"));
        CHECK(has(&keys[0], "value") && has(&keys[0], "value"));
    }
    uint32_t number = lc_group_of(shard, keys[0].hash);
    uint64_t pages = shard->groups[number].gr_dir >> 32;
    uint64_t dropped = ct_stat(cache, "index_evictions");
    uint64_t left = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        left += has(&keys[i], "value");
    }
    printf("  %llu of %d keys of one home, in %llu pages\n", (unsigned long long)left,
           KEYS, (unsigned long long)pages);
    CHECK(dropped > 0);
    CHECK_EQ(left, KEYS - dropped);
    /* One more bucket than a probe reaches: with some numbers of buckets, hashes that
     * agree in ten bits have two homes side by side. */
    if (left > (LC_PROBE_MAX + 2) * LC_BUCKET_SLOTS) {
        LCT_FAIL("%llu keys are left", (unsigned long long)left);
    }
    CHECK(pages < 16);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* --- another shard ---------------------------------------------------------------- */

static struct lilcache *open_two_shards(void) {
    struct lilcache_options options = {.name = "test",
                                       .size_bytes = 4 * MIB,
                                       .max_value_bytes = 65536,
                                       .flags = LILCACHE_ANONYMOUS,
                                       .cores = 2,
                                       .owner = -1,
                                       .group = -1};
    struct lilcache *opened;
    CHECK_EQ(lilcache_open(&options, &opened, NULL), LILCACHE_OK);
    CHECK_EQ(opened->segment->shard_count, 2);
    return opened;
}

static uint64_t scanned(const struct key *wanted) {
    static uint8_t out[LILCACHE_SCAN_MIN];
    uint64_t cursor = 0;
    uint64_t found = 0;
    do {
        uint32_t count;
        int64_t bytes = lilcache_scan(cache, &cursor, out, sizeof out, &count);
        CHECK(bytes >= 0);
        for (const uint8_t *at = out; at < out + bytes;) {
            uint16_t length;
            memcpy(&length, at, sizeof length);
            found +=
                length == wanted->length && memcmp(at + 3, wanted->bytes, length) == 0;
            at += 3 + length;
        }
    } while (cursor);
    return found;
}

/* A damaged key that fits its slot, and would be looked for somewhere else: in another
 * shard, or in another group. */
TEST(a_key_that_belongs_elsewhere_is_nobodys, 60) {
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        struct key pair[2];
        struct lc_found found;
        char report[256] = "";
        cache = open_two_shards();
        struct lc_segment *segment = cache->segment;
        const struct lc_shard *any = &segment->shards[0];
        lc_hash64 tag = (uint64_t)LC_TAG_MASK << 6;
        lc_hash64 shards = 1;
        lc_hash64 groups = ~0ULL << any->group_shift;
        if (elsewhere == 0) {
            find_pair(16, LILCACHE_KEY_STR, 16, LILCACHE_KEY_STR, tag | groups, shards,
                      pair);
        } else {
            find_pair(16, LILCACHE_KEY_STR, 16, LILCACHE_KEY_STR, tag | shards, groups,
                      pair);
        }
        CHECK_EQ(set(&pair[0], "value"), LILCACHE_OK);
        struct lc_shard *shard = lc_shard_of(segment, pair[0].hash);
        CHECK(lc_index_find_locked(shard, pair[0].hash, pair[0].bytes, pair[0].length,
                                   (uint32_t)pair[0].type, &found, NULL));
        CHECK_EQ(scanned(&pair[0]), 1);
        memcpy((void *)(uintptr_t)lc_record_key(shard, &found.record), pair[1].bytes,
               pair[1].length);
        CHECK(!has(&pair[0], "value") && !has(&pair[1], "value"));
        CHECK_EQ(scanned(&pair[0]) + scanned(&pair[1]), 0);
        CHECK_EQ(lilcache_check(cache, report, sizeof report), 1);
        CHECK(strstr(report, "I1") != NULL);

        CHECK_EQ(lc_shard_enter(shard, 1000), LILCACHE_OK);
        lc_recover_damage_locked(shard);
        lc_shard_leave(shard);
        CHECK_EQ(scanned(&pair[0]), 0);
        /* Another group of the shard is where a rebuild puts it, without a checksum. */
        CHECK_EQ(has(&pair[1], "value"), elsewhere == 1);
        ct_check(cache);
        CHECK_EQ(set(&pair[0], "new"), LILCACHE_OK);
        CHECK_EQ(set(&pair[1], "newer"), LILCACHE_OK);
        CHECK(has(&pair[0], "new") && has(&pair[1], "newer"));
        ct_check(cache);
        lilcache_close(cache);
    }
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
