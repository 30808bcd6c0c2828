/* pogocache (https://github.com/tidwall/pogocache), the engine that its src/pogocache.c
 * is by itself, with its own defaults. It comes from no package registry: `make
 * bench-core POGOCACHE=DIRECTORY` takes a checkout of it. */
#include "pogocache.h"

static struct pogocache *cache;

static double engine_open(uint64_t entries, bool huge) {
    (void)entries; /* it grows */
    (void)huge;
    cache = pogocache_new(NULL);
    if (!cache) {
        fail("pogocache_new", "no memory");
    }
    return 0;
}

static void engine_close(void) { pogocache_free(cache); }

static inline void engine_set(const char *key, const char *value) {
    int status = pogocache_store(cache, key, KEY_BYTES, value, VALUE_BYTES, NULL);
    if (status != POGOCACHE_INSERTED && status != POGOCACHE_REPLACED) {
        fail("pogocache_store", "not stored");
    }
}

/* Called under the lock of a shard, the only place where the value may be read. */
static void copy_value(int shard, int64_t time, const void *key, size_t key_bytes,
                       const void *value, size_t value_bytes, int64_t expires,
                       uint32_t flags, uint64_t cas, struct pogocache_update **update,
                       void *out) {
    (void)shard, (void)time, (void)key, (void)key_bytes, (void)expires, (void)flags;
    (void)cas, (void)update;
    memcpy(out, value, value_bytes < VALUE_BYTES ? value_bytes : VALUE_BYTES);
}

static inline int engine_look(const char *key, size_t key_bytes, char *out) {
    struct pogocache_load_opts options = {.entry = copy_value, .udata = out};
    return pogocache_load(cache, key, key_bytes, &options);
}

static inline void engine_get(const char *key, char *out) {
    if (engine_look(key, KEY_BYTES, out) != POGOCACHE_FOUND) {
        fail("pogocache_load", "not found");
    }
}

/* A key without its last byte is one that nobody sets. */
static inline void engine_miss(const char *key, char *out) {
    if (engine_look(key, KEY_BYTES - 1, out) != POGOCACHE_NOTFOUND) {
        fail("pogocache_load", "found what was never stored");
    }
}

/* It has no call for many keys at once. */
static inline void engine_get_many(const char *at, uint64_t count) {
    char out[VALUE_BYTES];
    for (uint64_t i = 0; i < count; i++) {
        engine_get(at + i * KEY_BYTES, out);
    }
}
