/* famine [--thorough | --brief] [--sites FILE] [PART ...]: the core with less than it
 * needs.
 *
 * Parts: inject (every call fails), tmpfs (/dev/shm of every size), limits (of the
 * process), files (of the kernel), finish (what another began), wait (for a lock),
 * cgroup (of memory). Without a part, all of them. Each trial is a process; any signal,
 * any wrong answer and anything left behind ends the run with status 1. */
#include "famine.h"

#include <sched.h>
#include <sys/mount.h>

char famine_where[256];

static pid_t famine_run;

const char *famine_name(const char *what) {
    static char name[64];
    snprintf(name, sizeof name, "famine-%d-%s", (int)famine_run, what);
    return name;
}

const char *famine_object(const char *name) {
    static char object[300] = "/";
    CHECK(lilcache_object_name(name, object + 1, sizeof object - 1) > 0);
    return object;
}

int famine_open(const char *name, uint64_t size, uint32_t flags, struct lilcache **out,
                struct lilcache_error *error) {
    struct lilcache_options options = {
        .name = name,
        .size_bytes = size,
        .flags = flags,
        .cores = 1,
        .owner = -1,
        .group = -1,
    };
    *out = NULL;
    return lilcache_open(&options, out, error);
}

void famine_make(const char *name, uint64_t size) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct lilcache *cache;
        struct lilcache_error error;
        CHECK_EQ(famine_open(name, size, 0, &cache, &error), LILCACHE_OK);
        for (uint64_t n = 0; n < KEYS; n++) {
            CHECK_EQ(ct_set(cache, n, n, BYTES), LILCACHE_OK);
        }
        _exit(0);
    }
    lct_join(child);
}

uint64_t famine_found(struct lilcache *cache) {
    uint64_t found = 0;
    for (uint64_t n = 0; n < KEYS; n++) {
        enum ct_outcome outcome = ct_get(cache, n, n, BYTES);
        CHECK(outcome != CT_WRONG);
        found += outcome == CT_RIGHT;
    }
    return found;
}

void famine_works(struct lilcache *cache) {
    for (uint64_t n = 1000; n < 1010; n++) {
        CHECK_EQ(ct_set(cache, n, n, BYTES), LILCACHE_OK);
        CHECK(ct_get(cache, n, n, BYTES) == CT_RIGHT);
        CHECK_EQ(ct_delete(cache, n), LILCACHE_OK);
    }
    ct_check_unhurt(cache);
}

void famine_fill(struct lilcache *cache) {
    volatile uint8_t *base = (volatile uint8_t *)(uintptr_t)lilcache_base(cache);
    for (uint64_t at = 0; at < lilcache_size(cache); at += 4096) {
        base[at] = base[at];
    }
    size_t length = lilcache_size(cache) / 300;
    for (uint64_t n = 0; ct_stat(cache, "evictions") < 20; n++) {
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
        CHECK(ct_get(cache, n, n, length) == CT_RIGHT);
    }
    ct_check_unhurt(cache);
}

struct famine_held famine_held(void) {
    struct famine_held held = {0, 0};
    DIR *descriptors = opendir("/proc/self/fd");
    CHECK(descriptors != NULL);
    while (readdir(descriptors)) {
        held.descriptors++;
    }
    closedir(descriptors);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps)) {
        held.mappings += strstr(line, "/famine-") || strstr(line, ":famine-");
    }
    fclose(maps);
    return held;
}

int famine_leftovers(void) {
    int count = 0;
    char prefix[64];
    int length = snprintf(prefix, sizeof prefix, "famine-%d-", (int)famine_run);
    DIR *objects = opendir("/dev/shm");
    struct dirent *entry;
    while (objects && (entry = readdir(objects)) != NULL) {
        if (strncmp(entry->d_name, prefix, (size_t)length) == 0) {
            count++;
            shm_unlink(entry->d_name);
        }
    }
    if (objects) {
        closedir(objects);
    }
    return count;
}

void famine_trial(void (*run)(void *), void *argument) {
    int status;
    fflush(NULL);
    fail_shared->trials++;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        setpgid(0, 0);
        alarm(30);
        run(argument);
        _exit(0);
    }
    setpgid(child, child);
    CHECK(waitpid(child, &status, 0) == child);
    kill(-child, SIGKILL);
    int left = famine_leftovers();
    if (status || left) {
        fail_disarm();
        if (WIFSIGNALED(status)) {
            fprintf(stderr, "  %s\n", strsignal(WTERMSIG(status)));
        }
        LCT_FAIL("%s: status %#x, %d objects left", famine_where, status, left);
    }
}

void famine_private_mounts(void) {
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        LCT_FAIL("no mount namespace (%s): run it as root, or under `unshare -Umr`",
                 strerror(errno));
    }
}

void famine_mount_shm(const char *options) {
    if (mount("famine", "/dev/shm", "tmpfs", 0, options) != 0) {
        LCT_FAIL("mount -o %s: %s", options, strerror(errno));
    }
}

void famine_unmount_shm(void) { CHECK(!umount("/dev/shm")); }

static pid_t part_process;

static void stop_part(int signal) {
    (void)signal;
    if (part_process > 0) {
        kill(part_process, SIGKILL);
    }
}

static bool brief;

static void inject_run(bool thorough) { inject_all(thorough, brief); }

static void limits_run(bool thorough) {
    (void)thorough;
    limits_all();
}

static void files_run(bool thorough) {
    (void)thorough;
    files_all();
}

static void finish_run(bool thorough) {
    (void)thorough;
    finish_all();
}

static const struct part {
    const char *name;
    void (*run)(bool thorough);
} parts[] = {
    {"inject", inject_run}, {"tmpfs", tmpfs_all},   {"limits", limits_run},
    {"files", files_run},   {"finish", finish_run}, {"wait", wait_all},
    {"cgroup", cgroup_all},
};

#define PARTS (sizeof parts / sizeof *parts)

/* In a child, which has mounts and limits of its own; what it leaves is removed here,
 * whatever has ended it. */
static bool run_part(const struct part *part, bool thorough) {
    double started = lct_seconds();
    int status;
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        part->run(thorough);
        fflush(NULL);
        _exit(0);
    }
    part_process = child;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    part_process = 0;
    famine_leftovers();
    cgroup_clean();
    printf("%s %-8s %6.1f s\n", status ? "FAIL" : "ok  ", part->name,
           lct_seconds() - started);
    fflush(stdout);
    return status == 0;
}

int main(int argc, char **argv) {
    bool asked[PARTS] = {false};
    bool all = true;
    bool thorough = false;
    bool passed = true;
    const char *sites = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--thorough") == 0) {
            thorough = true;
        } else if (strcmp(argv[i], "--brief") == 0) {
            brief = true;
        } else if (strcmp(argv[i], "--sites") == 0 && i + 1 < argc) {
            sites = argv[++i];
        }
        for (size_t p = 0; p < PARTS; p++) {
            asked[p] = asked[p] || strcmp(argv[i], parts[p].name) == 0;
            all = all && !asked[p];
        }
    }
    famine_run = getpid();
    fail_init();
    cgroup_init();
    signal(SIGINT, stop_part);
    signal(SIGTERM, stop_part);
    for (size_t p = 0; p < PARTS && passed; p++) {
        passed = !(all || asked[p]) || run_part(&parts[p], thorough);
    }
    if (sites) {
        inject_report(sites);
    }
    printf("%llu trials, %llu failures injected\n",
           (unsigned long long)fail_shared->trials,
           (unsigned long long)fail_shared->injected);
    return passed ? 0 : 1;
}
