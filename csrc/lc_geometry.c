/* From size and options to the places of everything. An attaching process works it out
 * again from the header's four numbers and compares, so that no offset is believed. */
#include "lc_geometry.h"

#include "lc_record.h"

#define GEOMETRY_FEW_ROWS (4ULL << 20)  /* below: rows for 64 processes */
#define GEOMETRY_FEW_PINS (16ULL << 20) /* below: pins in 12 blocks per process */
#define GEOMETRY_STRIPE   (16ULL << 20) /* of segment for each stripe of counters */

/* Rows keep to whole lines. Enough pins for a process with views into a few dozen
 * blocks, few enough that the rows stay below a percent or so of the segment. */
static void geometry_rows(struct lc_geometry *g, uint32_t row_count) {
    uint32_t most = g->size < GEOMETRY_FEW_ROWS ? 64 : LC_ROWS_MAX;
    g->row_count = row_count ? (uint32_t)lc_min64(row_count, 4096) : most;
    g->row_pins = g->size < GEOMETRY_FEW_PINS ? 12 : 76;
    uint64_t stripes = lc_clamp64(g->size / GEOMETRY_STRIPE, 1, LC_ROW_STRIPES_MAX);
    g->row_stripes = 1u << lc_log2(stripes);
    g->row_bytes = (uint32_t)sizeof(struct shm_row) + g->row_pins * 8 +
                   g->row_stripes * LC_CACHE_LINE;
}

static bool geometry_try(uint64_t size, uint64_t max_value, uint32_t row_count,
                         uint32_t shard_count, struct lc_geometry *g) {
    *g = (struct lc_geometry){.size = size};
    if (size < LC_SIZE_MIN || size > LC_SIZE_MAX) {
        return false;
    }
    g->max_value =
        max_value ? max_value : (size <= (64ULL << 20) ? size / 4 : 16ULL << 20);
    if (g->max_value > size / 2 || g->max_value >= UINT32_MAX) {
        return false;
    }
    geometry_rows(g, row_count);
    g->shard_count = shard_count;
    if (g->shard_count > LC_SHARDS_MAX || (g->shard_count & (g->shard_count - 1))) {
        return false;
    }
    uint64_t share = size / g->shard_count;
    uint64_t block = lc_clamp64(1ULL << lc_log2(share / LC_BLOCKS_WANTED), LC_BLOCK_MIN,
                                LC_BLOCK_MAX);
    g->block_shift = lc_log2(block);
    g->group_count = 1u << lc_log2(lc_clamp64(share / LC_GROUP_SHARE, 1, 1u << 24));
    g->rows_at = LC_HEADER_BYTES;
    g->shards_at =
        lc_align_up(g->rows_at + (uint64_t)g->row_count * g->row_bytes, LC_CACHE_LINE);
    g->groups_at = LC_SHARD_BYTES;
    g->blocks_at = g->groups_at + (uint64_t)g->group_count * sizeof(struct shm_group);
    if (g->shards_at >= size) {
        return false;
    }
    /* A distance of whole pages keeps every shard's heap on a page when the first is.
     */
    g->shard_bytes =
        (size - g->shards_at) / g->shard_count & ~(uint64_t)(LC_HEAP_ALIGN - 1);
    uint64_t room = g->shard_count == 1 ? size - g->shards_at : g->shard_bytes;
    uint64_t count = room / block;
    for (; count > 0; count--) {
        uint64_t table_end = g->blocks_at + count * sizeof(struct shm_block);
        g->heap_at =
            lc_align_up(g->shards_at + table_end, LC_HEAP_ALIGN) - g->shards_at;
        if (g->heap_at + count * block <= room) {
            break;
        }
    }
    g->block_count = (uint32_t)count;
    /* Room for the largest value, its key and header, with something to spare. */
    return count >= 16 &&
           g->max_value + LC_BLOCK_MIN <= (count << g->block_shift) / 2 + block;
}

bool lc_geometry_make(uint64_t size, uint64_t max_value, uint32_t row_count,
                      uint32_t shard_count, uint32_t cores, struct lc_geometry *g) {
    if (shard_count) {
        return geometry_try(size, max_value, row_count, shard_count, g);
    }
    if (!geometry_try(size, max_value, row_count, 1, g)) {
        return false;
    }
    uint64_t wanted = size / (4 * g->max_value);
    uint64_t most = lc_clamp64(cores, 1, LC_SHARDS_MAX);
    uint32_t count = 1u << lc_log2(lc_clamp64(wanted, 1, most));
    while (!geometry_try(size, max_value, row_count, count, g)) {
        count /= 2; /* too small to be divided that often; one fits, as seen above */
    }
    return true;
}
