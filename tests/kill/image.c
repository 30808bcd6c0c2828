#include "image.h"

#include <string.h>

#include "hooks.h"

#define BYTES ((uint64_t)HOOK_PAGES * HOOK_PAGE)

static uint8_t *segment;
static uint8_t saved[BYTES];
static uint8_t kept[BYTES];       /* equals saved but for its pages in `apart` */
static uint8_t apart[HOOK_PAGES]; /* segment or kept may differ from saved */
static uint8_t apart_word[HOOK_WORDS];

static void clean(void) {
    uint64_t words = HOOK_PAGE / HOOK_WORD;
    for (uint64_t page = 0; page < HOOK_PAGES; page++) {
        if (hook_shared->dirty[page]) {
            memset(hook_shared->dirty_word + page * words, 0, words);
        }
    }
    memset(hook_shared->dirty, 0, sizeof hook_shared->dirty);
}

static void page_copy(uint8_t *to, const uint8_t *from, uint64_t page) {
    memcpy(to + page * HOOK_PAGE, from + page * HOOK_PAGE, HOOK_PAGE);
}

void image_begin(uint8_t *base) {
    segment = base;
    memcpy(saved, segment, BYTES);
    memcpy(kept, segment, BYTES);
    memset(apart, 0, sizeof apart);
    memset(apart_word, 0, sizeof apart_word);
    clean();
}

void image_restore(void) {
    for (uint64_t page = 0; page < HOOK_PAGES; page++) {
        if (hook_shared->dirty[page] || apart[page]) {
            page_copy(segment, saved, page);
        }
        if (apart[page]) {
            page_copy(kept, saved, page);
        }
    }
    memset(apart, 0, sizeof apart);
    memset(apart_word, 0, sizeof apart_word);
    clean();
}

void image_keep(void) {
    for (uint64_t page = 0; page < HOOK_PAGES; page++) {
        if (hook_shared->dirty[page]) {
            page_copy(kept, segment, page);
            apart[page] = 1;
        }
    }
    for (uint32_t word = 0; word < HOOK_WORDS; word++) {
        apart_word[word] |= hook_shared->dirty_word[word];
    }
    clean();
}

void image_return(void) {
    for (uint64_t page = 0; page < HOOK_PAGES; page++) {
        if (hook_shared->dirty[page]) {
            page_copy(segment, kept, page);
            apart[page] = 1;
        }
    }
    clean();
}

bool image_same(uint32_t from, uint32_t to) {
    for (uint32_t word = from; word < to; word++) {
        if (hook_shared->dirty_word[word] || apart_word[word]) {
            return false;
        }
    }
    return true;
}
