#include "trail.h"

#include <string.h>

#include "deed.h"
#include "hooks.h"
#include "image.h"

#define STEPS_MAX  (1u << 21)
#define ROOM_BYTES (64u << 20)

/* Of all trails: a word, and a key whose trail it is on. */
struct step {
    uint32_t word;
    uint32_t key;
};

static struct step *steps; /* as they were found: key by key */
static uint32_t step_count;
static uint32_t *first; /* of each word, its first place in `keys` */
static uint16_t *keys;  /* word by word */
static struct hook_loads *loads;
static bool *always; /* the key has no trail and is read each time */
static bool *changed;

/* The last time a key was read: what it gave, and what was loaded then. */
static struct memo {
    struct hook_load *loads; /* NULL: not yet */
    uint8_t *bytes;
    uint32_t count;
    enum found found;
} *memos;

/* Memory for memos, one after the other. */
static uint8_t *room;
static size_t room_used;

static void prepare(void) {
    if (!steps) {
        steps = image_memory(STEPS_MAX * sizeof *steps);
        first = image_memory((HOOK_WORDS + 1) * sizeof *first);
        keys = image_memory(STEPS_MAX * sizeof *keys);
        loads = image_memory(sizeof *loads);
        always = image_memory(KEYS_MAX);
        changed = image_memory(KEYS_MAX);
        memos = image_memory(KEYS_MAX * sizeof *memos);
        room = image_memory(ROOM_BYTES);
    }
}

static void memos_forget(void) {
    memset(memos, 0, KEYS_MAX * sizeof *memos);
    room_used = 0;
}

/* Process rows are loaded to count the read, which changes no value. */
static bool counts_only(const struct hook_load *load) {
    const struct shm_header *header = w.cache->segment->header;
    return load->from >= header->hd_rows_at && load->from < header->hd_shards_at;
}

static enum found look_and_log(uint32_t n, const struct value *wanted) {
    loads->count = 0;
    loads->length = 0;
    loads->full = false;
    hook_loads = loads;
    enum found found = look(n, wanted);
    hook_loads = NULL;
    return found;
}

static void trail_keep(uint32_t key) {
    uint32_t before = step_count;
    CHECK(!loads->full);
    for (uint32_t i = 0; i < loads->count; i++) {
        const struct hook_load *load = &loads->loads[i];
        uint32_t last = (load->from + load->bytes - 1) / HOOK_WORD;
        for (uint32_t word = load->from / HOOK_WORD; word <= last; word++) {
            if (!counts_only(load)) {
                CHECK(step_count < STEPS_MAX);
                steps[step_count++] = (struct step){word, key};
            }
        }
    }
    CHECK(step_count > before);
}

static void sort_by_word(void) {
    memset(first, 0, (HOOK_WORDS + 1) * sizeof *first);
    for (uint32_t i = 0; i < step_count; i++) {
        first[steps[i].word + 1]++;
    }
    for (uint32_t word = 0; word < HOOK_WORDS; word++) {
        first[word + 1] += first[word];
    }
    for (uint32_t i = step_count; i-- > 0;) {
        keys[--first[steps[i].word + 1]] = (uint16_t)steps[i].key;
    }
    /* first[word + 1] has come down to where the keys of `word` begin. */
    memmove(first, first + 1, HOOK_WORDS * sizeof *first);
    first[HOOK_WORDS] = step_count;
}

void trail_begin(void) {
    prepare();
    memos_forget();
    step_count = 0;
    for (uint32_t n = 0; n < KEYS_MAX; n++) {
        always[n] = true;
        /* A damaged index is made anew, and with it where everything is. */
        if (n >= KEY_FREE + w.used || w.rebuilding) {
            continue;
        }
        enum found found = look_and_log(n, &w.keys[n]);
        if (w.keys[n].present ? found == FOUND_IT : found == FOUND_NOTHING) {
            trail_keep(n);
            always[n] = false;
        }
    }
    sort_by_word();
}

const bool *trail_changed(void) {
    memcpy(changed, always, KEYS_MAX);
    for (uint32_t chunk = 0; chunk < HOOK_CHUNKS; chunk++) {
        uint64_t words = image_changed(chunk);
        while (words) {
            uint32_t word = chunk * 64 + (uint32_t)__builtin_ctzll(words);
            words &= words - 1;
            for (uint32_t i = first[word]; i < first[word + 1]; i++) {
                changed[keys[i]] = true;
            }
        }
    }
    return changed;
}

static bool memo_holds(const struct memo *memo) {
    const uint8_t *segment = w.cache->segment->base;
    const uint8_t *bytes = memo->bytes;
    for (uint32_t i = 0; i < memo->count; i++) {
        const struct hook_load *load = &memo->loads[i];
        if (!counts_only(load) &&
            memcmp(segment + load->from, bytes, load->bytes) != 0) {
            return false;
        }
        bytes += load->bytes;
    }
    return memo->loads != NULL;
}

static void *room_take(const void *from, size_t bytes) {
    void *at = room + room_used;
    room_used += (bytes + 7) & ~(size_t)7;
    return memcpy(at, from, bytes);
}

static void memo_keep(struct memo *memo, enum found found) {
    size_t bytes = loads->count * sizeof *loads->loads;
    *memo = (struct memo){0};
    if (loads->full) {
        return;
    }
    if (bytes + loads->length + 16 > ROOM_BYTES - room_used) {
        memos_forget();
    }
    memo->loads = room_take(loads->loads, bytes);
    memo->bytes = room_take(loads->bytes, loads->length);
    memo->count = loads->count;
    memo->found = found;
}

enum found trail_look(uint32_t n, const struct value *wanted) {
    struct memo *memo = &memos[n];
    if (memo_holds(memo)) {
        return memo->found;
    }
    enum found found = look_and_log(n, wanted);
    memo_keep(memo, found);
    return found;
}
