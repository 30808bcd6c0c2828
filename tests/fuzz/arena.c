#include "arena.h"

#include <linux/futex.h>

#include "stores.h"

#define COMPARE_EVERY 4096 /* restorations between two comparisons of every byte */
#define PIECES        (ARENA_SIZE_MAX / ARENA_PIECE)

uintptr_t stores_base;
uintptr_t stores_size;
uint64_t arena_now_ms = ARENA_TIME_ZERO;

static uint8_t written[PIECES];
static uint32_t list[PIECES];
static uint32_t listed;

/* --- stores ----------------------------------------------------------------------- */

void stores_note(uintptr_t offset, size_t count) {
    uintptr_t last = count ? lc_min64(offset + count, stores_size) - 1 : offset;
    for (uintptr_t piece = offset / ARENA_PIECE; piece <= last / ARENA_PIECE; piece++) {
        if (!written[piece]) {
            written[piece] = 1;
            list[listed++] = (uint32_t)piece;
        }
    }
}

void __sanitizer_cov_store1(uint8_t *to);
void __sanitizer_cov_store2(uint16_t *to);
void __sanitizer_cov_store4(uint32_t *to);
void __sanitizer_cov_store8(uint64_t *to);
void __sanitizer_cov_store16(__int128 *to);

void __sanitizer_cov_store1(uint8_t *to) { stores_into(to, 1); }
void __sanitizer_cov_store2(uint16_t *to) { stores_into(to, 2); }
void __sanitizer_cov_store4(uint32_t *to) { stores_into(to, 4); }
void __sanitizer_cov_store8(uint64_t *to) { stores_into(to, 8); }
void __sanitizer_cov_store16(__int128 *to) { stores_into(to, 16); }

void arena_watch(uint8_t *base, uint64_t size) {
    MUST(size <= ARENA_SIZE_MAX);
    stores_base = (uintptr_t)base;
    stores_size = size;
}

void arena_write(void *to, const void *from, size_t count) {
    stores_into(to, count);
    memmove(to, from, count);
}

void arena_write64(uint64_t *to, uint64_t value) { arena_write(to, &value, 8); }

/* --- the mapping and the clocks: called by the core (--wrap) ---------------------- */

int __wrap_lc_os_map(int fd, uint64_t size, void **out);
void __wrap_lc_os_unmap(void *base, uint64_t size);
uint64_t __wrap_lc_os_now_ms(void);
uint64_t __wrap_lc_os_monotonic_ms(void);
void __wrap_lc_os_sleep_ms(uint32_t ms);

int __wrap_lc_os_map(int fd, uint64_t size, void **out) {
    uint8_t *room = mmap(NULL, size + 2 * ARENA_GUARD, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MUST(room != MAP_FAILED);
    void *base = mmap(room + ARENA_GUARD, size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_FIXED, fd, 0);
    if (base == MAP_FAILED) {
        int failed = -errno;
        munmap(room, size + 2 * ARENA_GUARD);
        return failed;
    }
    if (size >= LC_SIZE_MIN) { /* not one that only looks at a header */
        arena_watch(base, size);
    }
    *out = base;
    return 0;
}

void __wrap_lc_os_unmap(void *base, uint64_t size) {
    uint64_t mapped = lc_align_up(size, 4096);
    munmap((uint8_t *)base - ARENA_GUARD, mapped + 2 * ARENA_GUARD);
}

uint64_t __wrap_lc_os_now_ms(void) { return arena_now_ms; }
uint64_t __wrap_lc_os_monotonic_ms(void) { return arena_now_ms; }
void __wrap_lc_os_sleep_ms(uint32_t ms) { arena_now_ms += ms; }

/* --- states ----------------------------------------------------------------------- */

static void forget_stores(void) {
    for (uint32_t i = 0; i < listed; i++) {
        written[list[i]] = 0;
    }
    listed = 0;
}

void arena_save(struct arena *arena, struct lilcache *cache) {
    struct lc_segment *segment = cache->segment;
    arena->cache = cache;
    arena->segment = segment;
    arena->now = arena_now_ms;
    arena->saved = malloc(segment->size);
    MUST(arena->saved != NULL);
    memcpy(arena->saved, segment->base, segment->size);
    arena->handle = *segment;
    memcpy(arena->shards, segment->shards,
           segment->shard_count * sizeof *segment->shards);
}

/* Locks are taken by libc, which reports nothing. */
static void note_locks(const struct lc_segment *segment) {
    for (uint32_t i = 0; i < segment->shard_count; i++) {
        stores_into(segment->shards[i].ctl, sizeof(pthread_mutex_t));
    }
}

void arena_enter(const struct arena *arena) {
    struct lc_segment *segment = arena->segment;
    forget_stores();
    arena_watch(segment->base, segment->size);
    note_locks(segment);
    arena_now_ms = arena->now;
    segment->row = arena->handle.row;
    segment->pin_epoch = arena->handle.pin_epoch;
    segment->sweep_wanted = arena->handle.sweep_wanted;
    segment->sweep_after_ms = arena->handle.sweep_after_ms;
    segment->claim_after_ms = arena->handle.claim_after_ms;
    memcpy(segment->pace, arena->handle.pace, sizeof segment->pace);
    memcpy(segment->shards, arena->shards,
           segment->shard_count * sizeof *segment->shards);
}

void arena_put_back(uint8_t *base, const uint8_t *saved) {
    static uint64_t times;
    for (uint32_t i = 0; i < listed; i++) {
        uint64_t at = (uint64_t)list[i] * ARENA_PIECE;
        if (at < stores_size) { /* it was mapped longer than it is now, perhaps */
            memcpy(base + at, saved + at, ARENA_PIECE);
        }
    }
    forget_stores();
    if (times++ % COMPARE_EVERY == 0 && memcmp(base, saved, stores_size) != 0) {
        FINDING("a store into the segment was not reported");
    }
}

void arena_restore(const struct arena *arena) {
    struct lc_segment *segment = arena->segment;
    for (uint32_t i = 0; i < segment->row_pins; i++) {
        MUST_EQ(segment->pins[i].holds, 0);
    }
    for (uint32_t i = 0; i < segment->shard_count; i++) {
        MUST_EQ(segment->shards[i].held_to, 0);
    }
    arena_put_back(segment->base, arena->saved);
}

void arena_check_locks(const struct lc_segment *segment) {
    for (uint32_t i = 0; i < segment->shard_count; i++) {
        int lock = segment->shards[i].ctl->sh_mutex.__data.__lock;
        MUST(lock == 0 || lock == FUTEX_OWNER_DIED);
    }
}

void arena_owner_died(struct lc_segment *segment, uint32_t shard) {
    segment->shards[shard].ctl->sh_mutex.__data.__lock = FUTEX_OWNER_DIED;
}
