/* Block table and runs.
 *
 *   head                         walk: b += length(b)
 *   v
 *   +------+------+------+------+------+------+
 *   | OPEN | CONT | CONT | FREE | SEAL | CONT |     bl_word of each block
 *   | len 3| -1   | -2   | len 1| len 2| -1   |
 *   +------+------+------+------+------+------+
 *
 * Concurrency: under the shard lock; readers load bl_generation and bl_word only.
 * Crash story: a run comes and goes by the one store of its head's word. Words of
 * blocks inside a run are not looked at by the walk, so they are written before the
 * head (open) or before the head's freeing (free); lc_block_repair_locked sets them
 * right. Invariants: B1 B2 B3 G1. */
#include "lc_block.h"

#include "lc_atomic.h"
#include "lc_counter.h"
#include "lc_crash.h"
#include "lc_race.h"

void lc_block_set_locked(struct lc_shard *shard, uint32_t head,
                         enum lc_block_state state, enum lc_queue queue,
                         uint32_t length) {
    /* Release: pairs with the acquire of bl_word in lc_read.c; the epoch must not be
     * seen before the generation that was bumped when the block came free. */
    lc_store_release(
        &shard->blocks[head].bl_word,
        lc_block_word(state, queue, length, (uint32_t)shard->ctl->sh_epoch));
}

LC_NOINLINE uint32_t lc_run_length_locked(const struct lc_shard *shard,
                                          uint64_t record_bytes) {
    uint64_t block = 1ULL << shard->block_shift;
    uint32_t needed = lc_blocks_for(shard, record_bytes);
    uint64_t mean = lc_max64(lc_load_relaxed32(&shard->ctl->sh_mean_bytes), 24);
    bool uniform = lc_run_is_uniform_locked(shard, mean);
    uint32_t limit = (uint32_t)lc_clamp64(shard->block_count / 64, 1, LC_RUN_MAX);
    uint64_t best_cost = UINT64_MAX;
    uint32_t best = 1;

    if (needed > limit) {
        return needed;
    }
    /* Lost: the tail where the next record no longer fits, half a record on average, or
     * just what is left when all have one size; and about two runs of the shard that
     * are half full or waiting. In 1/65536 of the shard: no division for each
     * length. */
    static const uint32_t part[LC_RUN_MAX + 1] = {0,     65536, 32768, 21845, 16384,
                                                  13107, 10922, 9362,  8192};
    uint64_t more = uniform ? (uint32_t)block % (uint32_t)mean : block;
    uint64_t tail = 0;
    for (uint32_t n = 1; n <= limit; n++) {
        tail += more;
        if (uniform) {
            tail -= tail >= mean ? mean : 0;
        } else {
            tail = lc_min64(tail, mean / 2);
        }
        uint64_t cost = (tail * part[n] >> shard->block_shift) + n * shard->run_waiting;
        if (n >= needed && cost < best_cost) {
            best_cost = cost;
            best = n;
        }
    }
    return (uint32_t)lc_max64(best, needed);
}

/* One more of a moving average of 64. Rounded away from what it was, so that it reaches
 * a constant input. */
static uint32_t run_average(uint64_t was, uint64_t one) {
    return (uint32_t)(one > was ? was + (one - was + 63) / 64
                                : was - (was - one + 63) / 64);
}

void lc_run_measure_locked(struct lc_shard *shard, uint64_t record_bytes) {
    struct shm_shard *ctl = shard->ctl;
    /* Larger records get runs of their own and say nothing about the others. */
    uint32_t size = (uint32_t)lc_min64(record_bytes, 2ULL << shard->block_shift);
    uint32_t mean = ctl->sh_mean_bytes;
    if (mean == 0) {
        ctl->sh_mean_bytes = size;
        return;
    }
    if (size == mean && ctl->sh_spread_bytes == 0) {
        return; /* as the one before, and the ones before that */
    }
    uint32_t distance = size > mean ? size - mean : mean - size;
    ctl->sh_mean_bytes = run_average(mean, size);
    ctl->sh_spread_bytes = run_average(ctl->sh_spread_bytes, distance);
}

