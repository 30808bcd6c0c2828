/* The delete of one key, for lc_many.c as well. */
#ifndef LC_CHANGE_H
#define LC_CHANGE_H

#include "lc_read.h"

/* OK, MISS, or what kept it from the lock. wait_ms: how long to wait for that. */
int lc_change_delete(struct lc_segment *segment, const struct lc_key *key,
                     uint32_t wait_ms);

#endif
