/* Which fences and orders lie between which accesses: what a read, a pin, a set, an
 * eviction and a growing group do is written down and looked through.
 *
 * No processor at hand shows every reordering that a missing fence allows, so the
 * fences themselves are looked for. The accesses are the compiler's, in program order.
 */
#include "cachetest.h"
#include "lc_block.h"
#include "lc_index.h"
#include "lc_read.h"
#include "lc_row.h"
#include "switch.h"

#define EVENTS_MAX 4000000

static struct event {
    enum access_kind kind;
    int order;
    uint64_t at; /* byte of the segment */
    uint64_t bytes;
} *events;

static size_t count;
static struct lilcache *cache;
static uint8_t *base;
static struct lc_shard *shard;

static void observe(enum access_kind kind, const volatile void *at, uint64_t bytes,
                    int order) {
    CHECK(count < EVENTS_MAX);
    uint64_t offset = kind == ACCESS_FENCE ? 0 : (uint64_t)((const uint8_t *)at - base);
    events[count++] = (struct event){kind, order, offset, bytes};
}

static void begin(void) {
    count = 0;
    switch_observe = observe;
}

static void end(void) { switch_observe = NULL; }

static void open_cache(void) {
    events = malloc(sizeof *events * EVENTS_MAX);
    CHECK(events != NULL);
    cache = ct_open(MIB);
    base = cache->segment->base;
    shard = ct_shard(cache);
    switch_watch(base);
}

static void close_cache(void) {
    switch_watch(NULL);
    lilcache_close(cache);
    free(events);
}

static uint64_t byte_of(const void *at) {
    return (uint64_t)((const uint8_t *)at - base);
}

static bool touches(const struct event *event, uint64_t from, uint64_t to) {
    return event->kind != ACCESS_FENCE && event->at < to &&
           event->at + event->bytes > from;
}

static bool is_fence(const struct event *event, int least) {
    return event->kind == ACCESS_FENCE && event->order >= least;
}

/* The last event before `before` of this kind that touches the bytes. */
static size_t last(size_t before, enum access_kind kind, const void *at,
                   uint64_t bytes) {
    for (size_t i = before; i-- > 0;) {
        if (events[i].kind == kind &&
            touches(&events[i], byte_of(at), byte_of(at) + bytes)) {
            return i;
        }
    }
    LCT_FAIL("no such access");
}

static bool fence_between(size_t from, size_t to, int least) {
    for (size_t i = from + 1; i < to; i++) {
        if (is_fence(&events[i], least)) {
            return true;
        }
    }
    return false;
}

/* The slot of key n and the record it points to. */
static struct lc_found find(uint64_t n) {
    char key[CT_KEY_BYTES + 1];
    struct lc_key made;
    struct lc_found found;
    ct_key(n, key);
    CHECK_EQ(lc_key_make(cache->segment, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &made),
             LILCACHE_OK);
    CHECK(lc_index_find_locked(shard, made.hash, key, CT_KEY_BYTES, LILCACHE_KEY_STR,
                               &found, NULL));
    return found;
}

/* slot, generation, slot, directory; bytes, fence, generation: lc_read.c. */
static void check_get(uint64_t n) {
    struct lc_found found = find(n);
    const struct shm_block *block =
        &shard->blocks[lc_block_of(shard, found.record.offset)];
    const struct shm_group *group = &shard->groups[found.place.group];
    begin();
    CHECK_EQ(ct_get(cache, n, n, found.record.value_length), CT_RIGHT);
    end();
    size_t recheck = last(count, ACCESS_LOAD, &block->bl_generation, 8);
    size_t bytes =
        last(count, ACCESS_LOAD, shard->heap + found.record.offset, found.record.total);
    CHECK(bytes < recheck && fence_between(bytes, recheck, __ATOMIC_ACQUIRE));
    size_t generation = last(recheck, ACCESS_LOAD, &block->bl_generation, 8);
    CHECK(events[generation].order >= __ATOMIC_ACQUIRE);
    size_t slot = last(bytes, ACCESS_LOAD, found.place.slot, 8);
    CHECK(slot > generation && events[slot].order >= __ATOMIC_ACQUIRE);
    size_t first_slot = last(slot, ACCESS_LOAD, found.place.slot, 8);
    CHECK(first_slot < generation && events[first_slot].order >= __ATOMIC_ACQUIRE);
    size_t dir = last(count, ACCESS_LOAD, &group->gr_dir, 8);
    size_t changes = last(count, ACCESS_LOAD, &group->gr_changes, 8);
    CHECK(dir > slot && changes > slot);
    CHECK(fence_between(slot, dir, __ATOMIC_ACQUIRE));
    CHECK(fence_between(slot, changes, __ATOMIC_ACQUIRE));
    size_t first_dir = last(dir, ACCESS_LOAD, &group->gr_dir, 8);
    size_t first_changes = last(changes, ACCESS_LOAD, &group->gr_changes, 8);
    CHECK(first_changes < first_dir && first_dir < first_slot);
    CHECK(events[first_changes].order >= __ATOMIC_ACQUIRE);
    CHECK(events[first_dir].order >= __ATOMIC_ACQUIRE);
}

