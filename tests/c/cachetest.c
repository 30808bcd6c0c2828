#include "cachetest.h"

void (*lc_crash_hook)(enum lc_crash_point point);
struct ct_crash ct_crash;

/* splitmix64 */
uint64_t ct_random(struct ct_random *random) {
    uint64_t x = random->state += 0x9E3779B97F4A7C15ULL;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
    return x ^ x >> 31;
}

uint64_t ct_below(struct ct_random *random, uint64_t limit) {
    return ct_random(random) % limit;
}

uint64_t ct_spread(struct ct_random *random, uint64_t low, uint64_t high) {
    uint32_t steps = lc_log2((high + 1) / (low + 1) + 1);
    uint64_t top = lc_min64(high, (low + 1) << ct_below(random, steps + 1));
    return low + ct_below(random, lc_max64(top, low) - low + 1);
}

static struct lilcache *open_with(const struct lilcache_options *options) {
    struct lilcache *cache = NULL;
    struct lilcache_error error;
    int status = lilcache_open(options, &cache, &error);
    if (status != LILCACHE_OK) {
        LCT_FAIL("open: %s at %s, errno %d", lilcache_status_name(status), error.step,
                 error.os_errno);
    }
    return cache;
}

struct lilcache *ct_open_flags(uint64_t size, uint32_t flags) {
    struct lilcache_options options = {
        .name = "test",
        .size_bytes = size,
        .flags = flags | LILCACHE_ANONYMOUS,
        .cores = 1,
        .owner = -1,
        .group = -1,
    };
    return open_with(&options);
}

struct lilcache *ct_open(uint64_t size) { return ct_open_flags(size, 0); }

struct lilcache *ct_open_named(const char *name, uint64_t size, uint32_t flags) {
    struct lilcache_options options = {
        .name = name,
        .size_bytes = size,
        .flags = flags,
        .cores = 1,
        .owner = -1,
        .group = -1,
    };
    return open_with(&options);
}

uint64_t ct_stat(struct lilcache *cache, const char *name) {
    uint64_t values[128];
    int count = lilcache_stats(cache, values, 128);
    for (int i = 0; i < count; i++) {
        if (strcmp(lilcache_stat_name(i), name) == 0) {
            return values[i];
        }
    }
    LCT_FAIL("no statistic %s", name);
}

void ct_check(struct lilcache *cache) {
    char report[256] = "";
    int violated = lilcache_check(cache, report, sizeof report);
    if (violated) {
        LCT_FAIL("check: %d %s", violated, report);
    }
}

void ct_check_unhurt(struct lilcache *cache) {
    ct_check(cache);
    CHECK_EQ(ct_stat(cache, "rebuilt"), 0);
    CHECK_EQ(ct_stat(cache, "emptied"), 0);
}

struct lc_shard *ct_shard(struct lilcache *cache) {
    CHECK_EQ(cache->segment->shard_count, 1);
    return &cache->segment->shards[0];
}

void ct_key(uint64_t n, char out[CT_KEY_BYTES + 1]) {
    memcpy(out, "key-", 4);
    for (int i = CT_KEY_BYTES - 1; i >= 4; i--, n >>= 4) {
        out[i] = "0123456789abcdef"[n & 15];
    }
    out[CT_KEY_BYTES] = 0;
}

/* Words that differ by an odd number: cheap to compare, and none equals its neighbour.
 */
static uint64_t fill_word(uint64_t seed, size_t length, uint64_t i) {
    return (seed * 0x2545F4914F6CDD1DULL + length) * 0xD1342543DE82EF95ULL +
           i * 0x9E3779B97F4A7C15ULL;
}

void ct_fill(void *to, size_t length, uint64_t seed) {
    uint8_t *at = to;
    for (size_t i = 0; i < length; i += 8) {
        uint64_t word = fill_word(seed, length, i / 8);
        memcpy(at + i, &word, lc_min64(8, length - i));
    }
}

bool ct_matches(const void *data, size_t length, uint64_t seed) {
    const uint8_t *at = data;
    uint64_t wrong = 0;
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t found;
        memcpy(&found, at + i, 8);
        wrong |= found ^ fill_word(seed, length, i / 8);
    }
    uint64_t word = fill_word(seed, length, i / 8);
    return wrong == 0 && memcmp(at + i, &word, length - i) == 0;
}

/* One buffer per process, as long as was ever needed. */
static void *scratch(size_t length) {
    static void *buffer;
    static size_t size;
    if (length > size) {
        free(buffer);
        size = length;
        buffer = malloc(size);
        CHECK(buffer != NULL);
    }
    return buffer;
}

int ct_set_ttl(struct lilcache *cache, uint64_t n, uint64_t seed, size_t length,
               int64_t ttl_ms) {
    char key[CT_KEY_BYTES + 1];
    void *value = scratch(length + 1);
    ct_key(n, key);
    ct_fill(value, length, seed);
    return lilcache_set(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value, length, 7,
                        ttl_ms, LILCACHE_SET);
}

int ct_set(struct lilcache *cache, uint64_t n, uint64_t seed, size_t length) {
    return ct_set_ttl(cache, n, seed, length, LILCACHE_TTL_NONE);
}

int ct_delete(struct lilcache *cache, uint64_t n) {
    char key[CT_KEY_BYTES + 1];
    ct_key(n, key);
    return lilcache_delete(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR);
}

enum ct_outcome ct_get(struct lilcache *cache, uint64_t n, uint64_t seed,
                       size_t length) {
    char key[CT_KEY_BYTES + 1];
    void *value = scratch(length + 1);
    ct_key(n, key);
    int64_t result =
        lilcache_get(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value, length + 1);
    if (result == LILCACHE_MISS) {
        return CT_MISS;
    }
    return result >= 0 && LILCACHE_LENGTH(result) == length &&
                   LILCACHE_VALUE_TYPE(result) == 7 && ct_matches(value, length, seed)
               ? CT_RIGHT
               : CT_WRONG;
}

static void crash_hook(enum lc_crash_point point) {
    if (ct_crash.point != LC_CRASH_POINT_COUNT && ct_crash.point != (int)point) {
        return;
    }
    if (++ct_crash.count == ct_crash.at) {
        raise(ct_crash.signal);
    }
}

void ct_crash_arm(uint64_t at, int point, int signal) {
    ct_crash = (struct ct_crash){0, at, point, signal};
    lc_crash_hook = crash_hook;
}

void ct_crash_disarm(void) { lc_crash_hook = NULL; }

const char *ct_crash_name(int point) {
    static const char *const names[] = {
#define X(name) #name,
#include "crash.def"
#undef X
    };
    return point >= 0 && point < LC_CRASH_POINT_COUNT ? names[point] : "any";
}
