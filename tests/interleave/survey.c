#include "survey.h"

#include "lc_index.h"
#include "lc_read.h"

#define STORES_MAX 4096

/* Numbers of the stores with release order. */
struct stores {
    uint32_t count;
    uint64_t at[STORES_MAX];
};
static struct stores tables; /* of blocks and groups, and the epoch */
static struct stores slots;
static uint64_t all;
static uintptr_t heap_at;

static uint64_t places[KEYS_MAX];
static bool outlives[KEYS_MAX];
static uint32_t moved[KEYS_MAX];
static uint32_t moved_count;
static uint32_t lost[KEYS_MAX];
static uint32_t lost_count;
static struct stores read_stores;

static void note(enum access_kind kind, const volatile void *at, uint64_t bytes,
                 int order) {
    (void)bytes;
    if (kind != ACCESS_STORE) {
        return;
    }
    struct stores *stores = (uintptr_t)at < heap_at ? &tables : &slots;
    if (order == __ATOMIC_RELEASE && stores->count < STORES_MAX) {
        stores->at[stores->count++] = all;
    }
    all++;
}

static uint64_t place_of(uint32_t n) {
    char key[CT_KEY_BYTES + 1];
    struct lc_key made;
    struct lc_found found;
    ct_key(world_key(n), key);
    CHECK_EQ(lc_key_make(w.cache->segment, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &made),
             LILCACHE_OK);
    return lc_index_find_locked(ct_shard(w.cache), made.hash, key, CT_KEY_BYTES,
                                LILCACHE_KEY_STR, &found, NULL)
               ? found.record.offset
               : UINT64_MAX;
}

uint64_t survey_write(void (*run)(void), struct value (*after)(uint32_t n)) {
    static struct call writer;
    uint32_t keys = KEY_FREE + w.used;
    switch_restore();
    for (uint32_t n = 0; n < keys; n++) {
        places[n] = place_of(n);
    }
    tables.count = slots.count = moved_count = lost_count = 0;
    all = 0;
    heap_at = (uintptr_t)ct_shard(w.cache)->heap;
    switch_observe = note;
    call_begin(&writer, run, true);
    CHECK_EQ(call_go(&writer, UINT64_MAX), CALL_DONE);
    switch_observe = NULL;
    for (uint32_t n = 0; n < keys; n++) {
        struct value then = after(n);
        outlives[n] = look(n, &then) == (then.present ? FOUND_IT : FOUND_NOTHING);
        if (outlives[n] && then.present && place_of(n) != places[n]) {
            moved[moved_count++] = n;
        }
        if (!outlives[n] && then.present && w.keys[n].present) {
            lost[lost_count++] = n;
        }
    }
    return writer.accesses;
}

uint64_t survey_store(struct ct_random *dice, uint64_t stores) {
    const struct stores *some = ct_below(dice, 2) ? &tables : &slots;
    return some->count ? some->at[ct_below(dice, some->count)] + ct_below(dice, 2)
                       : ct_below(dice, stores + 1);
}

bool survey_outlives(uint32_t n) { return outlives[n]; }

uint32_t survey_moved(struct ct_random *dice) {
    return moved_count ? moved[ct_below(dice, moved_count)] : KEYS_MAX;
}

uint32_t survey_lost(struct ct_random *dice) {
    return lost_count ? lost[ct_below(dice, lost_count)] : KEYS_MAX;
}

static void note_read(enum access_kind kind, const volatile void *at, uint64_t bytes,
                      int order) {
    (void)at;
    (void)bytes;
    (void)order;
    if (kind == ACCESS_STORE && read_stores.count < STORES_MAX) {
        read_stores.at[read_stores.count++] = all;
    }
    all += kind != ACCESS_FENCE;
}

uint64_t survey_read(void (*run)(void)) {
    static struct call reader;
    switch_restore();
    read_stores.count = 0;
    all = 0;
    switch_observe = note_read;
    call_begin(&reader, run, false);
    CHECK_EQ(call_go(&reader, UINT64_MAX), CALL_DONE);
    switch_observe = NULL;
    return reader.accesses;
}

uint64_t survey_read_store(struct ct_random *dice, uint64_t accesses) {
    return read_stores.count ? read_stores.at[ct_below(dice, read_stores.count)]
                             : ct_below(dice, accesses + 1);
}
