/* Stands in for the run-time library of -fsanitize=thread, and for what the core calls.
 * Compiled without that flag. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define SITE ((uintptr_t)__builtin_return_address(0))

struct hook_shared *hook_shared;
struct hook_loads *hook_loads;

void *__real_memcpy(void *to, const void *from, size_t count);

static uintptr_t base;
static uint64_t size;
static uint64_t die_at;
static uintptr_t die_place;
static bool armed;
static bool watch_next;
static uint64_t random_state;
static int fail_fchmod;
static int fail_fallocate;

void hook_watch(void *at, uint64_t bytes) {
    base = (uintptr_t)at;
    size = bytes;
}

void hook_watch_mmap(void) { watch_next = true; }
void hook_seed(uint64_t seed) { random_state = seed; }

void hook_fail(int fchmod_error, int posix_fallocate_error) {
    fail_fchmod = fchmod_error;
    fail_fallocate = posix_fallocate_error;
}

void hook_arm(uint64_t k) {
    hook_shared->count = 0;
    hook_shared->died = 0;
    die_at = k;
    die_place = 0;
    armed = true;
}

void hook_arm_place(uintptr_t at) {
    hook_arm(0);
    die_place = at;
}

void hook_disarm(void) { armed = false; }

void hook_forget(void) {
    for (size_t i = 0; i < hook_shared->site_count; i++) {
        hook_shared->sites[i].first = 0;
    }
}

static struct hook_site *hook_site(uintptr_t site) {
    size_t i = (site * 0x9E3779B97F4A7C15ULL >> 40) & (HOOK_SLOTS - 1);
    for (;; i = (i + 1) & (HOOK_SLOTS - 1)) {
        uint32_t number = hook_shared->site_slot[i];
        if (number == 0) {
            if (hook_shared->site_count == HOOK_SITES) {
                __builtin_trap();
            }
            number = ++hook_shared->site_count;
            hook_shared->sites[number - 1].at = site;
            hook_shared->site_slot[i] = (uint16_t)number;
        }
        if (hook_shared->sites[number - 1].at == site) {
            return &hook_shared->sites[number - 1];
        }
    }
}

static void note_outside(uintptr_t site) {
    if (armed) {
        hook_site(site)->outside++;
    }
}

/* A place to die at. */
static void place(uintptr_t site) {
    if (!armed) {
        return;
    }
    struct hook_site *entry = hook_site(site);
    entry->stores++;
    hook_shared->count++;
    if (entry->first == 0) {
        entry->first = hook_shared->count;
    }
    if (hook_shared->count == die_at || site == die_place) {
        entry->kills++;
        hook_shared->kills++;
        hook_shared->last_site = (uint32_t)(entry - hook_shared->sites);
        hook_shared->died = 1;
        syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    }
}

static inline bool inside(const volatile void *at) {
    return (uintptr_t)at - base < size;
}

/* A process that a victim started may soil at the same time. */
static inline void soil_chunk(uint64_t chunk, uint64_t bits) {
    if ((hook_shared->dirty[chunk] & bits) != bits) {
        __atomic_fetch_or(&hook_shared->dirty[chunk], bits, __ATOMIC_RELAXED);
    }
}

static inline void soil(const volatile void *at, uint64_t bytes) {
    uint64_t word = ((uintptr_t)at - base) / HOOK_WORD;
    uint64_t last = ((uintptr_t)at - base + bytes - 1) / HOOK_WORD;
    uint64_t first_bits = ~0ULL << word % 64;
    uint64_t last_bits = ~0ULL >> (63 - last % 64);
    if (word / 64 == last / 64) {
        soil_chunk(word / 64, first_bits & last_bits);
        return;
    }
    soil_chunk(word / 64, first_bits);
    for (uint64_t chunk = word / 64 + 1; chunk < last / 64; chunk++) {
        soil_chunk(chunk, ~0ULL);
    }
    soil_chunk(last / 64, last_bits);
}

static void load_noted(const volatile void *at, uint64_t bytes) {
    struct hook_loads *log = hook_loads;
    uint32_t from = (uint32_t)((uintptr_t)at - base);
    if (!inside(at) || bytes == 0) {
        return;
    }
    if (log->count == HOOK_LOADS || log->length + bytes > sizeof log->bytes) {
        log->full = true;
        return;
    }
    __real_memcpy(log->bytes + log->length, (const void *)(uintptr_t)at, bytes);
    log->length += (uint32_t)bytes;
    struct hook_load *next = &log->loads[log->count];
    if (log->count > 0 && next[-1].from + next[-1].bytes == from) {
        next[-1].bytes += (uint32_t)bytes;
    } else {
        *next = (struct hook_load){from, (uint32_t)bytes};
        log->count++;
    }
}

static inline void load(const volatile void *at, uint64_t bytes) {
    if (hook_loads) {
        load_noted(at, bytes);
    }
}

