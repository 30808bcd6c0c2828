/* The life of segments: a process dies before every store and every system call of
 * creating one, attaching, replacing, retiring and leaving. Whoever comes next gets a
 * working segment, with what was in it if there was something, and no object is left.
 */
#include "kill.h"

#include <fcntl.h>

#include "lc_row.h"

#define KEYS  40
#define BYTES 500

enum act {
    CREATE,
    ATTACH,
    RECREATE,
    RETIRE,
    CLOSE,
    GROUP,
    LOW,
    ANONYMOUS,
    NOTHING,
    SMALL,
    NO_MODE,
    NO_ROOM,
};

static const char *const act_names[] = {
    "create",
    "attach",
    "recreate",
    "retire",
    "close",
    "create for a group",
    "create without stdio",
    "create without name",
    "attach to nothing",
    "refuse a bad size",
    "create, fchmod fails",
    "create, no memory",
};
const size_t life_count = sizeof act_names / sizeof *act_names;
const char *life_name(size_t i) { return act_names[i]; }

static int try_open(const char *name, uint32_t flags, int64_t group, uint64_t size,
                    struct lilcache **cache) {
    struct lilcache_error error;
    struct lilcache_options wanted = {
        .name = name,
        .size_bytes = size,
        .flags = flags,
        .cores = 1,
        .max_processes = 4,
        .owner = -1,
        .group = group,
    };
    return lilcache_open(&wanted, cache, &error);
}

static int64_t act_group(enum act act) { return act == GROUP ? (int64_t)getgid() : -1; }

/* In a child, so that this process maps nothing. */
static void make(const char *name) {
    pid_t child = victim_fork();
    if (child == 0) {
        struct lilcache *cache;
        CHECK_EQ(try_open(name, 0, -1, MIB, &cache), LILCACHE_OK);
        for (uint64_t n = 0; n < KEYS; n++) {
            CHECK_EQ(ct_set(cache, n, n, BYTES), LILCACHE_OK);
        }
        raise(SIGKILL); /* its row is there for the next to take */
    }
    CHECK(waitpid(child, NULL, 0) == child);
}

static bool act_fails(enum act act) {
    return act == NOTHING || act == SMALL || act == NO_MODE || act == NO_ROOM;
}

static void victim(enum act act, const char *name, uint64_t k) {
    struct lilcache *cache;
    hook_watch_mmap();
    if (act == RETIRE || act == CLOSE) {
        CHECK_EQ(try_open(name, 0, -1, MIB, &cache), LILCACHE_OK);
        hook_arm(k);
        if (act == RETIRE) {
            CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
        } else {
            lilcache_close(cache);
        }
    } else {
        uint32_t flags = act == RECREATE    ? LILCACHE_RECREATE
                         : act == ANONYMOUS ? LILCACHE_ANONYMOUS
                         : act == NOTHING   ? LILCACHE_ATTACH
                                            : 0;
        if (act == LOW) {
            close(0);
        }
        hook_fail(act == NO_MODE ? EPERM : 0, act == NO_ROOM ? ENOSPC : 0);
        hook_arm(k);
        int status =
            try_open(name, flags, act_group(act), act == SMALL ? 1 : MIB, &cache);
        CHECK(act_fails(act) ? status < 0 : status == LILCACHE_OK);
    }
    hook_disarm();
    _exit(0);
}

/* There was a segment before. */
static bool act_existed(enum act act) {
    return act == ATTACH || act == RECREATE || act == RETIRE || act == CLOSE;
}

static void judge(enum act act, const char *name, bool completed) {
    struct lilcache *cache;
    CHECK_EQ(try_open(name, 0, act_group(act), MIB, &cache), LILCACHE_OK);
    uint64_t found = 0;
    for (uint64_t n = 0; n < KEYS; n++) {
        enum ct_outcome outcome = ct_get(cache, n, n, BYTES);
        CHECK(outcome != CT_WRONG);
        found += outcome == CT_RIGHT;
    }
    bool existed = act_existed(act);
    bool emptied = !existed || (completed && (act == RECREATE || act == RETIRE));
    bool kept = act == ATTACH || act == CLOSE;
    CHECK(found == KEYS || (!kept && found == 0));
    CHECK(!emptied || found == 0);
    for (uint64_t n = 0; n < 2 * KEYS; n++) {
        CHECK_EQ(ct_set(cache, n, n + 1, BYTES), LILCACHE_OK);
        CHECK(ct_get(cache, n, n + 1, BYTES) == CT_RIGHT);
    }
    lc_row_sweep(cache->segment);
    ct_check_unhurt(cache);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    _exit(0);
}

void life_sweep(size_t i, struct tally *tally) {
    enum act act = (enum act)i;
    uint64_t places[HOOK_SITES] = {0};
    uint64_t first[HOOK_SITES] = {0};
    char name[64];
    char object[256];
    bool completed = false;
    snprintf(name, sizeof name, "lct-%d-life%d", (int)getpid(), (int)act);
    CHECK(lilcache_object_name(name, object, sizeof object) > 0);
    report_places_before(places);
    hook_forget();
    for (uint64_t k = 1; !completed && !enough(); k++) {
        int status;
        snprintf(where->text, sizeof where->text, "%s: killed before step %llu",
                 act_names[i], (unsigned long long)k);
        if (act_existed(act)) {
            make(name);
        }
        pid_t child = victim_fork();
        if (child == 0) {
            victim(act, name, k);
        }
        completed = victim_wait(child, &status);
        tally->deaths += !completed;
        tally->stores = hook_shared->count;
        child = victim_fork();
        if (child == 0) {
            judge(act, name, completed);
        }
        lct_join(child);
        CHECK(shm_open(object, O_RDONLY, 0) < 0);
    }
    for (size_t site = 0; site < hook_shared->site_count; site++) {
        first[site] = hook_shared->sites[site].first;
    }
    report_places(places, first, tally);
}
