/* Pins: a process's claim that a block must not be recycled.
 *
 *   reader                               recycler (shard lock held)
 *   rw_pin[i] = block                    every slot into the run unlinked
 *   seq_cst fence                        seq_cst fence
 *   slot, gr_dir, generation unchanged?  any rw_pin in the run?
 *     yes: the bytes stay                  no: bump the generation, reuse
 *     no:  rw_pin[i] = 0, try again        yes: park the run unbumped
 *
 * One of the two always sees the other (Dekker; hazard pointers, Michael 2004). */
#ifndef LC_PIN_H
#define LC_PIN_H

#include "lc_handle.h"

/* Claim the block, before re-checking what was read of it. Ends with the fence. A
 * token, or -1: no place free, the quota is reached, or, unless `wait`, another thread
 * is busy with the pins. blocks: length of the block's run. */
int64_t lc_pin_take(struct lc_segment *segment, uint32_t shard, uint32_t block,
                    uint32_t blocks, bool wait);
/* The claim outlives the call: a forked child inherits it. */
void lc_pin_keep(struct lc_segment *segment, int64_t token);
/* kept: lc_pin_keep was called. Tokens that a fork has voided are ignored. */
void lc_pin_drop(struct lc_segment *segment, int64_t token, bool kept);

/* Whether any process holds a pin in the run. Begins with the fence. */
bool lc_pin_any_locked(struct lc_segment *segment, uint32_t shard, uint32_t head,
                       uint32_t length);

/* Blocks claimed by all pins together. */
uint64_t lc_pin_blocks(struct lc_segment *segment);
uint64_t lc_pin_count(struct lc_segment *segment);

#endif