TEST(a_get_checks_what_it_read_behind_a_fence, 20) {
    open_cache();
    for (uint64_t n = 0; n < 200; n++) {
        CHECK_EQ(ct_set(cache, n, n, 100 + n), LILCACHE_OK);
    }
    for (uint64_t n = 0; n < 200; n++) {
        check_get(n);
    }
    close_cache();
}

/* A miss looks at the group behind a fence behind the last slot. */
TEST(a_miss_checks_its_pages_behind_a_fence, 20) {
    open_cache();
    for (uint64_t n = 0; n < 200; n++) {
        CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
    }
    for (uint64_t n = 1000; n < 1200; n++) {
        begin();
        CHECK_EQ(ct_get(cache, n, n, 100), CT_MISS);
        end();
        size_t slots = last(count, ACCESS_LOAD, shard->heap, shard->heap_bytes);
        size_t dirs = last(count, ACCESS_LOAD, shard->groups,
                           shard->group_count * sizeof *shard->groups);
        CHECK(slots < dirs && fence_between(slots, dirs, __ATOMIC_ACQUIRE));
    }
    close_cache();
}

/* Pin, fence, slot [Z1]. */
TEST(a_pin_is_stored_before_the_slot_is_looked_at_again, 20) {
    char key[CT_KEY_BYTES + 1];
    struct lilcache_view view;
    open_cache();
    ct_key(1, key);
    CHECK_EQ(ct_set(cache, 1, 1, 100), LILCACHE_OK);
    struct lc_found found = find(1);
    struct shm_row *row = lc_row_mine(cache->segment);
    begin();
    CHECK(lilcache_pin(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view) >= 0);
    end();
    size_t pin = last(count, ACCESS_STORE, row->rw_pin, 8);
    size_t slot = last(count, ACCESS_LOAD, found.place.slot, 8);
    CHECK(pin < slot && fence_between(pin, slot, __ATOMIC_SEQ_CST));
    begin();
    lilcache_unpin(cache, view.pin);
    end();
    size_t unpin = last(count, ACCESS_STORE, row->rw_pin, 8);
    CHECK(events[unpin].order >= __ATOMIC_RELEASE);
    close_cache();
}

/* Record, fill, slot: each store releases the ones before [R1] [B3]. */
TEST(a_set_publishes_what_is_complete, 20) {
    open_cache();
    for (uint64_t n = 0; n < 50; n++) {
        begin();
        CHECK_EQ(ct_set(cache, n % 10, n, 300), LILCACHE_OK);
        end();
        struct lc_found found = find(n % 10);
        const struct lc_record *record = &found.record;
        uint32_t head = lc_block_head_locked(shard, lc_block_of(shard, record->offset));
        const struct shm_block *block = &shard->blocks[head];
        size_t slot = last(count, ACCESS_STORE, found.place.slot, 8);
        size_t value = last(count, ACCESS_STORE, shard->heap + record->value_at,
                            record->value_length);
        size_t key =
            last(count, ACCESS_STORE, lc_record_key(shard, record), CT_KEY_BYTES);
        size_t fill = last(count, ACCESS_STORE, &block->bl_fill, 8);
        CHECK(events[slot].order >= __ATOMIC_RELEASE);
        CHECK(events[fill].order >= __ATOMIC_RELEASE);
        CHECK(key < fill && fill < slot && value < slot);
    }
    close_cache();
}

/* A slot away from home: the counters that lead to it come first [I3]. */
TEST(a_slot_away_from_home_is_stored_after_its_counters, 20) {
    uint64_t away = 0;
    open_cache();
    for (uint64_t n = 0; n < 2000; n++) {
        begin();
        CHECK_EQ(ct_set(cache, n, n, 4), LILCACHE_OK);
        end();
        struct lc_found found = find(n);
        size_t slot = last(count, ACCESS_STORE, found.place.slot, 8);
        uint64_t pages = byte_of(shard->heap) +
                         ((uint64_t)shard->ctl->sh_index_low << shard->block_shift);
        uint64_t raised = 0;
        for (size_t i = 0; i < count; i++) {
            bool counter = events[i].kind == ACCESS_STORE && events[i].at >= pages &&
                           events[i].at % sizeof(struct shm_bucket) ==
                               offsetof(struct shm_bucket, bk_overflow) &&
                           events[i].order >= __ATOMIC_RELEASE;
            CHECK(!counter || i < slot);
            raised += counter;
        }
        CHECK_EQ(raised, found.place.distance);
        away += raised > 0;
    }
    CHECK(away > 50);
    close_cache();
}

