/* Numbers of threads. A child of fork keeps that of the thread it comes from. */
#include "lc_stripe.h"

#include "lc_atomic.h"

LC_THREAD_LOCAL uint32_t lc_stripe_thread;

/* 0 comes up once in 2^26 threads: that one asks again at its next call. */
uint32_t lc_stripe_enter(void) {
    static uint32_t threads;
    lc_stripe_thread = lc_next_relaxed32(&threads) * LC_CACHE_LINE;
    return lc_stripe_thread;
}
