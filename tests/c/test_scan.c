/* lilcache_scan: what stays is returned, whatever happens to the index between steps.
 */
#include "cachetest.h"

#define KEYS_MAX 200000

struct walk {
    struct lilcache *cache;
    uint64_t cursor;
    uint32_t steps;
    uint64_t entries;
    uint8_t seen[KEYS_MAX]; /* how often key number n was returned */
    uint8_t out[LILCACHE_SCAN_MIN];
};

static struct walk *walk_new(struct lilcache *cache) {
    struct walk *walk = calloc(1, sizeof *walk);
    CHECK(walk != NULL);
    walk->cache = cache;
    return walk;
}

static void walk_note(struct walk *walk, const uint8_t *key, size_t length, int type) {
    char text[CT_KEY_BYTES + 1] = {0};
    char made[CT_KEY_BYTES + 1];
    CHECK_EQ(length, CT_KEY_BYTES);
    CHECK_EQ(type, LILCACHE_KEY_STR);
    memcpy(text, key, CT_KEY_BYTES);
    uint64_t n = strtoull(text + 4, NULL, 16);
    ct_key(n, made);
    CHECK(strcmp(text, made) == 0);
    CHECK(n < KEYS_MAX);
    walk->seen[n] += walk->seen[n] < UINT8_MAX;
}

/* False: the walk is over. */
static bool walk_step(struct walk *walk) {
    uint32_t count = UINT32_MAX;
    int64_t bytes =
        lilcache_scan(walk->cache, &walk->cursor, walk->out, sizeof walk->out, &count);
    CHECK(bytes >= 0 && bytes <= (int64_t)sizeof walk->out);
    uint64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t length;
        memcpy(&length, walk->out + at, sizeof length);
        walk_note(walk, walk->out + at + 3, length, walk->out[at + 2]);
        at += 3u + length;
    }
    CHECK_EQ(at, bytes);
    walk->entries += count;
    CHECK(++walk->steps < 100000);
    return walk->cursor != 0;
}

static void set_range(struct lilcache *cache, uint64_t from, uint64_t to,
                      size_t length) {
    for (uint64_t n = from; n < to; n++) {
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
    }
}

static void delete_range(struct lilcache *cache, uint64_t from, uint64_t to) {
    for (uint64_t n = from; n < to; n++) {
        CHECK_EQ(ct_delete(cache, n), LILCACHE_OK);
    }
}

static void all_seen(const struct walk *walk, uint64_t from, uint64_t to) {
    for (uint64_t n = from; n < to; n++) {
        if (!walk->seen[n]) {
            LCT_FAIL("key %llu was not returned", (unsigned long long)n);
        }
    }
}

TEST(an_idle_segment_is_returned_exactly_once, 20) {
    struct lilcache *cache = ct_open(8 * MIB);
    struct walk *walk = walk_new(cache);
    while (walk_step(walk)) {
    }
    CHECK_EQ(walk->entries, 0);
    set_range(cache, 0, 20000, 50);
    CHECK_EQ(ct_set_ttl(cache, 20000, 1, 50, 1), LILCACHE_OK);
    lct_sleep_ms(20);
    while (walk_step(walk)) {
    }
    for (uint64_t n = 0; n < 20000; n++) {
        CHECK_EQ(walk->seen[n], 1);
    }
    CHECK_EQ(walk->seen[20000], 0); /* expired */
    CHECK_EQ(walk->entries, 20000);
    CHECK_EQ(lilcache_clear(cache), LILCACHE_OK);
    while (walk_step(walk)) {
    }
    CHECK_EQ(walk->entries, 20000);
    free(walk);
    lilcache_close(cache);
}

TEST(growth_between_steps_hides_nothing, 30) {
    struct lilcache *cache = ct_open(16 * MIB);
    struct walk *walk = walk_new(cache);
    uint64_t next = 5000;
    set_range(cache, 0, next, 20);
    uint64_t growths = ct_stat(cache, "growths");
    while (walk_step(walk)) {
        if (next < 100000) {
            set_range(cache, next, next + 1000, 20);
            next += 1000;
        }
    }
    CHECK(ct_stat(cache, "growths") > growths);
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    all_seen(walk, 0, 5000);
    ct_check_unhurt(cache);
    free(walk);
    lilcache_close(cache);
}

