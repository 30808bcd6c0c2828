/* A process killed at every crash point of every write, in every state that makes the
 * write do something else; and its successor killed at every point of the recovery.
 *
 *   prepare a scene, save the segment's bytes
 *   k = 1, 2, ..: put the bytes back, fork, die at the k-th point of the operation,
 * look
 *
 * The operation of the last k completes. Points outside the lock need no repair. */
#include "cachetest.h"

#define KEYS_MAX 2048
#define SIZE     (1 * MIB)
#define FOREVER  1000000 /* ms */

/* An operation that empties a window passes thousands of points, the same few over and
 * over: after the first DENSE every one in STRIDE, which divides no round of them. */
#define DENSE 100
#define STRIDE 17

/* Keys with a role; the scenes' own keys begin at KEY_FREE. */
enum { KEY_OLD, KEY_COUNT, KEY_NEW, KEY_SPARE, KEY_ABSENT, KEY_MANY, KEY_FREE = 32 };
#define MANY 4

struct value {
    bool present;
    bool number;
    uint64_t seed; /* the integer of a number */
    uint64_t length;
};

static struct world {
    struct lilcache *cache;
    uint8_t *saved;
    struct value keys[KEYS_MAX]; /* as committed */
    uint32_t used;               /* keys from KEY_FREE on */
    bool evicting;               /* a key may be missing */
    struct ct_random random;
} w;

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

/* --- operations ------------------------------------------------------------------- */

enum verb {
    V_SET,
    V_ADD,
    V_REPLACE,
    V_CAS,
    V_DELETE,
    V_POP,
    V_INCR,
    V_TOUCH,
    V_CLEAR,
    V_MANY
};

static const struct deed {
    const char *name;
    enum verb verb;
    uint32_t key;
    uint64_t length;
} deeds[] = {
    {"set new", V_SET, KEY_NEW, 200},
    {"overwrite", V_SET, KEY_OLD, 200},
    {"set large", V_SET, KEY_NEW, 100000},
    {"overwrite by large", V_SET, KEY_OLD, 200000},
    {"add", V_ADD, KEY_NEW, 4000},
    {"replace", V_REPLACE, KEY_OLD, 1},
    {"cas", V_CAS, KEY_OLD, 3000},
    {"delete", V_DELETE, KEY_OLD, 0},
    {"pop", V_POP, KEY_OLD, 0},
    {"incr", V_INCR, KEY_COUNT, 8},
    {"incr new", V_INCR, KEY_NEW, 8},
    {"touch", V_TOUCH, KEY_OLD, 0},
    {"set many", V_MANY, KEY_MANY, 300},
    {"clear", V_CLEAR, KEY_ABSENT, 0},
};
#define DEEDS (sizeof deeds / sizeof *deeds)

#define NEW_SEED 77

static int deed_many(const struct deed *deed) {
    char keys[MANY * CT_KEY_BYTES + 1];
    uint8_t values[MANY * 300];
    uint32_t key_lengths[MANY];
    uint8_t key_types[MANY];
    uint64_t lengths[MANY];
    uint8_t types[MANY];
    int64_t results[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        ct_key(KEY_MANY + i, keys + i * CT_KEY_BYTES);
        ct_fill(values + i * deed->length, deed->length, NEW_SEED);
        key_lengths[i] = CT_KEY_BYTES;
        key_types[i] = LILCACHE_KEY_STR;
        lengths[i] = deed->length;
        types[i] = 7;
    }
    return lilcache_set_many(w.cache, MANY, keys, key_lengths, key_types, values,
                             lengths, types, LILCACHE_TTL_NONE, results) == MANY
               ? LILCACHE_OK
               : (int)results[MANY - 1];
}

