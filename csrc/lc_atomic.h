/* The only file that names memory orders.
 *
 * Words of the segment are read and written by several processes at once, so every
 * access that is not under the shard lock, and every lock holder's store that a reader
 * may see, goes through here. Each use of an order weaker than sequentially consistent
 * says beside it which line it pairs with. */
#ifndef LC_ATOMIC_H
#define LC_ATOMIC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__atomic_always_lock_free(8, 0), "64-bit words must be lock-free");

static inline uint64_t lc_load_relaxed(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline uint64_t lc_load_acquire(const uint64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void lc_store_relaxed(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline void lc_store_release(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline uint32_t lc_load_relaxed32(const uint32_t *word) {
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline uint32_t lc_load_acquire32(const uint32_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void lc_store_relaxed32(uint32_t *word, uint32_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline void lc_store_release32(uint32_t *word, uint32_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline uint16_t lc_load_relaxed16(const uint16_t *word) {
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline void lc_store_relaxed16(uint16_t *word, uint16_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static inline void lc_add_relaxed(uint64_t *word, uint64_t delta) {
    __atomic_fetch_add(word, delta, __ATOMIC_RELAXED);
}

/* The sum. */
static inline uint32_t lc_next_relaxed32(uint32_t *word) {
    return __atomic_add_fetch(word, 1, __ATOMIC_RELAXED);
}

static inline void lc_add_release(uint64_t *word, uint64_t delta) {
    __atomic_fetch_add(word, delta, __ATOMIC_RELEASE);
}

/* True when *word was `expected` and is now `desired`. No order: used for hit bits
 * only, which nothing else depends on. */
static inline int lc_swap_relaxed(uint64_t *word, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

static inline int lc_swap_relaxed32(uint32_t *word, uint32_t expected,
                                    uint32_t desired) {
    return __atomic_compare_exchange_n(word, &expected, desired, 0, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

static inline uint32_t lc_exchange_release32(uint32_t *word, uint32_t value) {
    return __atomic_exchange_n(word, value, __ATOMIC_RELEASE);
}

static inline void lc_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void lc_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
static inline void lc_fence_seq_cst(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

/* Stores before this line are in memory before those after it when this process is
 * killed. A death comes between two instructions and the successor's lock comes from
 * the kernel, so only the compiler could do otherwise: a release store keeps what comes
 * before it in its place, not what comes after. No instruction. */
static inline void lc_fence_death(void) { __asm__ volatile("" ::: "memory"); }

/* Copy bytes that another process may be overwriting. The result is worth something
 * only if a generation check behind an acquire fence says so afterwards. A plain
 * memcpy: its race is confined to bytes that are then thrown away. The empty asm keeps
 * the compiler from reading the source twice. */
static inline void *lc_copy_racy(void *to, const void *from, size_t count) {
    memcpy(to, from, count);
    __asm__ volatile("" ::: "memory");
    return to;
}

static inline int lc_equal_racy(const void *a, const void *b, size_t count) {
    int equal = memcmp(a, b, count) == 0;
    __asm__ volatile("" ::: "memory");
    return equal;
}

static inline void lc_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
