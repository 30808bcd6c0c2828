/* Words of the segment that make no sense, met under the lock by the code that reads
 * them: it does without, and nothing else is harmed. tests/damage goes over every bit;
 * here it is one word at a time, and what must come of it. */
#include "cachetest.h"
#include "lc_append.h"
#include "lc_block.h"
#include "lc_check.h"
#include "lc_evict.h"
#include "lc_geometry.h"
#include "lc_group.h"
#include "lc_index.h"
#include "lc_pages.h"
#include "lc_pin.h"
#include "lc_read.h"
#include "lc_recover.h"
#include "lc_segment.h"
#include "lc_shard.h"

#define KEYS 700

static struct lilcache *cache;
static struct lc_shard *shard;

static void fresh(uint64_t size, uint64_t keys) {
    cache = ct_open(size);
    shard = ct_shard(cache);
    for (uint64_t n = 0; n < keys; n++) {
        CHECK_EQ(ct_set(cache, n, n, 30), LILCACHE_OK);
    }
}

static struct lc_key key_of(uint64_t n) {
    static char text[CT_KEY_BYTES + 1];
    struct lc_key key;
    ct_key(n, text);
    CHECK_EQ(lc_key_make(cache->segment, text, CT_KEY_BYTES, LILCACHE_KEY_STR, &key),
             LILCACHE_OK);
    return key;
}

static struct lc_found found_of(uint64_t n) {
    struct lc_key key = key_of(n);
    struct lc_found found;
    CHECK(lc_index_find_locked(shard, key.hash, key.bytes, key.length, key.type, &found,
                               NULL));
    return found;
}

/* A group of several pages, and the list of those after the first. */
static uint32_t *list_of(uint32_t *number, struct lc_group *group) {
    for (uint32_t g = 0; g < shard->group_count; g++) {
        if (lc_group_open(shard, shard->groups[g].gr_dir, group) && group->pages > 1) {
            *number = g;
            return (uint32_t *)(uintptr_t)group->list;
        }
    }
    LCT_FAIL("no group of several pages");
}

/* Whatever is asked of the cache, no value is wrong. */
static void use(void) {
    for (uint64_t n = 0; n < 2 * KEYS; n++) {
        CHECK(ct_get(cache, n, n, 30) != CT_WRONG);
        if (n % 3 == 0) {
            ct_set(cache, n, n, 30);
        } else if (n % 3 == 1) {
            ct_delete(cache, n);
        }
    }
}

/* As after a death: the shard is made anew from its records. */
static void rebuild(void) {
    CHECK_EQ(lc_shard_enter(shard, 1000), LILCACHE_OK);
    lc_store_release(&shard->ctl->sh_intent.in_phase, LC_PHASE_REBUILD);
    lc_recover_locked(shard);
    lc_shard_leave(shard);
    ct_check(cache);
}

TEST(a_page_is_taken_back_only_from_its_owner, 20) {
    fresh(MIB, KEYS);
    uint32_t number;
    struct lc_group group;
    list_of(&number, &group);
    uint32_t index = group.first >> shard->page_shift;
    uint32_t pages = shard->ctl->sh_index_pages;
    lc_page_give_locked(shard, number, shard->page_numbers);
    lc_page_give_locked(shard, number, 0);
    lc_page_give_locked(shard, number, index << shard->page_shift);
    lc_page_give_locked(shard, number + 1, group.first);
    CHECK_EQ(shard->ctl->sh_index_pages, pages);
    ct_check(cache);

    /* Counts that are too low already do not wrap. */
    uint64_t fill = shard->blocks[index].bl_fill;
    shard->blocks[index].bl_fill = 0;
    shard->ctl->sh_index_pages = 0;
    lc_page_give_locked(shard, number, group.first);
    CHECK_EQ(shard->blocks[index].bl_fill, 0);
    CHECK_EQ(shard->ctl->sh_index_pages, 0);
    CHECK(fill > 0);
    rebuild();
    use();
    lilcache_close(cache);
}

