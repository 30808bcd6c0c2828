/* Files of the kernel that are missing, empty or strange: /proc and the cgroups' are
 * laid out by hand in a mount namespace. An error, or what can be known without them;
 * never a segment that others could not find, never one more than there is room for. */
#include "famine.h"
#include "lc_header.h"
#include "lc_os.h"
#include "lc_row.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define CGROUPS "/sys/fs/cgroup"
#define STEP    (16 * MIB) /* reserved between two looks at the cgroup */

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        LCT_FAIL("%s: %s", path, strerror(errno));
    }
    close(fd);
}

static void cover(const char *folder) {
    famine_private_mounts();
    CHECK(!mount("famine", folder, "tmpfs", 0, NULL));
}

/* --- cgroups ---------------------------------------------------------------------- */

struct group {
    const char *what;
    const char *limit; /* contents of the files; NULL: there is none */
    const char *usage;
    const char *stat;
    uint64_t left; /* bytes; UINT64_MAX: no limit is known */
};

static const struct group groups[] = {
    {"nothing", NULL, NULL, NULL, UINT64_MAX},
    {"an empty limit", "", "1", "", UINT64_MAX},
    {"no limit", "max\n", "1", "", UINT64_MAX},
    {"a limit alone", "48000000", NULL, NULL, 48000000},
    {"an empty usage", "48000000", "", "", 48000000},
    {"usage", "48000000", "8000000", NULL, 40000000},
    {"usage, and nothing of caches", "48000000", "8000000", "anon 5\n", 40000000},
    {"caches", "48000000", "8000000", "anon 5\ninactive_file 3000000\n", 43000000},
    {"more caches than usage", "48000000", "8000000",
     "anon 5\ninactive_file 9000000\nactive_file 1\n", 48000000},
    {"more usage than limit", "48000000", "48000001", "", 0},
    {"less than a program needs", "48000000", "47500000", "", 500000},
};

/* What a segment may have of it (lc_room.c). */
static uint64_t largest(uint64_t left) {
    return left == UINT64_MAX ? left : left < MIB ? 0 : (left - MIB) / 65 * 64;
}

static void lay_out(const struct group *group) {
    cover(CGROUPS);
    if (group->limit) {
        put(CGROUPS "/memory.max", group->limit);
    }
    if (group->usage) {
        put(CGROUPS "/memory.current", group->usage);
    }
    if (group->stat) {
        put(CGROUPS "/memory.stat", group->stat);
    }
}

static void open_in_group(void *argument) {
    const struct group *group = argument;
    struct lilcache *cache;
    struct lilcache_error error;
    lay_out(group);
    CHECK_EQ(lilcache_memory_left(), largest(group->left));
    int status =
        famine_open(famine_name("files"), 2 * MIB, LILCACHE_ANONYMOUS, &cache, &error);
    if (largest(group->left) < 2 * MIB) {
        CHECK_EQ(status, LILCACHE_OS);
        CHECK_EQ(error.os_errno, ENOSPC);
        CHECK_EQ(error.available_bytes, largest(group->left));
    } else {
        CHECK_EQ(status, LILCACHE_OK);
        famine_works(cache);
        lilcache_close(cache);
    }
}

/* A file that is there and cannot be read: perhaps the limit is a low one. */
static void unreadable(void *argument) {
    const char *file = argument;
    struct lilcache *cache;
    struct lilcache_error error;
    lay_out(&(struct group){"", "48000000", "8000000", "", 0});
    CHECK(!unlink(file));
    CHECK(!mkdir(file, 0755));
    CHECK_EQ(famine_open(famine_name("files"), MIB, 0, &cache, &error), LILCACHE_OS);
    CHECK_EQ(error.os_errno, EISDIR);
    CHECK(strcmp(error.step, "memory cgroup") == 0);
    CHECK_EQ(lilcache_memory_left(), UINT64_MAX); /* it is only a proposal */
}

static void use_all(void) { put(CGROUPS "/memory.current", "64000000"); }

