/* Process rows.
 *
 * Concurrency: the byte lock is the right to write a row, held for life by its owner
 * and for a moment by a sweeper that found it free. A sweeper and a claimer exclude
 * each other by it, too. Crash story: a row half cleaned by a dead sweeper is found
 * dead and cleaned again. Invariants: W1 W2. */
#include "lc_row.h"

#include <errno.h>

#include "lc_atomic.h"
#include "lc_object.h"
#include "lilcache.h"

/* Between two attempts at what takes a system call per row. */
#define ROW_PACE_MS 100

static uint64_t row_state(uint64_t previous, uint32_t state) {
    return ((previous >> 32) + (state == LC_ROW_USED)) << 32 | state;
}

/* The caller holds the byte lock, so the owner is dead, or has closed the description
 * through which it held the lock. Only the first may lose its row [W2]; nobody does
 * while it cannot be told which. A row of our own pid that is not ours was that of the
 * program before an exec. */
static bool row_deserted(const struct shm_row *row) {
    uint32_t pid = row->rw_pid;
    uint64_t start = row->rw_start;
    uint64_t now;
    return start == 0 || pid == lc_os_pid() ||
           (lc_os_process_start(pid, &now) == 0 && now != start);
}

void lc_row_sign(struct shm_row *row) {
    uint64_t start;
    row->rw_pid = lc_os_pid();
    row->rw_start = lc_os_process_start(row->rw_pid, &start) == 0 ? start : 0;
}

/* The caller holds the byte lock. */
static void row_clean(struct lc_segment *segment, struct shm_row *row) {
    for (uint32_t i = 0; i < segment->row_pins; i++) {
        /* Release: what the dead owner read lies before; pairs with the acquire of the
         * pins in lc_pin.c, after which the block may be reused. */
        lc_store_release(&row->rw_pin[i], 0);
    }
    lc_store_relaxed(&row->rw_pinned_blocks, 0);
    lc_store_relaxed32(&row->rw_pin_high, 0);
    for (uint32_t stripe = 0; stripe < segment->row_stripes; stripe++) {
        uint64_t *counters = lc_row_counters(segment, row, stripe * LC_CACHE_LINE);
        for (uint32_t i = 0; i < LC_ROW_COUNTERS; i++) {
            uint64_t count = lc_load_relaxed(&counters[i]);
            lc_store_relaxed(&counters[i], 0);
            lc_add_relaxed(&segment->header->hd_left[i], count);
        }
    }
}

static void row_free(struct lc_segment *segment, struct shm_row *row) {
    row_clean(segment, row);
    /* Release: clean before free, for stats and for the next claimer. */
    lc_store_release(&row->rw_state, row_state(row->rw_state, LC_ROW_FREE));
}

/* Written even if it is high enough: pairs with the fences in lc_pin.c as the pins
 * themselves do, which only a store of this process's own can [Z1]. */
static void row_use(struct lc_segment *segment, uint32_t row) {
    uint64_t *used = &segment->header->hd_rows_used;
    uint64_t was;
    do {
        was = lc_load_relaxed(used);
    } while (!lc_swap_relaxed(used, was, lc_max64(was, (uint64_t)row + 1)));
    uint32_t seen = lc_load_relaxed32(&segment->rows_seen);
    lc_store_relaxed32(&segment->rows_seen, (uint32_t)lc_max64(seen, row + 1ULL));
}

/* A row that is taken is no failure. */
static void row_note(int *failed, int locked) {
    if (locked != -EAGAIN) {
        *failed = locked;
    }
}

int lc_row_claim(struct lc_segment *segment, int lock_fd, int *failed) {
    *failed = 0;
    for (int pass = 0; pass < 2; pass++) { /* free rows first, then those of the dead */
        for (uint32_t i = 0; i < segment->row_count; i++) {
            struct shm_row *row = lc_row_at(segment, i);
            bool used = (uint32_t)lc_load_acquire(&row->rw_state) == LC_ROW_USED;
            if (used != (pass == 1) || (int)i == segment->row) {
                continue;
            }
            int locked = lc_os_lock_byte(lock_fd, LC_ROW_BYTE + i);
            if (locked != 0) {
                row_note(failed, locked);
                continue;
            }
            /* Used in the first pass, too: somebody claimed it and died in between. */
            if ((uint32_t)lc_load_acquire(&row->rw_state) == LC_ROW_USED) {
                if (!row_deserted(row)) {
                    lc_os_unlock_byte(lock_fd, LC_ROW_BYTE + i);
                    continue;
                }
                row_free(segment, row);
            }
            row_clean(segment, row);
            row_use(segment, i);
            lc_row_sign(row);
            lc_store_release(&row->rw_state, row_state(row->rw_state, LC_ROW_USED));
            return (int)i;
        }
    }
    return *failed ? LILCACHE_OS : LILCACHE_TOO_MANY_PROCESSES;
}

