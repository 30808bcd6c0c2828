/* Where everything in a segment lies. */
#ifndef LC_GEOMETRY_H
#define LC_GEOMETRY_H

#include "lc_layout.h"

/* Everything that follows from these four numbers; the same in every process. */
struct lc_geometry {
    uint64_t size;
    uint64_t max_value;
    uint32_t shard_count;
    uint32_t row_count;
    uint32_t row_pins;
    uint32_t row_stripes; /* power of two */
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

#endif