/* Others take the memory while a large segment is being reserved. */
static void open_while_others_take(void *argument) {
    struct lilcache *cache;
    struct lilcache_error error;
    (void)argument;
    lay_out(&(struct group){"", "64000000", "0", "", 0});
    fail_before_allocating(use_all);
    int status = famine_open(famine_name("files"), 2 * STEP, 0, &cache, &error);
    fail_before_allocating(NULL);
    CHECK_EQ(status, LILCACHE_OS);
    CHECK_EQ(error.os_errno, ENOSPC);
    CHECK(strcmp(error.step, "memory cgroup") == 0);
    CHECK_EQ(error.wanted_bytes, 2 * STEP);
    CHECK_EQ(error.available_bytes, 0);
}

/* Said before anything is reserved, not by a failed reservation. */
static void open_on_a_small_tmpfs(void *argument) {
    struct lilcache *cache;
    struct lilcache_error error;
    (void)argument;
    famine_private_mounts();
    famine_mount_shm("size=512k");
    CHECK_EQ(famine_open(famine_name("files"), MIB, 0, &cache, &error), LILCACHE_OS);
    CHECK_EQ(error.os_errno, ENOSPC);
    CHECK(strcmp(error.step, "free space") == 0);
    CHECK_EQ(error.available_bytes, 512 << 10);
    famine_unmount_shm();
}

/* --- /proc ------------------------------------------------------------------------ */

static void attach_and_work(const char *name) {
    struct lilcache *cache;
    struct lilcache_error error;
    int status = famine_open(name, MIB, 0, &cache, &error);
    if (status) {
        LCT_FAIL("%s at \"%s\", errno %d", lilcache_status_name(status), error.step,
                 error.os_errno);
    }
    CHECK_EQ(lilcache_created(cache), 0);
    CHECK_EQ(famine_found(cache), KEYS);
    famine_works(cache);
    lilcache_close(cache);
}

/* When it began nobody knows, only that its lock has gone. */
static void sweep_one_that_died(const char *name) {
    struct lilcache *cache;
    struct lilcache_error error;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_EQ(famine_open(name, MIB, 0, &cache, &error), LILCACHE_OK);
        _exit(0);
    }
    lct_join(child);
    CHECK_EQ(famine_open(name, MIB, 0, &cache, &error), LILCACHE_OK);
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    famine_works(cache);
    lilcache_close(cache);
}

/* As a kernel without time namespaces has made it. */
static void forget_time_namespace(const char *path) {
    struct shm_header header;
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0 && pread(fd, &header, sizeof header, 0) == sizeof header);
    memset(header.hd_time_ns, 0, sizeof header.hd_time_ns);
    header.hd_checksum = lc_header_checksum(&header);
    CHECK(pwrite(fd, &header, sizeof header, 0) == sizeof header);
    close(fd);
}

/* No descriptor can be opened once more, nor a boot or a process told from another.
 * A segment that is there can be used all the same; a new one would lack its identity.
 */
static void without_proc(void *argument) {
    struct lilcache *cache;
    struct lilcache_error error;
    char name[64];
    char before[400];
    char path[400];
    (void)argument;
    snprintf(name, sizeof name, "%s", famine_name("files"));
    famine_make(name, MIB);
    snprintf(before, sizeof before, "/dev/shm%s", famine_object(name));
    cover("/proc");
    /* The PID namespace is part of the object's name. */
    snprintf(path, sizeof path, "/dev/shm%s", famine_object(name));
    CHECK(strcmp(path, before) != 0);
    CHECK(!rename(before, path));
    CHECK_EQ(lilcache_memory_left(), UINT64_MAX);
    CHECK_EQ(famine_open(name, MIB, 0, &cache, &error), LILCACHE_NAMESPACE);
    forget_time_namespace(path);
    attach_and_work(name);
    sweep_one_that_died(name);
    CHECK(!unlink(path));
    for (uint32_t flags = 0; flags <= LILCACHE_ANONYMOUS; flags += LILCACHE_ANONYMOUS) {
        CHECK_EQ(famine_open(name, MIB, flags, &cache, &error), LILCACHE_OS);
        CHECK_EQ(error.os_errno, ENOENT);
    }
}

