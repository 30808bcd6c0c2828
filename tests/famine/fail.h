/* Every call that the core makes of the C library and that can fail, made to fail; of
 * syscall the wait for a futex.
 * Linked with --wrap. */
#ifndef FAIL_H
#define FAIL_H

#include <stdbool.h>
#include <stdint.h>

#define FAIL_SITES 512
#define FAIL_CALLS                                                                     \
    X(open)                                                                            \
    X(shm_open)                                                                        \
    X(memfd_create)                                                                    \
    X(fcntl)                                                                           \
    X(ftruncate)                                                                       \
    X(posix_fallocate)                                                                 \
    X(fchmod)                                                                          \
    X(fchown)                                                                          \
    X(fstatvfs)                                                                        \
    X(getrlimit)                                                                       \
    X(mmap)                                                                            \
    X(madvise)                                                                         \
    X(read)                                                                            \
    X(pread)                                                                           \
    X(pwrite)                                                                          \
    X(readlink)                                                                        \
    X(sigaction)                                                                       \
    X(stat)                                                                            \
    X(getrandom)                                                                       \
    X(nanosleep)                                                                       \
    X(sysconf)                                                                         \
    X(close)                                                                           \
    X(munmap)                                                                          \
    X(fstat)                                                                           \
    X(shm_unlink)                                                                      \
    X(syscall)                                                                         \
    X(calloc)                                                                          \
    X(pthread_mutex_init)                                                              \
    X(pthread_atfork)

enum fail_call {
#define X(name) FAIL_##name,
    FAIL_CALLS
#undef X
        FAIL_CALL_COUNT
};

/* From calloc on they are no system calls. */
#define FAIL_MEMORY FAIL_calloc

enum fail_mode {
    FAIL_NEVER,
    FAIL_ONCE,
    FAIL_THRICE,
    FAIL_SINCE,       /* that call and all later ones, but fstat and shm_unlink */
    FAIL_SINCE_ALIKE, /* that call and all later ones of the same function */
    FAIL_LONG,        /* EINTR of reservations that are not short */
    FAIL_MODE_COUNT
};

struct fail_site {
    uint64_t at; /* where the call returns to */
    uint64_t calls;
    uint64_t failed;
};

/* Shared with all children. */
struct fail_shared {
    uint64_t calls; /* since the last fail_arm */
    uint64_t failed;
    uint64_t first_failed; /* enum fail_call */
    uint64_t by_call[FAIL_CALL_COUNT];
    uint64_t trials;
    uint64_t injected;
    struct fail_site sites[FAIL_SITES];
};

extern struct fail_shared *fail_shared;

void fail_init(void);
/* The k-th call from now on, counted from 1, fails. k 0: calls are only counted. */
void fail_arm(enum fail_mode mode, uint64_t k, int error);
void fail_disarm(void);
const char *fail_name(uint64_t call);
/* fstatvfs tells nothing, so that posix_fallocate meets the limit itself. */
void fail_hide_free_space(bool hidden);
/* What happens meanwhile: called before each posix_fallocate, NULL: nothing. */
void fail_before_allocating(void (*happens)(void));

#endif
