/* Eviction: walk a victim run from its start and decide for each record. What was hit
 * stays, and what is small may stay without (docs/decisions/0012).
 *
 *   victim   [dead][live, hit][expired][live, cold][ ... ]
 *                      |          |         |
 *                copy to main   unlink    unlink; from small: leave a ghost
 *                      v
 *   main's open run [ ... ][copy]                then: pins? bump, free.
 *
 * Crash story: each record is one slot change (lc_index_change_locked), before which
 * its copy is complete. A run whose owner died half-way is simply walked again from the
 * start. Invariants: E1 E2 G1 Z1. */
#include "lc_evict.h"

#include <string.h>

#include "lc_append.h"
#include "lc_block.h"
#include "lc_counter.h"
#include "lc_crash.h"
#include "lc_hash.h"
#include "lc_index.h"
#include "lc_pages.h"
#include "lc_pin.h"
#include "lc_victim.h"
#include "lilcache.h"

/* Records looked at in one slice, and in one when not even the next run has its blocks:
 * who sets a large value where records are small would else wait for hundreds of them
 * that the sets after it have time for. */
#define EVICT_WALK_USUAL 32
#define EVICT_WALK_MAX   256
/* Where the processor should be fetching while a record is looked at: a few small
 * records on, of which every second line or so is a header. */
#define EVICT_FETCH_AHEAD 768
/* Records marked dead that a slice passes by besides: more than one set makes, so that
 * most sets need no slice. */
#define EVICT_DEAD_MAX 32

/* The most that a slot's hits can tell. */
#define EVICT_CREDIT_MAX 3
/* Of sh_evicted_bytes: what one record weighs in the moving average. */
#define EVICT_MEAN_SHARE 1024

struct evict_slice {
    uint64_t freed; /* bytes walked over and not copied */
    uint64_t relocated_bytes;
    uint64_t limit_bytes;
    uint32_t relocated;
    uint32_t walked;
    bool may_open; /* relocation may open a run from free blocks */
};

/* [E1] */
static bool evict_may_relocate(const struct evict_slice *slice, uint64_t bytes) {
    return slice->relocated < LC_SLICE_RECORDS ||
           (slice->relocated_bytes < slice->limit_bytes &&
            bytes <= slice->limit_bytes - slice->relocated_bytes);
}

/* sh_evicted_bytes, with a bound: damage must not take long to be forgotten. */
static uint64_t evict_mean_load(const struct lc_shard *shard) {
    return lc_min64(lc_load_relaxed(&shard->ctl->sh_evicted_bytes),
                    shard->record_max * EVICT_MEAN_SHARE);
}

static void evict_mean_note(struct lc_shard *shard, uint64_t bytes) {
    uint64_t mean = evict_mean_load(shard);
    lc_store_relaxed(&shard->ctl->sh_evicted_bytes,
                     mean == 0 ? bytes * EVICT_MEAN_SHARE
                               : mean - mean / EVICT_MEAN_SHARE + bytes);
}

/* What sizes are measured by: not what is written, for a main of equally small records
 * keeps none of them on account of its size, so that eviction goes on. */
static uint64_t evict_mean(const struct lc_shard *shard) {
    uint64_t mean = evict_mean_load(shard) / EVICT_MEAN_SHARE;
    return mean ? mean : lc_load_relaxed32(&shard->ctl->sh_mean_bytes);
}

/* Hits that keep a record of this size: large ones must earn their place. */
static uint32_t evict_threshold(const struct lc_shard *shard, uint64_t bytes,
                                uint64_t mean) {
    if (shard->favor_bytes) {
        return 1; /* a hit in a large record is worth all of its bytes */
    }
    return bytes <= 2 * mean ? 1 : bytes <= 8 * mean ? 2 : 3;
}

/* Rounds through main that a record may stay without a hit, since it takes the room of
 * only a part of what main evicts: one for each halving. As in Greedy-Dual-Size
 * (Cherkasova: HP Laboratories, HPL-98-69R1, 1998), the smaller a record, the longer it
 * may wait for a hit. */