static void strange_proc(void *argument) {
    char path[64];
    uint64_t boot[2];
    uint64_t start = 1;
    uint32_t self = lc_os_pid();
    (void)argument;
    cover("/proc");
    CHECK(!mkdir("/proc/sys", 0755) && !mkdir("/proc/sys/kernel", 0755));
    CHECK(!mkdir("/proc/sys/kernel/random", 0755));
    put("/proc/sys/kernel/random/boot_id", "0123456789abcdef");
    CHECK_EQ(lc_os_boot_id(boot), -EIO); /* half of one */
    put("/proc/sys/kernel/random/boot_id", "0123-4567-89ab-cdef-0123-4567-89ab-");
    CHECK_EQ(lc_os_boot_id(boot), 0);
    CHECK_EQ(boot[0], 0x0123456789abcdef);
    CHECK_EQ(boot[1], 0x0123456789ab);

    CHECK_EQ(lc_os_process_start(self, &start), 0);
    CHECK_EQ(start, 0); /* nobody can tell whose /proc it is */
    snprintf(path, sizeof path, "%u", self);
    CHECK(!symlink(path, "/proc/self"));
    CHECK_EQ(lc_os_process_start(self, &start), 0);
    CHECK_EQ(start, 0); /* it is ours, and we are not in it */
    snprintf(path, sizeof path, "/proc/%u", self);
    CHECK(!mkdir(path, 0755));
    snprintf(path, sizeof path, "/proc/%u/stat", self);
    static const struct {
        const char *text;
        uint64_t start;
    } stats[] = {
        {"", 0},
        {"7 (no end", 0},
        {"7 (short) S 1 2 3", 0},
        {"7 (a) b) c) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 4711 23", 4711},
    };
    for (size_t i = 0; i < sizeof stats / sizeof *stats; i++) {
        put(path, stats[i].text);
        CHECK_EQ(lc_os_process_start(self, &start), 0);
        CHECK_EQ(start, stats[i].start);
    }
    /* A cgroup of version 2 alone, with others above it. */
    snprintf(path, sizeof path, "/proc/%u/cgroup", self);
    put(path, "0::/outer/inner\n");
    CHECK(!mount("famine", CGROUPS, "tmpfs", 0, NULL));
    CHECK(!mkdir(CGROUPS "/outer", 0755) && !mkdir(CGROUPS "/outer/inner", 0755));
    put(CGROUPS "/outer/inner/memory.max", "max");
    put(CGROUPS "/outer/memory.max", "30000000");
    put(CGROUPS "/memory.max", "40000000");
    CHECK_EQ(lilcache_memory_left(), largest(30000000));
    CHECK(!unlink(CGROUPS "/outer/inner/memory.max"));
    CHECK(!rmdir(CGROUPS "/outer/inner"));
    put(CGROUPS "/outer/inner", ""); /* no folder: it cannot be seen from here */
    CHECK_EQ(lilcache_memory_left(), largest(30000000));
}

/* --- all of it -------------------------------------------------------------------- */

static void trial(const char *what, void (*run)(void *), const void *argument) {
    snprintf(famine_where, sizeof famine_where, "%s", what);
    famine_trial(run, (void *)(uintptr_t)argument);
}

void files_all(void) {
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        trial(groups[i].what, open_in_group, &groups[i]);
    }
    trial("a limit that is no file", unreadable, CGROUPS "/memory.max");
    trial("a usage that is no file", unreadable, CGROUPS "/memory.current");
    trial("statistics that are no file", unreadable, CGROUPS "/memory.stat");
    trial("others take the memory", open_while_others_take, NULL);
    trial("a small tmpfs", open_on_a_small_tmpfs, NULL);
    trial("without /proc", without_proc, NULL);
    trial("a strange /proc", strange_proc, NULL);
}