void lc_row_release(struct lc_segment *segment, uint32_t row) {
    row_free(segment, lc_row_at(segment, row));
}

LC_NOINLINE void lc_row_sweep(struct lc_segment *segment) {
    /* All threads lock bytes through one description, which does not keep them apart.
     */
    pthread_mutex_lock(&segment->pin_mutex);
    /* Locks in some other file would not keep two sweepers and a claimer apart. */
    bool able = lc_object_is(segment, segment->lock_fd);
    for (uint32_t i = 0; able && i < lc_rows_used(segment); i++) {
        struct shm_row *row = lc_row_at(segment, i);
        if ((uint32_t)lc_load_acquire(&row->rw_state) != LC_ROW_USED ||
            (int)i == segment->row ||
            lc_os_lock_byte(segment->lock_fd, LC_ROW_BYTE + i) != 0) {
            continue;
        }
        if ((uint32_t)lc_load_acquire(&row->rw_state) == LC_ROW_USED &&
            row_deserted(row)) {
            row_free(segment, row);
        }
        lc_os_unlock_byte(segment->lock_fd, LC_ROW_BYTE + i);
    }
    pthread_mutex_unlock(&segment->pin_mutex);
}

uint64_t lc_row_gets(struct lc_segment *segment) {
    const struct shm_header *header = segment->header;
    uint64_t gets = lc_load_relaxed(&header->hd_left[LC_ROW_hits]) +
                    lc_load_relaxed(&header->hd_left[LC_ROW_misses]);
    for (uint32_t i = 0; i < lc_rows_used(segment); i++) {
        struct shm_row *row = lc_row_at(segment, i);
        if ((uint32_t)lc_load_relaxed(&row->rw_state) == LC_ROW_USED) {
            gets += lc_row_sum(segment, row, LC_ROW_hits) +
                    lc_row_sum(segment, row, LC_ROW_misses);
        }
    }
    return gets;
}

uint64_t lc_row_sum(const struct lc_segment *segment, struct shm_row *row,
                    enum lc_row_counter which) {
    uint64_t sum = 0;
    for (uint32_t stripe = 0; stripe < segment->row_stripes; stripe++) {
        uint32_t at = stripe * LC_CACHE_LINE;
        sum += lc_load_relaxed(&lc_row_counters(segment, row, at)[which]);
    }
    return sum;
}

LC_NOINLINE void lc_row_sweep_paced(struct lc_segment *segment) {
    uint64_t now = lc_os_monotonic_ms();
    if (now >= lc_load_relaxed(&segment->sweep_after_ms)) {
        lc_store_relaxed(&segment->sweep_after_ms, now + ROW_PACE_MS);
        lc_store_relaxed32(&segment->sweep_wanted, 0);
        lc_row_sweep(segment);
    }
}

LC_NOINLINE int lc_row_claim_mine(struct lc_segment *segment) {
    uint32_t *row = (uint32_t *)&segment->row;
    uint64_t now = lc_os_monotonic_ms();
    pthread_mutex_lock(&segment->pin_mutex);
    if (segment->row < 0 && now >= segment->claim_after_ms) {
        segment->claim_after_ms = now + ROW_PACE_MS; /* if this fails, too */
        int lock_fd = segment->lock_fd;
        if (!lc_object_is(segment, lock_fd)) {
            lock_fd = lc_object_reopen(segment);
        }
        if (lock_fd >= 0) {
            segment->lock_fd = lock_fd;
            int failed;
            int claimed = lc_row_claim(segment, lock_fd, &failed);
            /* Release: the row is clean for whoever sees its number. */
            lc_store_release32(row, claimed < 0 ? UINT32_MAX : (uint32_t)claimed);
        }
    }
    pthread_mutex_unlock(&segment->pin_mutex);
    return (int)lc_load_acquire32(row);
}
