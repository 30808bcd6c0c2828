/* The only caller of pthread lock functions on words of the segment.
 *
 * A holder runs for about a microsecond, so a waiter first tries a few times by itself:
 * going to sleep costs more than the section it waits for. Then it sleeps in the kernel
 * for the rest of its slice. An owner that is stopped but alive is never robbed.
 *
 * It is not libc's sleep, which ends the process when the word's page is gone, as it is
 * when somebody has just cut the object short. Ours asks for a wake-up by the bit in
 * the word that libc's own waiters set and the kernel looks at when an owner dies:
 *
 *   waiter   word: owner -> owner + WAITERS, sleep while it is that, try again
 *   owner    gives it back: word -> 0, and wakes some if it had the bit
 *   waiter   who gets it sets the bit again: another one may sleep
 *
 * Somebody may take the lock without the bit in between; and a waiter that was woken
 * and dies wakes nobody. So a sleep is short, and what is lost costs one.
 *
 * Nor is it libc's unlock, which follows the list pointers in the mutex to take it off
 * the list of what the kernel gives back for a thread that dies: where damage or zeros
 * have taken their place, to anywhere. lock_end takes them from memory of this thread,
 * and leaves the words as libc does. Taken by libc it is, which believes its kind: that
 * is compared before every call. What remains is a lock word that names nobody:
 * LC_LOCK_BUSY for ever. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* OFD locks, memfd */
#endif
#include "lc_lock.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "lc_atomic.h"
#include "lc_os.h"
#include "lc_race.h"

#define LC_LOCK_TRIES  40
#define LC_LOCK_NAP_MS 5
/* Woken at a time. Were it one, then where there are more processes than cores each
 * would wait for the one before it to come onto a core and through: a convoy. All of
 * hundreds would come for one lock. */
#define LC_LOCK_WAKES 16

#if defined(__GLIBC__) && defined(__PTHREAD_MUTEX_HAVE_PREV) &&                        \
    __PTHREAD_MUTEX_HAVE_PREV

#include <linux/futex.h> /* not where musl-gcc looks */

#define LOCK_NOT_RECOVERABLE (INT_MAX - 1) /* glibc's, in the place of the owner */

static pthread_mutex_t lock_pattern; /* one of ours that nobody ever takes */

/* Of this thread: nobody holds two [K3]. */
struct lock_holder {
    struct robust_list_head *head;
    struct robust_list *before; /* first on the list before the lock was */
    bool died;                  /* the owner before, and nothing is whole yet */
};

static struct lock_holder *lock_me(void) {
    static LC_THREAD_LOCAL struct lock_holder holder;
    return &holder;
}

static bool lock_is_ours(const pthread_mutex_t *mutex) {
    return lc_load_relaxed32((const uint32_t *)&mutex->__data.__kind) ==
           (uint32_t)lock_pattern.__data.__kind;
}

/* Given up by libc: an owner died, and the next one left without a word. Looked at
 * before every call, since libc's trylock takes such a mutex, says ENOTRECOVERABLE and
 * keeps it: from then on everybody would wait for a thread that has long gone on. */
static bool lock_is_given_up(const pthread_mutex_t *mutex) {
    return lc_load_relaxed32((const uint32_t *)&mutex->__data.__owner) ==
           LOCK_NOT_RECOVERABLE;
}

static bool lock_is_listed(const struct lock_holder *me, const pthread_mutex_t *mutex) {
    return (const void *)me->head->list.next ==
           (const void *)&mutex->__data.__list.__next;
}

static bool lock_begin(struct lock_holder *me) {
    if (LC_UNLIKELY(!me->head)) {
        me->head = lc_os_robust_list();
    }
    me->before = me->head ? me->head->list.next : NULL;
    return me->head != NULL;
}

/* Its page was taken away, and another one came. */
static bool lock_is_blank(const pthread_mutex_t *mutex) {
    return lc_load_relaxed32((const uint32_t *)&mutex->__data.__kind) == 0;
}

/* An entry without the bit by which libc and the kernel know one that inherits
 * priority.
 */
static char *lock_entry(const void *entry) {
    return (char *)((uintptr_t)entry & ~(uintptr_t)1);
}

static void lock_unlist(const struct lock_holder *me) {
    char *before = lock_entry(me->before);
    me->head->list.next = me->before;
    if (before != (char *)&me->head->list) { /* a lock of the program's own */
        struct __pthread_internal_list *other =
            (void *)(before - offsetof(struct __pthread_internal_list, __next));
        other->__prev = (void *)me->head;
    }
}

