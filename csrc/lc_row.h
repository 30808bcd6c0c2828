/* Process rows: who is attached, and proof of who is dead.
 *
 * Row i is alive while somebody holds the OFD lock on byte LC_ROW_BYTE + i of the
 * object, through a description of its own (lc_fork.c keeps children from sharing it),
 * and while the process that signed it runs: a program may close that description. */
#ifndef LC_ROW_H
#define LC_ROW_H

#include "lc_counter.h"
#include "lc_handle.h"
#include "lc_stripe.h"

/* Lock bytes lie past every segment: OFD locks need no bytes behind them. */
#define LC_CREATE_BYTE (1ULL << 40)
#define LC_ROW_BYTE    (LC_CREATE_BYTE + 1)

/* Take a free or dead row through lock_fd and clean it. Row number, or
 * LILCACHE_TOO_MANY_PROCESSES, or LILCACHE_OS with the negative errno of a lock in
 * *failed. */
int lc_row_claim(struct lc_segment *segment, int lock_fd, int *failed);

/* Write into a row of ours which process that is. */
void lc_row_sign(struct shm_row *row);

/* Hand the row's counters to the header and free it; its byte lock goes with lock_fd.
 */
void lc_row_release(struct lc_segment *segment, uint32_t row);

/* Rows that may have been claimed: those below this number [W3]. The header's number
 * only grows: where damage makes it smaller, a process believes what it saw before, and
 * never overlooks its own pins. Relaxed: who looks for pins loads it behind the fence
 * in lc_pin_any_locked, as the pins [Z1]. */
static LC_INLINE uint32_t lc_rows_used(struct lc_segment *segment) {
    uint64_t used = lc_load_relaxed(&segment->header->hd_rows_used);
    uint32_t seen = lc_load_relaxed32(&segment->rows_seen);
    if (LC_UNLIKELY(used > seen)) {
        seen = (uint32_t)lc_min64(used, segment->row_count);
        lc_store_relaxed32(&segment->rows_seen, seen);
    }
    return seen;
}

/* Free the rows of dead processes, and so their pins. Never called with a shard lock.
 */
void lc_row_sweep(struct lc_segment *segment);

/* Gets of all processes so far, roughly. */
uint64_t lc_row_gets(struct lc_segment *segment);

/* A counter of the row, over all its stripes. */
uint64_t lc_row_sum(const struct lc_segment *segment, struct shm_row *row,
                    enum lc_row_counter which);

/* The same, at most ten times a second; for calls that found pins in their way. */
void lc_row_sweep_paced(struct lc_segment *segment);

/* Claim a row for this process, as a forked child at its first call has none. Its
 * number, or -1: none to be had. */
int lc_row_claim_mine(struct lc_segment *segment);

/* This process's row. NULL: none to be had; the caller does without. */
static inline struct shm_row *lc_row_mine(struct lc_segment *segment) {
    /* Acquire: pairs with the release in lc_row_claim_mine. */
    int row = (int)lc_load_acquire32((const uint32_t *)&segment->row);
    if (LC_UNLIKELY(row < 0)) {
        row = lc_row_claim_mine(segment);
        if (row < 0) {
            return NULL;
        }
    }
    return lc_row_at(segment, (uint32_t)row);
}

/* Count one more in this row of ours. */
static LC_INLINE void lc_row_add(const struct lc_segment *segment, struct shm_row *row,
                                 enum lc_row_counter which) {
    lc_add_relaxed(&lc_row_counters(segment, row, lc_stripe_at(segment))[which], 1);
}

/* The same in this process's row, if it has one. */
static LC_INLINE void lc_row_count(struct lc_segment *segment,
                                   enum lc_row_counter which) {
    struct shm_row *row = lc_row_mine(segment);
    if (row) {
        lc_row_add(segment, row, which);
    }
}

#endif
