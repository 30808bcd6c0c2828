/* What --wrap puts in the place of the C library. */
#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A reservation as long as this is interrupted for ever in FAIL_LONG. */
#define LONG_BYTES 65536

struct fail_shared *fail_shared;

static enum fail_mode mode;
static uint64_t from;
static int code;
static bool armed;
static bool hidden;
static void (*meanwhile)(void);

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd,
                  off_t offset);

void fail_init(void) {
    fail_shared = __real_mmap(NULL, sizeof *fail_shared, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fail_shared == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
}

void fail_arm(enum fail_mode how, uint64_t k, int error) {
    mode = how;
    from = k;
    code = error;
    fail_shared->calls = 0;
    fail_shared->failed = 0;
    fail_shared->first_failed = FAIL_CALL_COUNT;
    memset(fail_shared->by_call, 0, sizeof fail_shared->by_call);
    armed = true;
}

void fail_disarm(void) { armed = false; }
void fail_hide_free_space(bool now) { hidden = now; }
void fail_before_allocating(void (*happens)(void)) { meanwhile = happens; }

const char *fail_name(uint64_t call) {
    static const char *const names[] = {
#define X(name) #name,
        FAIL_CALLS "nothing"
#undef X
    };
    return names[call];
}

static struct fail_site *site_of(uint64_t at) {
    for (size_t i = at % FAIL_SITES;; i = (i + 1) % FAIL_SITES) {
        if (fail_shared->sites[i].at == 0) {
            fail_shared->sites[i].at = at;
        }
        if (fail_shared->sites[i].at == at) {
            return &fail_shared->sites[i];
        }
    }
}

static bool chosen(enum fail_call call, uint64_t n) {
    switch (mode) {
    case FAIL_ONCE:
        return n == from;
    case FAIL_THRICE:
        return n >= from && n < from + 3;
    case FAIL_SINCE:
        /* Without these two nobody can tell or take away what was made. */
        return n >= from && call != FAIL_fstat && call != FAIL_shm_unlink;
    case FAIL_SINCE_ALIKE:
        return n == from ||
               (fail_shared->failed && fail_shared->first_failed == (uint64_t)call);
    default:
        return false;
    }
}

/* The errno to fail with, or 0. */
static int verdict(enum fail_call call, uint64_t at, bool asked) {
    if (!armed) {
        return 0;
    }
    struct fail_site *site = site_of(at);
    uint64_t n = ++fail_shared->calls;
    site->calls++;
    fail_shared->by_call[call]++;
    bool system_call = call < FAIL_MEMORY;
    if (!(chosen(call, n) || asked) || (code == EINTR && !system_call)) {
        return 0;
    }
    if (fail_shared->failed++ == 0) {
        fail_shared->first_failed = call;
    }
    fail_shared->injected++;
    site->failed++;
    return call == FAIL_calloc ? ENOMEM : code;
}

#define VERDICT(name) verdict(FAIL_##name, (uint64_t)__builtin_return_address(0), false)

/* type name(parameters): fails with `failure` and errno. */
#define WRAP(type, name, parameters, names, failure)                                   \
    type __real_##name parameters;                                                     \
    type __wrap_##name parameters;                                                     \
    type __wrap_##name parameters {                                                    \
        int error = VERDICT(name);                                                     \
        if (error) {                                                                   \
            errno = error;                                                             \
            return failure;                                                            \
        }                                                                              \
        return __real_##name names;                                                    \
    }

WRAP(int, shm_open, (const char *path, int flags, mode_t mode_), (path, flags, mode_),
     -1)
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), -1)
WRAP(int, fchmod, (int fd, mode_t mode_), (fd, mode_), -1)
WRAP(int, fchown, (int fd, uid_t owner, gid_t group), (fd, owner, group), -1)
WRAP(int, getrlimit, (__rlimit_resource_t what, struct rlimit *out), (what, out), -1)
WRAP(void *, mmap,
     (void *at, size_t bytes, int protection, int flags, int fd, off_t offset),
     (at, bytes, protection, flags, fd, offset), MAP_FAILED)
