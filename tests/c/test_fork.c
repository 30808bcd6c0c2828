/* lc_fork.c: a view taken before fork is valid in both processes until each drops its
 * own. */
#include <sys/resource.h>

#include "cachetest.h"
#include "lc_pin.h"
#include "lc_row.h"

#define LENGTH 3000

static int64_t pin(struct lilcache *cache, uint64_t n, struct lilcache_view *view) {
    char key[CT_KEY_BYTES + 1];
    ct_key(n, key);
    return lilcache_pin(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, view);
}

/* Sets key n and pins it. */
static struct lilcache_view pinned(struct lilcache *cache, uint64_t n, size_t length) {
    struct lilcache_view view;
    CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
    CHECK_EQ(pin(cache, n, &view), LILCACHE_PACK(7, length));
    CHECK_EQ(view.length, length);
    CHECK_EQ(view.value_type, 7);
    CHECK(ct_matches(view.data, length, n));
    return view;
}

/* Writes `times` times what the segment holds. */
static void churn(struct lilcache *cache, int times) {
    static uint64_t n = 1000000;
    uint64_t bytes = (uint64_t)times * lilcache_size(cache);
    struct ct_random random = {n};
    for (uint64_t done = 0; done < bytes;) {
        size_t length = ct_spread(&random, 1, 20000);
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
        n++;
        done += length + 40;
    }
}

/* Blocks come back with the next writes; sweeps run at most every 100 ms. */
static void churn_until_unparked(struct lilcache *cache) {
    double until = lct_seconds() + 5;
    while (ct_stat(cache, "parked_blocks") > 0 || ct_stat(cache, "pins") > 0) {
        CHECK(lct_seconds() < until);
        churn(cache, 1);
        lct_sleep_ms(20);
    }
}

/* Says so and waits to be told. */
struct rope {
    int down[2];
    int up[2];
};

static void rope_make(struct rope *rope) {
    CHECK(!pipe(rope->down) && !pipe(rope->up));
}
static void tell(const int ends[2]) { CHECK(write(ends[1], "x", 1) == 1); }
static void await(const int ends[2]) {
    char byte;
    CHECK(read(ends[0], &byte, 1) == 1);
}

