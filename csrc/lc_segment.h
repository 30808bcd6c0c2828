/* Segments: create, attach, validate, retire, detach. */
#ifndef LC_SEGMENT_H
#define LC_SEGMENT_H

#include "lc_atomic.h"
#include "lc_handle.h"
#include "lilcache.h"

/* The segment went away under us: RETIRED. Else OK. Cheap; called by every operation.
 */
int lc_segment_alive(struct lc_segment *segment);

/* Pages of it are gone: its name is taken away, and others are told. RETIRED. */
int lc_segment_leave_lost(struct lc_segment *segment);

/* What an operation may tell of what it found: nothing, if pages went away meanwhile.
 */
static inline int64_t lc_segment_told(const struct lc_segment *segment,
                                      int64_t result) {
    return LC_UNLIKELY(lc_load_relaxed32(&segment->lost) != 0) ? LILCACHE_RETIRED
                                                               : result;
}

#endif