TEST(no_page_is_taken_from_a_full_block_whatever_it_counts, 20) {
    fresh(MIB, KEYS);
    uint32_t page;
    while ((page = lc_page_take_locked(shard, 0, LC_NO_BLOCK)) != UINT32_MAX) {
    }
    uint32_t pages = shard->ctl->sh_index_pages;
    for (uint32_t b = 0; b < shard->block_count; b++) {
        if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_INDEX) {
            shard->blocks[b].bl_fill--;
        }
    }
    shard->ctl->sh_index_pages--;
    shard->ctl->sh_index_low = 0;
    CHECK_EQ(lc_page_take_locked(shard, 0, LC_NO_BLOCK), UINT32_MAX);
    CHECK_EQ(lc_page_take_locked(shard, 0, shard->block_count - 1), UINT32_MAX);
    CHECK_EQ(shard->ctl->sh_index_pages, pages - 1);

    uint32_t *owners = (uint32_t *)(shard->heap + ((uint64_t)(shard->block_count - 1)
                                                   << shard->block_shift));
    for (uint32_t i = 0; i < 1u << shard->page_shift; i++) {
        owners[i] = shard->group_count + 1;
    }
    CHECK_EQ(lc_pages_owner_locked(shard, shard->block_count - 1), LC_NO_BLOCK);
    memset(owners, 0, (size_t)4 << shard->page_shift);
    CHECK_EQ(lc_pages_owner_locked(shard, shard->block_count - 1), LC_NO_BLOCK);
    rebuild();
    use();
    lilcache_close(cache);
}

static void count_slot(const struct lc_shard *of, uint32_t group, uint64_t *slot,
                       void *context) {
    (void)of;
    (void)group;
    (void)slot;
    ++*(uint64_t *)context;
}

TEST(a_page_list_that_leads_nowhere, 30) {
    fresh(MIB, KEYS);
    uint32_t number;
    struct lc_group group;
    uint32_t *list = list_of(&number, &group);
    uint64_t all = 0;
    uint64_t some = 0;
    uint64_t lost = 0;
    lc_index_visit_locked(shard, number, count_slot, &all);
    uint32_t before = list[0];
    list[0] = shard->page_numbers;
    lc_index_visit_locked(shard, number, count_slot, &some);
    CHECK(some < all);
    /* Reads end: by a miss, after some tries, with the lock and without. */
    for (int held = 0; held < 2; held++) {
        for (uint64_t n = 0; n < KEYS; n++) {
            struct lc_key key = key_of(n);
            struct lilcache_view view;
            int64_t ttl;
            if (lc_group_of(shard, key.hash) != number) {
                continue;
            }
            if (held) {
                CHECK_EQ(pthread_mutex_lock(&shard->ctl->sh_mutex), 0);
            }
            enum ct_outcome outcome = ct_get(cache, n, n, 30);
            int status = lilcache_ttl(cache, key.bytes, key.length, key.type, &ttl);
            int64_t pinned =
                lilcache_pin(cache, key.bytes, key.length, key.type, &view);
            if (held) {
                CHECK_EQ(pthread_mutex_unlock(&shard->ctl->sh_mutex), 0);
            }
            CHECK(outcome != CT_WRONG);
            CHECK((outcome == CT_RIGHT) == (status == LILCACHE_OK));
            CHECK((outcome == CT_RIGHT) == (pinned >= 0));
            lost += outcome == CT_MISS;
            if (pinned >= 0) {
                lilcache_unpin(cache, view.pin);
            }
        }
    }
    CHECK(lost > 0);
    CHECK(ct_stat(cache, "contended_misses") > 0);
    list[0] = before;
    ct_check(cache);

    list[0] = shard->page_numbers;
    CHECK_EQ(lc_shard_enter(shard, 1000), LILCACHE_OK);
    for (uint64_t n = 0; n < KEYS; n++) {
        struct lc_place place;
        struct lc_key key = key_of(n);
        bool is_there = lc_index_find_offset_locked(shard, key.hash, 8, &place);
        CHECK(!is_there);
    }
    lc_group_repair_locked(shard, number);
    lc_group_repair_locked(shard, shard->group_count);
    lc_shard_leave(shard);
    list[0] = shard->page_numbers;
    use();
    rebuild();
    use();
    lilcache_close(cache);
}

