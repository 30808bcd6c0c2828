/* lc_segment.c: creation, attachment and the end of segments. */
#include <fcntl.h>
#include <sys/stat.h>

#include "cachetest.h"

#define SIZE     (1 * MIB)
#define OPENERS  24
#define CREATORS 300

static int try_open(const char *name, uint64_t size, uint32_t flags,
                    struct lilcache **out, struct lilcache_error *error) {
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

/* The object as shm_open wants it. */
static const char *object_of(const char *name) {
    static char object[300] = "/";
    CHECK(lilcache_object_name(name, object + 1, sizeof object - 1) > 0);
    return object;
}

static void works(struct lilcache *cache, uint64_t n) {
    CHECK_EQ(ct_set(cache, n, n, 500), LILCACHE_OK);
    CHECK(ct_get(cache, n, n, 500) == CT_RIGHT);
    CHECK(ct_delete(cache, n) == LILCACHE_OK);
    ct_check(cache);
}

TEST(created_once_then_attached, 10) {
    const char *name = lct_name("once");
    struct lilcache *other;
    struct lilcache_error error;
    CHECK_EQ(try_open(name, 0, LILCACHE_ATTACH, &other, &error), LILCACHE_OS);
    CHECK_EQ(error.os_errno, ENOENT);
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    CHECK_EQ(lilcache_created(cache), 1);
    CHECK_EQ(lilcache_size(cache), SIZE);
    CHECK_EQ(lilcache_mode(cache), 0600);
    CHECK_EQ(ct_set(cache, 1, 1, 100), LILCACHE_OK);
    pid_t child = fork();
    if (child == 0) { /* of another size, of none */
        for (uint32_t flags = 0; flags <= LILCACHE_ATTACH; flags += LILCACHE_ATTACH) {
            uint64_t size = flags ? 0 : 2 * SIZE;
            CHECK_EQ(try_open(name, size, flags, &other, &error), LILCACHE_OK);
            CHECK_EQ(lilcache_created(other), 0);
            CHECK_EQ(lilcache_size(other), SIZE);
            CHECK(ct_get(other, 1, 1, 100) == CT_RIGHT);
            lilcache_close(other);
        }
        _exit(0);
    }
    lct_join(child);
    lilcache_close(cache);
    cache = ct_open_named(name, SIZE, 0); /* it outlives its last handle */
    CHECK_EQ(lilcache_created(cache), 0);
    CHECK(ct_get(cache, 1, 1, 100) == CT_RIGHT);
    lilcache_close(cache);
}

TEST(names_and_sizes_are_checked, 10) {
    static const char *const bad[] = {"", "a/b", ".a", "a b", "../x", "a\n"};
    struct lilcache *cache;
    struct lilcache_error error;
    char out[300];
    char name[202];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ(lilcache_object_name(bad[i], out, sizeof out), LILCACHE_INVALID);
        CHECK_EQ(try_open(bad[i], SIZE, 0, &cache, &error), LILCACHE_INVALID);
    }
    memset(name, 'n', sizeof name);
    name[201] = 0;
    CHECK_EQ(lilcache_object_name(name, out, sizeof out), LILCACHE_INVALID);
    CHECK_EQ(try_open(lct_name("small"), SIZE - 1, 0, &cache, &error),
             LILCACHE_INVALID);
    CHECK_EQ(try_open(lct_name("small"), 0, 0, &cache, &error), LILCACHE_INVALID);
    CHECK_EQ(try_open(lct_name("big"), UINT64_MAX, 0, &cache, &error),
             LILCACHE_INVALID);
}

TEST(one_process_maps_a_segment_once, 10) {
    const char *name = lct_name("mapped");
    struct lilcache *first = ct_open_named(name, SIZE, 0);
    struct lilcache *second = ct_open_named(name, SIZE, 0);
    CHECK(lilcache_base(first) == lilcache_base(second));
    CHECK_EQ(lilcache_created(second), 0);
    CHECK_EQ(ct_stat(first, "processes"), 1);
    CHECK_EQ(ct_set(first, 1, 1, 100), LILCACHE_OK);
    lilcache_close(first);
    CHECK(ct_get(second, 1, 1, 100) == CT_RIGHT);
    lilcache_close(second);
}

