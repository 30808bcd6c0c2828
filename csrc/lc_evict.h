/* S3-FIFO by relocation (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are all you need
 * for cache eviction", SOSP 2023) over runs of blocks: what leaves, what moves to main,
 * and in how small slices. Under the shard lock. */
#ifndef LC_EVICT_H
#define LC_EVICT_H

#include "lc_handle.h"

/* Most records one call relocates, whatever its size; and beyond 4 times its own bytes.
 */
#define LC_SLICE_RECORDS 32
#define LC_SLICE_FACTOR  4

enum lc_victim_mode {
    LC_VICTIM_POLICY = 0, /* hits decide */
    LC_VICTIM_CLEAN = 1,  /* mostly dead: what lives stays, in the same queue */
    LC_VICTIM_DROP = 2,   /* nothing is copied */
};

/* Keep free blocks in hand: evict a slice if they run short. bytes: of the caller's
 * record. */
void lc_evict_slice_locked(struct lc_shard *shard, uint64_t bytes);

/* Make room for a record of `bytes` by dropping what is in the way. OK or NO_SPACE.
 * Places found in the index before are void. */
int lc_evict_force_locked(struct lc_shard *shard, uint64_t bytes);

/* Free the parked runs whose pins are gone. */
void lc_evict_unpark_locked(struct lc_shard *shard);

#endif
