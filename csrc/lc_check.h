/* The consistency checker: what docs/invariants.md says of a shard, as code. Under the
 * shard lock. */
#ifndef LC_CHECK_H
#define LC_CHECK_H

#include "lc_handle.h"

/* Structure only: time proportional to blocks and groups. For recovery. */
bool lc_check_quick_locked(const struct lc_shard *shard);

/* Everything: time proportional to slots and records. False: the first violation is in
 * report, as "<invariant id>: <what>". */
bool lc_check_all_locked(const struct lc_shard *shard, char *report, size_t cap);

#endif