/* The lowest window of `wanted` free blocks, else the longest of at least `needed`. Low
 * addresses first: index blocks come from the other end. */
static uint32_t run_find_free(const struct lc_shard *shard, uint32_t wanted,
                              uint32_t needed, uint32_t *length) {
    uint32_t best = LC_NO_BLOCK;
    uint32_t best_length = 0;
    uint32_t start = 0;
    uint32_t count = 0;
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        bool held = b >= shard->held_from && b < shard->held_to;
        if (held || lc_word_state(shard->blocks[b].bl_word) != LC_BLOCK_FREE) {
            count = 0;
            continue;
        }
        if (count++ == 0) {
            start = b;
        }
        if (count > best_length) {
            best = start;
            best_length = count;
            if (count >= wanted) {
                break;
            }
        }
    }
    *length = best_length;
    return best_length >= needed ? best : LC_NO_BLOCK;
}

bool lc_run_possible_locked(const struct lc_shard *shard, uint32_t count) {
    uint32_t length;
    return run_find_free(shard, count, count, &length) != LC_NO_BLOCK;
}

static void run_open(struct lc_shard *shard, enum lc_queue queue, uint32_t head,
                     uint32_t length, uint32_t place) {
    struct shm_shard *ctl = shard->ctl;
    struct shm_block *block = &shard->blocks[head];
    uint32_t epoch = (uint32_t)ctl->sh_epoch;

    for (uint32_t i = 1; i < length; i++) {
        lc_store_release(&shard->blocks[head + i].bl_word,
                         lc_block_word(LC_BLOCK_CONT, queue, i, epoch));
        LC_CRASH(run_continued);
    }
    block->bl_fill = 0;
    lc_store_relaxed(&block->bl_live, 0);
    block->bl_expires = 0;
    block->bl_sequence = ++ctl->sh_sequence;
    lc_block_set_locked(shard, head, LC_BLOCK_OPEN, queue, length);
    LC_CRASH(run_opened);
    ctl->sh_free_blocks -= (uint32_t)lc_min64(length, ctl->sh_free_blocks);
    ctl->sh_open[queue][place] = head;
}

static uint64_t run_room_in(const struct lc_shard *shard, uint32_t head,
                            uint64_t bytes) {
    const struct shm_block *block;
    if (head >= shard->block_count) {
        return UINT64_MAX;
    }
    block = &shard->blocks[head];
    uint64_t word = lc_load_relaxed(&block->bl_word);
    uint64_t size = (uint64_t)lc_word_length(word) << shard->block_shift;
    uint64_t fill = lc_load_relaxed(&block->bl_fill);
    if (fill > size || size - lc_align_up(fill, 8) < bytes) {
        return UINT64_MAX;
    }
    if (lc_word_state(word) != LC_BLOCK_OPEN ||
        lc_word_epoch(word) != (uint32_t)shard->ctl->sh_epoch ||
        lc_word_length(word) > shard->block_count - head) {
        return UINT64_MAX;
    }
    uint64_t at = ((uint64_t)head << shard->block_shift) + lc_align_up(fill, 8);
    uint32_t in_run = lc_block_of(shard, at) - head;
    /* Readers look at the word of the block in which a record begins [B2]. */
    return in_run == 0 || shard->blocks[head + in_run].bl_word ==
                              lc_block_word(LC_BLOCK_CONT, lc_word_queue(word), in_run,
                                            lc_word_epoch(word))
               ? at
               : UINT64_MAX;
}

static uint64_t run_left(const struct lc_shard *shard, uint32_t head) {
    uint64_t size = (uint64_t)lc_block_length_locked(shard, head) << shard->block_shift;
    return size - lc_min64(size, shard->blocks[head].bl_fill);
}

uint64_t lc_run_room_open_locked(struct lc_shard *shard, enum lc_queue queue,
                                 uint64_t bytes) {
    /* Best fit: the fuller run first, which is the later place (run_room_new). */
    for (int place = LC_OPEN_RUNS - 1; place >= 0; place--) {
        uint32_t head = lc_load_relaxed32(&shard->ctl->sh_open[queue][place]);
        uint64_t at = run_room_in(shard, head, bytes);
        if (at != UINT64_MAX) {
            return at;
        }
    }
    return UINT64_MAX;
}

