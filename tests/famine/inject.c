/* Every call of the C library that the core makes while segments are made, attached,
 * replaced, retired, left and inherited fails: once, three times, and from then on.
 * What must come of it: success (always, when a signal handler interrupts), or an error
 * that names step and errno; no descriptor, mapping, object or lock left; success the
 * next time. */
#include "famine.h"
#include "lc_row.h"

#include <fcntl.h>
#include <sys/stat.h>

enum before {
    NOTHING, /* no object of the name */
    LIVE,    /* a segment with keys */
    RETIRED, /* one that is retired and still has its name */
    EMPTY,   /* an object whose creator died at once */
    UNREADY, /* one whose creator died before the last store */
};

enum act {
    OPEN,
    AGAIN, /* a second handle of one process */
    RETIRE,
    CLOSE,
    FORK,        /* with a view */
    FORK_CALL,   /* without one; the child then calls */
    RAW_FORK,    /* that runs no handler; the child then calls */
    WITHOUT_FDS, /* a call after all descriptors were closed */
    SWEEP,       /* of a dead process's row */
    LOOK,        /* whether the name is still there */
    CHECK_ALL,
    MODE,
    LEFT,
    WAIT, /* for another creator */
};

struct scene {
    const char *name;
    enum before before;
    enum act act;
    uint32_t flags;
    bool group;
    bool no_stdio;
    bool many_cores;
    bool huge;  /* of a size for huge pages, which are asked for */
    int wanted; /* undisturbed; OK or a status */
};

static const struct scene scenes[] = {
    {"create", NOTHING, OPEN, .many_cores = true},
    {"create for a group", NOTHING, OPEN, .group = true},
    {"create without stdio", NOTHING, OPEN, .no_stdio = true},
    {"create in huge pages", NOTHING, OPEN, .huge = true},
    {"create anonymous", NOTHING, OPEN, .flags = LILCACHE_ANONYMOUS},
    {"attach", LIVE, OPEN, .wanted = LILCACHE_OK},
    {"attach without stdio", LIVE, OPEN, .no_stdio = true},
    {"attach twice", LIVE, AGAIN, .wanted = LILCACHE_OK},
    {"attach to nothing", NOTHING, OPEN, .flags = LILCACHE_ATTACH,
     .wanted = LILCACHE_OS},
    {"attach to a retired one", RETIRED, OPEN, .wanted = LILCACHE_OK},
    {"take over an empty object", EMPTY, OPEN, .wanted = LILCACHE_OK},
    {"take over an unready one", UNREADY, OPEN, .wanted = LILCACHE_OK},
    {"recreate", LIVE, OPEN, .flags = LILCACHE_RECREATE},
    {"retire", LIVE, RETIRE, .wanted = LILCACHE_OK},
    {"close", LIVE, CLOSE, .wanted = LILCACHE_OK},
    {"fork with a view", LIVE, FORK, .wanted = LILCACHE_OK},
    {"fork, then call", LIVE, FORK_CALL, .wanted = LILCACHE_OK},
    {"raw fork, then call", LIVE, RAW_FORK, .wanted = LILCACHE_OK},
    {"call without descriptors", LIVE, WITHOUT_FDS, .wanted = LILCACHE_OK},
    {"sweep", LIVE, SWEEP, .wanted = LILCACHE_OK},
    {"look for the name", LIVE, LOOK, .wanted = LILCACHE_OK},
    {"check", LIVE, CHECK_ALL, .wanted = LILCACHE_OK},
    {"mode", LIVE, MODE, .wanted = LILCACHE_OK},
    {"memory left", NOTHING, LEFT, .wanted = LILCACHE_OK},
    {"wait for a creator", NOTHING, WAIT, .wanted = LILCACHE_OK},
};

/* Every second one will do in brief. */
static const int errors[] = {ENOSPC, EPERM, ENOMEM, EIO, EMFILE, EACCES, ENOSYS, EINTR};

struct trial {
    const struct scene *scene;
    enum fail_mode mode;
    uint64_t k;
    int error;
};

static const struct scene *current;

static const char *segment_name(void) { return famine_name("inject"); }

