/* What a race detector is told about reads without the lock; nothing in other builds.
 *
 * A detector cannot know that a torn read is thrown away, nor does it see fences. So
 * the optimistic loads, one by one, are hidden from it (LC_RACY), and what they found
 * is shown to it after the check that makes it count: LC_RACE_COUNTS. From then on the
 * bytes are read as far as it knows, and it demands that they were written before, by
 * the orders of lc_atomic.h, and are not written again before LC_RACE_REUSED.
 *
 *   reader                            writer
 *   generation g                      bump the generation, fence
 *   LC_RACY copy                      LC_RACE_REUSED
 *   fence, still g                    write the bytes
 *   LC_RACE_COUNTS                    store a slot
 *
 * LC_RACES and the functions: tests/c/tsan.c. */
#ifndef LC_RACE_H
#define LC_RACE_H

#ifdef LC_RACES

#include <stddef.h>
#include <stdint.h>

enum lc_race_site {
#define X(name, check) LC_RACE_##name,
#include "race.def"
#undef X
    LC_RACE_SITE_COUNT
};

void lc_race_begin(enum lc_race_site site);
void lc_race_end(void);
void lc_race_counts(const uint64_t *guard, uint64_t value, const void *at,
                    size_t bytes);
void lc_race_counts_word(const uint64_t *guard, uint64_t value, const uint64_t *word);
void lc_race_reused(const uint64_t *guard);
void lc_race_unlocked(void *mutex);

/* The value of an expression that loads optimistically. */
#define LC_RACY(site, expression)                                                      \
    __extension__({                                                                    \
        lc_race_begin(LC_RACE_##site);                                                 \
        __typeof__(expression) lc_racy = (expression);                                 \
        lc_race_end();                                                                 \
        lc_racy;                                                                       \
    })
/* These bytes were read and count, if *guard is still `value`. */
#define LC_RACE_COUNTS(guard, value, at, bytes) lc_race_counts(guard, value, at, bytes)
/* The same for a word that others may change by an atomic store. */
#define LC_RACE_COUNTS_WORD(guard, value, word) lc_race_counts_word(guard, value, word)
/* *guard has another value: what it stood for may be written again. */
#define LC_RACE_REUSED(guard) lc_race_reused(guard)
/* A mutex that libc took, which the detector saw, is given back without libc. */
#define LC_RACE_UNLOCKED(mutex) lc_race_unlocked(mutex)

#else

#define LC_RACY(site, expression)               (expression)
#define LC_RACE_COUNTS(guard, value, at, bytes) ((void)0)
#define LC_RACE_COUNTS_WORD(guard, value, word) ((void)0)
#define LC_RACE_REUSED(guard)                   ((void)0)
#define LC_RACE_UNLOCKED(mutex)                 ((void)0)

#endif

#endif