TEST(many_opening_at_once_get_one_segment, 30) {
    const char *name = lct_name("rush");
    struct shared {
        uint32_t ready, go, created, opened;
    } *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[OPENERS];
    CHECK(shared != MAP_FAILED);
    for (int round = 0; round < 5; round++) {
        memset(shared, 0, sizeof *shared);
        for (uint64_t c = 0; c < OPENERS; c++) {
            children[c] = fork();
            if (children[c] == 0) {
                __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
                while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST)) {
                }
                struct lilcache *cache = ct_open_named(name, SIZE, 0);
                __atomic_add_fetch(&shared->created, (uint32_t)lilcache_created(cache),
                                   __ATOMIC_SEQ_CST);
                int status;
                while ((status = ct_set(cache, c, c, 100)) == LILCACHE_BUSY) {
                }
                CHECK_EQ(status, LILCACHE_OK);
                __atomic_add_fetch(&shared->opened, 1, __ATOMIC_SEQ_CST);
                while (__atomic_load_n(&shared->opened, __ATOMIC_SEQ_CST) < OPENERS) {
                    lct_sleep_ms(1);
                }
                for (uint64_t n = 0; n < OPENERS; n++) {
                    CHECK(ct_get(cache, n, n, 100) == CT_RIGHT);
                }
                _exit(0);
            }
        }
        while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < OPENERS) {
            lct_sleep_ms(1);
        }
        __atomic_store_n(&shared->go, 1, __ATOMIC_SEQ_CST);
        for (int c = 0; c < OPENERS; c++) {
            lct_join(children[c]);
        }
        CHECK_EQ(shared->created, 1);
        CHECK_EQ(shm_unlink(object_of(name)), 0);
    }
}

TEST(a_killed_creator_blocks_nobody, 60) {
    const char *name = lct_name("killed");
    struct ct_random random = {17};
    double before = lct_seconds();
    lilcache_close(ct_open_named(name, SIZE, 0));
    uint64_t usual_us = (uint64_t)((lct_seconds() - before) * 1e6) + 100;
    int created = 0;
    CHECK_EQ(shm_unlink(object_of(name)), 0);
    for (uint64_t i = 0; i < CREATORS; i++) {
        int says[2];
        char byte;
        CHECK(pipe(says) == 0);
        pid_t child = fork();
        if (child == 0) {
            CHECK(write(says[1], "x", 1) == 1);
            ct_open_named(name, SIZE, 0);
            pause();
        }
        CHECK(read(says[0], &byte, 1) == 1);
        close(says[0]);
        close(says[1]);
        double until = lct_seconds() + (double)ct_below(&random, usual_us * 2) / 1e6;
        while (lct_seconds() < until) {
        }
        kill(child, SIGKILL);
        if (i % 2) {
            CHECK(waitpid(child, NULL, 0) == child);
        }
        before = lct_seconds();
        struct lilcache *cache = ct_open_named(name, SIZE, 0);
        CHECK(lct_seconds() - before < 5 * LCT_SLOWER);
        created += lilcache_created(cache);
        works(cache, i);
        CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
        lilcache_close(cache);
        if (i % 2 == 0) {
            CHECK(waitpid(child, NULL, 0) == child);
        }
    }
    printf("  %d of %d creators died before the segment was ready\n", created,
           CREATORS);
    CHECK(created > 0 && created < CREATORS);
}

