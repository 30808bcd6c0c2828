/* Index pages: blocks at the upper end of the heap, cut into pages of 512 bytes. The
 * first pages of such a block are its owner table: for every page the group + 1, or 0.
 * All functions want the shard lock. */
#ifndef LC_PAGES_H
#define LC_PAGES_H

#include "lc_handle.h"

static inline uint8_t *lc_page_at(const struct lc_shard *shard, uint32_t page) {
    return shard->heap + ((uint64_t)page << LC_PAGE_SHIFT);
}

/* A page for the group, not in block `avoid`; UINT32_MAX when there is none. Contents
 * are undefined. */
uint32_t lc_page_take_locked(struct lc_shard *shard, uint32_t group, uint32_t avoid);
/* Ignored unless the page is the group's: page numbers come from the segment. */
void lc_page_give_locked(struct lc_shard *shard, uint32_t group, uint32_t page);

/* The page exists, lies in an index block, and is the group's [P1]. */
bool lc_page_is_owned_locked(const struct lc_shard *shard, uint32_t group,
                             uint32_t page);

/* Of an index block, by its owner table. */
uint32_t lc_pages_used_locked(const struct lc_shard *shard, uint32_t block);

/* Pages that could be taken without another block. */
uint32_t lc_pages_free_locked(const struct lc_shard *shard);
/* Pages one index block offers. */
uint32_t lc_pages_per_block(const struct lc_shard *shard);

/* Make the highest block that is no index block one, if it is free; with `anywhere` the
 * highest free block. False when there is none. */
bool lc_pages_extend_locked(struct lc_shard *shard, bool anywhere);

/* The lowest index block, LC_NO_BLOCK when there is none. */
uint32_t lc_pages_lowest_locked(struct lc_shard *shard);
/* The highest block that is no index block. */
uint32_t lc_pages_next_locked(const struct lc_shard *shard);
/* The first group that owns a page of the block, LC_NO_BLOCK when none does. */
uint32_t lc_pages_owner_locked(const struct lc_shard *shard, uint32_t block);

/* Free every page that is owned by `group` but not among `kept` (pages numbers); with
 * group UINT32_MAX every page. Recounts bl_fill. */
void lc_pages_sweep_locked(struct lc_shard *shard, uint32_t group, const uint32_t *kept,
                           uint32_t kept_count);

#endif
