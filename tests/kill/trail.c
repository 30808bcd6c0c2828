#include "trail.h"

#include <stdlib.h>
#include <string.h>

#include "deed.h"
#include "hooks.h"
#include "image.h"

struct range { /* of words */
    uint32_t from;
    uint32_t to; /* behind the last one */
};

struct trail {
    struct range *ranges; /* NULL: the key is read each time */
    size_t count;
};

static struct trail trails[KEYS_MAX];
static uint8_t loaded[HOOK_WORDS];

/* Process rows are loaded to count the read, which changes no value. */
static void forget_rows(void) {
    const struct shm_header *header = w.cache->segment->header;
    uint64_t from = header->hd_rows_at / HOOK_WORD;
    memset(loaded + from, 0, header->hd_shards_at / HOOK_WORD - from);
}

static void trail_keep(struct trail *trail) {
    static struct range found[HOOK_WORDS];
    size_t count = 0;
    forget_rows();
    for (uint32_t word = 0; word < HOOK_WORDS; word++) {
        if (!loaded[word]) {
            continue;
        }
        uint32_t end = word;
        while (end < HOOK_WORDS && loaded[end]) {
            end++;
        }
        found[count++] = (struct range){word, end};
        word = end;
    }
    trail->ranges = malloc(count * sizeof *found);
    trail->count = count;
    CHECK(trail->ranges && count > 0);
    memcpy(trail->ranges, found, count * sizeof *found);
}

void trail_begin(void) {
    for (uint32_t n = 0; n < KEYS_MAX; n++) {
        free(trails[n].ranges);
        trails[n] = (struct trail){0};
        /* A damaged index is made anew, and with it where everything is. */
        if (n >= KEY_FREE + w.used || w.rebuilding) {
            continue;
        }
        memset(loaded, 0, sizeof loaded);
        hook_loads = loaded;
        enum found found = look(n, &w.keys[n]);
        hook_loads = NULL;
        if (w.keys[n].present ? found == FOUND_IT : found == FOUND_NOTHING) {
            trail_keep(&trails[n]);
        }
    }
}

bool trail_unchanged(uint32_t n) {
    const struct trail *trail = &trails[n];
    bool same = trail->ranges != NULL;
    for (size_t i = 0; same && i < trail->count; i++) {
        same = image_same(trail->ranges[i].from, trail->ranges[i].to);
    }
    return same;
}
