/* Threads of one process count apart: in one line they would make each other wait for
 * it, which takes longer than a get (docs/decisions/0014).
 *
 * Threads take stripes in turns as they come, so that those of a pool spread evenly.
 * Two may meet in one: every counter is changed by an atomic addition all the same. */
#ifndef LC_STRIPE_H
#define LC_STRIPE_H

#include "lc_handle.h"

extern LC_THREAD_LOCAL uint32_t lc_stripe_thread; /* its number in bytes; 0: none yet */

/* Gives this thread its number. */
uint32_t lc_stripe_enter(void);

/* Bytes from the first stripe to this thread's. */
static inline uint32_t lc_stripe_at(const struct lc_segment *segment) {
    uint32_t number = lc_stripe_thread;
    if (LC_UNLIKELY(number == 0)) {
        number = lc_stripe_enter();
    }
    return number & segment->stripe_mask;
}

#endif
