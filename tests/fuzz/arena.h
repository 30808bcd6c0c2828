/* A segment that is put back after every input, for a few copies instead of a new
 * process: the core reports which 512-byte pieces it writes (stores.h).
 *
 *   | no access | header rows shards heap (a real mapping) | no access |
 *
 * Also the clocks, which stand still unless an input moves them on. */
#ifndef ARENA_H
#define ARENA_H

#include "cachetest.h"
#include "finding.h"

#define ARENA_PIECE     512
#define ARENA_GUARD     (64ULL << 20) /* on either side of a mapping */
#define ARENA_SIZE_MAX  (4 * MIB)
#define ARENA_TIME_ZERO 1000000000ULL

struct arena {
    struct lilcache *cache;
    struct lc_segment *segment;
    uint8_t *saved;
    uint64_t now;
    struct lc_segment handle; /* what the process knew when the bytes were saved */
    struct lc_shard shards[LC_SHARDS_MAX]; /* and of its shards */
};

extern uint64_t arena_now_ms;

/* Which mapping the stores of the core are looked for in. */
void arena_watch(uint8_t *base, uint64_t size);

/* Remember a cache in its present state, and go back to it. */
void arena_save(struct arena *arena, struct lilcache *cache);
void arena_enter(const struct arena *arena);
void arena_restore(const struct arena *arena);

/* The bytes that differ from `saved` by what was reported, put back in `base`. */
void arena_put_back(uint8_t *base, const uint8_t *saved);

/* The harness's own stores into the segment. */
void arena_write(void *to, const void *from, size_t count);
void arena_write64(uint64_t *to, uint64_t value);

/* No shard lock is held; the one of a dead owner may still be so. */
void arena_check_locks(const struct lc_segment *segment);

/* As the kernel leaves the lock of a shard whose owner was killed inside it. */
void arena_owner_died(struct lc_segment *segment, uint32_t shard);

#endif