static int open_as(const struct scene *scene, struct lilcache **out,
                   struct lilcache_error *error) {
    struct lilcache_options options = {
        .name = segment_name(),
        .size_bytes = scene->flags & LILCACHE_ATTACH ? 0
                      : scene->huge                  ? 4 * MIB
                                                     : MIB,
        .flags = scene->flags,
        .cores = scene->many_cores ? 0 : 1,
        .owner = scene->group ? (int64_t)getuid() : -1,
        .group = scene->group ? (int64_t)getgid() : -1,
    };
    *out = NULL;
    return lilcache_open(&options, out, error);
}

static struct lilcache *open_now(void) {
    struct lilcache *cache;
    struct lilcache_error error;
    struct scene plain = {.group = current->group};
    int status = open_as(&plain, &cache, &error);
    if (status) {
        LCT_FAIL("later: %s at %s, errno %d", lilcache_status_name(status), error.step,
                 error.os_errno);
    }
    return cache;
}

static void arm(const struct trial *t) { fail_arm(t->mode, t->k, t->error); }
static bool undisturbed(const struct trial *t) {
    return fail_shared->failed == 0 || t->error == EINTR;
}

/* Bytes of the object of the name, -1: there is none. */
static int64_t object_size(void) {
    struct stat found;
    int fd = shm_open(famine_object(segment_name()), O_RDONLY, 0);
    if (fd < 0) {
        return -1;
    }
    CHECK(!fstat(fd, &found));
    close(fd);
    return found.st_size;
}

/* Another process may enter at once: no lock was left. What it finds is alive. */
static void others_can_enter(uint64_t keys_least, uint64_t keys_most) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(5);
        struct lilcache *cache = open_now();
        uint64_t found = famine_found(cache);
        CHECK(found >= keys_least && found <= keys_most);
        famine_works(cache);
        lilcache_close(cache);
        _exit(0);
    }
    lct_join(child);
}