/* Of another kind it could not be taken again, unless it is blank: what it guards is
 * blank, too, then. Swapped, since zeros may come at any moment. */
static void lock_mend_kind(pthread_mutex_t *mutex) {
    uint32_t *kind = (uint32_t *)&mutex->__data.__kind;
    uint32_t now = lc_load_relaxed32(kind);
    if (LC_UNLIKELY(now != (uint32_t)lock_pattern.__data.__kind && now != 0)) {
        lc_swap_relaxed32(kind, now, (uint32_t)lock_pattern.__data.__kind);
    }
}

/* The kernel finds the lock of a thread that dies on its list, or where the head says
 * that one is on its way; that one it passes by on the list, so that it must be able to
 * get past it [K4]. The words are then as libc leaves them. */
static void lock_end(pthread_mutex_t *mutex) {
    struct lock_holder *me = lock_me();
    struct __pthread_mutex_s *words = &mutex->__data;
    uint32_t *word = (uint32_t *)&words->__lock;
    if (LC_UNLIKELY(!lock_is_listed(me, mutex))) {
        return; /* a signal handler has forked since it was taken: it is the parent's */
    }
    words->__list.__next = (void *)me->before; /* whatever damage made of it */
    lc_fence_death();                          /* it leads on before it is passed by */
    me->head->list_op_pending = (void *)&words->__list.__next;
    lc_fence_death(); /* it is on its way before it is off the list */
    lock_unlist(me);
    lc_fence_death(); /* and leads on until it is */
    words->__list.__next = NULL;
    words->__list.__prev = NULL;
    words->__nusers--;
    /* Relaxed: lock_is_given_up looks at it, and is told the same by libc if it is
     * late. */
    lc_store_relaxed32((uint32_t *)&words->__owner,
                       LC_UNLIKELY(me->died) ? LOCK_NOT_RECOVERABLE : 0);
    lock_mend_kind(mutex);
    LC_RACE_UNLOCKED(mutex);
    /* Release: pairs with the acquire by which libc's trylock takes it. */
    if (lc_exchange_release32(word, 0) & FUTEX_WAITERS) {
        lc_os_wake_word(word, LC_LOCK_WAKES);
    }
    lc_fence_death(); /* and until it is free and somebody woken */
    me->head->list_op_pending = NULL;
}

/* It was taken as what it is not any more. */
static LC_NOINLINE void lock_give_up(const struct lock_holder *me,
                                     pthread_mutex_t *mutex) {
    if (lock_entry(me->head->list.next) == (char *)&mutex->__data.__list.__next) {
        /* For one that inherits priority: nobody would take it off the list again. */
        lock_unlist(me);
        lc_store_relaxed32((uint32_t *)&mutex->__data.__lock, 0);
    } else {
        /* For another kind, which knows 1 for taken. Left so it would be waited for
         * once a holder of before gives it back its kind. */
        lc_swap_relaxed32((uint32_t *)&mutex->__data.__lock, 1, 0);
    }
}

/* libc says that we hold it. False: it is no mutex of ours any more, and we do not. */
static bool lock_note(struct lock_holder *me, pthread_mutex_t *mutex, bool died) {
    me->died = died;
    if (LC_UNLIKELY(!lock_is_listed(me, mutex))) {
        lock_give_up(me, mutex);
        return false;
    }
    return true;
}

static void lock_last(pthread_mutex_t *mutex) {
    (void)mutex;
    lock_me()->died = false;
}

static int lock_try(pthread_mutex_t *mutex) {
    return lock_is_ours(mutex) && !lock_is_given_up(mutex)
               ? pthread_mutex_trylock(mutex)
               : ENOTRECOVERABLE;
}

static uint32_t lock_left_ms(const struct timespec *until) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now); /* which nobody sets */
    int64_t left = (until->tv_sec - now.tv_sec) * 1000 +
                   (until->tv_nsec - now.tv_nsec + 999999) / 1000000;
    return left > 0 ? (uint32_t)left : 0;
}

static int lock_wait(pthread_mutex_t *mutex, uint32_t wait_ms) {
    uint32_t *word = (uint32_t *)&mutex->__data.__lock;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    for (;;) {
        uint32_t left = lock_left_ms(&until);
        /* Relaxed, both: what the lock guards is ordered by the attempt below. */
        uint32_t owner = lc_load_relaxed32(word);
        uint32_t asked = owner | FUTEX_WAITERS;
        bool taken = owner != 0 && !(owner & FUTEX_OWNER_DIED);
        if (taken && (owner == asked || lc_swap_relaxed32(word, owner, asked))) {
            lc_os_wait_word(word, asked, (uint32_t)lc_min64(left, LC_LOCK_NAP_MS));
        }
        int result = lock_try(mutex);
        if (result != EBUSY || left == 0) {
            return result;
        }
    }
}

