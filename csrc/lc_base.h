/* Attributes and arithmetic that every other file may use. */
#ifndef LC_BASE_H
#define LC_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LC_LIKELY(x)   __builtin_expect(!!(x), 1)
#define LC_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LC_CACHE_LINE  64
/* What the compiler takes for too large to be inlined everywhere, and is faster so. A
 * build that counts places in the code has each once: tests/kill, tests/coverage. */
#ifndef LC_INLINE
#define LC_INLINE inline __attribute__((always_inline))
#endif
/* All that the function calls becomes part of it, but for what is LC_NOINLINE: the ways
 * hardly ever taken, which would make it too long to stay in the processor. Defined
 * away as LC_INLINE is. */
#ifndef LC_FLATTEN
#define LC_FLATTEN __attribute__((flatten))
#endif
#define LC_NOINLINE __attribute__((noinline))

/* Without a call at each use; musl takes no object with this model into a running
 * process. */
#ifdef __GLIBC__
#define LC_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
#else
#define LC_THREAD_LOCAL __thread
#endif

typedef uint64_t lc_hash64;

static inline uint64_t lc_min64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t lc_max64(uint64_t a, uint64_t b) { return a > b ? a : b; }

static inline uint64_t lc_clamp64(uint64_t x, uint64_t low, uint64_t high) {
    return x < low ? low : x > high ? high : x;
}

/* granule must be a power of two. */
static inline uint64_t lc_align_up(uint64_t x, uint64_t granule) {
    return (x + granule - 1) & ~(granule - 1);
}

static inline uint64_t lc_div_up(uint64_t x, uint64_t y) { return (x + y - 1) / y; }

/* floor(log2(x)); x must not be 0. */
static inline uint32_t lc_log2(uint64_t x) {
    return 63u - (uint32_t)__builtin_clzll(x);
}

#endif