static uint64_t evict_credit(const struct lc_shard *shard, uint64_t bytes,
                             uint64_t mean) {
    uint64_t credit = 0;
    if (shard->favor_bytes) {
        return 0;
    }
    while (credit < EVICT_CREDIT_MAX && bytes << (credit + 1) <= mean) {
        credit++;
    }
    return credit;
}

/* Copy the record to the end of a queue and move the slot over; same stamp, same key.
 */
static bool evict_relocate(struct lc_shard *shard, const struct lc_record *record,
                           const struct lc_place *place, enum lc_queue queue,
                           uint64_t hits, struct evict_slice *slice) {
    struct lc_source source = {
        .key = lc_record_key(shard, record),
        .key_length = record->key_length,
        .value_length = record->value_length,
        .stamp = record->stamp,
        .expires = record->expires,
        .flags = record->flags,
    };
    struct lc_record copy;
    uint64_t bytes = lc_append_plan(shard, &source);
    if (!lc_append_verify(shard, record)) {
        return false; /* damaged: it gets nobody's room */
    }
    uint64_t at = slice->may_open ? lc_run_room_locked(shard, queue, bytes)
                                  : lc_run_room_open_locked(shard, queue, bytes);
    if (at == UINT64_MAX || !lc_append_apart(record, at, bytes)) {
        return false;
    }
    lc_append_head_locked(shard, &source, at, &copy);
    lc_append_again(shard, record, &copy);
    LC_CRASH(evict_record_copied);
    lc_index_change_locked(shard, place,
                           lc_slot_live(place->tag, at >> LC_UNIT_SHIFT, hits),
                           record->total, copy.total);
    slice->relocated++;
    slice->relocated_bytes += copy.total;
    lc_count_locked(shard, LC_SHARD_relocations, 1);
    return true;
}

static void evict_unlink(struct lc_shard *shard, const struct lc_record *record,
                         const struct lc_place *place, bool ghost) {
    uint64_t word = 0;
    if (ghost) {
        shard->ctl->sh_ghost_clock += lc_div_up(record->total, 64);
        word = lc_slot_ghost(place->tag, shard->ctl->sh_ghost_clock);
    }
    lc_index_change_locked(shard, place, word, record->total, 0);
    LC_CRASH(evict_record_unlinked);
}

/* A record that fills most of its run stays where it is: the run joins main. */
static void evict_relabel(struct lc_shard *shard, uint32_t head,
                          const struct lc_record *record, const struct lc_place *place,
                          uint64_t hits) {
    uint64_t word = shard->blocks[head].bl_word;
    lc_index_change_locked(
        shard, place, lc_slot_live(place->tag, record->offset >> LC_UNIT_SHIFT, hits),
        record->total, record->total);
    shard->blocks[head].bl_sequence = ++shard->ctl->sh_sequence;
    lc_store_release(&shard->blocks[head].bl_word,
                     lc_block_word(LC_BLOCK_SEALED, LC_MAIN, lc_word_length(word),
                                   lc_word_epoch(word)));
    shard->ctl->sh_victim = LC_NO_BLOCK;
    lc_count_locked(shard, LC_SHARD_relocations, 1);
}

/* True: the run was relabelled and is no victim any more. */
static bool evict_record(struct lc_shard *shard, uint32_t head,
                         const struct lc_record *record, const struct lc_place *place,
                         struct evict_slice *slice) {
    uint64_t word = shard->blocks[head].bl_word;
    enum lc_queue queue = lc_word_queue(word);
    uint64_t run_bytes = (uint64_t)lc_word_length(word) << shard->block_shift;
    uint32_t mode = shard->ctl->sh_victim_mode;
    uint64_t hits = lc_slot_hits(place->word);
    uint64_t mean = evict_mean(shard);
    uint32_t threshold = evict_threshold(shard, record->total, mean);
    bool old_epoch = lc_word_epoch(word) != (uint32_t)shard->ctl->sh_epoch;

    if (old_epoch) { /* cleared long ago; nothing is lifted over an epoch */
        evict_unlink(shard, record, place, false);
        return false;
    }
    if (lc_record_expired(record)) {
        evict_unlink(shard, record, place, false);
        lc_count_locked(shard, LC_SHARD_expirations, 1);
        return false;
    }
    if (mode == LC_VICTIM_CLEAN &&
        evict_relocate(shard, record, place, queue, hits, slice)) {
        return false;
    }
    if (mode != LC_VICTIM_DROP && !shard->ctl->sh_bulk) {
        uint64_t left = 0; /* of its credit */
        bool stays = false;
        if (queue == LC_SMALL) {
            left = evict_credit(shard, record->total, mean);
            stays = hits >= threshold || left > 0;
        } else if (hits > 0) {
            stays = true;
            left = threshold > 2 ? 0 : hits - 1;
        } else {
            evict_mean_note(shard, record->total);
        }
        if (stays && record->total * 2 > run_bytes) {
            evict_relabel(shard, head, record, place, left);
            return true;
        }
        if (stays && evict_relocate(shard, record, place, LC_MAIN, left, slice)) {
            return false;
        }
    }
    evict_unlink(shard, record, place, queue == LC_SMALL && !shard->ctl->sh_bulk);
    shard->ctl->sh_cold_bytes = UINT64_MAX;
    lc_count_locked(shard, LC_SHARD_evictions, 1);
    return false;
}