static int deed_run(const struct deed *deed) {
    char key[CT_KEY_BYTES + 1];
    uint8_t *value = malloc(deed->length + 1);
    uint8_t old[1024];
    uint32_t stamp = 0;
    int64_t number = 1000;
    int64_t popped;
    int status = LILCACHE_OK;
    ct_key(deed->key, key);
    ct_fill(value, deed->length, NEW_SEED);
    switch (deed->verb) {
    case V_SET:
    case V_ADD:
    case V_REPLACE:
        status = lilcache_set(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                              deed->length, 7, LILCACHE_TTL_NONE,
                              deed->verb == V_ADD       ? LILCACHE_ADD
                              : deed->verb == V_REPLACE ? LILCACHE_REPLACE
                                                        : LILCACHE_SET);
        break;
    case V_CAS:
        lilcache_gets(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, old, sizeof old,
                      &stamp);
        status = lilcache_cas(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                              deed->length, 7, LILCACHE_TTL_NONE, stamp);
        break;
    case V_DELETE:
        status = ct_delete(w.cache, deed->key);
        break;
    case V_POP:
        popped =
            lilcache_pop(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, old, sizeof old);
        status = popped < 0 ? (int)popped : LILCACHE_OK;
        break;
    case V_INCR:
        status = lilcache_incr(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, 1, &number,
                               LILCACHE_TTL_NONE, &number);
        break;
    case V_TOUCH:
        status = lilcache_touch(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, FOREVER);
        break;
    case V_CLEAR:
        status = lilcache_clear(w.cache);
        break;
    case V_MANY:
        status = deed_many(deed);
        break;
    }
    free(value);
    return status;
}

static bool deed_concerns(const struct deed *deed, uint32_t key) {
    return deed->verb == V_MANY ? key >= KEY_MANY && key < KEY_MANY + MANY
                                : key == deed->key;
}

/* The operation succeeds in a cache that was never used. */
static bool deed_wants_nothing(const struct deed *deed) {
    return deed->key == KEY_NEW || deed->verb == V_MANY || deed->verb == V_CLEAR;
}

static struct value deed_after(const struct deed *deed, const struct value *before) {
    struct value after = {.present = true, .seed = NEW_SEED, .length = deed->length};
    switch (deed->verb) {
    case V_DELETE:
    case V_POP:
    case V_CLEAR:
        return (struct value){0};
    case V_INCR:
        after.number = true;
        after.seed = before->present ? before->seed + 1 : 1000;
        return after;
    case V_TOUCH:
        return *before;
    default:
        return after;
    }
}

/* --- looking ---------------------------------------------------------------------- */

enum found { FOUND_NOTHING, FOUND_IT, FOUND_OTHER };

static enum found look(uint32_t n, const struct value *wanted) {
    char key[CT_KEY_BYTES + 1];
    int64_t number;
    if (!wanted->present || !wanted->number) {
        enum ct_outcome outcome = ct_get(w.cache, n, wanted->seed, wanted->length);
        return outcome == CT_MISS                       ? FOUND_NOTHING
               : outcome == CT_RIGHT && wanted->present ? FOUND_IT
                                                        : FOUND_OTHER;
    }
    ct_key(n, key);
    int64_t result =
        lilcache_get(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &number, 8);
    if (result == LILCACHE_MISS) {
        return FOUND_NOTHING;
    }
    return result >= 0 && LILCACHE_VALUE_TYPE(result) == LILCACHE_TYPE_INT64 &&
                   number == (int64_t)wanted->seed
               ? FOUND_IT
               : FOUND_OTHER;
}

/* The key has this value, or none if the scene evicts. */
static bool is(uint32_t n, const struct value *wanted) {
    enum found found = look(n, wanted);
    return wanted->present ? found == FOUND_IT || (w.evicting && found == FOUND_NOTHING)
                           : found == FOUND_NOTHING;
}

static void verify_keys(const struct deed *deed, bool completed) {
    bool cleared = deed->verb == V_CLEAR &&
                   (completed || look(KEY_OLD, &w.keys[KEY_OLD]) == FOUND_NOTHING);
    for (uint32_t n = 0; n < KEY_FREE + w.used; n++) {
        static const struct value nothing = {0};
        struct value after = deed_after(deed, &w.keys[n]);
        if (n == KEY_SPARE) {
            continue;
        }
        if (cleared) {
            CHECK(is(n, &nothing));
        } else if (deed_concerns(deed, n)) {
            CHECK((!completed && is(n, &w.keys[n])) || is(n, &after));
        } else {
            CHECK(is(n, &w.keys[n]));
        }
    }
}

