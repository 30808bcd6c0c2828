#include "tsan.h"

#include <errno.h>

int tsan_clocklock(pthread_mutex_t *mutex, clockid_t clock,
                   const struct timespec *until) {
    int result;
    while ((result = pthread_mutex_trylock(mutex)) == EBUSY) {
        const struct timespec nap = {0, 20000};
        struct timespec now;
        clock_gettime(clock, &now);
        if (now.tv_sec > until->tv_sec ||
            (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec)) {
            return ETIMEDOUT;
        }
        nanosleep(&nap, NULL);
    }
    return result;
}

/* Not to be reported: writing bytes that a reader may still be copying. The copy is
 * thrown away then, which is decided behind a fence, and fences are not modelled.
 * Everything else that two threads touch is a word of lc_atomic.h. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void) {
    return "race:lc_append_value\n"
           "race:lc_append_head_locked\n";
}