struct evict_range {
    uint64_t from;
    uint64_t to;
};

static void evict_purge_slot(const struct lc_shard *shard, uint32_t group,
                             uint64_t *slot, void *context) {
    const struct evict_range *range = context;
    uint64_t word = lc_load_relaxed(slot);
    if (lc_slot_is_live(word) && lc_slot_offset(word) >= range->from &&
        lc_slot_offset(word) < range->to) {
        struct lc_place place = {slot, word, lc_slot_tag(word), group, 0};
        lc_index_change_locked((struct lc_shard *)shard, &place, 0, 0, 0);
    }
}

/* A run whose records cannot be walked (damage): find what points into it from the
 * index. */
static void evict_purge(struct lc_shard *shard, uint32_t head) {
    struct evict_range range;
    range.from = (uint64_t)head << shard->block_shift;
    range.to = range.from +
               ((uint64_t)lc_block_length_locked(shard, head) << shard->block_shift);
    for (uint32_t g = 0; g < shard->group_count; g++) {
        lc_index_visit_locked(shard, g, evict_purge_slot, &range);
    }
}

/* Every slot is unlinked: free the run, or park it while it is pinned [G1]. */
static void evict_finish(struct lc_shard *shard, uint32_t head) {
    uint64_t word = shard->blocks[head].bl_word;
    uint32_t length = lc_block_length_locked(shard, head);
    if (LC_UNLIKELY(lc_load_relaxed(&shard->blocks[head].bl_live) >> 32 != 0)) {
        evict_purge(shard, head); /* one was marked dead by damage [E2] */
    }
    LC_CRASH(evict_run_unlinked);
    if (lc_pin_any_locked(shard->segment, shard->number, head, length)) {
        lc_store_release(&shard->blocks[head].bl_word,
                         lc_block_word(LC_BLOCK_PARKED, lc_word_queue(word), length,
                                       lc_word_epoch(word)));
        shard->ctl->sh_parked_blocks += length;
        lc_count_locked(shard, LC_SHARD_parks, 1);
    } else {
        lc_run_free_locked(shard, head);
    }
    shard->ctl->sh_victim = LC_NO_BLOCK;
}

void lc_evict_unpark_locked(struct lc_shard *shard) {
    if (shard->ctl->sh_parked_blocks == 0) {
        return;
    }
    uint32_t parked = 0;
    for (uint32_t b = 0; b < shard->block_count;) {
        uint32_t length = lc_block_length_locked(shard, b);
        if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_PARKED) {
            if (lc_pin_any_locked(shard->segment, shard->number, b, length)) {
                parked += length;
            } else {
                lc_run_free_locked(shard, b);
            }
        }
        b += length;
    }
    shard->ctl->sh_parked_blocks = parked;
}

/* Records that come next in the victim, and the hashes of the keys of those that may be
 * linked. */
struct evict_ahead {
    struct lc_record records[LC_INDEX_FETCH_MAX];
    lc_hash64 hashes[LC_INDEX_FETCH_MAX];
    uint32_t count;
    uint32_t used;
};

/* As many as are worth `bytes`, one at least; none if the first cannot be read. Their
 * slots are fetched together: one after the other is most of what a walk would take. */