/* Use the segment for a while: what was left inconsistent comes out. */
static void verify_use(void) {
    for (uint32_t i = 0; i < 400; i++) {
        uint64_t n = KEYS_MAX + ct_below(&w.random, 200);
        uint64_t length = ct_spread(&w.random, 0, i % 50 == 0 ? 60000 : 5000);
        CHECK_EQ(ct_set(w.cache, n, n + i, length), LILCACHE_OK);
        CHECK_EQ(ct_get(w.cache, n, n + i, length), CT_RIGHT);
        if (i % 3 == 0) {
            ct_delete(w.cache, KEYS_MAX + ct_below(&w.random, 200));
        }
    }
    ct_check_unhurt(w.cache);
}

/* What any process may do first, when it comes to a lock whose owner died. */
static void first_operation(const struct deed *deed, uint64_t k, bool completed) {
    switch (k % 3) {
    case 0:
        CHECK_EQ(ct_set(w.cache, KEY_SPARE, 1, 100), LILCACHE_OK);
        break;
    case 1:
        CHECK_EQ(ct_delete(w.cache, KEY_ABSENT), LILCACHE_MISS);
        break;
    default: /* reads do not wait for a repair */
        verify_keys(deed, completed);
        break;
    }
}

static void restore(const uint8_t *bytes) {
    memcpy(w.cache->segment->base, bytes, SIZE);
}

static void save(uint8_t *bytes) { memcpy(bytes, w.cache->segment->base, SIZE); }

