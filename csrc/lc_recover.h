/* What happens after an owner died inside the lock. */
#ifndef LC_RECOVER_H
#define LC_RECOVER_H

#include "lc_handle.h"

/* Make the shard whole again: finish or drop the one interrupted step; if the result
 * does not verify, rebuild the shard from its blocks; if that fails, empty it. May be
 * killed and repeated at any point. */
void lc_recover_locked(struct lc_shard *shard);

/* The index does not fit together though nobody died: made anew from the records. */
void lc_recover_damage_locked(struct lc_shard *shard);

#endif