static void evict_look_ahead(const struct lc_shard *shard, uint64_t at, uint64_t end,
                             uint64_t bytes, struct evict_ahead *ahead) {
    uint64_t from = at;
    lc_hash64 fetched[LC_INDEX_FETCH_MAX];
    uint32_t fetches = 0;
    ahead->count = ahead->used = 0;
    do {
        struct lc_record *record = &ahead->records[ahead->count];
        __builtin_prefetch(shard->heap + at + EVICT_FETCH_AHEAD);
        __builtin_prefetch(shard->heap + at + EVICT_FETCH_AHEAD + LC_CACHE_LINE);
        if (!lc_record_read(shard, at, record) || record->total > end - at) {
            break;
        }
        if (!(record->flags & LC_RECORD_DEAD)) {
            lc_hash64 hash =
                lc_hash_key(&shard->segment->hash, lc_record_key(shard, record),
                            record->key_length, lc_record_key_type(record));
            ahead->hashes[ahead->count] = fetched[fetches++] = hash;
        }
        ahead->count++;
        at += record->total;
    } while (at < end && at - from < bytes && ahead->count < LC_INDEX_FETCH_MAX);
    if (fetches > 1) {
        lc_index_fetch_locked(shard, fetched, fetches);
    }
}

/* The slot of a record ahead. None points to one that is marked dead [R1]: that is
 * passed by without a look into the index. */
static bool evict_find(const struct lc_shard *shard, const struct evict_ahead *ahead,
                       uint32_t which, struct lc_place *place) {
    const struct lc_record *record = &ahead->records[which];
    return !(record->flags & LC_RECORD_DEAD) &&
           lc_index_find_offset_locked(shard, ahead->hashes[which], record->offset,
                                       place);
}

/* A record that is marked dead lies at `at`, and ends within the bytes there are. */
static bool evict_is_dead(const struct lc_shard *shard, uint64_t at, uint64_t bytes,
                          struct lc_record *record) {
    return lc_record_read(shard, at, record) && record->flags & LC_RECORD_DEAD &&
           record->total <= bytes;
}

/* Where the walk is after the records from `at` on that are marked dead, to which no
 * slot points [R1]: they are passed by without a look into the index. */
static uint64_t evict_pass_dead(const struct lc_shard *shard, uint64_t start,
                                uint64_t at, uint64_t fill, struct evict_slice *slice) {
    struct lc_record record;
    for (int i = 0; i < EVICT_DEAD_MAX && at < fill; i++) {
        if (!evict_is_dead(shard, start + at, fill - at, &record)) {
            break;
        }
        at += record.total;
        slice->freed += record.total;
    }
    return at;
}

/* Walk the victim until the slice is used up or the run is done. True: done. */
static bool evict_walk(struct lc_shard *shard, struct evict_slice *slice,
                       uint64_t freed_wanted, uint32_t walk_max) {
    struct shm_shard *ctl = shard->ctl;
    /* Once, and checked here as well: damage may come behind lc_victim_ready_locked. */
    uint32_t head = lc_load_relaxed32(&ctl->sh_victim);
    if (LC_UNLIKELY(head >= shard->block_count)) {
        ctl->sh_victim = LC_NO_BLOCK;
        return true;
    }
    uint64_t start = (uint64_t)head << shard->block_shift;
    uint64_t fill =
        lc_min64(lc_load_relaxed(&shard->blocks[head].bl_fill),
                 (uint64_t)lc_block_length_locked(shard, head) << shard->block_shift);

    uint64_t at = lc_load_relaxed(&ctl->sh_victim_at);
    struct evict_ahead ahead;
    ahead.count = ahead.used = 0; /* and not the rest, which is large */

    at = ctl->sh_victim_at = evict_pass_dead(shard, start, at, fill, slice);
    /* Once nothing lives in it, what is left is passed by at once [E2]. */
    while (at < fill && lc_load_relaxed(&shard->blocks[head].bl_live) != 0) {
        struct lc_place place;
        if (slice->freed >= freed_wanted || slice->walked >= walk_max) {
            return false;
        }
        if (ahead.used == ahead.count) {
            evict_look_ahead(shard, start + at, start + fill,
                             freed_wanted - slice->freed, &ahead);
            if (ahead.count == 0) {
                break;
            }
        }
        uint32_t which = ahead.used++;
        const struct lc_record *record = &ahead.records[which];
        uint64_t relocated = slice->relocated_bytes;
        if (evict_find(shard, &ahead, which, &place)) {
            if (!evict_may_relocate(slice, record->total)) {
                return false; /* the next call: nothing is dropped for want of time */
            }
            if (evict_record(shard, head, record, &place, slice)) {
                return true;
            }
        }
        at += record->total;
        ctl->sh_victim_at = at;
        slice->walked++;
        if (slice->relocated_bytes == relocated) {
            slice->freed += record->total;
        }
    }
    struct lc_record next;
    if (at < fill && !evict_is_dead(shard, start + at, fill - at, &next)) {
        evict_purge(shard, head); /* no record, or one that nothing counts: damage */
    }
    evict_finish(shard, head);
    return true;
}

