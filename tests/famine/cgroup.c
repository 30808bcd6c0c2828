/* A real memory cgroup with limits around a segment's size. The kernel kills whoever
 * reserves more than it has room for; the core must have refused before. */
#include "famine.h"

#include <fcntl.h>
#include <sys/stat.h>

static uint64_t size = 16 * MIB; /* of the segments */

struct version {
    const char *mount;
    const char *limit;
    const char *usage;
    const char *swap; /* to be 0, so that nothing can be swapped out */
};

static const struct version versions[] = {
    {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     "memory.swappiness"},
    {"/sys/fs/cgroup", "memory.max", "memory.current", "memory.swap.max"},
};

static const struct version *version;

static struct shared {
    int status;      /* of the last open */
    char group[600]; /* folder of the one with the limit */
    char inner[700]; /* of one inside it, without */
} *shared;

static void put(const char *folder, const char *file, uint64_t number) {
    char path[800];
    char text[32];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, (size_t)length) != length) {
        LCT_FAIL("%s: %s", path, strerror(errno));
    }
    close(fd);
}

static uint64_t usage(void) {
    char path[800];
    unsigned long long number;
    snprintf(path, sizeof path, "%s/%s", shared->group, version->usage);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fscanf(file, "%llu", &number) == 1);
    fclose(file);
    return number;
}

void cgroup_init(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
}

void cgroup_clean(void) {
    if (shared->group[0]) {
        rmdir(shared->inner);
        rmdir(shared->group);
    }
}

/* Inside our own shared->group, or at the mount when that cannot be seen. */
static void make_groups(void) {
    char own[512] = "";
    char line[512];
    FILE *file = fopen("/proc/self/cgroup", "r");
    version = access("/sys/fs/cgroup/memory/memory.limit_in_bytes", F_OK) == 0
                  ? &versions[0]
                  : &versions[1];
    const char *key = version == &versions[0] ? ":memory:" : "0::";
    while (file && fgets(line, sizeof line, file)) {
        char *at = strstr(line, key);
        if (at && version == &versions[0]) {
            line[strcspn(line, "\n")] = 0;
            snprintf(own, sizeof own, "%s", at + strlen(key));
        }
    }
    if (file) {
        fclose(file);
    }
    snprintf(shared->group, sizeof shared->group, "%s%s/famine-%d", version->mount, own,
             (int)getpid());
    if (mkdir(shared->group, 0755) != 0) {
        snprintf(shared->group, sizeof shared->group, "%s/famine-%d", version->mount,
                 (int)getpid());
        if (mkdir(shared->group, 0755) != 0) {
            LCT_FAIL("no memory cgroup can be made (%s: %s): run it as root",
                     shared->group, strerror(errno));
        }
    }
    snprintf(shared->inner, sizeof shared->inner, "%s/inner", shared->group);
    if (version == &versions[1]) {
        int fd = open("/sys/fs/cgroup/cgroup.subtree_control", O_WRONLY);
        CHECK(fd >= 0 && write(fd, "+memory", 7) == 7);
        close(fd);
    }
    put(shared->group, version->swap, 0);
}

static void limit(uint64_t bytes) { put(shared->group, version->limit, bytes); }

#define CHARGES_LEFT (2 * MIB) /* of the kernel's own, and of the dead */

/* --- trials, in a child that joins the group -------------------------------------- */

static void open_in_group(void *argument) {
    const char *folder = argument;
    struct lilcache *cache;
    struct lilcache_error error;
    put(folder, "cgroup.procs", (uint64_t)getpid());
    for (uint32_t flags = 0; flags <= LILCACHE_ANONYMOUS; flags += LILCACHE_ANONYMOUS) {
        uint64_t left = lilcache_memory_left();
        int status = famine_open(famine_name("cgroup"), size, flags, &cache, &error);
        shared->status = status;
        if (status == LILCACHE_OK) {
            /* What charges_are_back left may come back between the two looks. */
            CHECK(left + CHARGES_LEFT >= size);
            famine_fill(cache);
            CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
            lilcache_close(cache);
            continue;
        }
        CHECK_EQ(status, LILCACHE_OS);
        CHECK_EQ(error.os_errno, ENOSPC);
        CHECK(strcmp(error.step, "memory cgroup") == 0);
        CHECK_EQ(error.wanted_bytes, size);
        CHECK(error.available_bytes < size);
        if (error.available_bytes >= 2 * MIB) { /* what is said to be left, is */
            uint64_t smaller = error.available_bytes * 9 / 10 / 4096 * 4096;
            status = famine_open(famine_name("cgroup"), smaller, flags, &cache, &error);
            CHECK_EQ(status, LILCACHE_OK);
            famine_fill(cache);
            CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
            lilcache_close(cache);
        }
    }
}

