/* What the coordinator and the workers share: the board, and the calls written on it.
 */
#ifndef CALLS_H
#define CALLS_H

#include "cachetest.h"
#include "history.h"

#define WORKERS 5
#define CALLS   120 /* of a worker in a round */
#define KEYS    12
#define LARGE   90000 /* a value that is copied between two lock sections */

struct call {
    struct op op;
    uint32_t key; /* KEYS: all of them */
};

struct log {
    uint64_t count;
    struct call calls[CALLS * 4];
};

/* Shared by the coordinator and the workers. */
struct shared {
    uint64_t round; /* workers run it; 0 ends */
    uint64_t ready[WORKERS];
    uint64_t torn;
    uint64_t views, unpinned;   /* read under a pin; copied, since there was none */
    uint64_t current, outdated; /* versions that were, and were not any more */
    uint64_t tries, busy;       /* calls that do not wait: done, and refused */
    struct fate {               /* of one worker in this round */
        int worker;
        int signal;     /* SIGKILL or SIGSTOP; 0: nobody's */
        uint64_t after; /* points of the core */
        uint32_t met;   /* about to raise the signal */
    } fate;
    struct log logs[WORKERS];
};

extern struct shared *shared;

extern struct lilcache *caches[2]; /* exact, lossy */

uint64_t calls_now(void); /* nanoseconds */

/* The name of a round's key. */
void calls_key(uint64_t round, uint32_t key, char out[CT_KEY_BYTES + 1]);

/* Be worker number `worker` from the round after from_round on. */
void calls_work(int worker, uint64_t from_round, uint64_t seed)
    __attribute__((noreturn));

/* Repeat a call while the lock is busy: nothing has been done then. */
#define PATIENTLY(result, expression)                                                  \
    do {                                                                               \
        (result) = (expression);                                                       \
    } while ((result) == LILCACHE_BUSY)

#endif
