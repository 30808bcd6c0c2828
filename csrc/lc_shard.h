/* Into a shard and out of it. The only place that reacts to an owner's death. */
#ifndef LC_SHARD_H
#define LC_SHARD_H

#include "lc_handle.h"

/* OK: the lock is held and the shard is whole. BUSY, CORRUPT: not held. */
int lc_shard_enter(struct lc_shard *shard, uint32_t wait_ms);
void lc_shard_leave(struct lc_shard *shard);

#endif