static void prepare(enum before before) {
    const char *object = famine_object(segment_name());
    if (before == LIVE || before == RETIRED || before == UNREADY) {
        famine_make(segment_name(), MIB);
    }
    if (before == NOTHING || before == LIVE) {
        return;
    }
    int fd = shm_open(object, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    uint64_t word = before == RETIRED;
    size_t at = before == RETIRED ? offsetof(struct shm_header, hd_retired)
                                  : offsetof(struct shm_header, hd_ready);
    if (before != EMPTY) {
        CHECK(pwrite(fd, &word, sizeof word, (off_t)at) == sizeof word);
    }
    close(fd);
}

static void judge_error(const struct trial *t, int status,
                        const struct lilcache_error *error) {
    bool memory = status == LILCACHE_MEMORY &&
                  fail_shared->by_call[FAIL_calloc] + t->k > 0 &&
                  (error->os_errno == ENOMEM || error->os_errno == t->error);
    bool refused =
        status == LILCACHE_FOREIGN && (t->error == EPERM || t->error == EACCES);
    bool named = (status == LILCACHE_OS || refused) && error->os_errno == t->error;
    if (!(memory || named) || error->step[0] == 0 || error->status != status) {
        LCT_FAIL("%s at \"%s\" with errno %d", lilcache_status_name(status),
                 error->step, error->os_errno);
    }
}

static void same_held(struct famine_held before) {
    struct famine_held now = famine_held();
    CHECK_EQ(now.descriptors, before.descriptors);
    CHECK_EQ(now.mappings, before.mappings);
}

/* Nothing of this run remains after it. */
static void finish(void) {
    fail_disarm();
    struct famine_held before = famine_held();
    struct lilcache *cache = open_now();
    famine_works(cache);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    same_held(before);
}

/* --- the acts --------------------------------------------------------------------- */

static void run_open(const struct trial *t) {
    const struct scene *scene = t->scene;
    struct lilcache *cache;
    struct lilcache_error error = {0};
    if (scene->no_stdio) {
        close(0);
    }
    struct famine_held held = famine_held();
    arm(t);
    int status = open_as(scene, &cache, &error);
    if (status == LILCACHE_OK && scene->huge) {
        lilcache_collapse(cache, 0); /* whatever it tells, the cache works */
    }
    fail_disarm();
    bool existed = scene->before == LIVE;
    if (status == LILCACHE_OK) {
        CHECK_EQ(scene->wanted, LILCACHE_OK);
        CHECK_EQ(famine_found(cache),
                 existed && !(scene->flags & LILCACHE_RECREATE) ? KEYS : 0);
        famine_works(cache);
        lilcache_close(cache);
    } else if (undisturbed(t)) {
        if (status != scene->wanted) {
            LCT_FAIL("undisturbed: %s at %s, errno %d", lilcache_status_name(status),
                     error.step, error.os_errno);
        }
    } else if (!(status == LILCACHE_OS && scene->wanted == LILCACHE_OS &&
                 error.os_errno == ENOENT)) {
        judge_error(t, status, &error);
    }
    same_held(held);
    if (scene->before == NOTHING && status != LILCACHE_OK) {
        /* When the object cannot even be looked at, an empty one stays. */
        bool blind = t->mode == FAIL_SINCE_ALIKE &&
                     (fail_shared->first_failed == FAIL_fstat ||
                      fail_shared->first_failed == FAIL_shm_unlink);
        CHECK(object_size() == -1 || (blind && object_size() == 0));
    }
    if (scene->flags & LILCACHE_ANONYMOUS) {
        CHECK_EQ(object_size(), -1);
    }
    bool must_live = existed && !(scene->flags & LILCACHE_RECREATE);
    others_can_enter(must_live ? KEYS : 0, existed ? KEYS : 0);
}

static void run_again(const struct trial *t) {
    struct lilcache *first = open_now();
    struct lilcache *second;
    struct lilcache_error error = {0};
    struct famine_held held = famine_held();
    arm(t);
    int status = open_as(t->scene, &second, &error);
    fail_disarm();
    if (status == LILCACHE_OK) {
        famine_works(second);
        lilcache_close(second);
    } else {
        CHECK(!undisturbed(t));
        judge_error(t, status, &error);
    }
    same_held(held);
    CHECK_EQ(famine_found(first), KEYS);
    famine_works(first);
    lilcache_close(first);
    others_can_enter(KEYS, KEYS);
}

static void run_retire(const struct trial *t) {
    struct famine_held held = famine_held();
    struct lilcache *cache = open_now();
    char key[CT_KEY_BYTES + 1];
    char out[16];
    arm(t);
    int status = lilcache_retire(cache);
    int code = errno;
    fail_disarm();
    if (status != LILCACHE_OK) { /* it stays as it was */
        struct lilcache_error error = {.status = status, .os_errno = code, .step = "x"};
        CHECK(!undisturbed(t));
        judge_error(t, status, &error);
        CHECK_EQ(object_size(), MIB);
        CHECK_EQ(famine_found(cache), KEYS);
        famine_works(cache);
    } else {
        CHECK_EQ(object_size(), -1);
        ct_key(1, key);
        CHECK_EQ(
            lilcache_get(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, out, sizeof out),
            LILCACHE_RETIRED);
    }
    lilcache_close(cache);
    same_held(held);
    others_can_enter(status == LILCACHE_OK ? 0 : KEYS, KEYS);
}

static void run_close(const struct trial *t) {
    struct famine_held held = famine_held();
    struct lilcache *cache = open_now();
    arm(t);
    lilcache_close(cache);
    fail_disarm();
    same_held(held);
    others_can_enter(KEYS, KEYS);
}

static void child_works(struct lilcache *cache) {
    CHECK_EQ(famine_found(cache), KEYS);
    CHECK_EQ(ct_set(cache, 500, 500, 200000), LILCACHE_OK); /* wants a pin */
    CHECK(ct_get(cache, 500, 500, 200000) == CT_RIGHT);
    fail_disarm();
    famine_works(cache);
    /* With or without a row; at the latest after a while, with one. */
    for (int i = 0; lilcache_process_row(cache) < 0; i++) {
        CHECK(i < 100);
        lct_sleep_ms(10);
    }
    lilcache_close(cache);
    CHECK_EQ(famine_held().mappings, 0);
    _exit(0);
}

static void run_fork(const struct trial *t) {
    struct lilcache *cache = open_now();
    struct lilcache_view view = {0};
    bool with_view = t->scene->act == FORK;
    char key[CT_KEY_BYTES + 1];
    if (with_view) {
        ct_key(3, key);
        CHECK_EQ(lilcache_pin(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view),
                 LILCACHE_PACK(7, BYTES));
    }
    struct famine_held held = famine_held();
    arm(t);
    pid_t child = t->scene->act == RAW_FORK ? _Fork() : fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (with_view) {
            fail_disarm();
            CHECK(ct_matches(view.data, BYTES, 3));
            lilcache_unpin(cache, view.pin);
        }
        child_works(cache);
    }
    fail_disarm();
    same_held(held);
    if (with_view) {
        CHECK(ct_matches(view.data, BYTES, 3));
        lilcache_unpin(cache, view.pin);
    }
    CHECK_EQ(famine_found(cache), KEYS);
    lct_join(child);
    CHECK_EQ(famine_found(cache), KEYS);
    famine_works(cache);
    lilcache_close(cache);
    others_can_enter(KEYS, KEYS);
}

