/* The heap of one shard: the block table, runs of blocks, and where the next record
 * goes. Knows no keys and no policy. All functions want the shard lock. */
#ifndef LC_BLOCK_H
#define LC_BLOCK_H

#include "lc_handle.h"
#include "lc_record.h"

/* Iterate over heads: for (b = 0; b < count; b = lc_block_next_locked(shard, b)). A
 * length that leads out of the table counts as 1. */
static inline uint32_t lc_block_length_locked(const struct lc_shard *shard,
                                              uint32_t head) {
    uint64_t word = lc_load_relaxed(&shard->blocks[head].bl_word);
    enum lc_block_state state = lc_word_state(word);
    uint32_t length = lc_word_length(word);
    bool run =
        state == LC_BLOCK_OPEN || state == LC_BLOCK_SEALED || state == LC_BLOCK_PARKED;
    return run && length > 0 && length <= shard->block_count - head ? length : 1;
}

static inline uint32_t lc_block_next_locked(const struct lc_shard *shard,
                                            uint32_t head) {
    return head + lc_block_length_locked(shard, head);
}

/* Head of the run that block belongs to; block itself when it is a head. */
static inline uint32_t lc_block_head_locked(const struct lc_shard *shard,
                                            uint32_t block) {
    uint64_t word = lc_load_relaxed(&shard->blocks[block].bl_word);
    if (lc_word_state(word) != LC_BLOCK_CONT) {
        return block;
    }
    uint32_t distance = lc_word_length(word);
    return distance <= block ? block - distance : block;
}

/* Longest run opened for records smaller than a block. Longer ones would save less than
 * a hundredth of their bytes in tails. */
#define LC_RUN_MAX 8

/* Whether records have one size, about. */
static inline bool lc_run_is_uniform_locked(const struct lc_shard *shard,
                                            uint64_t mean) {
    return shard->ctl->sh_spread_bytes < mean / 16;
}

/* Blocks the next run for records like this one should have; at most LC_RUN_MAX, or
 * what the record takes. */
uint32_t lc_run_length_locked(const struct lc_shard *shard, uint64_t record_bytes);

/* Room for `bytes` at the end of an open run of the queue, or of a new one made from
 * free blocks. Returns its byte in the heap, UINT64_MAX when there is none.  Nothing is
 * taken until lc_run_fill_locked. */
uint64_t lc_run_room_locked(struct lc_shard *shard, enum lc_queue queue,
                            uint64_t bytes);

/* As lc_run_room_locked, but only in runs that are open already. */
uint64_t lc_run_room_open_locked(struct lc_shard *shard, enum lc_queue queue,
                                 uint64_t bytes);

/* Whether a run of `count` free blocks exists. */
bool lc_run_possible_locked(const struct lc_shard *shard, uint32_t count);

/* The record at offset is written up to end: make it part of its run. */
void lc_run_fill_locked(struct lc_shard *shard, uint64_t offset, uint64_t end);

/* No more records: OPEN becomes SEALED. */
void lc_run_seal_locked(struct lc_shard *shard, uint32_t head);
void lc_run_seal_all_locked(struct lc_shard *shard);
/* An open run is one that its queue is filling [B1]. */
bool lc_run_is_listed_locked(const struct lc_shard *shard, uint32_t head);

/* Nothing points into the run and nobody has pinned it: bump and free its blocks. */
void lc_run_free_locked(struct lc_shard *shard, uint32_t head);

/* Note a size for lc_run_length_locked. */
void lc_run_measure_locked(struct lc_shard *shard, uint64_t record_bytes);

/* Change state, queue and epoch of a head by one store. */
void lc_block_set_locked(struct lc_shard *shard, uint32_t head,
                         enum lc_block_state state, enum lc_queue queue,
                         uint32_t length);

/* Give the whole table its hints back: continuation words, counts of free, index and
 * parked blocks, open runs. After an owner's death. */
void lc_block_repair_locked(struct lc_shard *shard);

#endif