/* A block comes free: unlinked, fence, pins, generation, fence, anything else in it
 * [G1] [Z1]. */
static void check_bump(size_t bump, uint32_t b) {
    const struct shm_row *row = lc_row_at(cache->segment, 0);
    uint64_t from = byte_of(shard->heap) + ((uint64_t)b << shard->block_shift);
    uint64_t to = from + (1ULL << shard->block_shift);
    uint64_t word = byte_of(&shard->blocks[b].bl_word);
    CHECK(events[bump].order >= __ATOMIC_RELEASE);
    bool fenced = false;
    for (size_t i = bump + 1; i < count && !fenced; i++) {
        fenced = is_fence(&events[i], __ATOMIC_SEQ_CST);
        bool reused =
            events[i].kind == ACCESS_STORE &&
            (touches(&events[i], from, to) || touches(&events[i], word, word + 8));
        CHECK(!reused);
    }
    CHECK(fenced);
    size_t pins = last(bump, ACCESS_LOAD, &row->rw_pin_high, 4);
    size_t unlinked = 0;
    for (size_t i = bump; i-- > 0 && unlinked == 0;) {
        /* Index pages lie at the heap's end, beyond every run. */
        uint64_t low = byte_of(shard->heap) +
                       ((uint64_t)shard->ctl->sh_index_low << shard->block_shift);
        if (events[i].kind == ACCESS_STORE && touches(&events[i], low, MIB)) {
            unlinked = i;
        }
    }
    CHECK(unlinked < pins && fence_between(unlinked, pins, __ATOMIC_SEQ_CST));
}

TEST(a_block_is_freed_between_two_fences, 60) {
    uint64_t bumps = 0;
    open_cache();
    for (uint64_t n = 0; n < 2000; n++) {
        begin();
        CHECK_EQ(ct_set(cache, n, n, 1500), LILCACHE_OK);
        end();
        for (size_t i = 0; i < count; i++) {
            uint64_t at = events[i].at - byte_of(shard->blocks);
            bool generation = events[i].kind == ACCESS_STORE &&
                              at < shard->block_count * sizeof *shard->blocks &&
                              at % sizeof *shard->blocks == 0;
            uint32_t b = (uint32_t)(at / sizeof *shard->blocks);
            if (generation && b < shard->ctl->sh_index_low) {
                check_bump(i, b);
                bumps++;
            }
        }
    }
    CHECK(bumps > 100);
    close_cache();
}

/* Directory, change counter, fence, and only then the old pages' owner words [I4]. */
TEST(a_group_moves_before_its_old_pages_are_given_back, 20) {
    uint64_t moves = 0;
    open_cache();
    for (uint64_t n = 0; n < 2000; n++) {
        begin();
        CHECK_EQ(ct_set(cache, n, n, 4), LILCACHE_OK);
        end();
        for (size_t i = 0; i < count; i++) {
            uint64_t at = events[i].at - byte_of(shard->groups);
            bool changes =
                events[i].kind == ACCESS_STORE &&
                at < shard->group_count * sizeof *shard->groups &&
                at % sizeof *shard->groups == offsetof(struct shm_group, gr_changes);
            if (!changes) {
                continue;
            }
            const struct shm_group *group = &shard->groups[at / sizeof *group];
            size_t dir = last(i, ACCESS_STORE, &group->gr_dir, 8);
            CHECK(events[dir].order >= __ATOMIC_RELEASE);
            CHECK(events[i].order >= __ATOMIC_RELEASE);
            CHECK(i + 1 < count && is_fence(&events[i + 1], __ATOMIC_SEQ_CST));
            for (size_t j = dir; j < i; j++) {
                CHECK(events[j].kind != ACCESS_STORE ||
                      !touches(&events[j], byte_of(shard->heap), MIB));
            }
            moves++;
        }
    }
    CHECK(moves > 10);
    close_cache();
}

/* Whatever a holder stores, it stores before the exchange that gives the lock back. */
TEST(the_lock_is_free_after_all_that_was_stored_under_it, 20) {
    open_cache();
    for (uint64_t n = 0; n < 50; n++) {
        begin();
        CHECK_EQ(ct_set(cache, n % 10, n, 300), LILCACHE_OK);
        end();
        const pthread_mutex_t *mutex = &shard->ctl->sh_mutex;
        size_t freed = last(count, ACCESS_STORE, &mutex->__data.__lock, 4);
        size_t owner = last(count, ACCESS_STORE, &mutex->__data.__owner, 4);
        CHECK(events[freed].bytes == 4 && events[freed].order >= __ATOMIC_RELEASE);
        CHECK(owner < freed);
        for (size_t i = freed + 1; i < count; i++) {
            CHECK(events[i].kind != ACCESS_STORE ||
                  !touches(&events[i], byte_of(shard->ctl), MIB));
        }
    }
    close_cache();
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
