/* The life of segments: a process dies before every store and every system call of
 * creating one, attaching, replacing, retiring and leaving. Whoever comes next gets a
 * working segment, with what was in it if there was something, and no object is left;
 * also when whoever comes next dies on the way, and another one comes. */
#include "judge.h"
#include "kill.h"

#include <fcntl.h>

#include "lc_row.h"
#include "lc_stripe.h"

#define KEYS  40
#define BYTES 500

#define CUT_BYTES   4096 /* of the object are left */
#define COUNT_EVERY 16   /* samples after so many deaths know how long an opening is */

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
    GONE,
    CUT,
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
    "find no name any more",
    "find it cut short",
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

/* Somebody has removed the object, or cut it; look whether it is still there. */
static void spoil(enum act act, const char *object, struct lilcache *cache) {
    if (act == GONE) {
        CHECK(shm_unlink(object) == 0);
        struct lc_segment *segment = cache->segment;
        /* It is not looked up at each call. */
        segment->pace[lc_stripe_at(segment) / LC_CACHE_LINE].calls = UINT64_MAX;
    } else {
        int fd = shm_open(object, O_RDWR, 0);
        CHECK(fd >= 0 && ftruncate(fd, CUT_BYTES) == 0 && close(fd) == 0);
    }
}

static void victim(enum act act, const char *name, const char *object, uint64_t k) {
    struct lilcache *cache;
    hook_watch_mmap();
    if (act == GONE || act == CUT) {
        CHECK_EQ(try_open(name, 0, -1, MIB, &cache), LILCACHE_OK);
        spoil(act, object, cache);
        hook_arm(k);
        int status = LILCACHE_OK;
        for (int i = 0; i < 3; i++) { /* the second call finds out why */
            status = ct_set(cache, 0, 0, BYTES);
        }
        CHECK_EQ(status, LILCACHE_RETIRED);
    } else if (act == RETIRE || act == CLOSE) {
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
    return act == ATTACH || act == RECREATE || act == RETIRE || act == CLOSE ||
           act == GONE || act == CUT;
}

/* Death leaves an object behind that is not what it was, or not yet. */
static bool act_leaves(enum act act) {
    return act == CREATE || act == ATTACH || act == RECREATE || act == RETIRE ||
           act == CLOSE || act == GROUP;
}

static void life_judge(enum act act, const char *name, bool completed) {
    struct lilcache *cache;
    CHECK_EQ(try_open(name, 0, act_group(act), MIB, &cache), LILCACHE_OK);
    uint64_t found = 0;
    for (uint64_t n = 0; n < KEYS; n++) {
        enum ct_outcome outcome = ct_get(cache, n, n, BYTES);
        CHECK(outcome != CT_WRONG);
        found += outcome == CT_RIGHT;
    }
    bool existed = act_existed(act);
    bool emptied = !existed || act == GONE || act == CUT ||
                   (completed && (act == RECREATE || act == RETIRE));
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

/* The act up to its k-th step. True: it completed. */
static bool die_at(enum act act, const char *name, const char *object, uint64_t k) {
    int status;
    if (act_existed(act)) {
        make(name);
    }
    pid_t child = victim_fork();
    if (child == 0) {
        victim(act, name, object, k);
    }
    return victim_wait(child, &status);
}

static void judge_in_child(enum act act, const char *name, const char *object,
                           bool completed) {
    pid_t child = victim_fork();
    if (child == 0) {
        life_judge(act, name, completed);
    }
    lct_join(child);
    CHECK(shm_open(object, O_RDONLY, 0) < 0);
}

/* Who comes next, up to the l-th step. True: it completed. */
static bool open_until(enum act act, const char *name, uint64_t l) {
    int status;
    pid_t child = victim_fork();
    if (child == 0) {
        struct lilcache *cache;
        hook_watch_mmap();
        hook_arm(l);
        CHECK_EQ(try_open(name, 0, act_group(act), MIB, &cache), LILCACHE_OK);
        hook_disarm();
        _exit(0);
    }
    return victim_wait(child, &status);
}

/* A death at each step of the act, and then at each step of the next one's opening, or
 * at `most` of them by chance. */
static void sweep_openers(enum act act, const char *name, const char *object,
                          uint64_t most, struct ct_random *dice, struct tally *tally) {
    uint64_t steps = tally->stores;
    uint64_t opening = 1; /* steps of an opening that nobody disturbs */
    for (uint64_t k = 1; k <= steps && !enough(); k++) {
        for (uint64_t i = most && k % COUNT_EVERY != 1;
             i <= (most ? lc_min64(most, opening) : opening); i++) {
            uint64_t l = i == 0 || !most ? i : 1 + ct_below(dice, opening);
            snprintf(where->text, sizeof where->text,
                     "%s: killed before step %llu, the next one before step %llu",
                     act_names[act], (unsigned long long)k, (unsigned long long)l);
            if (die_at(act, name, object, k)) {
                /* This time it had less to do. */
                judge_in_child(act, name, object, true);
                break;
            }
            tally->deaths++;
            bool completed = open_until(act, name, l);
            tally->again += !completed;
            opening = i == 0 ? hook_shared->count : opening;
            judge_in_child(act, name, object, false);
        }
    }
}

void life_sweep(size_t i, uint64_t most, struct ct_random *dice, struct tally *tally) {
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
        snprintf(where->text, sizeof where->text, "%s: killed before step %llu",
                 act_names[i], (unsigned long long)k);
        completed = die_at(act, name, object, k);
        tally->deaths += !completed;
        tally->stores = hook_shared->count;
        judge_in_child(act, name, object, completed);
    }
    for (size_t site = 0; site < hook_shared->site_count; site++) {
        first[site] = hook_shared->sites[site].first;
    }
    report_places(places, first, tally);
    if (act_leaves(act)) {
        sweep_openers(act, name, object, most, dice, tally);
    }
}
