/* lc_object.c, lc_row.c: a program that closes every descriptor, as daemonizers do, and
 * opens others in their place, harms neither itself nor its neighbours. */
#include <fcntl.h>

#include "cachetest.h"
#include "lc_row.h"

#define LENGTH 3000
#define FIRST  3 /* descriptors that a daemonizer closes */
#define LAST   40
#define NAME_CHECK                                                                     \
    70000 /* calls within which a segment looks whether it was unlinked */

/* Steps of the child and of the parent; there is no descriptor left to talk through. */
struct steps {
    int child;
    int parent;
};

static struct steps *steps_make(void) {
    void *shared = mmap(NULL, sizeof(struct steps), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    return shared;
}

static void say(int *step) { __atomic_add_fetch(step, 1, __ATOMIC_SEQ_CST); }

static void await(const int *step, int at_least) {
    while (__atomic_load_n(step, __ATOMIC_SEQ_CST) < at_least) {
        lct_sleep_ms(1);
    }
}

static struct lilcache_view pin(struct lilcache *cache, uint64_t n) {
    struct lilcache_view view;
    char key[CT_KEY_BYTES + 1];
    ct_key(n, key);
    CHECK_EQ(ct_set(cache, n, n, LENGTH), LILCACHE_OK);
    CHECK_EQ(lilcache_pin(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view),
             LILCACHE_PACK(7, LENGTH));
    return view;
}

static void churn(struct lilcache *cache, uint64_t from) {
    for (uint64_t n = from; n < from + 4000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 1000), LILCACHE_OK);
    }
}

static void close_all(void) {
    for (int fd = FIRST; fd < LAST; fd++) {
        close(fd);
    }
}

/* Nameless files, so that whoever takes one for the segment finds it unlinked. */
static void fill_all(void) {
    for (int fd = FIRST; fd < LAST; fd++) {
        CHECK(memfd_create("other", 0) >= FIRST);
    }
}

static void all_open(void) {
    for (int fd = FIRST; fd < LAST; fd++) {
        CHECK(fcntl(fd, F_GETFD) >= 0);
    }
}

TEST(a_view_outlives_its_processs_descriptors, 30) {
    struct steps *steps = steps_make();
    struct lilcache *cache = ct_open_named(lct_name("view"), 1 * MIB, 0);
    pid_t child = fork();
    if (child == 0) {
        struct lilcache_view view = pin(cache, 1);
        close_all();
        say(&steps->child);
        await(&steps->parent, 1);
        CHECK(ct_matches(view.data, LENGTH, 1));
        CHECK(ct_get(cache, 4000 + 99, 4000 + 99, 1000) == CT_RIGHT);
        raise(SIGKILL);
    }
    await(&steps->child, 1);
    CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), 2);
    churn(cache, 100);
    CHECK_EQ(ct_stat(cache, "pins"), 1);
    say(&steps->parent);
    CHECK(waitpid(child, NULL, 0) == child);
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(other_files_in_their_place_are_left_alone, 60) {
    struct lilcache *cache = ct_open_named(lct_name("other"), 1 * MIB, 0);
    struct lilcache_view view = pin(cache, 1);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(ct_set(cache, 2, 2, 10), LILCACHE_OK);
        close_all();
        fill_all();
        for (int i = 0; i < NAME_CHECK; i++) {
            CHECK(ct_get(cache, 2, 2, 10) == CT_RIGHT);
        }
        lc_row_sweep(cache->segment);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            all_open();
            CHECK(ct_get(cache, 2, 2, 10) == CT_RIGHT);
            CHECK(cache->segment->row >= 0);
            _exit(0);
        }
        lct_join(grandchild);
        lilcache_close(cache);
        all_open();
        _exit(0);
    }
    lct_join(child);
    lc_row_sweep(cache->segment); /* of the child's copy of the pin */
    CHECK_EQ(ct_stat(cache, "pins"), 1);
    CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
    churn(cache, 100);
    CHECK(ct_matches(view.data, LENGTH, 1));
    lilcache_unpin(cache, view.pin);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* exec closes the descriptors and keeps pid and start. */
TEST(a_row_from_before_an_exec_is_freed, 30) {
    struct lilcache *cache = ct_open_named(lct_name("exec"), 1 * MIB, 0);
    struct lc_segment *segment = cache->segment;
    int before = lilcache_process_row(cache);
    lc_os_close(segment->lock_fd);
    segment->lock_fd = -1;
    segment->row = -1;
    CHECK(lilcache_process_row(cache) >= 0);
    CHECK(lilcache_process_row(cache) != before);
    CHECK_EQ(ct_stat(cache, "processes"), 2);
    lc_row_sweep(segment);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
