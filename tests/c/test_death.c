/* A process killed at every crash point of every write, in every state that makes the
 * write do something else; and its successor killed at every point of the recovery.
 *
 *   prepare a scene, save the segment's bytes
 *   k = 1, 2, ..: put the bytes back, fork, die at the k-th point of the operation,
 * look
 *
 * The operation of the last k completes. Points outside the lock need no repair. */
#include "scene.h"

/* An operation that empties a window passes thousands of points, the same few over and
 * over: after the first DENSE every one in STRIDE, which divides no round of them. */
#define DENSE  100
#define STRIDE 17

/* In memory shared by all tests: which points a process was killed at, and where the
 * last one died. */
static struct score {
    uint64_t kills[LC_CRASH_POINT_COUNT];
    uint64_t deaths;
    int last;
} *score;

static void die_hook(enum lc_crash_point point) {
    if (++ct_crash.count == ct_crash.at) {
        score->last = point;
        score->kills[point]++;
        score->deaths++;
        raise(SIGKILL);
    }
}

static void die_at(uint64_t k) {
    ct_crash_arm(k, LC_CRASH_POINT_COUNT, SIGKILL);
    lc_crash_hook = die_hook;
}

/* --- sweeps ----------------------------------------------------------------------- */

static void restore(const uint8_t *bytes) {
    memcpy(w.cache->segment->base, bytes, SCENE_BYTES);
}

static void save(uint8_t *bytes) { memcpy(bytes, w.cache->segment->base, SCENE_BYTES); }

