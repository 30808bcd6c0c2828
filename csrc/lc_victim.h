/* Which run is evicted next. Under the shard lock. */
#ifndef LC_VICTIM_H
#define LC_VICTIM_H

#include "lc_handle.h"

/* Make sure that sh_victim names a sealed run. forced: take an open one rather than
 * none. False: there is nothing to evict. */
bool lc_victim_ready_locked(struct lc_shard *shard, bool forced);

/* The cheapest window of at least `count` blocks that holds no pin and no index block:
 * first block, and *end one past its last. LC_NO_BLOCK: every window holds one. */
uint32_t lc_victim_window_locked(struct lc_shard *shard, uint32_t count, uint32_t *end);

#endif