TEST(slots_that_point_past_the_heap, 20) {
    fresh(MIB, KEYS);
    struct lc_found found = found_of(3);
    uint64_t wild = found.place.word | LC_UNIT_MASK;
    lc_store_relaxed(found.place.slot, wild);
    CHECK_EQ(ct_get(cache, 3, 3, 30), CT_MISS);
    struct lc_place place = found.place;
    place.word = wild;
    lc_index_change_locked(shard, &place, 0, 0, 0);
    CHECK_EQ(lc_load_relaxed(found.place.slot), 0);
    CHECK_EQ(ct_set(cache, 3, 3, 30), LILCACHE_OK);
    CHECK_EQ(ct_get(cache, 3, 3, 30), CT_RIGHT);

    struct lc_record record;
    CHECK(!lc_record_read(shard, found.record.offset + 4, &record));
    CHECK(!lc_record_read(shard, shard->heap_bytes, &record));
    struct shm_record *raw = lc_record_at(shard, found_of(4).record.offset);
    uint32_t length = raw->rc_value_length;
    raw->rc_value_length = (uint32_t)shard->record_max;
    CHECK(!lc_record_read(shard, found_of(5).record.offset, &record) ||
          record.total <= shard->record_max);
    CHECK_EQ(ct_get(cache, 4, 4, 30), CT_MISS);
    raw->rc_value_length = length;
    CHECK_EQ(ct_get(cache, 4, 4, 30), CT_RIGHT);
    lilcache_close(cache);
}

TEST(overflow_counters_that_are_full_or_too_low, 30) {
    static const uint64_t values[] = {UINT64_MAX, 0};
    for (int i = 0; i < 2; i++) {
        fresh(MIB, KEYS);
        for (uint32_t g = 0; g < shard->group_count; g++) {
            struct lc_group group;
            if (!lc_group_open(shard, shard->groups[g].gr_dir, &group)) {
                continue;
            }
            for (uint32_t b = 0; b < group.buckets; b++) {
                lc_group_bucket(shard, &group, b)->bk_overflow = values[i];
            }
        }
        for (uint64_t n = 0; n < KEYS; n++) {
            enum ct_outcome outcome = ct_get(cache, n, n, 30);
            CHECK(outcome == CT_RIGHT || (values[i] == 0 && outcome == CT_MISS));
        }
        use();
        rebuild();
        use();
        lilcache_close(cache);
    }
}

/* A slot away from its home whose way there counts none, or is gone. */
TEST(a_slot_that_nothing_counts, 20) {
    for (int gone = 0; gone < 2; gone++) {
        fresh(MIB, KEYS);
        uint64_t n = 0;
        while (found_of(n).place.distance == 0) {
            n++;
        }
        struct lc_found found = found_of(n);
        struct lc_group group;
        uint64_t *dir = &shard->groups[found.place.group].gr_dir;
        uint64_t before = *dir;
        CHECK(lc_group_open(shard, before, &group));
        uint32_t home = lc_group_home(&group, found.place.tag);
        lc_group_bucket(shard, &group, home)->bk_overflow = 0;
        *dir = gone ? 1 : before;
        lc_index_change_locked(shard, &found.place, 0, found.record.total, 0);
        *dir = before;
        CHECK_EQ(lc_group_bucket(shard, &group, home)->bk_overflow, 0);
        CHECK_EQ(ct_get(cache, n, n, 30), CT_MISS);
        rebuild();
        use();
        lilcache_close(cache);
    }
}

TEST(intents_that_name_no_place, 20) {
    fresh(MIB, KEYS);
    struct shm_intent *in = &shard->ctl->sh_intent;
    struct lc_found found = found_of(3);
    uint64_t at = (uint64_t)((uint8_t *)found.place.slot - shard->heap);
    const struct {
        uint64_t group;
        uint64_t slot_at;
    } cases[] = {{shard->group_count, at},
                 {found.place.group, at + 4},
                 {found.place.group, shard->heap_bytes}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        in->in_group = cases[i].group;
        in->in_slot_at = cases[i].slot_at;
        in->in_kind = LC_INTENT_SLOT;
        lc_index_repair_locked(shard);
        CHECK_EQ(in->in_kind, LC_INTENT_NONE);
        ct_check(cache);
    }
    in->in_kind = LC_INTENT_GROUP;
    in->in_group = shard->group_count;
    lc_index_repair_locked(shard);
    CHECK_EQ(in->in_kind, LC_INTENT_NONE);
    in->in_kind = 77;
    lc_index_repair_locked(shard);
    in->in_kind = LC_INTENT_NONE;
    ct_check(cache);
    lilcache_close(cache);
}

