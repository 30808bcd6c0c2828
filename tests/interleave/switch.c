/* Stands in for the run-time library of -fsanitize=thread, and for what the core calls.
 * Compiled without that flag. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "switch.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define STACK_BYTES (512 * 1024)
#define BYTES       ((uint64_t)SWITCH_PAGES * SWITCH_PAGE)

switch_observer switch_observe;

static uint8_t *segment;
static uint8_t saved[BYTES];
static uint8_t dirty[SWITCH_PAGES];
static uint64_t random_state = 1;

static ucontext_t driver;
static struct call *running;

void *__real_memcpy(void *to, const void *from, size_t count);
void *__real_memset(void *to, int byte, size_t count);

/* --- the segment ------------------------------------------------------------------ */

void switch_watch(uint8_t *base) { segment = base; }
void switch_seed(uint64_t seed) { random_state = seed; }

void switch_save(void) {
    __real_memcpy(saved, segment, BYTES);
    __real_memset(dirty, 0, sizeof dirty);
}

void switch_restore(void) {
    for (uint64_t page = 0; page < SWITCH_PAGES; page++) {
        if (dirty[page]) {
            __real_memcpy(segment + page * SWITCH_PAGE, saved + page * SWITCH_PAGE,
                          SWITCH_PAGE);
        }
    }
    __real_memset(dirty, 0, sizeof dirty);
}

static inline bool inside(const volatile void *at) {
    return (uintptr_t)at - (uintptr_t)segment < BYTES;
}

static inline void soil(const volatile void *at, uint64_t bytes) {
    uint64_t from = (uintptr_t)at - (uintptr_t)segment;
    for (uint64_t page = from / SWITCH_PAGE; page <= (from + bytes - 1) / SWITCH_PAGE;
         page++) {
        dirty[page] = 1;
    }
}

/* --- calls ------------------------------------------------------------------------ */

static void leave(enum call_state state) {
    struct call *call = running;
    call->state = state;
    running = NULL;
    swapcontext(&call->context, &driver);
}

static void enter(void) {
    running->run();
    leave(CALL_DONE);
}

void call_begin(struct call *call, void (*run)(void), bool stores_only) {
    uint8_t *stack = call->stack ? call->stack : malloc(STACK_BYTES);
    *call = (struct call){.run = run, .stores_only = stores_only, .stack = stack};
    getcontext(&call->context);
    call->context.uc_stack.ss_sp = stack;
    call->context.uc_stack.ss_size = STACK_BYTES;
    call->context.uc_link = NULL;
    makecontext(&call->context, enter, 0);
}

enum call_state call_go(struct call *call, uint64_t accesses) {
    if (call->state != CALL_DONE) {
        call->pause_at = accesses;
        running = call;
        swapcontext(&driver, &call->context);
    }
    return call->state;
}

static inline void access_next(void) {
    if (running->accesses == running->pause_at) {
        leave(CALL_PAUSED);
    }
    running->accesses++;
}

static inline void load(const volatile void *at, uint64_t bytes, int order) {
    if (!inside(at)) {
        return;
    }
    if (switch_observe) {
        switch_observe(ACCESS_LOAD, at, bytes, order);
    }
    if (running && !running->stores_only) {
        access_next();
    }
}

static inline void store(const volatile void *at, uint64_t bytes, int order) {
    if (inside(at)) {
        if (switch_observe) {
            switch_observe(ACCESS_STORE, at, bytes, order);
        }
        soil(at, bytes);
        if (running) {
            access_next();
            soil(at, bytes); /* it may have been restored meanwhile */
        }
    }
}

/* --- accesses --------------------------------------------------------------------- */

#define ACCESS_LOAD(at, bytes, order)  load(at, bytes, order)
#define ACCESS_STORE(at, bytes, order) store(at, bytes, order)
#include "accesses.h"

/* Between two accesses there is a switch anyway. */
void __tsan_atomic_thread_fence(int order) {
    if (switch_observe) {
        switch_observe(ACCESS_FENCE, NULL, 0, order);
    }
}

/* --- memcpy, memset --------------------------------------------------------------- */

void *__wrap_memcpy(void *to, const void *from, size_t count) {
    bool stores = count > 0 && inside(to);
    bool loads = count > 0 && inside(from);
    size_t half = stores || loads ? count / 2 : 0;
    for (int part = 0; part < 2; part++) {
        size_t at = part ? half : 0;
        size_t bytes = part ? count - half : half;
        if (stores && bytes > 0) {
            store((char *)to + at, bytes, -1);
        } else if (loads) {
            load((const char *)from + at, bytes, -1);
        }
        __real_memcpy((char *)to + at, (const char *)from + at, bytes);
    }
    return to;
}

void *__wrap_memset(void *to, int byte, size_t count) {
    if (count > 0 && inside(to)) {
        store(to, count, -1);
    }
    return __real_memset(to, byte, count);
}

/* --- locks ------------------------------------------------------------------------ */

#define LOCK(name, arguments, names)                                                   \
    int __real_##name arguments;                                                       \
    int __wrap_##name arguments {                                                      \
        if (inside(mutex)) {                                                           \
            store(mutex, sizeof *mutex, __ATOMIC_SEQ_CST);                             \
        }                                                                              \
        return __real_##name names;                                                    \
    }

LOCK(pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
LOCK(pthread_mutex_unlock, (pthread_mutex_t * mutex), (mutex))

/* Of the process: the other call may hold it and has to go on first. */
int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) {
    if (!running) {
        return __real_pthread_mutex_lock(mutex);
    }
    while (__real_pthread_mutex_trylock(mutex) == EBUSY) {
        leave(CALL_BLOCKED);
    }
    return 0;
}

ssize_t __wrap_getrandom(void *out, size_t length, unsigned flags) {
    (void)flags;
    for (size_t i = 0; i < length; i++) {
        random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
        ((uint8_t *)out)[i] = (uint8_t)(random_state >> 56);
    }
    return (ssize_t)length;
}
