/* Included before everything else in ThreadSanitizer builds, whose runtime does not
 * know pthread_mutex_clocklock and would believe that nobody ever took the lock. */
#ifndef TSAN_H
#define TSAN_H

#include <pthread.h>
#include <time.h>

int tsan_clocklock(pthread_mutex_t *mutex, clockid_t clock,
                   const struct timespec *until);

#define pthread_mutex_clocklock tsan_clocklock

#endif