/* What the charges of the dead come back as: a little of the kernel's own. */
static void charges_are_back(void) {
    double until = lct_seconds() + 10;
    while (usage() > CHARGES_LEFT) {
        CHECK(lct_seconds() < until);
        lct_sleep_ms(10);
    }
}

static void around_the_size(const char *folder) {
    uint64_t least = 0;
    int refusals = 0;
    int trials = 0;
    for (uint64_t bytes = size - 4 * MIB; bytes <= size + 6 * MIB; bytes += 256 << 10) {
        snprintf(famine_where, sizeof famine_where, "%s of %llu KiB",
                 folder == shared->group ? "a limit" : "an outer limit",
                 (unsigned long long)bytes >> 10);
        limit(bytes);
        famine_trial(open_in_group, (void *)(uintptr_t)folder);
        charges_are_back();
        trials++;
        if (shared->status != LILCACHE_OK) {
            refusals++;
        } else if (least == 0) {
            least = bytes;
        }
    }
    CHECK(refusals > 0 && least > 0);
    printf("cgroup: %d limits around %llu MiB, %d refused, %.2f MiB suffice\n", trials,
           (unsigned long long)(size / MIB), refusals, (double)least / (double)MIB);
}

/* Nothing but a system call with the same limit: the trials above could have failed. */
static void control(void) {
    int status;
    limit(size / 2);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        put(shared->group, "cgroup.procs", (uint64_t)getpid());
        int fd = memfd_create("famine-control", 0);
        posix_fallocate(fd, 0, size);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        LCT_FAIL("the kernel kills nobody over the limit: status %#x", status);
    }
    charges_are_back();
}

/* Pages of files are charged, but make room when asked: they count as free. */
static void open_beside_file(void *argument) {
    struct lilcache *cache;
    struct lilcache_error error;
    char path[] = "famine-XXXXXX";
    static char block[MIB];
    put(shared->group, "cgroup.procs", (uint64_t)getpid());
    int fd = mkstemp(path);
    CHECK(fd >= 0 && !unlink(path));
    for (int i = 0; i < 32; i++) {
        CHECK(write(fd, block, sizeof block) == sizeof block);
    }
    CHECK(!fsync(fd));
    CHECK(usage() > 16 * MIB);
    CHECK_EQ(famine_open(famine_name("cgroup"), size, 0, &cache, &error), LILCACHE_OK);
    famine_fill(cache);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    close(fd);
    (void)argument;
}

/* Memory of other processes in the group is not there for us. */
static void open_beside_eater(void *argument) {
    struct lilcache *cache;
    struct lilcache_error error;
    put(shared->group, "cgroup.procs", (uint64_t)getpid());
    uint8_t *eaten = malloc(12 * MIB);
    CHECK(eaten != NULL);
    memset(eaten, 1, 12 * MIB);
    CHECK_EQ(famine_open(famine_name("cgroup"), size, 0, &cache, &error), LILCACHE_OS);
    CHECK_EQ(error.os_errno, ENOSPC);
    CHECK(error.available_bytes < 12 * MIB);
    free(eaten);
    CHECK_EQ(famine_open(famine_name("cgroup"), size, 0, &cache, &error), LILCACHE_OK);
    famine_fill(cache);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    (void)argument;
}

void cgroup_all(bool thorough) {
    make_groups();
    control();
    around_the_size(shared->group);
    CHECK(!mkdir(shared->inner, 0755));
    around_the_size(shared->inner);
    if (thorough) {
        size = 64 * MIB;
        around_the_size(shared->group);
        size = 16 * MIB;
    }
    limit(24 * MIB);
    snprintf(famine_where, sizeof famine_where, "a limit full of a file's pages");
    famine_trial(open_beside_file, NULL);
    snprintf(famine_where, sizeof famine_where, "a limit with other memory in use");
    famine_trial(open_beside_eater, NULL);
    charges_are_back();
    CHECK(!rmdir(shared->inner)); /* nobody and nothing is left in them */
    CHECK(!rmdir(shared->group));
}
