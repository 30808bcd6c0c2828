/* Growing, shrinking and moving the groups of the index. Under the shard lock. */
#ifndef LC_GROUP_H
#define LC_GROUP_H

#include "lc_handle.h"
#include "lc_pages.h"

/* The group lost a slot: remember it if it could do with fewer pages. */
void lc_group_note_shrink_locked(struct lc_shard *shard, uint32_t number);

/* Finish or drop a rebuild whose owner died, and recount the group. */
void lc_group_repair_locked(struct lc_shard *shard, uint64_t number);

#endif
