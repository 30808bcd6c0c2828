/* The limits of a process, really set: on descriptors, address space, file size, locked
 * memory, stack. Everything works, or is an error; no signal, nothing left behind, and
 * nothing of a live segment is hurt. */
#include "famine.h"

#include <pthread.h>
#include <sys/resource.h>

struct cap {
    __rlimit_resource_t what;
    uint64_t most;
    uint32_t flags;
    bool live;    /* there is a segment to attach */
    bool refused; /* written: it was an error */
};

static struct cap *cap_shared; /* so that the parent sees what came of it */

static const char *segment_name(void) { return famine_name("limits"); }

static void judge(int status, const struct lilcache_error *error) {
    if (status == LILCACHE_MEMORY) {
        CHECK(error->os_errno == ENOMEM && error->step[0]);
        return;
    }
    int code = error->os_errno;
    bool known = cap_shared->what == RLIMIT_NOFILE    ? code == EMFILE
                 : cap_shared->what == RLIMIT_AS      ? code == ENOMEM
                 : cap_shared->what == RLIMIT_FSIZE   ? code == EFBIG
                 : cap_shared->what == RLIMIT_MEMLOCK ? code == EAGAIN
                                                      : false;
    if (status != LILCACHE_OS || !known || !error->step[0]) {
        LCT_FAIL("%s at \"%s\" with errno %d", lilcache_status_name(status),
                 error->step, code);
    }
}

static void open_capped(void *argument) {
    (void)argument;
    struct lilcache *cache;
    struct lilcache_error error;
    struct rlimit before;
    struct famine_held held = famine_held();
    CHECK(!getrlimit(cap_shared->what, &before));
    struct rlimit now = {cap_shared->most, before.rlim_max};
    CHECK(!setrlimit(cap_shared->what, &now));
    int status = famine_open(segment_name(), MIB, cap_shared->flags, &cache, &error);
    pid_t child = status == LILCACHE_OK ? fork() : -1;
    if (child == 0) { /* a row of its own, if there is room for a descriptor */
        CHECK_EQ(famine_found(cache), cap_shared->live ? KEYS : 0);
        famine_works(cache);
        lilcache_close(cache);
        _exit(0);
    }
    CHECK(!setrlimit(cap_shared->what, &before));
    cap_shared->refused = status != LILCACHE_OK;
    if (status == LILCACHE_OK) {
        lct_join(child);
        CHECK_EQ(famine_found(cache), cap_shared->live ? KEYS : 0);
        famine_works(cache);
        lilcache_close(cache);
    } else {
        judge(status, &error);
    }
    struct famine_held after = famine_held();
    CHECK_EQ(after.descriptors, held.descriptors);
    CHECK_EQ(after.mappings, held.mappings);
    if (cap_shared->flags & LILCACHE_ANONYMOUS) {
        return;
    }
    struct lilcache *later;
    CHECK_EQ(famine_open(segment_name(), MIB, 0, &later, &error), LILCACHE_OK);
    CHECK_EQ(lilcache_created(later), !cap_shared->live && status != LILCACHE_OK);
    CHECK_EQ(famine_found(later), cap_shared->live ? KEYS : 0);
    famine_works(later);
    CHECK_EQ(lilcache_retire(later), LILCACHE_OK);
    lilcache_close(later);
}

/* Whether it was refused. */
static bool try_cap(const char *what, struct cap cap) {
    *cap_shared = cap;
    snprintf(famine_where, sizeof famine_where, "%s of %llu, %s", what,
             (unsigned long long)cap.most,
             cap.live    ? "attach"
             : cap.flags ? "anonymous"
                         : "create");
    if (cap.live) {
        famine_make(segment_name(), MIB);
    }
    famine_trial(open_capped, NULL);
    return cap_shared->refused;
}

/* From too little for anything to enough: both must come by. */
static void sweep(const char *what, __rlimit_resource_t limit, uint64_t from,
                  uint64_t to, uint64_t step) {
    for (int kind = 0; kind < 3; kind++) {
        int refusals = 0;
        int trials = 0;
        for (uint64_t most = from; most <= to; most += step, trials++) {
            refusals += try_cap(what, (struct cap){limit, most,
                                                   kind == 1 ? LILCACHE_ANONYMOUS : 0,
                                                   kind == 2, false});
        }
        if (refusals == trials ||
            (refusals == 0 && !(kind == 2 && limit == RLIMIT_FSIZE))) {
            LCT_FAIL("%s: %d of %d refused", famine_where, refusals, trials);
        }
    }
}

static uint64_t address_space(void) {
    unsigned long pages;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return pages * 4096;
}

static void open_locked_memory(void *argument) {
    CHECK(!setuid(65534)); /* root may lock all it wants */
    struct rlimit limit = {*(uint64_t *)argument, *(uint64_t *)argument};
    struct lilcache *cache;
    struct lilcache_error error;
    CHECK(!setrlimit(RLIMIT_MEMLOCK, &limit));
    CHECK(!mlockall(MCL_FUTURE));
    cap_shared->what = RLIMIT_MEMLOCK;
    int status = famine_open(segment_name(), MIB, 0, &cache, &error);
    cap_shared->refused = status != LILCACHE_OK;
    if (status == LILCACHE_OK) {
        famine_works(cache);
        CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
        lilcache_close(cache);
    } else {
        judge(status, &error);
    }
}

static void locked_memory(void) {
    int refusals = 0;
    int trials = 0;
    for (uint64_t bytes = 256 << 10; bytes <= 3 * MIB; bytes += 128 << 10, trials++) {
        snprintf(famine_where, sizeof famine_where, "locked memory of %llu",
                 (unsigned long long)bytes);
        famine_trial(open_locked_memory, &bytes);
        refusals += cap_shared->refused;
    }
    CHECK(refusals > 0 && refusals < trials);
}

static void *open_in_thread(void *argument) {
    struct lilcache *cache;
    struct lilcache_error error;
    CHECK_EQ(famine_open(segment_name(), MIB, 0, &cache, &error), LILCACHE_OK);
    famine_works(cache);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    return argument;
}

static void small_stack(void *argument) {
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(!pthread_attr_init(&attributes));
    CHECK(!pthread_attr_setstacksize(&attributes, *(uint64_t *)argument));
    CHECK(!pthread_create(&thread, &attributes, open_in_thread, NULL));
    CHECK(!pthread_join(thread, NULL));
}

void limits_all(void) {
    cap_shared = mmap(NULL, sizeof *cap_shared, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(cap_shared != MAP_FAILED);
    sweep("descriptors", RLIMIT_NOFILE, 3, 16, 1);
    sweep("file size", RLIMIT_FSIZE, 0, 2 * MIB, 128 << 10);
    sweep("file size", RLIMIT_FSIZE, MIB - 4096, MIB, 1024);
    uint64_t now = address_space();
    sweep("address space", RLIMIT_AS, now, now + 3 * MIB, 64 << 10);
    locked_memory();
    uint64_t stack = 32768; /* the least that Python's threads have */
    snprintf(famine_where, sizeof famine_where, "stack of %llu",
             (unsigned long long)stack);
    famine_trial(small_stack, &stack);
}