/* What is damaged is a miss for whoever asks how long it has to live. */
TEST(a_damaged_record_has_no_ttl, 10) {
    cache = ct_open_flags(MIB, LILCACHE_CHECKSUMS);
    shard = ct_shard(cache);
    struct lilcache_view view;
    int64_t ttl;
    CHECK_EQ(ct_set_ttl(cache, 1, 1, 300, 1000000), LILCACHE_OK);
    struct lc_key key = key_of(1);
    CHECK_EQ(lilcache_ttl(cache, key.bytes, key.length, key.type, &ttl), LILCACHE_OK);
    CHECK(ttl > 900000 && ttl <= 1000000);
    shard->heap[found_of(1).record.value_at] ^= 1;
    CHECK_EQ(lilcache_ttl(cache, key.bytes, key.length, key.type, &ttl), LILCACHE_MISS);
    CHECK_EQ(lilcache_pin(cache, key.bytes, key.length, key.type, &view),
             LILCACHE_MISS);
    CHECK(ct_get(cache, 1, 1, 300) == CT_MISS);
    CHECK_EQ(ct_stat(cache, "corrupt_reads"), 3);
    lilcache_close(cache);
}

/* Fills and continuations that no run of ours has: such a run takes no record. */
TEST(open_runs_that_make_no_sense_take_nothing, 20) {
    cache = ct_open(16 * MIB); /* runs of several blocks */
    shard = ct_shard(cache);
    uint32_t head = LC_NO_BLOCK;
    for (uint64_t n = 0; n < 2000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 1500), LILCACHE_OK);
        head = shard->ctl->sh_open[LC_SMALL][0];
        if (head < shard->block_count &&
            shard->blocks[head].bl_fill >> shard->block_shift == 1) {
            break;
        }
    }
    struct shm_block *block = &shard->blocks[head];
    CHECK(lc_block_length_locked(shard, head) > 1);
    shard->ctl->sh_open[LC_SMALL][1] = LC_NO_BLOCK;
    CHECK(lc_run_room_open_locked(shard, LC_SMALL, 100) != UINT64_MAX);
    uint64_t fill = block->bl_fill;
    block->bl_fill = 1ULL << 40;
    CHECK_EQ(lc_run_room_open_locked(shard, LC_SMALL, 100), UINT64_MAX);
    block->bl_fill = fill;
    uint64_t word = shard->blocks[head + 1].bl_word;
    shard->blocks[head + 1].bl_word = 0;
    CHECK_EQ(lc_run_room_open_locked(shard, LC_SMALL, 100), UINT64_MAX);
    shard->blocks[head + 1].bl_word = word;
    word = block->bl_word;
    uint32_t length = lc_word_length(word);
    uint32_t epoch = lc_word_epoch(word);
    const uint64_t others[] = {
        lc_block_word(LC_BLOCK_SEALED, LC_SMALL, length, epoch),
        lc_block_word(LC_BLOCK_OPEN, LC_SMALL, length, epoch + 1),
        lc_block_word(LC_BLOCK_OPEN, LC_SMALL, shard->block_count + 1, epoch),
        lc_block_word(LC_BLOCK_OPEN, LC_SMALL, 0, epoch),
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        block->bl_word = others[i];
        CHECK_EQ(lc_run_room_open_locked(shard, LC_SMALL, 100), UINT64_MAX);
    }
    block->bl_word = word;
    block->bl_fill = UINT64_MAX - 3; /* which aligned would be the run's start */
    CHECK_EQ(lc_run_room_open_locked(shard, LC_SMALL, 100), UINT64_MAX);
    block->bl_fill = fill;
    CHECK(lc_run_room_open_locked(shard, LC_SMALL, 100) != UINT64_MAX);
    lilcache_close(cache);
}

