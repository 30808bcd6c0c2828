/* Pins of this process and of all others. See lc_pin.h for the protocol.
 *
 * Locally a block is pinned once, however many views lie in it; only the first view
 * stores the shared word and only the last clears it.
 * Crash story: a dead process's words are cleared by lc_row_sweep.
 * Invariants: Z1 Z2 Z3. */
#include "lc_pin.h"

#include "lc_atomic.h"
#include "lc_crash.h"
#include "lc_row.h"

uint64_t lc_pin_blocks(const struct lc_segment *segment) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < segment->row_count; i++) {
        sum += lc_load_relaxed(&lc_row_at(segment, i)->rw_pinned_blocks);
    }
    return sum;
}

uint64_t lc_pin_count(const struct lc_segment *segment) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < segment->row_count; i++) {
        const struct shm_row *row = lc_row_at(segment, i);
        uint32_t high = (uint32_t)lc_min64(lc_load_relaxed32(&row->rw_pin_high),
                                           segment->row_pins);
        for (uint32_t p = 0; p < high; p++) {
            sum += lc_load_relaxed(&row->rw_pin[p]) != 0;
        }
    }
    return sum;
}

static int pin_find(const struct lc_segment *segment, uint64_t word) {
    for (uint32_t i = 0; i < segment->row_pins; i++) {
        if (segment->pins[i].word == word) {
            return (int)i;
        }
    }
    return -1;
}

int lc_pin_take(struct lc_segment *segment, uint32_t shard, uint32_t block,
                uint32_t blocks) {
    uint64_t word = LC_PIN_WORD(shard, block);
    struct shm_row *row = lc_row_mine(segment);
    if (!row) {
        return -1;
    }
    pthread_mutex_lock(&segment->pin_mutex);
    int index = pin_find(segment, word);
    if (index < 0) {
        /* Half of all blocks may be pinned, so that sets find room in the others. */
        uint64_t quota =
            (uint64_t)segment->shards[0].block_count * segment->shard_count / 2;
        index = lc_pin_blocks(segment) + blocks <= quota ? pin_find(segment, 0) : -1;
        if (index >= 0) {
            segment->pins[index] = (struct lc_local_pin){word, 0, blocks};
            if (lc_load_relaxed32(&row->rw_pin_high) <= (uint32_t)index) {
                lc_store_relaxed32(&row->rw_pin_high, (uint32_t)index + 1);
            }
            lc_store_relaxed(&row->rw_pinned_blocks,
                             lc_load_relaxed(&row->rw_pinned_blocks) + blocks);
            /* Relaxed: the fence below orders it before the caller's re-check. */
            lc_store_relaxed(&row->rw_pin[index], word);
            LC_CRASH(pin_stored);
        }
    }
    if (index >= 0) {
        segment->pins[index].views++;
    }
    pthread_mutex_unlock(&segment->pin_mutex);
    lc_fence_seq_cst(); /* pairs with the fence in lc_pin_any_locked [Z1] */
    return index;
}

void lc_pin_drop(struct lc_segment *segment, uint32_t index) {
    struct shm_row *row = lc_row_mine(segment);
    pthread_mutex_lock(&segment->pin_mutex);
    if (index < segment->row_pins && segment->pins[index].views > 0 &&
        --segment->pins[index].views == 0 && row) {
        /* Release: our reads of the block lie before; pairs with the acquire in
         * lc_pin_any_locked, after which the block may be reused. */
        lc_store_release(&row->rw_pin[index], 0);
        lc_store_relaxed(&row->rw_pinned_blocks, lc_load_relaxed(&row->rw_pinned_blocks) -
                                                     segment->pins[index].blocks);
        segment->pins[index] = (struct lc_local_pin){0, 0, 0};
    }
    pthread_mutex_unlock(&segment->pin_mutex);
}

bool lc_pin_any_locked(struct lc_segment *segment, uint32_t shard, uint32_t head,
                       uint32_t length) {
    uint64_t first = LC_PIN_WORD(shard, head);
    lc_fence_seq_cst(); /* pairs with the fence in lc_pin_take [Z1] */
    for (uint32_t i = 0; i < segment->row_count; i++) {
        const struct shm_row *row = lc_row_at(segment, i);
        uint32_t high = (uint32_t)lc_min64(lc_load_relaxed32(&row->rw_pin_high),
                                           segment->row_pins);
        for (uint32_t p = 0; p < high; p++) {
            /* Acquire: pairs with the release that clears a pin. */
            uint64_t word = lc_load_acquire(&row->rw_pin[p]);
            if (word >= first && word < first + length) {
                return true;
            }
        }
    }
    return false;
}
