/* Segments: create, attach, validate, retire, detach. */
#ifndef LC_SEGMENT_H
#define LC_SEGMENT_H

#include "lc_atomic.h"
#include "lc_handle.h"
#include "lilcache.h"

/* Everything that follows from these four numbers; the same in every process. */
struct lc_geometry {
    uint64_t size;
    uint64_t max_value;
    uint32_t shard_count;
    uint32_t row_count;
    uint32_t row_pins;
    uint32_t row_bytes;
    uint32_t block_shift;
    uint32_t block_count;
    uint32_t group_count;
    uint64_t rows_at;
    uint64_t shards_at;
    uint64_t shard_bytes;
    uint64_t groups_at;
    uint64_t blocks_at;
    uint64_t heap_at;
};

/* False: the numbers make no segment. shard_count 0: as cores allow. */
bool lc_geometry_make(uint64_t size, uint64_t max_value, uint32_t row_count,
                      uint32_t shard_count, uint32_t cores, struct lc_geometry *out);

uint32_t lc_segment_fingerprint(void);

/* The segment went away under us: RETIRED. Else OK. Cheap; called by every operation.
 */
int lc_segment_alive(struct lc_segment *segment);

/* What an operation may tell of what it found: nothing, if pages went away meanwhile.
 */
static inline int64_t lc_segment_told(const struct lc_segment *segment,
                                      int64_t result) {
    return LC_UNLIKELY(lc_load_relaxed32(&segment->lost) != 0) ? LILCACHE_RETIRED
                                                               : result;
}

#endif
