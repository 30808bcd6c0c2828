/* The core of lilcache, in memory that nobody else attaches to. */
#include "lilcache.h"

#define VALUE_TYPE 0 /* the caller's: bytes of Python */

static struct lilcache *cache;

/* The share of the cache that is in huge pages, each asked for three times at most. */
static double in_huge_pages(uint64_t size) {
    uint64_t page = lilcache_huge_page();
    uint64_t given = 0;
    for (uint64_t at = 0; at + page <= size; at += page) {
        int status = LILCACHE_OS;
        for (int tries = 0; tries < 3 && status == LILCACHE_OS; tries++) {
            status = lilcache_collapse(cache, at);
        }
        given += status == LILCACHE_OK ? page : 0;
    }
    return (double)given / (double)size;
}

static double engine_open(uint64_t entries, bool huge) {
    struct lilcache_error error;
    struct lilcache_options options = {
        .name = "bench-core",
        .size_bytes = (entries * 2 * (KEY_BYTES + VALUE_BYTES)) + (64 << 20),
        .flags = LILCACHE_ANONYMOUS,
        .owner = -1,
        .group = -1,
    };
    int status = lilcache_open(&options, &cache, &error);
    if (status != LILCACHE_OK) {
        fail(error.step, lilcache_status_name(status));
    }
    return huge ? in_huge_pages(lilcache_size(cache)) : 0;
}

static void engine_close(void) { lilcache_close(cache); }

static inline void engine_set(const char *key, const char *value) {
    int64_t result;
    do { /* busy: whoever has the lock was off its core for all of a slice */
        result = lilcache_set(cache, key, KEY_BYTES, LILCACHE_KEY_STR, value,
                              VALUE_BYTES, VALUE_TYPE, LILCACHE_TTL_NONE, LILCACHE_SET);
    } while (result == LILCACHE_BUSY);
    if (result < 0) {
        fail("set", lilcache_status_name((int)result));
    }
}

static inline int64_t engine_look(const char *key, int type, char *out) {
    int64_t result;
    do {
        result = lilcache_get(cache, key, KEY_BYTES, type, out, VALUE_BYTES);
    } while (result == LILCACHE_BUSY);
    return result;
}

static inline void engine_get(const char *key, char *out) {
    int64_t result = engine_look(key, LILCACHE_KEY_STR, out);
    if (result < 0) {
        fail("get", lilcache_status_name((int)result));
    }
}

/* The same bytes of another type are another key, which nobody sets. */
static inline void engine_miss(const char *key, char *out) {
    int64_t result = engine_look(key, LILCACHE_KEY_BYTES, out);
    if (result >= 0) {
        fail("miss", "a value");
    }
}

static inline void engine_get_many(const char *at, uint64_t count) {
    static const uint32_t lengths[BATCH] = {[0 ... BATCH - 1] = KEY_BYTES};
    static const uint8_t types[BATCH] = {[0 ... BATCH - 1] = LILCACHE_KEY_STR};
    char out[BATCH * VALUE_BYTES];
    int64_t results[BATCH];
    int64_t hits =
        lilcache_get_many(cache, count, at, lengths, types, out, sizeof out, results);
    if (hits != (int64_t)count) {
        fail("get_many", "a miss");
    }
}
