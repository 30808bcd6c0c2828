/* Pages for a segment, or an error that says how many there could be.
 *
 * What the kernel would enforce with a signal is looked up before: the memory cgroup's
 * limit (SIGKILL), the limit on file sizes (SIGXFSZ). Free space of the file system is
 * only asked for out of courtesy, since posix_fallocate would fill it first and then
 * give everything back, while others who write there find it full.
 *
 * Crash story: the size of a new object grows with what is reserved, so that no byte
 * below it is without a page, whenever we die. State: none. Invariants: S2. */
#include "lc_room.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lc_os.h"

/* Bytes that are reserved in one system call, and between two looks at the cgroup. */
#define ROOM_STEP (16ULL << 20)

#define ROOM_TEXT_MAX 8192 /* bytes of a file in /proc or /sys that are looked at */

/* Where a version of the kernel's memory cgroups keeps what. */
struct room_kind {
    const char *line;  /* what stands in /proc/self/cgroup before the path */
    const char *mount; /* where every distribution and container has it */
    const char *limit;
    const char *usage;
    const char *cache[2]; /* lines of memory.stat: pages that make room when asked */
};

static const struct room_kind room_kinds[] = {
    {"memory:",
     "/sys/fs/cgroup/memory",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"\ntotal_inactive_file ", "\ntotal_active_file "}},
    {"0::",
     "/sys/fs/cgroup",
     "memory.max",
     "memory.current",
     {"\ninactive_file ", "\nactive_file "}},
};

/* A file of the cgroup at the first `length` bytes of path, into text. 0: there is no
 * such file, or not for us. */
static int room_read(const struct room_kind *kind, const char *path, int length,
                     const char *file, char text[ROOM_TEXT_MAX]) {
    snprintf(text, ROOM_TEXT_MAX, "%s%.*s/%s", kind->mount, length, path, file);
    int got = lc_os_read_file(text, text, ROOM_TEXT_MAX);
    bool none = got == -ENOENT || got == -ENOTDIR || got == -EACCES || got == -EPERM ||
                got == -ENODEV || got == -ENAMETOOLONG;
    return none ? 0 : got;
}

/* Bytes that this cgroup leaves, or a negative errno; INT64_MAX: as many as you want.
 */
static int64_t room_of_cgroup(const struct room_kind *kind, const char *path,
                              int length, char text[ROOM_TEXT_MAX]) {
    int got = room_read(kind, path, length, kind->limit, text);
    uint64_t limit = got > 0 && text[0] != 'm' ? strtoull(text, NULL, 10) : INT64_MAX;
    if (got < 0 || limit >= INT64_MAX / 2) { /* "max", or version 1's largest number */
        return got < 0 ? got : INT64_MAX;
    }
    got = room_read(kind, path, length, kind->usage, text);
    uint64_t usage = got > 0 ? strtoull(text, NULL, 10) : 0;
    got = got < 0 ? got : room_read(kind, path, length, "memory.stat", text);
    if (got < 0) {
        return got;
    }
    for (int i = 0; i < 2; i++) {
        const char *at = got > 0 ? strstr(text, kind->cache[i]) : NULL;
        uint64_t cache = at ? strtoull(at + strlen(kind->cache[i]), NULL, 10) : 0;
        usage -= lc_min64(usage, cache);
    }
    return limit > usage ? (int64_t)(limit - usage) : 0;
}

/* Bytes that the tightest of our cgroups leaves. Levels that cannot be seen are passed
 * over: a container sees its own limit at the mount itself. */
