/* The check of all invariants as it is shipped, instead of the same source with hooks:
 * it only loads from the segment, so that nothing is lost but time. One in so many is
 * made with hooks, for which its stores into the process are places of the core. */
#include "lc_check.h"

#define HOOKED_ONE_IN 256

bool plain_check_all_locked(const struct lc_shard *shard, char *report, size_t cap);
bool __real_lc_check_all_locked(const struct lc_shard *shard, char *report, size_t cap);

bool __wrap_lc_check_all_locked(const struct lc_shard *shard, char *report,
                                size_t cap) {
    static unsigned checks;
    return checks++ % HOOKED_ONE_IN == 0
               ? __real_lc_check_all_locked(shard, report, cap)
               : plain_check_all_locked(shard, report, cap);
}