/* Blocks of the next run for records of the mean size, worked out again when that has
 * changed; by more than a sixteenth where sizes differ anyhow. */
static uint32_t evict_run_length(struct lc_shard *shard) {
    uint64_t mean = lc_max64(lc_load_relaxed32(&shard->ctl->sh_mean_bytes), 24);
    bool uniform = lc_run_is_uniform_locked(shard, mean);
    struct lc_run_memo *memo = &shard->run_memo;
    uint64_t distance = mean > memo->mean ? mean - memo->mean : memo->mean - mean;
    if (uniform != memo->uniform || distance > (uniform ? 0 : memo->mean / 16)) {
        *memo = (struct lc_run_memo){.mean = mean,
                                     .uniform = uniform,
                                     .blocks = lc_run_length_locked(shard, mean)};
    }
    return memo->blocks;
}

/* Free so many blocks, if a slice is enough for that. */
static LC_NOINLINE void evict_slice(struct lc_shard *shard, uint64_t bytes,
                                    uint32_t wanted) {
    struct evict_slice slice = {
        .limit_bytes = bytes * LC_SLICE_FACTOR,
        .may_open = true,
    };
    for (int runs = 0; runs < 4 && shard->ctl->sh_free_blocks < wanted; runs++) {
        if (!lc_victim_ready_locked(shard, false)) {
            return;
        }
        bool next_fits = shard->ctl->sh_free_blocks + 1 >= wanted;
        uint32_t walk_max = next_fits ? EVICT_WALK_USUAL : EVICT_WALK_MAX;
        if (!evict_walk(shard, &slice, 2 * bytes, walk_max)) {
            return;
        }
    }
}

void lc_evict_slice_locked(struct lc_shard *shard, uint64_t bytes) {
    struct shm_shard *ctl = shard->ctl;
    if (LC_LIKELY(ctl->sh_free_blocks > LC_RUN_MAX)) {
        return; /* a mean is no more than two blocks (lc_run_measure_locked) */
    }
    uint32_t wanted = evict_run_length(shard) + 1;
    if (ctl->sh_free_blocks < wanted) {
        evict_slice(shard, bytes, wanted);
    }
}

/* Drop everything in the current victim, or in another one. The slice before has used
 * up what this call may relocate [E1]. */
static bool evict_whole_run(struct lc_shard *shard) {
    struct evict_slice slice = {.limit_bytes = UINT64_MAX};
    if (!lc_victim_ready_locked(shard, true)) {
        return false;
    }
    shard->ctl->sh_victim_mode = LC_VICTIM_DROP;
    evict_walk(shard, &slice, UINT64_MAX, UINT32_MAX);
    return true;
}

/* Empty the run at head, whatever it takes. */
static void evict_all_of(struct lc_shard *shard, uint32_t head,
                         enum lc_victim_mode mode) {
    lc_run_seal_locked(shard, head);
    shard->ctl->sh_victim = head;
    shard->ctl->sh_victim_at = 0;
    shard->ctl->sh_victim_mode = mode;
    struct evict_slice slice = {.limit_bytes = UINT64_MAX, .may_open = true};
    while (shard->ctl->sh_victim == head) {
        evict_walk(shard, &slice, UINT64_MAX, UINT32_MAX);
        if (lc_word_state(shard->blocks[head].bl_word) == LC_BLOCK_SEALED) {
            shard->ctl->sh_victim = head; /* relabelled: it has to go all the same */
            shard->ctl->sh_victim_at = 0;
            shard->ctl->sh_victim_mode = LC_VICTIM_DROP;
        }
    }
}