static int64_t room_of_cgroups(void) {
    char own[ROOM_TEXT_MAX];
    char text[ROOM_TEXT_MAX];
    int64_t room = INT64_MAX;
    int got = lc_os_read_file("/proc/self/cgroup", own, sizeof own);
    if (got < 0) {
        return got == -ENOENT || got == -EACCES || got == -EPERM ? INT64_MAX : got;
    }
    for (size_t i = 0; i < sizeof room_kinds / sizeof *room_kinds && room >= 0; i++) {
        const char *path = strstr(own, room_kinds[i].line);
        path = path ? path + strlen(room_kinds[i].line) : "";
        int length = (int)strcspn(path, "\n");
        length -= length == 1; /* "/" */
        while (length >= 0 && room >= 0) {
            int64_t left = room_of_cgroup(&room_kinds[i], path, length, text);
            room = left < room ? left : room;
            do {
                length--;
            } while (length > 0 && path[length] != '/');
        }
    }
    return room;
}

/* The largest segment that fits into the room: its pages' own bookkeeping is charged,
 * too, and the program needs some memory to go on. */
static uint64_t room_largest(int64_t room) {
    uint64_t kept = 1ULL << 20;
    return room == INT64_MAX       ? UINT64_MAX
           : (uint64_t)room < kept ? 0
                                   : ((uint64_t)room - kept) / 65 * 64;
}

uint64_t lc_room_left(void) {
    int64_t room = room_of_cgroups();
    return room_largest(room < 0 ? INT64_MAX : room);
}

static int room_check_cgroups(uint64_t size, struct lc_room_refusal *why) {
    int64_t room = room_of_cgroups();
    if (room < 0) {
        why->step = "memory cgroup";
        return (int)room;
    }
    if (room_largest(room) < size) {
        *why = (struct lc_room_refusal){"memory cgroup", room_largest(room)};
        return -ENOSPC;
    }
    return 0;
}

static int room_check(int fd, uint64_t size, uint64_t missing,
                      struct lc_room_refusal *why) {
    if (lc_os_file_limit() < size) {
        *why = (struct lc_room_refusal){"RLIMIT_FSIZE", lc_os_file_limit()};
        return -EFBIG;
    }
    if (lc_os_available(fd) < missing) {
        *why = (struct lc_room_refusal){"free space", lc_os_available(fd)};
        return -ENOSPC;
    }
    return missing > 0 ? room_check_cgroups(missing, why) : 0;
}

/* In steps: signals that come often shall not keep it from ever being done, and others
 * in the cgroup take memory meanwhile. */
static int room_allocate(int fd, uint64_t size, uint64_t missing,
                         struct lc_room_refusal *why) {
    uint64_t step = ROOM_STEP;
    uint64_t look_at = ROOM_STEP;
    for (uint64_t at = 0; at < size;) {
        if (at >= look_at) {
            int refused = room_check_cgroups(lc_min64(size - at, missing), why);
            if (refused) {
                return refused;
            }
            look_at = at + ROOM_STEP;
        }
        uint64_t part = lc_min64(step, size - at);
        int failed = lc_os_allocate(fd, at, part);
        if (failed == -EINTR) {
            step = lc_max64(step / 2, LC_OS_PAGE);
        } else if (failed) {
            *why = (struct lc_room_refusal){"posix_fallocate", lc_os_available(fd)};
            return failed;
        } else {
            at += part;
            step = lc_min64(step * 2, ROOM_STEP);
        }
    }
    return 0;
}

int lc_room_reserve(int fd, uint64_t size, struct lc_room_refusal *why) {
    struct lc_os_file file;
    *why = (struct lc_room_refusal){"fstat", UINT64_MAX};
    int failed = lc_os_stat(fd, &file);
    bool longer = !failed && file.size > size; /* a dead creator's, of another size */
    if (longer) {
        why->step = "ftruncate";
        failed = lc_os_truncate(fd, 0);
        file.allocated = 0;
    }
    if (failed) {
        return failed;
    }
    uint64_t missing = size - lc_min64(size, file.allocated);
    failed = room_check(fd, size, missing, why);
    if (!failed) {
        failed = room_allocate(fd, size, missing, why);
    }
    if (failed) {
        lc_os_truncate(fd, 0); /* else the caller takes the object away */
    }
    return failed;
}