static inline void store(const volatile void *at, uint64_t bytes, uintptr_t site) {
    if (inside(at)) {
        soil(at, bytes);
        place(site);
    } else {
        note_outside(site);
    }
}

/* --- accesses --------------------------------------------------------------------- */

#define ACCESS_LOAD(at, bytes, order)  load(at, bytes)
#define ACCESS_STORE(at, bytes, order) store(at, bytes, SITE)
#include "accesses.h"

void __tsan_atomic_thread_fence(int order) {
    (void)order;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* --- memcpy, memset, memcmp ------------------------------------------------------- */

int __real_memcmp(const void *a, const void *b, size_t count);
int __wrap_memcmp(const void *a, const void *b, size_t count) {
    load(a, count);
    load(b, count);
    return __real_memcmp(a, b, count);
}

void *__real_memset(void *to, int byte, size_t count);

/* First, middle and last: before any byte, after half of them, before the last one. */
void *__wrap_memcpy(void *to, const void *from, size_t count) {
    load(from, count);
    if (count == 0 || !inside(to)) {
        note_outside(SITE);
        return __real_memcpy(to, from, count);
    }
    size_t half = count / 2;
    store(to, count, SITE);
    __real_memcpy(to, from, half);
    place(SITE);
    __real_memcpy((char *)to + half, (const char *)from + half, count - half - 1);
    place(SITE);
    ((char *)to)[count - 1] = ((const char *)from)[count - 1];
    return to;
}

void *__wrap_memset(void *to, int byte, size_t count) {
    if (count == 0 || !inside(to)) {
        note_outside(SITE);
        return __real_memset(to, byte, count);
    }
    store(to, count, SITE);
    __real_memset(to, byte, count / 2);
    place(SITE);
    __real_memset((char *)to + count / 2, byte, count - count / 2 - 1);
    place(SITE);
    ((char *)to)[count - 1] = (char)byte;
    return to;
}

/* --- the lock --------------------------------------------------------------------- */

/* Its stores are libpthread's: a place before and one after. */
#define LOCK(name, arguments, names)                                                   \
    int __real_##name arguments;                                                       \
    int __wrap_##name arguments {                                                      \
        store(mutex, sizeof *mutex, SITE);                                             \
        int result = __real_##name names;                                              \
        if (inside(mutex)) {                                                           \
            place(SITE);                                                               \
        }                                                                              \
        return result;                                                                 \
    }

LOCK(pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
LOCK(pthread_mutex_unlock, (pthread_mutex_t * mutex), (mutex))

int __real_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex,
                              const pthread_mutexattr_t *attributes) {
    store(mutex, sizeof *mutex, SITE);
    return __real_pthread_mutex_init(mutex, attributes);
}

/* --- system calls ----------------------------------------------------------------- */

#define CALL(type, name, arguments, names)                                             \
    type __real_##name arguments;                                                      \
    type __wrap_##name arguments {                                                     \
        place(SITE);                                                                   \
        return __real_##name names;                                                    \
    }

CALL(int, ftruncate, (int fd, off_t bytes), (fd, bytes))
CALL(int, shm_open, (const char *path, int flags, mode_t mode), (path, flags, mode))
CALL(int, shm_unlink, (const char *path), (path))
CALL(int, memfd_create, (const char *path, unsigned flags), (path, flags))
CALL(int, fchown, (int fd, uid_t user, gid_t group), (fd, user, group))
CALL(int, close, (int fd), (fd))
CALL(ssize_t, pwrite, (int fd, const void *bytes, size_t length, off_t from),
     (fd, bytes, length, from))
CALL(int, munmap, (void *at, size_t bytes), (at, bytes))

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode) {
    place(SITE);
    if (fail_fchmod) {
        errno = fail_fchmod;
        return -1;
    }
    return __real_fchmod(fd, mode);
}

int __real_posix_fallocate(int fd, off_t from, off_t bytes);
int __wrap_posix_fallocate(int fd, off_t from, off_t bytes) {
    place(SITE);
    return fail_fallocate ? fail_fallocate : __real_posix_fallocate(fd, from, bytes);
}

void *__real_mmap(void *at, size_t bytes, int access, int flags, int fd, off_t from);
void *__wrap_mmap(void *at, size_t bytes, int access, int flags, int fd, off_t from) {
    place(SITE);
    void *mapped = __real_mmap(at, bytes, access, flags, fd, from);
    if (watch_next && mapped != MAP_FAILED && fd >= 0) {
        hook_watch(mapped, bytes);
    }
    return mapped;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
    place(SITE);
    return __real_open(path, flags); /* the core never creates by open */
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    place(SITE);
    return __real_fcntl(fd, command, argument);
}

ssize_t __real_getrandom(void *out, size_t length, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t length, unsigned flags) {
    (void)flags;
    for (size_t i = 0; i < length; i++) {
        random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
        ((uint8_t *)out)[i] = (uint8_t)(random_state >> 56);
    }
    return (ssize_t)length;
}