/* In a run made from free blocks. */
static LC_NOINLINE uint64_t run_room_new(struct lc_shard *shard, enum lc_queue queue,
                                         uint64_t bytes) {
    uint32_t *open = shard->ctl->sh_open[queue];
    uint32_t needed = lc_blocks_for(shard, bytes);
    uint32_t wanted = lc_run_length_locked(shard, bytes);
    uint32_t length;
    uint32_t head = run_find_free(shard, wanted, needed, &length);
    if (head == LC_NO_BLOCK) {
        return UINT64_MAX;
    }
    /* Keep the one with more room beside the new run, in the last place. */
    uint32_t first = lc_load_relaxed32(&open[0]);
    uint32_t last = lc_load_relaxed32(&open[1]);
    if (first < shard->block_count) {
        if (last >= shard->block_count ||
            run_left(shard, last) < run_left(shard, first)) {
            if (last < shard->block_count) {
                lc_run_seal_locked(shard, last);
            }
            open[1] = first;
        } else {
            lc_run_seal_locked(shard, first);
        }
    }
    run_open(shard, queue, head, (uint32_t)lc_min64(length, wanted), 0);
    return (uint64_t)head << shard->block_shift;
}

uint64_t lc_run_room_locked(struct lc_shard *shard, enum lc_queue queue,
                            uint64_t bytes) {
    uint64_t at = lc_run_room_open_locked(shard, queue, bytes);
    return LC_LIKELY(at != UINT64_MAX) ? at : run_room_new(shard, queue, bytes);
}

void lc_run_fill_locked(struct lc_shard *shard, uint64_t offset, uint64_t end) {
    uint32_t head = lc_block_head_locked(shard, lc_block_of(shard, offset));
    /* Release: a successor that scans up to bl_fill must find the record's bytes [B3].
     */
    lc_store_release(&shard->blocks[head].bl_fill,
                     end - ((uint64_t)head << shard->block_shift));
    LC_CRASH(record_filled);
}

void lc_run_seal_locked(struct lc_shard *shard, uint32_t head) {
    uint64_t word = lc_load_relaxed(&shard->blocks[head].bl_word);
    for (int queue = 0; queue < LC_QUEUES; queue++) {
        for (int place = 0; place < LC_OPEN_RUNS; place++) {
            if (shard->ctl->sh_open[queue][place] == head) {
                shard->ctl->sh_open[queue][place] = LC_NO_BLOCK;
            }
        }
    }
    if (lc_word_state(word) == LC_BLOCK_OPEN) { /* keeps its own epoch */
        lc_store_release(&shard->blocks[head].bl_word,
                         lc_block_word(LC_BLOCK_SEALED, lc_word_queue(word),
                                       lc_word_length(word), lc_word_epoch(word)));
    }
}

bool lc_run_is_listed_locked(const struct lc_shard *shard, uint32_t head) {
    enum lc_queue queue = lc_word_queue(lc_load_relaxed(&shard->blocks[head].bl_word));
    for (int place = 0; place < LC_OPEN_RUNS; place++) {
        if (lc_load_relaxed32(&shard->ctl->sh_open[queue][place]) == head) {
            return true;
        }
    }
    return false;
}

void lc_run_seal_all_locked(struct lc_shard *shard) {
    for (int queue = 0; queue < LC_QUEUES; queue++) {
        for (int place = 0; place < LC_OPEN_RUNS; place++) {
            uint32_t head = lc_load_relaxed32(&shard->ctl->sh_open[queue][place]);
            if (head < shard->block_count) {
                lc_run_seal_locked(shard, head);
            }
        }
    }
}

