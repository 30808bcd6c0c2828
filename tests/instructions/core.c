/* Calls of the core, a thousand of each kind, between marks for callgrind: keys of 16
 * bytes, values of 100. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lilcache.h"
#include "mark.h"

#define CALLS       1000
#define KEY_BYTES   16
#define VALUE_BYTES 100

static struct lilcache *cache;
static char keys[CALLS][KEY_BYTES];
static uint32_t key_lengths[CALLS];
static uint8_t key_types[CALLS];
static int64_t results[CALLS];
static struct lilcache_version versions[CALLS];
static const char value[VALUE_BYTES] = "value";
static char many[CALLS * VALUE_BYTES];

static void expect(int64_t found, int64_t expected) {
    if (found != expected) {
        fprintf(stderr, "%lld, not %lld\n", (long long)found, (long long)expected);
        exit(1);
    }
}

static void get(int i) {
    char out[VALUE_BYTES];
    expect(lilcache_get(cache, keys[i], KEY_BYTES, LILCACHE_KEY_STR, out, sizeof out),
           LILCACHE_PACK(0, VALUE_BYTES));
}

static void miss(int i) {
    char out[VALUE_BYTES];
    expect(lilcache_get(cache, keys[i], KEY_BYTES, LILCACHE_KEY_BYTES, out, sizeof out),
           LILCACHE_MISS);
}

static void get_version(int i) {
    char out[VALUE_BYTES];
    expect(lilcache_get_version(cache, keys[i], KEY_BYTES, LILCACHE_KEY_STR, out,
                                sizeof out, &versions[i]),
           LILCACHE_PACK(0, VALUE_BYTES));
}

static void is_current(int i) {
    expect(lilcache_is_current(cache, &versions[i]), LILCACHE_OK);
}

static void pin(int i) {
    struct lilcache_view view;
    expect(lilcache_pin(cache, keys[i], KEY_BYTES, LILCACHE_KEY_STR, &view),
           LILCACHE_PACK(0, VALUE_BYTES));
    lilcache_unpin(cache, view.pin);
}

static void set(int i) {
    expect(lilcache_set(cache, keys[i], KEY_BYTES, LILCACHE_KEY_STR, value, VALUE_BYTES,
                        0, LILCACHE_TTL_NONE, LILCACHE_SET),
           LILCACHE_OK);
}

static void delete(int i) {
    expect(lilcache_delete(cache, keys[i], KEY_BYTES, LILCACHE_KEY_STR), LILCACHE_OK);
}

static void incr(int i) {
    int64_t initial = 1;
    int64_t result;
    (void)i;
    expect(lilcache_incr(cache, "n", 1, LILCACHE_KEY_STR, 1, &initial,
                         LILCACHE_TTL_NONE, &result),
           LILCACHE_OK);
}

static void get_many(int i) {
    if (i == 0) {
        expect(lilcache_get_many(cache, CALLS, keys, key_lengths, key_types, many,
                                 sizeof many, results),
               CALLS);
    }
}

/* In this order: each finds what the one before left. */
static const struct {
    const char *name;
    void (*call)(int i);
} kinds[] = {
    {"set, a new key", set},
    {"set", set},
    {"get", get},
    {"get, a miss", miss},
    {"get_many, a key", get_many},
    {"get_version", get_version},
    {"is_current", is_current},
    {"pin and unpin", pin},
    {"incr", incr},
    {"delete", delete},
};

int main(void) {
    struct lilcache_error error;
    struct lilcache_options options = {
        .name = "instructions",
        .size_bytes = 8 << 20,
        .flags = LILCACHE_ANONYMOUS,
        .owner = -1,
        .group = -1,
    };
    expect(lilcache_open(&options, &cache, &error), LILCACHE_OK);
    for (int i = 0; i < CALLS; i++) {
        char text[32];
        snprintf(text, sizeof text, "key:%012d", i);
        memcpy(keys[i], text, KEY_BYTES);
        key_lengths[i] = KEY_BYTES;
        key_types[i] = LILCACHE_KEY_STR;
    }
    set(0); /* what happens once in a process */
    get(0);
    delete(0);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        mark_begin();
        for (int i = 0; i < CALLS; i++) {
            kinds[k].call(i);
        }
        mark_end(kinds[k].name);
    }
    lilcache_close(cache);
    return 0;
}