TEST(retired_segments_are_left_by_everybody, 10) {
    const char *name = lct_name("retired");
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    int says[2];
    int asks[2];
    char byte = 0;
    CHECK(!pipe(says) && !pipe(asks));
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(ct_set(cache, 1, 1, 100), LILCACHE_OK);
        CHECK(write(says[1], "x", 1) == 1 && read(asks[0], &byte, 1) == 1);
        CHECK_EQ(ct_set(cache, 1, 1, 100), LILCACHE_RETIRED);
        CHECK_EQ(ct_delete(cache, 1), LILCACHE_RETIRED);
        CHECK_EQ(lilcache_clear(cache), LILCACHE_RETIRED);
        CHECK_EQ(lilcache_get(cache, "k", 1, LILCACHE_KEY_STR, &byte, 1),
                 LILCACHE_RETIRED);
        struct lilcache *next = ct_open_named(name, SIZE, 0);
        CHECK_EQ(lilcache_created(next), 1);
        CHECK(lilcache_base(next) != lilcache_base(cache));
        works(next, 2);
        lilcache_close(next);
        lilcache_close(cache);
        _exit(0);
    }
    CHECK(read(says[0], &byte, 1) == 1);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    CHECK(write(asks[1], "x", 1) == 1);
    lct_join(child);
    /* Retiring the old one again does not take the new one's name. */
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    cache = ct_open_named(name, SIZE, 0);
    CHECK_EQ(lilcache_created(cache), 0);
    works(cache, 3);
    lilcache_close(cache);
}

TEST(recreate_replaces_a_live_segment, 10) {
    const char *name = lct_name("recreate");
    struct lilcache *old = ct_open_named(name, SIZE, 0);
    CHECK_EQ(ct_set(old, 1, 1, 100), LILCACHE_OK);
    struct lilcache *new = ct_open_named(name, 2 * SIZE, LILCACHE_RECREATE);
    CHECK_EQ(lilcache_created(new), 1);
    CHECK_EQ(lilcache_size(new), 2 * SIZE);
    CHECK_EQ(ct_set(old, 1, 1, 100), LILCACHE_RETIRED);
    CHECK(ct_get(new, 1, 1, 100) == CT_MISS);
    works(new, 1);
    lilcache_close(old);
    struct lilcache *again = ct_open_named(name, SIZE, 0);
    CHECK(lilcache_base(again) == lilcache_base(new));
    lilcache_close(again);
    lilcache_close(new);
}

TEST(an_unlinked_object_is_noticed, 10) {
    const char *name = lct_name("unlinked");
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    CHECK_EQ(ct_set(cache, 1, 1, 1), LILCACHE_OK);
    CHECK_EQ(shm_unlink(object_of(name)), 0);
    char key[CT_KEY_BYTES + 1];
    char byte;
    int64_t result = 0;
    uint32_t calls = 0;
    ct_key(1, key);
    for (; calls < 65536 && result != LILCACHE_RETIRED; calls++) {
        result = lilcache_get(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &byte, 1);
        CHECK(result >= 0 || result == LILCACHE_RETIRED);
    }
    CHECK_EQ(result, LILCACHE_RETIRED);
    lilcache_close(cache);
}

/* Else a full /dev/shm would be a SIGBUS in the middle of a set. */
TEST(a_segment_has_all_its_memory_from_the_start, 10) {
    const char *name = lct_name("reserved");
    struct stat found;
    struct lilcache *cache = ct_open_named(name, 4 * SIZE, 0);
    int fd = shm_open(object_of(name), O_RDONLY, 0);
    CHECK(fd >= 0);
    CHECK_EQ(fstat(fd, &found), 0);
    CHECK_EQ(found.st_size, 4 * SIZE);
    CHECK(found.st_blocks * 512 >= (long)(4 * SIZE));
    close(fd);
    lilcache_close(cache);
}

TEST(the_umask_has_no_say, 10) {
    umask(0777);
    struct lilcache *cache = ct_open_named(lct_name("umask"), SIZE, 0);
    CHECK_EQ(lilcache_mode(cache), 0600);
    works(cache, 1);
    lilcache_close(cache);
    umask(0);
    cache = ct_open_named(lct_name("nomask"), SIZE, 0);
    CHECK_EQ(lilcache_mode(cache), 0600);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