void lc_run_free_locked(struct lc_shard *shard, uint32_t head) {
    uint32_t length = lc_block_length_locked(shard, head);
    for (uint32_t i = 0; i < length; i++) {
        struct shm_block *block = &shard->blocks[head + i];
        /* Release: the unlinking stores come first. Pairs with the second load of
         * bl_generation in lc_read.c, behind its acquire fence [G1]. */
        lc_store_release(&block->bl_generation, block->bl_generation + 1);
        LC_RACE_REUSED(&block->bl_generation);
        LC_CRASH(evict_generation_bumped);
    }
    /* No byte of these blocks may be written before the bumps are visible: a reader
     * that copies new bytes must find the new generation. */
    lc_fence_seq_cst();
    for (uint32_t i = length - 1; i > 0; i--) {
        lc_block_set_locked(shard, head + i, LC_BLOCK_FREE, LC_SMALL, 1);
        shard->blocks[head + i].bl_fill = 0;
        lc_store_relaxed(&shard->blocks[head + i].bl_live, 0);
    }
    shard->blocks[head].bl_fill = 0;
    lc_store_relaxed(&shard->blocks[head].bl_live, 0);
    lc_block_set_locked(shard, head, LC_BLOCK_FREE, LC_SMALL, 1);
    LC_CRASH(evict_run_freed);
    shard->ctl->sh_free_blocks += length;
    lc_count_locked(shard, LC_SHARD_recycles, length);
}

void lc_block_repair_locked(struct lc_shard *shard) {
    struct shm_shard *ctl = shard->ctl;
    uint32_t free_blocks = 0;
    uint32_t index_blocks = 0;
    uint32_t index_pages = 0;
    uint32_t parked = 0;
    uint64_t sequence = ctl->sh_sequence;

    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        struct shm_block *block = &shard->blocks[b];
        uint32_t length = lc_block_length_locked(shard, b);
        uint64_t word = lc_load_relaxed(&block->bl_word);
        for (uint32_t i = 1; i < length; i++) {
            lc_store_release(&shard->blocks[b + i].bl_word,
                             lc_block_word(LC_BLOCK_CONT, lc_word_queue(word), i,
                                           lc_word_epoch(word)));
        }
        switch (lc_word_state(word)) {
        case LC_BLOCK_FREE:
            free_blocks++;
            break;
        case LC_BLOCK_INDEX:
            index_blocks++;
            index_pages += (uint32_t)block->bl_fill;
            break;
        case LC_BLOCK_PARKED:
            parked += length;
            break;
        case LC_BLOCK_OPEN:
            if (!lc_run_is_listed_locked(shard, b)) {
                lc_run_seal_locked(shard, b);
            }
            break;
        case LC_BLOCK_CONT: /* its head is gone: the freeing of the run was under way */
            lc_store_release(&block->bl_generation, block->bl_generation + 1);
            LC_RACE_REUSED(&block->bl_generation);
            lc_block_set_locked(shard, b, LC_BLOCK_FREE, LC_SMALL, 1);
            free_blocks++;
            break;
        default:
            break;
        }
        if (lc_word_state(word) != LC_BLOCK_FREE) {
            sequence = lc_max64(sequence, block->bl_sequence);
        }
    }
    for (int queue = 0; queue < LC_QUEUES; queue++) {
        for (int place = 0; place < LC_OPEN_RUNS; place++) {
            uint32_t head = lc_load_relaxed32(&ctl->sh_open[queue][place]);
            if (head >= shard->block_count ||
                lc_word_state(shard->blocks[head].bl_word) != LC_BLOCK_OPEN) {
                ctl->sh_open[queue][place] = LC_NO_BLOCK;
            }
        }
    }
    ctl->sh_free_blocks = free_blocks;
    ctl->sh_index_blocks = index_blocks;
    ctl->sh_index_pages = index_pages;
    ctl->sh_index_hint = shard->block_count - 1;
    ctl->sh_index_low = 0;
    ctl->sh_parked_blocks = parked;
    ctl->sh_sequence = sequence;
    /* The owner may have died between freeing the victim and forgetting it: a later run
     * in the same place must not be taken for half evicted. */
    ctl->sh_victim = LC_NO_BLOCK;
    ctl->sh_victim_at = 0;
}
