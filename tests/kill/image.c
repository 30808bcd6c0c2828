#include "image.h"

#include <string.h>
#include <sys/mman.h>

#include "hooks.h"
#include "lct.h"

#define COMPARE_EVERY 128 /* restorations between two comparisons of every byte */

static uint8_t *segment;
static uint8_t *saved;
static uint8_t *kept; /* equals saved but for its chunks in `apart` */
/* The bits of words where segment or kept may differ from saved. */
static uint64_t *apart;

void *image_memory(size_t bytes) {
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED && madvise(at, bytes, MADV_DONTFORK) == 0);
    return at;
}

static void chunk_copy(uint8_t *to, const uint8_t *from, uint32_t chunk) {
    memcpy(to + (size_t)chunk * HOOK_CHUNK, from + (size_t)chunk * HOOK_CHUNK,
           HOOK_CHUNK);
}

static void compare(const uint8_t *wanted) {
    if (memcmp(segment, wanted, HOOK_BYTES) != 0) {
        size_t at = 0;
        while (segment[at] == wanted[at]) {
            at++;
        }
        LCT_FAIL("a store into byte %zu of the segment was not reported", at);
    }
    hook_shared->compared++;
}

static void compare_now_and_then(const uint8_t *wanted) {
    static unsigned times;
    if (++times % COMPARE_EVERY == 0) {
        compare(wanted);
    }
}

void image_compare(void) { compare(saved); }

void image_begin(uint8_t *base) {
    if (!saved) {
        saved = image_memory(HOOK_BYTES);
        kept = image_memory(HOOK_BYTES);
        apart = image_memory(sizeof hook_shared->dirty);
    }
    segment = base;
    memcpy(saved, segment, HOOK_BYTES);
    memcpy(kept, segment, HOOK_BYTES);
    memset(apart, 0, sizeof hook_shared->dirty);
    memset(hook_shared->dirty, 0, sizeof hook_shared->dirty);
}

void image_restore(void) {
    for (uint32_t chunk = 0; chunk < HOOK_CHUNKS; chunk++) {
        if (hook_shared->dirty[chunk] | apart[chunk]) {
            chunk_copy(segment, saved, chunk);
            if (apart[chunk]) {
                chunk_copy(kept, saved, chunk);
                apart[chunk] = 0;
            }
            hook_shared->dirty[chunk] = 0;
        }
    }
    compare_now_and_then(saved);
}

void image_keep(void) {
    for (uint32_t chunk = 0; chunk < HOOK_CHUNKS; chunk++) {
        if (hook_shared->dirty[chunk]) {
            chunk_copy(kept, segment, chunk);
            apart[chunk] |= hook_shared->dirty[chunk];
            hook_shared->dirty[chunk] = 0;
        }
    }
}

void image_return(void) {
    for (uint32_t chunk = 0; chunk < HOOK_CHUNKS; chunk++) {
        if (hook_shared->dirty[chunk]) {
            chunk_copy(segment, kept, chunk);
            hook_shared->dirty[chunk] = 0;
        }
    }
    compare_now_and_then(kept);
}

uint64_t image_changed(uint32_t chunk) {
    return hook_shared->dirty[chunk] | apart[chunk];
}