/* The successor dies in the recovery, at every point of it; a third one recovers. */
static void sweep_recovery(const struct deed *deed) {
    uint8_t *killed = malloc(SIZE);
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

/* --- scenes ----------------------------------------------------------------------- */

static void put(uint32_t n, uint64_t length, int64_t ttl) {
    uint64_t seed = ct_random(&w.random) | 1;
    CHECK(n < KEYS_MAX);
    CHECK_EQ(ct_set_ttl(w.cache, n, seed, length, ttl), LILCACHE_OK);
    w.keys[n] = (struct value){true, false, seed, length};
}

static void put_next(uint64_t length) {
    put(KEY_FREE + w.used++, length, LILCACHE_TTL_NONE);
}

static void put_roles(void) {
    char key[CT_KEY_BYTES + 1];
    int64_t number = 41;
    put(KEY_OLD, 300, LILCACHE_TTL_NONE);
    ct_key(KEY_COUNT, key);
    CHECK_EQ(lilcache_incr(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, 0, &number, 0,
                           &number),
             LILCACHE_OK);
    w.keys[KEY_COUNT] = (struct value){true, true, 41, 8};
}

/* Read everything, so that records have hits and it is no bulk load; and know what was
 * evicted, which is final. */
static void read_all(void) {
    for (uint32_t n = 0; n < KEY_FREE + w.used; n++) {
        if (look(n, &w.keys[n]) == FOUND_NOTHING) {
            w.keys[n] = (struct value){0};
        }
    }
}

static void scene_begin(bool evicting) {
    w.cache = ct_open(SIZE);
    w.saved = malloc(SIZE);
    w.random.state = 1;
    w.evicting = evicting;
}

static void scene_end(const char *scene) {
    uint64_t before = score->deaths;
    read_all();
    save(w.saved);
    for (size_t i = 0; i < DEEDS; i++) {
        if (w.keys[KEY_OLD].present || deed_wants_nothing(&deeds[i])) {
            sweep_deed(&deeds[i], scene);
        }
    }
    printf("  %llu processes killed\n", (unsigned long long)(score->deaths - before));
    free(w.saved);
    lilcache_close(w.cache);
}

/* Do `step`, at most `limit` times, until its next call would change the statistic by
 * at least `least`, and stop just before. */
static bool come_before(const char *statistic, uint64_t least, void (*step)(void),
                        int limit) {
    for (int i = 0; i < limit; i++) {
        struct world world = w;
        uint64_t before = ct_stat(w.cache, statistic);
        save(w.saved);
        step();
        if (ct_stat(w.cache, statistic) >= before + least) {
            w = world;
            restore(w.saved);
            return true;
        }
    }
    return false;
}

static void go_on_until(const char *statistic, uint64_t least, void (*step)(void)) {
    if (!come_before(statistic, least, step, 20000)) {
        LCT_FAIL("%s never changed by %llu", statistic, (unsigned long long)least);
    }
}

TEST(untouched, 100) {
    scene_begin(false);
    scene_end("untouched");
}

TEST(nearly_empty, 100) {
    scene_begin(false);
    put_roles();
    scene_end("nearly empty");
}

static void step_crumb(void) { put_next(4); }

static void step_set_new(void) { ct_set(w.cache, KEY_NEW, 1, 200); }

TEST(growing_index, 200) {
    scene_begin(false);
    put_roles();
    for (int i = 0; i < 400; i++) {
        step_crumb();
    }
    /* The group that grows next must be that of the operation's key. */
    for (int i = 0; i < 1000; i++) {
        uint64_t before = ct_stat(w.cache, "growths");
        save(w.saved);
        step_set_new();
        bool grown = ct_stat(w.cache, "growths") > before;
        restore(w.saved);
        if (grown) {
            break;
        }
        CHECK(i < 999);
        step_crumb();
    }
    scene_end("growing index");
}

static void step_delete(void) {
    uint32_t n = KEY_FREE + --w.used;
    CHECK_EQ(ct_delete(w.cache, n), LILCACHE_OK);
    w.keys[n] = (struct value){0};
}

TEST(shrinking_index, 200) {
    scene_begin(false);
    put_roles();
    for (int i = 0; i < 1500; i++) {
        step_crumb();
    }
    for (int i = 0; i < 1000; i++) {
        step_delete();
    }
    go_on_until("shrinks", 1, step_delete);
    scene_end("shrinking index");
}

/* Whether a group has to move depends on the hash key, which each segment draws anew.
 */
TEST(moving_index, 200) {
    struct world blank = w;
    bool found = false;
    for (int i = 0; i < 30 && !found; i++) {
        w = blank;
        scene_begin(false);
        put_roles();
        for (int n = 0; n < 1900; n++) {
            step_crumb();
        }
        found = come_before("moves", 1, step_delete, 1900);
        if (!found) {
            free(w.saved);
            lilcache_close(w.cache);
        }
    }
    CHECK(found);
    scene_end("moving index");
}

static void step_mixed(void) {
    if (w.used == KEYS_MAX - KEY_FREE) {
        w.used = 0; /* overwrite */
    }
    put_next(ct_below(&w.random, 2000));
    if (look(KEY_OLD, &w.keys[KEY_OLD]) != FOUND_IT ||
        look(KEY_COUNT, &w.keys[KEY_COUNT]) != FOUND_IT) {
        put_roles();
    }
    if (w.used % 50 == 0) {
        read_all();
    }
}

TEST(full, 400) {
    scene_begin(true);
    put_roles();
    for (int i = 0; i < 1500; i++) {
        step_mixed();
    }
    go_on_until("relocations", 4, step_mixed);
    scene_end("full");
}

static void step_large(void) {
    put(KEY_FREE + (uint32_t)ct_below(&w.random, 40),
        70000 + ct_below(&w.random, 150000), LILCACHE_TTL_NONE);
}

TEST(full_of_runs, 200) {
    scene_begin(true);
    put_roles();
    w.used = 40;
    for (int i = 0; i < 30; i++) {
        step_large();
    }
    read_all();
    put_roles();
    scene_end("full of runs");
}

TEST(expired, 200) {
    scene_begin(true);
    put_roles();
    w.used = 1200;
    for (uint32_t n = KEY_FREE; n < KEY_FREE + w.used; n++) {
        put(n, 800, 1 + n % 2 * FOREVER);
    }
    put_roles();
    lct_sleep_ms(5);
    for (uint32_t n = KEY_FREE; n < KEY_FREE + w.used; n += 2) {
        w.keys[n] = (struct value){0};
    }
    scene_end("expired");
}

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