/* Of two records with one stamp neither counts, unless they say the same. */
TEST(one_stamp_twice, 20) {
    static const struct {
        uint64_t seed;
        uint64_t length;
        enum ct_outcome wanted;
    } cases[] = {{1, 30, CT_RIGHT}, {2, 30, CT_MISS}, {1, 34, CT_MISS}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fresh(MIB, 0);
        CHECK_EQ(ct_set(cache, 1, 1, 30), LILCACHE_OK);
        struct lc_found first = found_of(1);
        CHECK_EQ(ct_set(cache, 1, cases[i].seed, cases[i].length), LILCACHE_OK);
        struct shm_record *old = lc_record_at(shard, first.record.offset);
        old->rc_stamp = found_of(1).record.stamp;
        old->rc_flags &= (uint16_t)~LC_RECORD_DEAD;
        rebuild();
        CHECK_EQ(ct_get(cache, 1, cases[i].seed, cases[i].length), cases[i].wanted);
        lilcache_close(cache);
    }
}

TEST(a_run_that_ends_inside_its_last_record, 20) {
    fresh(MIB, 50);
    struct lc_found last = found_of(49);
    uint32_t head = lc_block_head_locked(shard, lc_block_of(shard, last.record.offset));
    shard->blocks[head].bl_fill -= 8;
    rebuild();
    CHECK_EQ(ct_get(cache, 49, 49, 30), CT_MISS);
    CHECK_EQ(ct_get(cache, 48, 48, 30), CT_RIGHT);
    lilcache_close(cache);
}

TEST(a_continuation_before_the_first_block, 10) {
    fresh(MIB, 10);
    uint64_t word = shard->blocks[3].bl_word;
    shard->blocks[3].bl_word = lc_block_word(LC_BLOCK_CONT, LC_SMALL, 9, 0);
    CHECK_EQ(lc_run_span_racy(shard, 3), 1);
    shard->blocks[3].bl_word = lc_block_word(LC_BLOCK_CONT, LC_SMALL, 1, 0);
    uint64_t before = shard->blocks[2].bl_word;
    shard->blocks[2].bl_word = lc_block_word(LC_BLOCK_CONT, LC_SMALL, 1, 0);
    CHECK_EQ(lc_run_span_racy(shard, 3), 1);
    shard->blocks[2].bl_word = before;
    shard->blocks[3].bl_word = word;
    ct_check(cache);
    lilcache_close(cache);
}

/* Eviction passes by records that are marked dead. Where damage marked one that lives,
 * its slot goes with the run all the same. */
TEST(a_live_record_marked_dead, 60) {
    cache = ct_open(MIB);
    shard = ct_shard(cache);
    for (uint64_t n = 0; n < 2000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 200), LILCACHE_OK);
        if (n % 100 == 99) {
            lc_record_at(shard, found_of(n - 20).record.offset)->rc_flags |=
                LC_RECORD_DEAD;
        }
    }
    for (uint64_t n = 2000; n < 12000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 200), LILCACHE_OK);
    }
    for (uint64_t n = 79; n < 2000; n += 100) {
        CHECK_EQ(ct_get(cache, n, n, 200), CT_MISS);
    }
    ct_check_unhurt(cache); /* no slot that points to nothing */
    lilcache_close(cache);
}

/* Runs that count nothing of what lives in them are not left before their slots are. */
TEST(live_runs_that_count_nothing, 60) {
    fresh(MIB, 2000);
    uint32_t lied = 0;
    for (uint32_t b = 0; b < shard->block_count; b++) {
        if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_SEALED &&
            shard->blocks[b].bl_live != 0) {
            shard->blocks[b].bl_live = 0;
            lied++;
        }
    }
    CHECK(lied > 2);
    for (uint64_t n = 2000; n < 40000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 30), LILCACHE_OK);
    }
    for (uint64_t n = 0; n < 2000; n++) {
        CHECK(ct_get(cache, n, n, 30) != CT_WRONG);
    }
    ct_check_unhurt(cache); /* no slot that points to nothing */
    lilcache_close(cache);
}

/* One run whose last record, a dead one, is longer than the run, one whose first is,
 * and one that begins with no record at all. */