static void run_without_fds(const struct trial *t) {
    struct lilcache *cache = open_now();
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close_range(3, ~0u, 0);
        arm(t);
        child_works(cache);
    }
    lct_join(child);
    lilcache_close(cache);
    others_can_enter(KEYS, KEYS);
}

static void run_sweep(const struct trial *t) {
    struct lilcache *cache = open_now();
    struct famine_held held = famine_held();
    famine_make(segment_name(), MIB);
    arm(t);
    lc_row_sweep(cache->segment);
    fail_disarm();
    same_held(held);
    CHECK_EQ(famine_found(cache), KEYS);
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    lilcache_close(cache);
    others_can_enter(KEYS, KEYS);
}

static void run_look(const struct trial *t) {
    struct lilcache *cache = open_now();
    char key[CT_KEY_BYTES + 1];
    char out[BYTES];
    ct_key(1, key);
    arm(t);
    for (int i = 0; i < 70000; i++) {
        CHECK(lilcache_get(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, out,
                           sizeof out) >= 0);
    }
    fail_disarm();
    lilcache_close(cache);
    others_can_enter(KEYS, KEYS);
}

/* Without memory for its notes it says so, and calls nothing whole. */
static void run_check(const struct trial *t) {
    struct lilcache *cache = open_now();
    char report[256] = "";
    arm(t);
    int violated = lilcache_check(cache, report, sizeof report);
    fail_disarm();
    if (fail_shared->by_call[FAIL_calloc] > 0 && !undisturbed(t)) {
        CHECK_EQ(violated, 1);
        CHECK(strcmp(report, "out of memory") == 0);
    } else {
        CHECK_EQ(violated, 0);
    }
    ct_check_unhurt(cache);
    lilcache_close(cache);
    others_can_enter(KEYS, KEYS);
}

static void run_mode(const struct trial *t) {
    struct lilcache *cache = open_now();
    arm(t);
    int mode = lilcache_mode(cache);
    fail_disarm();
    CHECK(mode == 0600 || (mode == LILCACHE_OS && !undisturbed(t)));
    lilcache_close(cache);
}

static void run_left(const struct trial *t) {
    uint64_t before = lilcache_memory_left();
    arm(t);
    uint64_t left = lilcache_memory_left();
    fail_disarm();
    CHECK(left == UINT64_MAX || left <= before + (before >> 1));
}

/* Another process holds the creation byte for a while and then dies. */
static void run_wait(const struct trial *t) {
    struct lilcache *cache;
    struct lilcache_error error = {0};
    int ready[2];
    CHECK(!pipe(ready));
    pid_t creator = fork();
    CHECK(creator >= 0);
    if (creator == 0) {
        struct flock byte = {
            .l_type = F_WRLCK, .l_start = (off_t)LC_CREATE_BYTE, .l_len = 1};
        int fd = shm_open(famine_object(segment_name()), O_RDWR | O_CREAT, 0600);
        CHECK(fd >= 0 && !fcntl(fd, F_OFD_SETLK, &byte));
        CHECK(write(ready[1], "x", 1) == 1);
        lct_sleep_ms(4);
        _exit(0);
    }
    char x;
    CHECK(read(ready[0], &x, 1) == 1);
    struct famine_held held = famine_held();
    arm(t);
    int status = open_as(t->scene, &cache, &error);
    fail_disarm();
    if (status == LILCACHE_OK) {
        famine_works(cache);
        lilcache_close(cache);
    } else {
        CHECK(!undisturbed(t));
        judge_error(t, status, &error);
    }
    same_held(held);
    lct_join(creator);
    others_can_enter(0, 0);
}

