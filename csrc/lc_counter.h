/* Indexes of the counters of stats.def: lc_counter_<name> is the place of a PROCESS
 * row's or SHARD's counter in its array. */
#ifndef LC_COUNTER_H
#define LC_COUNTER_H

#include "lc_atomic.h"
#include "lc_handle.h"

#define LC_COUNT_PROCESS(name) LC_ROW_##name,
#define LC_COUNT_SHARD(name)
#define LC_COUNT_GAUGE(name)
#define X(name, kind, help) LC_COUNT_##kind(name)
enum lc_row_counter {
#include "stats.def"
    LC_ROW_COUNTER_COUNT
};
#undef LC_COUNT_PROCESS
#undef LC_COUNT_SHARD
#define LC_COUNT_PROCESS(name)
#define LC_COUNT_SHARD(name) LC_SHARD_##name,
enum lc_shard_counter {
#include "stats.def"
    LC_SHARD_COUNTER_COUNT
};
#undef X
#undef LC_COUNT_PROCESS
#undef LC_COUNT_SHARD
#undef LC_COUNT_GAUGE

_Static_assert((int)LC_ROW_COUNTER_COUNT == LC_ROW_COUNTERS, "rows of stats.def");
_Static_assert((int)LC_SHARD_COUNTER_COUNT == LC_SHARD_COUNTERS, "rows of stats.def");

/* Relaxed store: stats() may read at any time, only the lock holder writes. */
static inline void lc_count_locked(struct lc_shard *shard, enum lc_shard_counter which,
                                   uint64_t delta) {
    uint64_t *counter = &shard->ctl->sh_counter[which];
    lc_store_relaxed(counter, *counter + delta);
}

#endif
