/* Numbers of threads. A child of fork keeps that of the thread it comes from. */
#include "lc_stripe.h"

#include "lc_atomic.h"

LC_THREAD_LOCAL uint32_t lc_stripe_thread;

uint32_t lc_stripe_enter(void) {
    static uint32_t threads;
    do { /* the product is 0 once in a while */
        lc_stripe_thread = lc_next_relaxed32(&threads) * LC_CACHE_LINE;
    } while (lc_stripe_thread == 0);
    return lc_stripe_thread;
}