WRAP(int, madvise, (void *at, size_t bytes, int advice), (at, bytes, advice), -1)
WRAP(ssize_t, read, (int fd, void *to, size_t bytes), (fd, to, bytes), -1)
WRAP(ssize_t, pread, (int fd, void *to, size_t bytes, off_t at), (fd, to, bytes, at),
     -1)
WRAP(ssize_t, readlink, (const char *path, char *to, size_t bytes), (path, to, bytes),
     -1)
WRAP(ssize_t, pwrite, (int fd, const void *from, size_t bytes, off_t at),
     (fd, from, bytes, at), -1)
WRAP(int, sigaction,
     (int number, const struct sigaction *wanted, struct sigaction *old),
     (number, wanted, old), -1)
WRAP(int, stat, (const char *path, struct stat *out), (path, out), -1)
WRAP(ssize_t, getrandom, (void *to, size_t bytes, unsigned flags), (to, bytes, flags),
     -1)
WRAP(int, nanosleep, (const struct timespec *wait, struct timespec *rest), (wait, rest),
     -1)
WRAP(long, sysconf, (int what), (what), -1)
WRAP(int, fstat, (int fd, struct stat *out), (fd, out), -1)
WRAP(int, shm_unlink, (const char *path), (path), -1)
WRAP(void *, calloc, (size_t count, size_t bytes), (count, bytes), NULL)

/* These return the errno. */
#define WRAP_VALUE(name, parameters, names)                                            \
    int __real_##name parameters;                                                      \
    int __wrap_##name parameters;                                                      \
    int __wrap_##name parameters {                                                     \
        int error = VERDICT(name);                                                     \
        return error ? error : __real_##name names;                                    \
    }

WRAP_VALUE(pthread_mutex_init,
           (pthread_mutex_t * mutex, const pthread_mutexattr_t *attributes),
           (mutex, attributes))
WRAP_VALUE(pthread_atfork,
           (void (*before)(void), void (*parent)(void), void (*child)(void)),
           (before, parent, child))

int __real_posix_fallocate(int fd, off_t at, off_t bytes);
int __wrap_posix_fallocate(int fd, off_t at, off_t bytes);
int __wrap_posix_fallocate(int fd, off_t at, off_t bytes) {
    if (meanwhile) {
        meanwhile();
    }
    int error = verdict(FAIL_posix_fallocate, (uint64_t)__builtin_return_address(0),
                        mode == FAIL_LONG && bytes >= LONG_BYTES);
    return error ? error : __real_posix_fallocate(fd, at, bytes);
}

int __real_fstatvfs(int fd, struct statvfs *out);
int __wrap_fstatvfs(int fd, struct statvfs *out);
int __wrap_fstatvfs(int fd, struct statvfs *out) {
    int error = VERDICT(fstatvfs);
    if (error || hidden) {
        errno = error ? error : ENOSYS;
        return -1;
    }
    return __real_fstatvfs(fd, out);
}

/* The kernel lets go of what these were given also when it reports an error. */
#define WRAP_ENDING(name, parameters, names)                                           \
    int __real_##name parameters;                                                      \
    int __wrap_##name parameters;                                                      \
    int __wrap_##name parameters {                                                     \
        int error = VERDICT(name);                                                     \
        int result = __real_##name names;                                              \
        if (error) {                                                                   \
            errno = error;                                                             \
            return -1;                                                                 \
        }                                                                              \
        return result;                                                                 \
    }

WRAP_ENDING(close, (int fd), (fd))
WRAP_ENDING(munmap, (void *at, size_t bytes), (at, bytes))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
    int error = VERDICT(open);
    if (error) {
        errno = error;
        return -1;
    }
    va_list more;
    va_start(more, flags);
    mode_t mode_ = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return __real_open(path, flags, mode_);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...) {
    int error = VERDICT(fcntl);
    if (error) {
        errno = error;
        return -1;
    }
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    return __real_fcntl(fd, command, argument);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
    long words[6];
    va_list more;
    va_start(more, number);
    for (int i = 0; i < 6; i++) {
        words[i] = va_arg(more, long);
    }
    va_end(more);
    int error = number == SYS_futex ? VERDICT(syscall) : 0;
    if (error) {
        errno = error;
        return -1;
    }
    return __real_syscall(number, words[0], words[1], words[2], words[3], words[4],
                          words[5]);
}