/* Index blocks that were taken out of line stand between windows: empty the run at the
 * index's end, if there is one, and move the lowest index block there. */
static bool evict_straighten(struct lc_shard *shard) {
    uint32_t next = lc_pages_next_locked(shard);
    uint32_t lowest = lc_pages_lowest_locked(shard);
    if (next == LC_NO_BLOCK || lowest == LC_NO_BLOCK || lowest > next) {
        return false;
    }
    uint32_t head = lc_block_head_locked(shard, next);
    enum lc_block_state state = lc_word_state(shard->blocks[head].bl_word);
    if (state == LC_BLOCK_OPEN || state == LC_BLOCK_SEALED) {
        evict_all_of(shard, head, LC_VICTIM_DROP);
    }
    bool extended = lc_pages_extend_locked(shard, false);
    return lc_index_empty_lowest_locked(shard) || extended;
}

/* Empty every run of a window of `count` blocks. Survivors, and everything that lives
 * if there is room for it in free blocks elsewhere, move out of it. */
static bool evict_window(struct lc_shard *shard, uint32_t count) {
    uint32_t end;
    uint32_t start = lc_victim_window_locked(shard, count, &end);
    uint64_t live = 0;
    uint32_t free_outside = shard->ctl->sh_free_blocks;
    if (start == LC_NO_BLOCK) {
        return false;
    }
    for (uint32_t b = start; b < end; b = lc_block_next_locked(shard, b)) {
        live += (shard->blocks[b].bl_live & UINT32_MAX) << LC_UNIT_SHIFT;
        free_outside -= lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_FREE;
    }
    bool room = live < (uint64_t)free_outside << shard->block_shift;
    shard->held_from = start;
    shard->held_to = end;
    for (uint32_t b = start; b < end;) {
        uint32_t next = lc_block_next_locked(shard, b);
        enum lc_block_state state = lc_word_state(shard->blocks[b].bl_word);
        if (state == LC_BLOCK_OPEN || state == LC_BLOCK_SEALED) {
            evict_all_of(shard, b, room ? LC_VICTIM_CLEAN : LC_VICTIM_POLICY);
        }
        b = next;
    }
    shard->held_from = shard->held_to = 0;
    return true;
}

/* Free blocks wherever the oldest runs lie, until a run fits or there are as many as it
 * needs and one for copies: then what lives in the window that becomes the run can move
 * there. Emptied without that, a window would lose what was hit in it. */
static void evict_scattered(struct lc_shard *shard, uint32_t count, uint64_t bytes) {
    uint32_t end;
    if (lc_victim_window_locked(shard, count, &end) == LC_NO_BLOCK) {
        return; /* pins are in the way: nothing is to be lost for nothing */
    }
    struct evict_slice slice = {.limit_bytes = bytes * LC_SLICE_FACTOR,
                                .may_open = true};
    for (uint32_t runs = 0; runs < 4 * count && shard->ctl->sh_free_blocks <= count &&
                            !lc_run_possible_locked(shard, count);
         runs++) {
        if (!lc_victim_ready_locked(shard, false) ||
            !evict_walk(shard, &slice, UINT64_MAX, UINT32_MAX)) {
            return;
        }
    }
}

LC_NOINLINE int lc_evict_force_locked(struct lc_shard *shard, uint64_t bytes) {
    uint32_t count = lc_blocks_for(shard, bytes);
    lc_evict_unpark_locked(shard);
    if (count > 1) {
        evict_scattered(shard, count, bytes);
    }
    for (uint32_t tries = 0; tries <= shard->block_count; tries++) {
        if (lc_run_possible_locked(shard, count)) {
            return LILCACHE_OK;
        }
        if (count == 1 ? !evict_whole_run(shard)
                       : !evict_window(shard, count) && !evict_straighten(shard)) {
            return LILCACHE_NO_SPACE;
        }
    }
    return LILCACHE_NO_SPACE;
}
