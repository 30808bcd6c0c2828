/* The shard lock: a robust process-shared mutex behind three answers. It reports that
 * the previous owner died and never repairs; lc_shard.c reacts. */
#ifndef LC_LOCK_H
#define LC_LOCK_H

#include "lc_handle.h"

enum lc_lock_result {
    LC_LOCK_CLEAN = 0,
    LC_LOCK_OWNER_DIED, /* held; call lc_lock_consistent once the shard is whole again
                         */
    LC_LOCK_BUSY,       /* not held */
    LC_LOCK_BROKEN,     /* not held, and nobody will ever hold it again */
    LC_LOCK_BLANK,      /* likewise: zeros, where its object was cut short and grown */
};

/* Once, before any other call. */
int lc_lock_setup(void);
int lc_lock_init(struct shm_shard *ctl);
/* Waits at most wait_ms of monotonic time; 0 tries once. *waited: the lock was not free
 * at the first try. */
enum lc_lock_result lc_lock_take(struct shm_shard *ctl, uint32_t wait_ms, bool *waited);
void lc_lock_consistent(struct shm_shard *ctl);
void lc_lock_leave(struct shm_shard *ctl);

#endif