TEST(dead_runs_that_end_or_begin_wrongly, 60) {
    enum { ENDS, BEGINS, BEGINS_WITH_NONE, WAYS };
    for (int way = ENDS; way < WAYS; way++) {
        cache = ct_open(MIB);
        shard = ct_shard(cache);
        uint32_t dead = LC_NO_BLOCK;
        uint64_t n = 0;
        while (dead == LC_NO_BLOCK) {
            CHECK_EQ(ct_set(cache, 1, ++n, 200), LILCACHE_OK);
            for (uint32_t b = 0; b < shard->block_count; b++) {
                if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_SEALED &&
                    shard->blocks[b].bl_live == 0) {
                    dead = b;
                }
            }
        }
        struct shm_block *block = &shard->blocks[dead];
        uint64_t generation = block->bl_generation;
        struct shm_record *first =
            lc_record_at(shard, (uint64_t)dead << shard->block_shift);
        if (way == ENDS) {
            block->bl_fill -= 8;
            /* Counting a record it is walked to its end; expired it is chosen. */
            block->bl_live = 1ULL << 32 | 1;
            block->bl_expires = 1;
        } else if (way == BEGINS) {
            first->rc_value_length = (uint32_t)block->bl_fill;
            CHECK(block->bl_fill + 100 < shard->record_max);
        } else {
            first->rc_key_length = 0;
        }
        while (block->bl_generation == generation) {
            CHECK(n < 100000);
            CHECK_EQ(ct_set(cache, 1, ++n, 200), LILCACHE_OK);
        }
        CHECK_EQ(ct_get(cache, 1, n, 200), CT_RIGHT);
        ct_check_unhurt(cache);
        lilcache_close(cache);
    }
}

/* Eviction meets records that make no sense: the run goes as a whole. */
TEST(a_victim_that_cannot_be_walked, 60) {
    cache = ct_open_flags(MIB, LILCACHE_CHECKSUMS);
    shard = ct_shard(cache);
    for (uint64_t n = 0; n < 6000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 200), LILCACHE_OK);
        if (n % 500 == 499) {
            struct shm_record *raw =
                lc_record_at(shard, found_of(n - 20).record.offset);
            if (n % 1000 == 999) {
                raw->rc_key_length = 0;
            } else {
                raw->rc_value_length = 3000; /* past the next records, or the fill */
            }
        }
    }
    shard->ctl->sh_window_sets = UINT64_MAX / 2; /* a row was given up since */
    shard->ctl->sh_window_gets = UINT64_MAX / 2;
    for (uint64_t n = 0; n < 6000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 200), LILCACHE_OK);
    }
    CHECK(shard->ctl->sh_window_sets < UINT64_MAX / 2);
    shard->ctl->sh_window_gets = UINT64_MAX / 2;
    for (uint64_t n = 0; n < 3000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 200), LILCACHE_OK);
    }
    CHECK(shard->ctl->sh_window_gets < UINT64_MAX / 2);
    rebuild();
    lilcache_close(cache);
}

TEST(a_group_that_counts_far_too_much, 20) {
    fresh(MIB, KEYS);
    uint32_t number;
    struct lc_group group;
    list_of(&number, &group);
    shard->groups[number].gr_counts = UINT32_MAX - 1;
    shard->ctl->sh_shrink_hint = number + 1;
    use();
    shard->ctl->sh_shrink_hint = shard->group_count + 1;
    use();
    rebuild();
    use();
    lilcache_close(cache);
}

/* Where free pages and the lowest index block are is told by two hints. */
TEST(damaged_hints_hide_no_index_page, 20) {
    fresh(MIB, 10);
    shard->ctl->sh_index_hint = 0;
    for (uint64_t n = 10; n < KEYS; n++) {
        CHECK_EQ(ct_set(cache, n, n, 30), LILCACHE_OK);
    }
    shard->ctl->sh_index_low = UINT32_MAX;
    shard->ctl->sh_index_hint = UINT32_MAX;
    CHECK(lc_pages_lowest_locked(shard) < shard->block_count);
    shard->ctl->sh_index_low = UINT32_MAX;
    for (uint64_t n = KEYS; n < 4 * KEYS; n++) {
        CHECK_EQ(ct_set(cache, n, n, 30), LILCACHE_OK);
    }
    ct_check(cache);
    lilcache_close(cache);
}

static uint32_t index_block(void) {
    uint32_t block = lc_pages_lowest_locked(shard);
    CHECK(block != LC_NO_BLOCK);
    return block;
}

/* Else the index would take block after block for want of pages, and keep them. */
TEST(pages_that_are_counted_and_not_there, 20) {
    for (int both = 0; both < 2; both++) {
        fresh(MIB, KEYS);
        shard->blocks[index_block()].bl_fill += 1000000;
        shard->ctl->sh_index_pages += both ? 1000000 : 0;
        CHECK(!lc_check_quick_locked(shard));
        for (uint64_t n = 0; n < 20 * KEYS; n++) {
            CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
        }
        rebuild();
        ct_check(cache);
        lilcache_close(cache);
    }
}