/* We hold it and have slept for it. Relaxed: the bit is for lock_end, which looks at it
 * in the exchange that gives the lock back. */
static void lock_ask_wake(pthread_mutex_t *mutex) {
    uint32_t *word = (uint32_t *)&mutex->__data.__lock;
    for (;;) {
        uint32_t now = lc_load_relaxed32(word);
        if (lc_swap_relaxed32(word, now, now | FUTEX_WAITERS)) {
            return;
        }
    }
}

#else

static pthread_mutex_t lock_pattern;
static bool lock_is_blank(const pthread_mutex_t *mutex) { return mutex == NULL; }
static struct lock_holder *lock_me(void) { return NULL; }
static bool lock_begin(struct lock_holder *me) { return !me; }
static void lock_end(pthread_mutex_t *mutex) { pthread_mutex_unlock(mutex); }
static void lock_last(pthread_mutex_t *mutex) { pthread_mutex_consistent(mutex); }

static bool lock_note(struct lock_holder *me, const pthread_mutex_t *mutex, bool died) {
    (void)died;
    return !me && mutex;
}

static int lock_try(pthread_mutex_t *mutex) { return pthread_mutex_trylock(mutex); }
static void lock_ask_wake(const pthread_mutex_t *mutex) { (void)mutex; }

static int lock_wait(pthread_mutex_t *mutex, uint32_t wait_ms) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += wait_ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return pthread_mutex_timedlock(mutex, &until);
}

#endif

static int lock_make(pthread_mutex_t *mutex) {
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
        failed = pthread_mutex_init(mutex, &attributes);
    }
    pthread_mutexattr_destroy(&attributes);
    return -failed;
}

int lc_lock_setup(void) { return lock_make(&lock_pattern); }
int lc_lock_init(struct shm_shard *ctl) { return lock_make(&ctl->sh_mutex); }

static enum lc_lock_result lock_broken(const pthread_mutex_t *mutex) {
    return lock_is_blank(mutex) ? LC_LOCK_BLANK : LC_LOCK_BROKEN;
}

/* Somebody else has it. */
static LC_NOINLINE int lock_try_long(pthread_mutex_t *mutex, uint32_t wait_ms,
                                     bool *slept) {
    int result = EBUSY;
    for (int i = 0; i < LC_LOCK_TRIES && result == EBUSY; i++) {
        for (int j = 0; j < 8; j++) {
            lc_pause();
        }
        result = lock_try(mutex);
    }
    *slept = result == EBUSY;
    return *slept ? lock_wait(mutex, wait_ms) : result;
}

enum lc_lock_result lc_lock_take(struct shm_shard *ctl, uint32_t wait_ms,
                                 bool *waited) {
    struct lock_holder *me = lock_me();
    if (!lock_begin(me)) {
        *waited = false;
        return lock_broken(&ctl->sh_mutex);
    }
    int result = lock_try(&ctl->sh_mutex);
    bool slept = false;
    *waited = result == EBUSY;
    if (LC_UNLIKELY(*waited && wait_ms > 0)) {
        result = lock_try_long(&ctl->sh_mutex, wait_ms, &slept);
    }
    if (LC_LIKELY(result == 0) || result == EOWNERDEAD) {
        if (!lock_note(me, &ctl->sh_mutex, result == EOWNERDEAD)) {
            return lock_broken(&ctl->sh_mutex);
        }
        if (slept) {
            lock_ask_wake(&ctl->sh_mutex);
        }
    }
    switch (result) {
    case 0:
        return LC_LOCK_CLEAN;
    case EOWNERDEAD:
        return LC_LOCK_OWNER_DIED;
    case ENOTRECOVERABLE:
    case EINVAL:
        return lock_broken(&ctl->sh_mutex);
    default: /* EBUSY, ETIMEDOUT */
        return LC_LOCK_BUSY;
    }
}

void lc_lock_consistent(struct shm_shard *ctl) { lock_last(&ctl->sh_mutex); }
void lc_lock_leave(struct shm_shard *ctl) { lock_end(&ctl->sh_mutex); }
