/* The only caller of pthread lock functions on words of the segment.
 *
 * A holder runs for about a microsecond, so a waiter first tries a few times by itself:
 * going to sleep costs more than the section it waits for. Then it sleeps in the kernel
 * for the rest of its slice. An owner that is stopped but alive is never robbed. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* OFD locks, memfd, clocklock */
#endif
#include "lc_lock.h"

#include <errno.h>
#include <time.h>

#include "lc_atomic.h"

#define LC_LOCK_TRIES 40

int lc_lock_init(struct shm_shard *ctl) {
    pthread_mutexattr_t attributes;
    int failed = pthread_mutexattr_init(&attributes);
    if (failed) {
        return -failed;
    }
    failed = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!failed) {
        failed = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    }
    if (!failed) {
        failed = pthread_mutex_init(&ctl->sh_mutex, &attributes);
    }
    pthread_mutexattr_destroy(&attributes);
    return -failed;
}

static int lock_wait(pthread_mutex_t *mutex, uint32_t wait_ms) {
    struct timespec until;
#if defined(__GLIBC__)
    clockid_t clock = CLOCK_MONOTONIC; /* a step of the wall clock must not matter */
#else
    clockid_t clock = CLOCK_REALTIME;
#endif
    clock_gettime(clock, &until);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += wait_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
#if defined(__GLIBC__)
    return pthread_mutex_clocklock(mutex, clock, &until);
#else
    return pthread_mutex_timedlock(mutex, &until);
#endif
}

enum lc_lock_result lc_lock_take(struct shm_shard *ctl, uint32_t wait_ms,
                                 bool *waited) {
    int result = pthread_mutex_trylock(&ctl->sh_mutex);
    *waited = result == EBUSY;
    if (result == EBUSY && wait_ms > 0) {
        for (int i = 0; i < LC_LOCK_TRIES && result == EBUSY; i++) {
            for (int j = 0; j < 8; j++) {
                lc_pause();
            }
            result = pthread_mutex_trylock(&ctl->sh_mutex);
        }
        if (result == EBUSY) {
            result = lock_wait(&ctl->sh_mutex, wait_ms);
        }
    }
    switch (result) {
    case 0:
        return LC_LOCK_CLEAN;
    case EOWNERDEAD:
        return LC_LOCK_OWNER_DIED;
    case ENOTRECOVERABLE:
    case EINVAL:
        return LC_LOCK_BROKEN;
    default: /* EBUSY, ETIMEDOUT */
        return LC_LOCK_BUSY;
    }
}

void lc_lock_consistent(struct shm_shard *ctl) {
    pthread_mutex_consistent(&ctl->sh_mutex);
}

void lc_lock_leave(struct shm_shard *ctl) { pthread_mutex_unlock(&ctl->sh_mutex); }
