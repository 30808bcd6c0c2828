/* The detector's side of lc_race.h, compiled without -fsanitize=thread.
 *
 * TSAN_SITES names a file that gets a line "site times" for each optimistic read of
 * race.def, "counts times skipped" for what was shown afterwards, over all processes
 * that the program forks. */
#include "lc_race.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void __tsan_acquire(void *at);
void __tsan_release(void *at);
void __tsan_ignore_thread_begin(void);
void __tsan_ignore_thread_end(void);
void __tsan_read_range(void *at, unsigned long bytes);
void __tsan_mutex_pre_unlock(void *at, unsigned flags);
void __tsan_mutex_post_unlock(void *at, unsigned flags);
uint64_t __tsan_atomic64_load(const volatile uint64_t *at, int order);

#define TSAN_GUARDS 1024

struct tsan_board {
    uint64_t sites[LC_RACE_SITE_COUNT];
    uint64_t counts;
    uint64_t skipped;
};

static struct tsan_board *board; /* shared with all that is forked */
static pid_t first;
static uint8_t guards[TSAN_GUARDS]; /* spin locks that the detector does not see */

__attribute__((constructor)) static void tsan_start(void) {
    void *at = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        abort();
    }
    board = at;
    first = getpid();
}

__attribute__((destructor)) static void tsan_end(void) {
    static const char *const names[] = {
#define X(name, check) #name,
#include "race.def"
#undef X
    };
    const char *path = getenv("TSAN_SITES");
    FILE *file = path && getpid() == first ? fopen(path, "a") : NULL;
    if (!file) {
        return;
    }
    for (int i = 0; i < LC_RACE_SITE_COUNT; i++) {
        fprintf(file, "%s %llu\n", names[i], (unsigned long long)board->sites[i]);
    }
    fprintf(file, "counts %llu %llu\n", (unsigned long long)board->counts,
            (unsigned long long)board->skipped);
    fclose(file);
}

static void tsan_add(uint64_t *word) { __atomic_fetch_add(word, 1, __ATOMIC_RELAXED); }

static uint8_t *guard_lock(const uint64_t *guard) {
    uint8_t *lock = &guards[(uintptr_t)guard / sizeof *guard % TSAN_GUARDS];
    while (__atomic_exchange_n(lock, 1, __ATOMIC_SEQ_CST)) {
    }
    return lock;
}

static void guard_unlock(uint8_t *lock) { __atomic_store_n(lock, 0, __ATOMIC_SEQ_CST); }

/* An object of its own for the edge: loads and stores of the word itself give none. */
static void *guard_edge(const uint64_t *guard) { return (uint8_t *)guard + 1; }

void lc_race_begin(enum lc_race_site site) {
    tsan_add(&board->sites[site]);
    __tsan_ignore_thread_begin();
}

void lc_race_end(void) { __tsan_ignore_thread_end(); }

/* Looked at again under the guard's lock: had the word changed between the reader's own
 * check and now, the writer might be at the bytes already, and rightly. */
void lc_race_counts(const uint64_t *guard, uint64_t value, const void *at,
                    size_t bytes) {
    uint8_t *lock = guard_lock(guard);
    bool same = __atomic_load_n(guard, __ATOMIC_SEQ_CST) == value;
    if (same) {
        __tsan_read_range((void *)at, bytes);
        __tsan_release(guard_edge(guard));
    }
    guard_unlock(lock);
    tsan_add(same ? &board->counts : &board->skipped);
}

void lc_race_counts_word(const uint64_t *guard, uint64_t value, const uint64_t *word) {
    uint8_t *lock = guard_lock(guard);
    bool same = __atomic_load_n(guard, __ATOMIC_SEQ_CST) == value;
    if (same) {
        (void)__tsan_atomic64_load(word, __ATOMIC_RELAXED);
        __tsan_release(guard_edge(guard));
    }
    guard_unlock(lock);
    tsan_add(same ? &board->counts : &board->skipped);
}

/* The bump lies before, so a reader who still saw the old value has released. */
void lc_race_reused(const uint64_t *guard) {
    uint8_t *lock = guard_lock(guard);
    __tsan_acquire(guard_edge(guard));
    guard_unlock(lock);
}

void lc_race_unlocked(void *mutex) {
    __tsan_mutex_pre_unlock(mutex, 0);
    __tsan_mutex_post_unlock(mutex, 0);
}