static void run(void *argument) {
    const struct trial *t = argument;
    switch (t->scene->act) {
    case OPEN:
        run_open(t);
        break;
    case AGAIN:
        run_again(t);
        break;
    case RETIRE:
        run_retire(t);
        break;
    case CLOSE:
        run_close(t);
        break;
    case FORK:
    case FORK_CALL:
    case RAW_FORK:
        run_fork(t);
        break;
    case WITHOUT_FDS:
        run_without_fds(t);
        break;
    case SWEEP:
        run_sweep(t);
        break;
    case LOOK:
        run_look(t);
        break;
    case CHECK_ALL:
        run_check(t);
        break;
    case MODE:
        run_mode(t);
        break;
    case LEFT:
        run_left(t);
        break;
    case WAIT:
        run_wait(t);
        break;
    }
    finish();
}

/* --- all of it -------------------------------------------------------------------- */

static bool trial(const struct scene *scene, enum fail_mode mode, uint64_t k,
                  int error) {
    static const char *const modes[] = {
        "nothing fails",          "once",     "three times", "from then on",
        "all alike from then on", "long ones"};
    struct trial t = {scene, mode, k, error};
    current = scene;
    snprintf(famine_where, sizeof famine_where, "%s: call %llu, %s, %s", scene->name,
             (unsigned long long)k, strerror(error), modes[mode]);
    prepare(scene->before);
    famine_trial(run, &t);
    return fail_shared->failed > 0;
}

/* Reservations are interrupted whenever they are long: they are done in short ones. */
static void interrupted(void) {
    static const struct scene create = {"create", NOTHING, OPEN, .wanted = LILCACHE_OK};
    CHECK(trial(&create, FAIL_LONG, 0, EINTR));
}

/* The index grows from one group's page to all that the segment has room for. */
static void grow(void *argument) {
    (void)argument;
    struct lilcache *cache = ct_open(4 * MIB);
    uint64_t before = ct_stat(cache, "index_bytes");
    fail_arm(FAIL_SINCE, 1, ENOMEM);
    for (uint64_t n = 0; n < 30000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 8), LILCACHE_OK);
    }
    fail_disarm();
    CHECK(ct_stat(cache, "index_bytes") > before + 100000);
    if (fail_shared->calls) {
        LCT_FAIL("growth made %llu calls", (unsigned long long)fail_shared->calls);
    }
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* A call that is interrupted for ever is repeated for ever. */
static bool wanted(int error, enum fail_mode mode) {
    return mode == FAIL_ONCE || (error == EINTR) == (mode == FAIL_THRICE);
}

static bool sampled(enum fail_mode mode) {
    return mode == FAIL_SINCE || mode == FAIL_SINCE_ALIKE;
}

void inject_all(bool thorough, bool brief) {
    uint64_t most = 0;
    for (size_t s = 0; s < sizeof scenes / sizeof *scenes; s++) {
        const struct scene *scene = &scenes[s];
        trial(scene, FAIL_NEVER, 0, 0);
        most += fail_shared->calls;
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            if (brief && e % 2 == 0) {
                continue;
            }
            for (int mode = FAIL_ONCE; mode < FAIL_LONG; mode++) {
                if (!wanted(errors[e], (enum fail_mode)mode) ||
                    (!thorough && sampled((enum fail_mode)mode) && e % 3 != s % 3)) {
                    continue;
                }
                for (uint64_t k = 1; trial(scene, (enum fail_mode)mode, k, errors[e]) ||
                                     k < fail_shared->calls;
                     k++) {
                }
            }
        }
    }
    interrupted();
    snprintf(famine_where, sizeof famine_where, "growth of the index");
    famine_trial(grow, NULL);
    printf("inject: %zu scenes with %llu calls; each call fails once with each of %zu "
           "errnos, from then on with %s\n",
           sizeof scenes / sizeof *scenes, (unsigned long long)most,
           sizeof errors / sizeof *errors / (brief ? 2 : 1),
           thorough ? "each but EINTR, EINTR three times"
                    : "a third of them, another third in the next scene, EINTR three "
                      "times");
}

void inject_report(const char *path) {
    FILE *out = fopen(path, "w");
    CHECK(out != NULL);
    for (size_t i = 0; i < FAIL_SITES; i++) {
        const struct fail_site *site = &fail_shared->sites[i];
        if (site->at) {
            fprintf(out, "%#llx %llu %llu\n", (unsigned long long)site->at,
                    (unsigned long long)site->calls, (unsigned long long)site->failed);
        }
    }
    fclose(out);
}
