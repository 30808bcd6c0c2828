/* Segments: create, attach, validate, retire, detach. */
#ifndef LC_SEGMENT_H
#define LC_SEGMENT_H

#include "lc_atomic.h"
#include "lc_fork.h"
#include "lc_handle.h"
#include "lc_stripe.h"
#include "lilcache.h"

/* Pages of it are gone: its name is taken away, and others are told. RETIRED. */
int lc_segment_leave_lost(struct lc_segment *segment);

/* If the name has gone, the segment counts as retired from now on. */
void lc_segment_look(struct lc_segment *segment);

#define LC_SEGMENT_PACE 65536 /* a stripe's calls between two looks at the name */

/* The segment went away under us: RETIRED. Else OK. Every operation begins with it. */
static inline int lc_segment_alive(struct lc_segment *segment) {
    if (LC_UNLIKELY(!lc_fork_noticed())) {
        lc_fork_child_now();
    }
    /* A plain count: threads may lose steps of it, it only sets a pace. */
    struct lc_pace *pace = &segment->pace[lc_stripe_at(segment) / LC_CACHE_LINE];
    uint64_t calls = lc_load_relaxed(&pace->calls) + 1;
    lc_store_relaxed(&pace->calls, calls);
    if (LC_UNLIKELY(calls % LC_SEGMENT_PACE == 0)) {
        lc_segment_look(segment);
    }
    bool retired = lc_load_acquire(&segment->header->hd_retired) != 0;
    /* Behind the look at the header, which may be what has gone. */
    if (LC_UNLIKELY(lc_load_relaxed32(&segment->lost) != 0)) {
        return lc_segment_leave_lost(segment);
    }
    return LC_UNLIKELY(retired) ? LILCACHE_RETIRED : LILCACHE_OK;
}

/* What an operation may tell of what it found: nothing, if pages went away meanwhile.
 */
static inline int64_t lc_segment_told(const struct lc_segment *segment,
                                      int64_t result) {
    return LC_UNLIKELY(lc_load_relaxed32(&segment->lost) != 0) ? LILCACHE_RETIRED
                                                               : result;
}

#endif
