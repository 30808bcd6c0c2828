#include "lc_shard.h"

#include "lc_atomic.h"
#include "lc_counter.h"
#include "lc_crash.h"
#include "lc_lock.h"
#include "lc_recover.h"
#include "lc_row.h"
#include "lc_segment.h"
#include "lilcache.h"

int lc_shard_enter(struct lc_shard *shard, uint32_t wait_ms) {
    bool waited;
    struct lc_segment *segment = shard->segment;
    int status = LILCACHE_CORRUPT;
    struct shm_row *row = lc_row_mine(segment); /* claimed now, not inside */
    enum lc_lock_result result = lc_lock_take(shard->ctl, wait_ms, &waited);
    /* What earlier holders bumped comes before the bytes that this one writes into what
     * they freed. The lock says so to its holders, not to readers, who take no lock:
     * pairs with the acquire fences of read_block_same and read_pages_same [G1 I4]. */
    lc_fence_release();
    if (LC_UNLIKELY(waited) && row) {
        lc_row_add(segment, row, LC_ROW_lock_waits);
    }
    switch (result) {
    case LC_LOCK_CLEAN:
        LC_CRASH(lock_taken);
        return LILCACHE_OK;
    case LC_LOCK_OWNER_DIED:
        lc_recover_locked(shard);
        lc_lock_consistent(
            shard->ctl); /* only now: a death before this is reported again */
        return LILCACHE_OK;
    case LC_LOCK_BUSY:
        status = LILCACHE_BUSY;
        break;
    case LC_LOCK_BLANK: /* cut short and grown again [S2]; others hold nothing else */
        status = segment->anonymous ? LILCACHE_CORRUPT : lc_segment_leave_lost(segment);
        break;
    default:
        break;
    }
    /* Of a segment that has gone: neither wait for it nor complain. */
    return (int)lc_segment_told(segment, status);
}

void lc_shard_leave(struct lc_shard *shard) { lc_lock_leave(shard->ctl); }