TEST(shrinking_between_steps_hides_nothing, 30) {
    struct lilcache *cache = ct_open(16 * MIB);
    struct walk *walk = walk_new(cache);
    uint64_t next = 2000;
    set_range(cache, 0, 100000, 20);
    uint64_t shrinks = ct_stat(cache, "shrinks");
    while (walk_step(walk)) {
        if (next < 100000) {
            delete_range(cache, next, next + 2000);
            next += 2000;
        }
    }
    CHECK(ct_stat(cache, "shrinks") > shrinks);
    CHECK_EQ(ct_stat(cache, "evictions"), 0);
    all_seen(walk, 0, 2000);
    ct_check_unhurt(cache);
    free(walk);
    lilcache_close(cache);
}

/* A few keys that are read all the time move from run to run while others are evicted.
 */
TEST(relocation_between_steps_hides_nothing, 30) {
    struct lilcache *cache = ct_open(8 * MIB);
    uint64_t next = 1000;
    uint64_t kept = 0;
    uint64_t moved = 0;
    for (int round = 0; round < 5; round++) {
        struct walk *walk = walk_new(cache);
        uint8_t gone[200] = {0};
        set_range(cache, 0, 200, 200);
        bool more = true;
        while (more) {
            uint64_t before = ct_stat(cache, "relocations");
            for (uint64_t i = 0; i < 400; i++) {
                uint64_t n = i % 200;
                gone[n] |= ct_get(cache, n, n, 200) != CT_RIGHT;
                CHECK_EQ(ct_set(cache, 1000 + next % 150000, next, 300), LILCACHE_OK);
                next++;
            }
            moved += ct_stat(cache, "relocations") - before;
            more = walk_step(walk);
        }
        for (uint64_t n = 0; n < 200; n++) {
            gone[n] |= ct_get(cache, n, n, 200) != CT_RIGHT;
            CHECK(gone[n] || walk->seen[n] > 0);
            kept += !gone[n];
        }
        free(walk);
    }
    printf("  %llu of 1000 keys stayed, %llu relocations\n", (unsigned long long)kept,
           (unsigned long long)moved);
    CHECK(kept > 500);
    CHECK(moved > 100);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* A record's key may be as long as a quarter of the smallest buffer. */
TEST(keys_of_the_largest_size, 30) {
    enum { COUNT = 100 };
    struct lilcache *cache = ct_open(32 * MIB);
    uint8_t *key = malloc(LILCACHE_KEY_MAX);
    uint8_t *out = malloc(LILCACHE_SCAN_MIN);
    uint8_t seen[COUNT] = {0};
    CHECK(key && out);
    for (uint64_t n = 0; n < COUNT; n++) {
        ct_fill(key, LILCACHE_KEY_MAX, n);
        key[0] = (uint8_t)n;
        CHECK_EQ(lilcache_set(cache, key, LILCACHE_KEY_MAX, LILCACHE_KEY_TUPLE, "v", 1,
                              9, 0, LILCACHE_SET),
                 LILCACHE_OK);
    }
    uint64_t cursor = 0;
    do {
        uint32_t count;
        int64_t bytes = lilcache_scan(cache, &cursor, out, LILCACHE_SCAN_MIN, &count);
        CHECK_EQ(bytes, (int64_t)count * (LILCACHE_KEY_MAX + 3));
        for (uint32_t i = 0; i < count; i++) {
            const uint8_t *at = out + (size_t)i * (LILCACHE_KEY_MAX + 3);
            CHECK(at[0] == 0xFF && at[1] == 0xFF && at[2] == LILCACHE_KEY_TUPLE);
            CHECK(at[3] < COUNT);
            ct_fill(key, LILCACHE_KEY_MAX, at[3]);
            CHECK(memcmp(key + 1, at + 4, LILCACHE_KEY_MAX - 1) == 0);
            seen[at[3]]++;
        }
    } while (cursor != 0);
    for (int n = 0; n < COUNT; n++) {
        CHECK_EQ(seen[n], 1);
    }
    free(key);
    free(out);
    lilcache_close(cache);
}

TEST(bad_cursors_and_buffers_are_refused, 10) {
    struct lilcache *cache = ct_open(1 * MIB);
    uint8_t *out = malloc(LILCACHE_SCAN_MIN);
    uint32_t count;
    uint64_t zero = 0;
    CHECK(out != NULL);
    set_range(cache, 0, 100, 10);
    CHECK_EQ(lilcache_scan(cache, &zero, out, LILCACHE_SCAN_MIN - 1, &count),
             LILCACHE_INVALID);
    struct ct_random random = {5};
    for (int i = 0; i < 1000; i++) {
        uint64_t cursor = ct_random(&random) >> ct_below(&random, 64);
        int64_t bytes = lilcache_scan(cache, &cursor, out, LILCACHE_SCAN_MIN, &count);
        CHECK(bytes >= 0 || bytes == LILCACHE_INVALID);
        CHECK(count <= 100);
    }
    free(out);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