TEST(the_childs_view_stays_when_the_parent_unpins, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lilcache_view view = pinned(cache, 1, LENGTH);
    struct rope rope;
    rope_make(&rope);
    pid_t child = fork();
    if (child == 0) {
        await(rope.down);
        CHECK(ct_matches(view.data, LENGTH, 1));
        lilcache_unpin(cache, view.pin);
        _exit(0);
    }
    lilcache_unpin(cache, view.pin);
    CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
    churn(cache, 4);
    CHECK_EQ(ct_stat(cache, "pins"), 1);
    tell(rope.down);
    lct_join(child);
    churn_until_unparked(cache);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(the_parents_view_stays_when_the_child_unpins, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lilcache_view view = pinned(cache, 1, LENGTH);
    struct rope rope;
    rope_make(&rope);
    pid_t child = fork();
    if (child == 0) {
        lilcache_unpin(cache, view.pin);
        CHECK_EQ(ct_stat(cache, "pins"), 1);
        tell(rope.up);
        await(rope.down);
        churn(cache, 2);
        _exit(0);
    }
    await(rope.up);
    CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
    churn(cache, 3);
    CHECK(ct_matches(view.data, LENGTH, 1));
    tell(rope.down);
    lct_join(child);
    lc_row_sweep(cache->segment); /* of the child */
    churn(cache, 1);
    CHECK(ct_matches(view.data, LENGTH, 1));
    CHECK_EQ(ct_stat(cache, "pins"), 1);
    lilcache_unpin(cache, view.pin);
    churn_until_unparked(cache);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* In blocks of their own, so that each is a pin of its own. */
TEST(every_one_of_many_views_is_inherited, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lilcache_view views[4];
    struct rope rope;
    rope_make(&rope);
    for (uint64_t i = 0; i < 4; i++) {
        views[i] = pinned(cache, i, 20000);
    }
    CHECK_EQ(ct_stat(cache, "pins"), 4);
    uint64_t blocks = lc_pin_blocks(cache->segment);
    pid_t child = fork();
    if (child == 0) {
        await(rope.down);
        for (uint64_t i = 0; i < 4; i++) {
            CHECK(ct_matches(views[i].data, 20000, i));
            lilcache_unpin(cache, views[i].pin);
        }
        CHECK_EQ(ct_stat(cache, "pins"), 0);
        CHECK_EQ(lc_pin_blocks(cache->segment), 0);
        _exit(0);
    }
    for (uint64_t i = 0; i < 4; i++) {
        lilcache_unpin(cache, views[i].pin);
        CHECK_EQ(ct_delete(cache, i), LILCACHE_OK);
    }
    CHECK_EQ(ct_stat(cache, "pins"), 4);
    CHECK_EQ(lc_pin_blocks(cache->segment), blocks);
    churn(cache, 4);
    tell(rope.down);
    lct_join(child);
    churn_until_unparked(cache);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(views_of_two_segments_are_inherited, 30) {
    struct lilcache *caches[2] = {ct_open(1 * MIB), ct_open(1 * MIB)};
    struct lilcache_view views[2];
    struct rope rope;
    rope_make(&rope);
    for (uint64_t i = 0; i < 2; i++) {
        views[i] = pinned(caches[i], i, LENGTH);
    }
    pid_t child = fork();
    if (child == 0) {
        await(rope.down);
        for (uint64_t i = 0; i < 2; i++) {
            CHECK(ct_matches(views[i].data, LENGTH, i));
            lilcache_unpin(caches[i], views[i].pin);
            CHECK_EQ(ct_stat(caches[i], "pins"), 0);
        }
        _exit(0);
    }
    for (uint64_t i = 0; i < 2; i++) {
        lilcache_unpin(caches[i], views[i].pin);
        CHECK_EQ(ct_delete(caches[i], i), LILCACHE_OK);
        churn(caches[i], 4);
        CHECK_EQ(ct_stat(caches[i], "pins"), 1);
    }
    tell(rope.down);
    lct_join(child);
    for (uint64_t i = 0; i < 2; i++) {
        churn_until_unparked(caches[i]);
        ct_check_unhurt(caches[i]);
        lilcache_close(caches[i]);
    }
}

/* Three generations, the middle one killed: the grandchild's view is its own. */
TEST(a_grandchilds_view_outlives_its_parents, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct rope rope;
    rope_make(&rope);
    pid_t child = fork();
    if (child == 0) {
        struct lilcache_view view = pinned(cache, 1, LENGTH);
        if (fork() == 0) {
            tell(rope.up);
            await(rope.down);
            CHECK(ct_matches(view.data, LENGTH, 1));
            tell(rope.up);
            pause();
        }
        pause();
    }
    await(rope.up);
    kill(child, SIGKILL);
    CHECK(waitpid(child, NULL, 0) == child);
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), 2);
    CHECK_EQ(ct_stat(cache, "pins"), 1);
    CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
    churn(cache, 4);
    tell(rope.down);
    await(rope.up);
    lilcache_close(cache);
}

/* Without a descriptor for a row of the child, the parent's row pins for both: also
 * after the parent has dropped its view, closed, and ended. */
static void share_a_view(bool descriptors, bool parent_closes) {
    struct lilcache *cache = ct_open_named(lct_name("share"), 1 * MIB, 0);
    struct lilcache *other = cache;
    struct rope rope;
    rope_make(&rope);
    pid_t parent = fork();
    if (parent == 0) {
        struct rlimit limit;
        struct lilcache_view view = pinned(cache, 1, LENGTH);
        CHECK(!getrlimit(RLIMIT_NOFILE, &limit));
        struct rlimit none = {descriptors ? limit.rlim_cur : 3, limit.rlim_max};
        CHECK(!setrlimit(RLIMIT_NOFILE, &none));
        pid_t child = fork();
        CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
        if (child == 0) {
            tell(rope.up);
            await(rope.down);
            CHECK(ct_matches(view.data, LENGTH, 1));
            CHECK_EQ(ct_set(cache, 2, 2, 100), LILCACHE_OK);
            lilcache_unpin(cache, view.pin);
            CHECK(ct_matches(view.data, LENGTH, 1));
            lilcache_close(cache);
            tell(rope.up);
            _exit(0);
        }
        lilcache_unpin(cache, view.pin);
        if (parent_closes) {
            lilcache_close(cache);
        }
        tell(rope.up);
        _exit(0);
    }
    lct_join(parent);
    await(rope.up);
    await(rope.up);
    CHECK_EQ(ct_delete(other, 1), LILCACHE_OK);
    lc_row_sweep(other->segment);
    churn(other, 4);
    CHECK_EQ(ct_stat(other, "pins"), 1);
    tell(rope.down);
    await(rope.up);
    churn_until_unparked(other);
    CHECK_EQ(ct_stat(other, "processes"), 1);
    ct_check_unhurt(other);
    lilcache_close(other);
}

TEST(a_view_is_shared_when_there_is_no_descriptor, 60) {
    share_a_view(true, false); /* the same with a row of the child's own */
    share_a_view(false, false);
    share_a_view(false, true);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