/* The successor dies in the recovery, at every point of it; a third one recovers. */
static void sweep_recovery(const struct deed *deed) {
    uint8_t *killed = malloc(SCENE_BYTES);
    bool completed = false;
    save(killed);
    for (uint64_t k = 1; !completed; k++) {
        restore(killed);
        pid_t child = fork();
        if (child == 0) {
            char report[256];
            die_at(k);
            _exit(lilcache_check(w.cache, report, sizeof report));
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        completed = WIFEXITED(status);
        CHECK(!completed || WEXITSTATUS(status) == 0);
        ct_check_unhurt(w.cache);
        verify_keys(deed, false);
    }
    restore(killed);
    free(killed);
}

static void sweep_deed(const struct deed *deed, const char *scene) {
    bool completed = false;
    for (uint64_t k = 1; !completed; k += k < DENSE ? 1 : STRIDE) {
        restore(w.saved);
        uint64_t repaired = ct_stat(w.cache, "repaired");
        pid_t child = fork();
        if (child == 0) {
            die_at(k);
            _exit(deed_run(deed) == LILCACHE_OK ? 0 : 1);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        completed = WIFEXITED(status);
        int point = score->last;
        if (completed && WEXITSTATUS(status) != 0 && !w.evicting) {
            LCT_FAIL("%s, %s: failed by itself", scene, deed->name);
        }
        if (completed && WEXITSTATUS(status) != 0) {
            break; /* the key it needs was evicted */
        }
        fflush(stderr);
        pid_t judge = fork(); /* so that a failure can be told with its place */
        if (judge == 0) {
            if (!completed && (k < DENSE / 2 || k % 5 == 0)) {
                sweep_recovery(deed);
            }
            first_operation(deed, k, completed);
            ct_check_unhurt(w.cache);
            bool outside = completed || point == LC_CRASH_large_copied;
            CHECK_EQ(ct_stat(w.cache, "repaired"), repaired + !outside);
            verify_keys(deed, completed);
            verify_use();
            _exit(0);
        }
        CHECK(waitpid(judge, &status, 0) == judge);
        if (status != 0) {
            LCT_FAIL("%s, %s: killed at point %llu, %s", scene, deed->name,
                     (unsigned long long)k, completed ? "none" : ct_crash_name(point));
        }
    }
}

static void sweep_scene(const char *name) {
    for (size_t i = 0; i < scene_count; i++) {
        if (strcmp(scenes[i].name, name) == 0) {
            uint64_t before = score->deaths;
            scene_open(&scenes[i]);
            for (size_t j = 0; j < DEEDS_WITH_POINTS; j++) {
                if (w.keys[KEY_OLD].present || deed_wants_nothing(&deeds[j])) {
                    sweep_deed(&deeds[j], name);
                }
            }
            printf("  %llu processes killed\n",
                   (unsigned long long)(score->deaths - before));
            scene_close();
            return;
        }
    }
    LCT_FAIL("no scene %s", name);
}

TEST(untouched, 100) { sweep_scene("untouched"); }
TEST(nearly_empty, 100) { sweep_scene("nearly empty"); }
TEST(growing_index, 200) { sweep_scene("growing index"); }
TEST(shrinking_index, 200) { sweep_scene("shrinking index"); }
TEST(moving_index, 200) { sweep_scene("moving index"); }
TEST(full, 400) { sweep_scene("full"); }
TEST(full_of_runs, 200) { sweep_scene("full of runs"); }
TEST(expired, 200) { sweep_scene("expired"); }

/* --- what the sweeps do not see --------------------------------------------------- */

/* A writer of a large value holds a pin while it copies. Many of them die; the space
 * comes back. */
TEST(dead_large_writers_leave_no_hole, 60) {
    static const int points[] = {LC_CRASH_large_reserved, LC_CRASH_large_copied};
    struct lilcache *cache = ct_open(4 * MIB);
    uint64_t large = lilcache_max_value(cache);
    for (int i = 0; i < 24; i++) {
        pid_t child = fork();
        if (child == 0) {
            ct_crash_arm(1, points[i % 2], SIGKILL);
            ct_set(cache, (uint64_t)i, 1, large);
            _exit(0); /* no pin was to be had: it did not let go of the lock */
        }
        CHECK(waitpid(child, NULL, 0) == child);
    }
    for (uint64_t n = 0; n < 50; n++) {
        CHECK_EQ(ct_set(cache, n, n, large), LILCACHE_OK);
        CHECK_EQ(ct_get(cache, n, n, large), CT_RIGHT);
    }
    for (uint64_t n = 0; n < 10000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 1000), LILCACHE_OK);
    }
    ct_check_unhurt(cache);
    CHECK(ct_stat(cache, "live_bytes") > 3600000);
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    lilcache_close(cache);
}

TEST(dead_reader_leaves_no_pin, 60) {
    struct lilcache *cache = ct_open(MIB);
    char key[CT_KEY_BYTES + 1];
    ct_key(1, key);
    CHECK_EQ(ct_set(cache, 1, 1, 1000), LILCACHE_OK);
    pid_t child = fork();
    if (child == 0) {
        struct lilcache_view view;
        ct_crash_arm(1, LC_CRASH_pin_stored, SIGKILL);
        lilcache_pin(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(ct_stat(cache, "pins"), 1);
    for (uint64_t i = 0; ct_stat(cache, "pins") > 0; i++) {
        CHECK(i < 100000);
        CHECK_EQ(ct_set(cache, 2 + i % 5000, i, 1000), LILCACHE_OK);
    }
    ct_check_unhurt(cache);
    CHECK_EQ(ct_stat(cache, "repaired"), 0);
    lilcache_close(cache);
}

/* crash.def and the scenes keep up with each other. */
TEST(every_point_was_died_at, 10) {
    for (int i = 0; i < LC_CRASH_POINT_COUNT; i++) {
        if (score->kills[i] == 0) {
            LCT_FAIL("nobody died at %s", ct_crash_name(i));
        }
    }
    printf("  %llu processes killed at %d points\n", (unsigned long long)score->deaths,
           LC_CRASH_POINT_COUNT);
}

int main(int argc, char **argv) {
    score = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return score == MAP_FAILED ? 1 : lct_main(argc, argv);
}
