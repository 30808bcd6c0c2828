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

uint64_t lc_pin_blocks(struct lc_segment *segment) {
    uint64_t sum = 0;
    for (uint32_t i = 0, used = lc_rows_used(segment); i < used; i++) {
        sum += lc_load_relaxed(&lc_row_at(segment, i)->rw_pinned_blocks);
    }
    return sum;
}

uint64_t lc_pin_count(struct lc_segment *segment) {
    uint64_t sum = 0;
    for (uint32_t i = 0, used = lc_rows_used(segment); i < used; i++) {
        const struct shm_row *row = lc_row_at(segment, i);
        uint32_t high =
            (uint32_t)lc_min64(lc_load_relaxed32(&row->rw_pin_high), segment->row_pins);
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

static int64_t pin_token(const struct lc_segment *segment, int index) {
    return (int64_t)((uint64_t)(segment->pin_epoch & INT32_MAX) << 32 |
                     (uint32_t)index);
}

/* The pin that a token names, NULL when it names none (any more). */
static struct lc_local_pin *pin_of(struct lc_segment *segment, int64_t token) {
    uint32_t index = (uint32_t)token;
    bool current = token >= 0 && index < segment->row_pins &&
                   pin_token(segment, (int)index) == token;
    return current && segment->pins[index].holds > 0 ? &segment->pins[index] : NULL;
}

static int pin_new(struct lc_segment *segment, struct shm_row *row, uint64_t word,
                   uint32_t blocks) {
    /* Half of all blocks may be pinned, so that sets find room in the others. */
    uint64_t quota =
        (uint64_t)segment->shards[0].block_count * segment->shard_count / 2;
    int index = lc_pin_blocks(segment) + blocks <= quota ? pin_find(segment, 0) : -1;
    if (index < 0) {
        lc_store_relaxed32(&segment->sweep_wanted,
                           1); /* the places may be held by the dead */
        return -1;
    }
    segment->pins[index] = (struct lc_local_pin){.word = word, .blocks = blocks};
    if (lc_load_relaxed32(&row->rw_pin_high) <= (uint32_t)index) {
        lc_store_relaxed32(&row->rw_pin_high, (uint32_t)index + 1);
    }
    lc_store_relaxed(&row->rw_pinned_blocks,
                     lc_load_relaxed(&row->rw_pinned_blocks) + blocks);
    /* Relaxed: the fence of lc_pin_take orders it before the caller's re-check. */
    lc_store_relaxed(&row->rw_pin[index], word);
    LC_CRASH(pin_stored);
    return index;
}

int64_t lc_pin_take(struct lc_segment *segment, uint32_t shard, uint32_t block,
                    uint32_t blocks, bool wait) {
    uint64_t word = LC_PIN_WORD(shard, block);
    struct shm_row *row = lc_row_mine(segment);
    if (!row) {
        return -1;
    }
    if (wait) {
        pthread_mutex_lock(&segment->pin_mutex);
    } else if (pthread_mutex_trylock(&segment->pin_mutex) != 0) {
        return -1;
    }
    int index = pin_find(segment, word);
    if (index < 0) {
        index = pin_new(segment, row, word, blocks);
    }
    if (index >= 0) {
        segment->pins[index].holds++;
    }
    int64_t token = index < 0 ? -1 : pin_token(segment, index);
    pthread_mutex_unlock(&segment->pin_mutex);
    lc_fence_seq_cst(); /* pairs with the fence in lc_pin_any_locked [Z1] */
    return token;
}

void lc_pin_keep(struct lc_segment *segment, int64_t token) {
    pthread_mutex_lock(&segment->pin_mutex);
    struct lc_local_pin *pin = pin_of(segment, token);
    if (pin) {
        pin->views++;
    }
    pthread_mutex_unlock(&segment->pin_mutex);
}

void lc_pin_drop(struct lc_segment *segment, int64_t token, bool kept) {
    pthread_mutex_lock(&segment->pin_mutex);
    struct lc_local_pin *pin = pin_of(segment, token);
    if (pin) {
        pin->views -= kept && pin->views > 0;
        if (--pin->holds == 0 && segment->row >= 0) {
            struct shm_row *row = lc_row_at(segment, (uint32_t)segment->row);
            /* Release: our reads of the block lie before; pairs with the acquire in
             * lc_pin_any_locked, after which the block may be reused. */
            lc_store_release(&row->rw_pin[(uint32_t)token], 0);
            lc_store_relaxed(&row->rw_pinned_blocks,
                             lc_load_relaxed(&row->rw_pinned_blocks) - pin->blocks);
            *pin = (struct lc_local_pin){0};
        }
    }
    pthread_mutex_unlock(&segment->pin_mutex);
}

static bool pin_scan(struct lc_segment *segment, uint64_t first, uint32_t length) {
    for (uint32_t i = 0, used = lc_rows_used(segment); i < used; i++) {
        const struct shm_row *row = lc_row_at(segment, i);
        uint32_t high =
            (uint32_t)lc_min64(lc_load_relaxed32(&row->rw_pin_high), segment->row_pins);
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

bool lc_pin_any_locked(struct lc_segment *segment, uint32_t shard, uint32_t head,
                       uint32_t length) {
    const uint64_t *copies = &segment->header->hd_pin_copies;
    uint64_t first = LC_PIN_WORD(shard, head);
    uint64_t before;
    bool found;
    do {
        /* Acquire: pairs with the bump in lc_fork.c. A fork that copies pins to a row
         * we have passed, and whose parent drops them in one we have not reached, shows
         * as another count afterwards [Z1]. */
        before = lc_load_acquire(copies);
        lc_fence_seq_cst(); /* pairs with the fence in lc_pin_take [Z1] */
        found = pin_scan(segment, first, length);
        lc_fence_acquire();
    } while (!found && lc_load_relaxed(copies) != before);
    return found;
}