TEST(a_page_of_a_group_that_does_not_list_it, 20) {
    fresh(MIB, KEYS);
    uint32_t page = lc_page_take_locked(shard, 1, LC_NO_BLOCK);
    CHECK(page != UINT32_MAX);
    CHECK(!lc_check_quick_locked(shard));
    rebuild();
    CHECK(lc_check_quick_locked(shard));
    lilcache_close(cache);
}

/* Nobody would fill them, and nobody would evict them. */
TEST(runs_that_are_open_and_nobodys, 20) {
    fresh(MIB, KEYS);
    for (uint64_t n = 0; ct_stat(cache, "evictions") == 0; n++) {
        CHECK_EQ(ct_set(cache, n, n, 3000), LILCACHE_OK);
    }
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        uint64_t word = shard->blocks[b].bl_word;
        if (lc_word_state(word) != LC_BLOCK_INDEX) {
            shard->blocks[b].bl_word =
                lc_block_word(LC_BLOCK_OPEN, lc_word_queue(word), lc_word_length(word),
                              lc_word_epoch(word));
        }
    }
    memset(shard->ctl->sh_open, 0xFF, sizeof shard->ctl->sh_open);
    shard->ctl->sh_free_blocks = 0;
    CHECK(!lc_check_quick_locked(shard));
    for (uint64_t n = 0; n < 20 * KEYS; n++) {
        CHECK_EQ(ct_set(cache, n, n, 3000), LILCACHE_OK);
    }
    ct_check(cache);
    lilcache_close(cache);
}

TEST(pins_without_a_row_or_while_another_thread_is_busy, 20) {
    fresh(MIB, 10);
    struct lc_segment *segment = cache->segment;
    struct lc_found found = found_of(1);
    uint32_t block = lc_block_of(shard, found.record.offset);
    CHECK_EQ(pthread_mutex_lock(&segment->pin_mutex), 0);
    CHECK_EQ(lc_pin_take(segment, 0, block, 1, false), -1);
    /* A large value is then copied under the lock. */
    CHECK_EQ(ct_set(cache, 20, 1, 100000), LILCACHE_OK);
    CHECK_EQ(pthread_mutex_unlock(&segment->pin_mutex), 0);
    CHECK_EQ(ct_get(cache, 20, 1, 100000), CT_RIGHT);

    int64_t token = lc_pin_take(segment, 0, block, 1, true);
    CHECK(token >= 0);
    lc_pin_keep(segment, token + 1);
    lc_pin_keep(segment, -1);
    lc_pin_drop(segment, token, true); /* though nobody kept it */
    CHECK_EQ(ct_stat(cache, "pins"), 0);

    int row = segment->row;
    segment->row = -1;
    segment->claim_after_ms = UINT64_MAX;
    CHECK_EQ(lc_pin_take(segment, 0, block, 1, true), -1);
    CHECK_EQ(pthread_mutex_lock(&shard->ctl->sh_mutex), 0);
    CHECK_EQ(ct_set(cache, 1, 1, 30), LILCACHE_BUSY);
    CHECK_EQ(pthread_mutex_unlock(&shard->ctl->sh_mutex), 0);
    CHECK_EQ(ct_set(cache, 1, 1, 30), LILCACHE_OK);
    CHECK_EQ(ct_get(cache, 1, 1, 30), CT_RIGHT);
    segment->row = row;
    segment->claim_after_ms = 0;

    token = lc_pin_take(segment, 0, block, 1, true);
    CHECK(token >= 0);
    segment->row = -1;
    lc_pin_drop(segment, token, false);
    segment->row = row;
    lilcache_close(cache);
}

TEST(geometries_that_barely_fit, 10) {
    struct lc_geometry g;
    CHECK(!lc_geometry_make(LC_SIZE_MAX, UINT32_MAX, 0, 0, 4, &g));
    CHECK(!lc_geometry_make(MIB, MIB / 2, 0, 0, 4, &g));
    CHECK(lc_geometry_make(MIB, 1000, 0, 0, 64, &g));
    CHECK(g.shard_count >= 1 && g.block_count >= 16);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
