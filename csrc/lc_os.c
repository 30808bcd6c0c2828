/* System calls, each wrapped once. EINTR is retried here and nowhere else; close is
 * not repeated, since the descriptor is gone in any case. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* OFD locks, memfd */
#endif
#include "lc_os.h"

#include <errno.h>
#include <fcntl.h>
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

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; EINVAL before */
#endif

#define OS_RETRY(call)                                                                 \
    ({                                                                                 \
        __typeof__(call) os_result;                                                    \
        do {                                                                           \
            os_result = (call);                                                        \
        } while (os_result == -1 && errno == EINTR);                                   \
        os_result;                                                                     \
    })

static uint64_t os_clock_ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t lc_os_now_ms(void) { return os_clock_ms(CLOCK_BOOTTIME); }
uint64_t lc_os_monotonic_ms(void) { return os_clock_ms(CLOCK_MONOTONIC); }

void lc_os_sleep_ms(uint32_t ms) {
    struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

/* Keep clear of 0 to 2: whatever prints to a closed stderr would write into the
 * segment. */
static int os_moved(int fd) {
    if (fd > 2) {
        return fd;
    }
    int moved = OS_RETRY(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (moved < 0) {
        return -errno;
    }
    close(fd);
    return moved;
}

static int os_above_stdio(int fd) {
    if (fd < 0) {
        return -errno;
    }
    int moved = os_moved(fd);
    if (moved < 0) {
        close(fd);
    }
    return moved;
}

static int os_shm_path(const char *object_name, char out[300]) {
    if (strchr(object_name, '/') || strlen(object_name) > 250) {
        return -EINVAL;
    }
    snprintf(out, 300, "/%s", object_name);
    return 0;
}

int lc_os_shm_create(const char *object_name, uint32_t mode, uint64_t byte) {
    char path[300];
    int bad = os_shm_path(object_name, path);
    if (bad) {
        return bad;
    }
    int made = OS_RETRY(shm_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (made < 0) {
        return -errno;
    }
    /* The umask has no say. */
    int fd = OS_RETRY(fchmod(made, mode)) == 0 ? os_moved(made) : -errno;
    if (fd < 0) {
        lc_os_shm_forsake(made, object_name, byte);
        close(made);
    }
    return fd;
}

void lc_os_shm_forsake(int fd, const char *object_name, uint64_t byte) {
    struct lc_os_file file;
    bool taken = lc_os_lock_byte(fd, byte) == -EAGAIN;
    if (!taken && lc_os_stat(fd, &file) == 0 && file.size == 0 && file.links == 1) {
        lc_os_shm_unlink(object_name);
    }
}

int lc_os_shm_open(const char *object_name) {
    char path[300];
    int bad = os_shm_path(object_name, path);
    /* Nonblocking: the owner of a lease on it could make us wait for most of a minute.
     */
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    return bad ? bad : os_above_stdio(OS_RETRY(shm_open(path, flags, 0)));
}

int lc_os_shm_unlink(const char *object_name) {
    char path[300];
    int bad = os_shm_path(object_name, path);
    if (bad) {
        return bad;
    }
    return OS_RETRY(shm_unlink(path)) == 0 ? 0 : -errno;
}

int lc_os_memfd(const char *object_name) {
    return os_above_stdio(
        OS_RETRY(memfd_create(object_name, MFD_CLOEXEC | MFD_ALLOW_SEALING)));
}

int lc_os_seal_size(int fd) {
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    return OS_RETRY(fcntl(fd, F_ADD_SEALS, seals)) == 0 ? 0 : -errno;
}

int lc_os_reopen(int fd) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return os_above_stdio(OS_RETRY(open(path, O_RDWR | O_CLOEXEC)));
}

void lc_os_close(int fd) {
    if (fd >= 0) {
        close(fd);
    }
}

int lc_os_stat(int fd, struct lc_os_file *out) {
    struct stat found;
    if (OS_RETRY(fstat(fd, &found)) != 0) {
        return -errno;
    }
    out->id.device = (uint64_t)found.st_dev;
    out->id.inode = (uint64_t)found.st_ino;
    out->size = (uint64_t)found.st_size;
    out->allocated = (uint64_t)found.st_blocks * 512;
    out->owner = found.st_uid;
    out->group = found.st_gid;
    out->mode = found.st_mode & 07777;
    out->links = (uint32_t)found.st_nlink;
    out->regular = S_ISREG(found.st_mode);
    return 0;
}

int lc_os_chown(int fd, int64_t owner, int64_t group, uint32_t mode) {
    uid_t uid = owner < 0 ? (uid_t)-1 : (uid_t)owner;
    gid_t gid = group < 0 ? (gid_t)-1 : (gid_t)group;
    if (OS_RETRY(fchown(fd, uid, gid)) != 0 || OS_RETRY(fchmod(fd, mode)) != 0) {
        return -errno;
    }
    return 0;
}

int lc_os_truncate(int fd, uint64_t size) {
    return OS_RETRY(ftruncate(fd, (off_t)size)) == 0 ? 0 : -errno;
}

int lc_os_allocate(int fd, uint64_t from, uint64_t bytes) {
    return -posix_fallocate(fd, (off_t)from, (off_t)bytes);
}

uint64_t lc_os_available(int fd) {
    struct statvfs found;
    if (OS_RETRY(fstatvfs(fd, &found)) != 0 || found.f_blocks == 0) {
        return UINT64_MAX;
    }
    return (uint64_t)found.f_bavail * found.f_frsize;
}

int lc_os_write_at(int fd, const void *from, size_t length, uint64_t offset) {
    ssize_t put;
    do {
        put = pwrite(fd, from, length, (off_t)offset);
    } while (put < 0 && errno == EINTR);
    return put < 0 ? -errno : (size_t)put == length ? 0 : -EIO;
}

uint64_t lc_os_file_limit(void) {
    struct rlimit limit;
    bool known = OS_RETRY(getrlimit(RLIMIT_FSIZE, &limit)) == 0;
    return known && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : UINT64_MAX;
}

int lc_os_read_file(const char *path, char *text, size_t cap) {
    int fd = OS_RETRY(open(path, O_RDONLY | O_CLOEXEC));
    if (fd < 0) {
        return -errno;
    }
    size_t used = 0;
    ssize_t got;
    do {
        got = OS_RETRY(read(fd, text + used, cap - 1 - used));
        used += got > 0 ? (size_t)got : 0;
    } while (got > 0 && used < cap - 1);
    int failed = got < 0 ? -errno : 0;
    close(fd);
    text[used] = 0;
    return failed ? failed : (int)used;
}

uint64_t lc_os_huge_page(void) {
    uint64_t page = lc_os_page_bytes();
    return page * (page / 8);
}

/* Where so many bytes were free just now, from a multiple of a huge page on; NULL where
 * that would gain nothing. A hint: the kernel has another address if somebody was
 * faster. */
static void *os_huge_hint(uint64_t size) {
    uint64_t huge_page = lc_os_huge_page();
    if (size < huge_page) {
        return NULL;
    }
    void *base = mmap(NULL, size + huge_page, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return NULL;
    }
    munmap(base, size + huge_page);
    return (void *)lc_align_up((uintptr_t)base, huge_page);
}

int lc_os_map(int fd, uint64_t size, void **out) {
    void *hint = os_huge_hint(size);
    void *base;
    do {
        base = mmap(hint, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    } while (base == MAP_FAILED && errno == EINTR);
    if (base == MAP_FAILED) {
        return -errno;
    }
    *out = base;
    return 0;
}

int lc_os_collapse(void *at) {
    uint64_t bytes = lc_os_huge_page();
    if ((uintptr_t)at % bytes != 0) {
        return -EINVAL; /* the kernel would do nothing, and say that it is done */
    }
    return madvise(at, bytes, MADV_COLLAPSE) == 0 ? 0 : -errno;
}

int lc_os_map_zeros(void *at, uint64_t size) {
    void *base = mmap(at, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return base == MAP_FAILED ? -errno : 0;
}

uint64_t lc_os_page_bytes(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

int lc_os_signal_action(int signal, const struct sigaction *wanted,
                        struct sigaction *found) {
    return OS_RETRY(sigaction(signal, wanted, found)) == 0 ? 0 : -errno;
}

void lc_os_signal_mask(int how, const sigset_t *set, sigset_t *before) {
    pthread_sigmask(how, set, before);
}

void lc_os_signal_raise(int signal) { raise(signal); }

void lc_os_unmap(void *base, uint64_t size) { munmap(base, size); }

int lc_os_read(int fd, void *out, size_t length) {
    ssize_t got = OS_RETRY(pread(fd, out, length, 0));
    return got < 0 ? -errno : (size_t)got == length ? 0 : -ENODATA;
}

static int os_byte_lock(int fd, uint64_t byte, short type) {
    struct flock range = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = (off_t)byte,
        .l_len = 1,
    };
    if (OS_RETRY(fcntl(fd, F_OFD_SETLK, &range)) != 0) {
        return -errno;
    }
    return 0;
}

int lc_os_lock_byte(int fd, uint64_t byte) { return os_byte_lock(fd, byte, F_WRLCK); }
int lc_os_unlock_byte(int fd, uint64_t byte) { return os_byte_lock(fd, byte, F_UNLCK); }

bool lc_os_bytes_locked(int fd, uint64_t first, uint64_t count) {
    struct flock range = {
        .l_type = F_WRLCK,
        .l_whence = SEEK_SET,
        .l_start = (off_t)first,
        .l_len = (off_t)count,
    };
    return fcntl(fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

int lc_os_random(void *out, size_t length) {
    unsigned char *at = out;
    while (length > 0) {
        ssize_t got = OS_RETRY(getrandom(at, length, 0));
        if (got < 0) {
            return -errno;
        }
        at += got;
        length -= (size_t)got;
    }
    return 0;
}

int lc_os_boot_id(uint64_t out[2]) {
    char text[64];
    int got = lc_os_read_file("/proc/sys/kernel/random/boot_id", text, sizeof text);
    if (got < 32) {
        return got < 0 ? got : -EIO;
    }
    char digits[33] = {0};
    size_t used = 0;
    for (int i = 0; i < got && used < 32; i++) {
        if (text[i] != '-') {
            digits[used++] = text[i];
        }
    }
    out[1] = strtoull(digits + 16, NULL, 16);
    digits[16] = 0;
    out[0] = strtoull(digits, NULL, 16);
    return 0;
}

int lc_os_namespace(const char *name, struct lc_os_id *out) {
    char path[64];
    struct stat found;
    snprintf(path, sizeof path, "/proc/self/ns/%s", name);
    *out = (struct lc_os_id){0, 0};
    if (OS_RETRY(stat(path, &found)) != 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    out->device = (uint64_t)found.st_dev;
    out->inode = (uint64_t)found.st_ino;
    return 0;
}

uint32_t lc_os_uid(void) { return geteuid(); }
uint32_t lc_os_pid(void) { return (uint32_t)getpid(); }

void lc_os_wait_word(const uint32_t *word, uint32_t value, uint32_t ms) {
    struct timespec span = {ms / 1000, (long)(ms % 1000) * 1000000};
    syscall(SYS_futex, word, 0 /* FUTEX_WAIT, also for other processes */, value, &span,
            NULL, 0);
}

void lc_os_wake_word(const uint32_t *word, int count) {
    syscall(SYS_futex, word, 1 /* FUTEX_WAKE */, count, NULL, NULL, 0);
}

LC_NOINLINE struct robust_list_head *lc_os_robust_list(void) {
    struct robust_list_head *head = NULL;
    size_t length;
    return syscall(SYS_get_robust_list, 0, &head, &length) == 0 ? head : NULL;
}

/* Whether /proc counts processes as getpid does: `unshare --pid` alone leaves the old
 * one in place, where our pid is some other process's. */
static int os_proc_is_ours(void) {
    char own[32];
    ssize_t got = OS_RETRY(readlink("/proc/self", own, sizeof own - 1));
    if (got < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    own[got] = 0;
    return strtoul(own, NULL, 10) == (unsigned long)getpid();
}

/* Field 22 of stat; the name in field 2 may hold anything, so count from its end. */
int lc_os_process_start(uint32_t pid, uint64_t *out) {
    char path[64];
    char text[1024];
    *out = 0;
    int ours = os_proc_is_ours();
    if (ours <= 0) {
        return ours;
    }
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    int got = lc_os_read_file(path, text, sizeof text);
    if (got < 0) {
        return got == -ENOENT || got == -ESRCH ? 0 : got;
    }
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    *out = at ? strtoull(at, NULL, 10) : 0;
    return 0;
}

uint32_t lc_os_cores(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : (uint32_t)cores;
}

int lc_os_fork_word(uint64_t **out) {
    void *word;
    do {
        word = mmap(NULL, LC_OS_PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    } while (word == MAP_FAILED && errno == EINTR);
    if (word == MAP_FAILED) {
        return -errno;
    }
#ifdef MADV_WIPEONFORK
    madvise(word, LC_OS_PAGE, MADV_WIPEONFORK); /* else the atfork handler alone */
#endif
    *out = word;
    return 0;
}
