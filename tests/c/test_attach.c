/* Opening, sharing between users, handles that come and go, children of bare forks. */
#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cachetest.h"
#include "lc_fork.h"

static int status_of(const char *name, uint64_t size, uint32_t flags) {
    struct lilcache_options options = {
        .name = name, .size_bytes = size, .flags = flags, .owner = -1, .group = -1};
    struct lilcache *cache;
    int status = lilcache_open(&options, &cache, NULL);
    if (status == LILCACHE_OK) {
        lilcache_close(cache);
    }
    return status;
}

TEST(names_and_sizes_with_nobody_to_tell, 10) {
    static const char *const wrong[] = {"",  ".a", "a/b", "a b",  "a\n",     "{",
                                        "`", "@",  "[",   "\x7f", "\xc3\xa4"};
    static const char *const right[] = {"a", "z", "A", "Z", "0", "9", "a.b", "-", "_"};
    char out[256];
    char longest[202];
    memset(longest, 'x', sizeof longest);
    longest[201] = 0;
    CHECK_EQ(lilcache_object_name(longest, out, sizeof out), LILCACHE_INVALID);
    longest[200] = 0;
    CHECK_EQ(lilcache_object_name(longest, out, sizeof out), 217);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_EQ(lilcache_object_name(wrong[i], out, sizeof out), LILCACHE_INVALID);
        CHECK_EQ(status_of(wrong[i], MIB, 0), LILCACHE_INVALID);
    }
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        CHECK(lilcache_object_name(right[i], out, sizeof out) > 0);
    }
    CHECK_EQ(status_of(lct_name("n"), 1000, 0), LILCACHE_INVALID);
    CHECK_EQ(status_of(lct_name("n"), 1000, LILCACHE_ATTACH), LILCACHE_INVALID);
    CHECK_EQ(status_of(lct_name("n"), 0, LILCACHE_ANONYMOUS), LILCACHE_INVALID);
    CHECK_EQ(status_of(lct_name("n"), 0, LILCACHE_ATTACH), LILCACHE_OS);
    CHECK_EQ(status_of(lct_name("n"), MIB, 0), LILCACHE_OK);
    CHECK_EQ(status_of(lct_name("n"), 0, LILCACHE_ATTACH), LILCACHE_OK);
    CHECK_EQ(status_of(lct_name("n"), MIB, LILCACHE_ANONYMOUS), LILCACHE_OK);
}

static int as(uid_t user, gid_t group, const struct lilcache_options *options) {
    pid_t child = fork();
    if (child == 0) {
        struct lilcache *cache;
        struct lilcache_error error;
        if (geteuid() == 0) {
            CHECK_EQ(setgroups(0, NULL), 0);
            CHECK_EQ(setresgid(group, group, group), 0);
            CHECK_EQ(setresuid(user, user, user), 0);
        }
        int status = lilcache_open(options, &cache, &error);
        if (status == LILCACHE_OK) {
            CHECK_EQ(ct_get(cache, 1, 1, 30), CT_RIGHT);
            CHECK_EQ(ct_set(cache, 2, 2, 30), LILCACHE_OK);
            lilcache_close(cache);
        }
        _exit(-status);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) != LCT_FAILED);
    return -WEXITSTATUS(status);
}

TEST(a_segment_for_another_user_and_a_group, 20) {
    bool root = geteuid() == 0;
    struct lilcache_options options = {
        .name = lct_name("g"),
        .size_bytes = MIB,
        .cores = 1,
        .owner = root ? 4321 : -1,
        .group = root ? 8765 : (int64_t)getegid(),
    };
    struct lilcache *cache;
    struct lilcache_error error;
    CHECK_EQ(lilcache_open(&options, &cache, &error), LILCACHE_OK);
    CHECK_EQ(lilcache_mode(cache), 0660);
    CHECK_EQ(ct_set(cache, 1, 1, 30), LILCACHE_OK);
    uid_t owner = root ? 4321 : geteuid();
    gid_t group = root ? 8765 : getegid();
    CHECK_EQ(as(owner, group, &options), LILCACHE_OK);
    if (root) {
        CHECK_EQ(as(999, 8765, &options), LILCACHE_OK);
        CHECK_EQ(as(999, 999, &options), LILCACHE_FOREIGN);
        struct lilcache_options mine = options;
        mine.owner = -1; /* the object of somebody else, though of our group */
        CHECK_EQ(as(999, 8765, &mine), LILCACHE_FOREIGN);
        mine = options;
        mine.group = -1; /* ours, but others may write it */
        CHECK_EQ(as(4321, 8765, &mine), LILCACHE_FOREIGN);
        mine.group = 1;
        CHECK_EQ(as(4321, 8765, &mine), LILCACHE_FOREIGN);
    }
    CHECK_EQ(ct_get(cache, 1, 1, 30), CT_RIGHT);
    lilcache_close(cache);
}

/* To a group alone; whoever is the creator stays the owner. */
TEST(a_segment_for_a_group, 20) {
    struct lilcache_options options = {
        .name = lct_name("group"),
        .size_bytes = MIB,
        .cores = 1,
        .owner = -1,
        .group = geteuid() == 0 ? 8765 : (int64_t)getegid(),
    };
    struct lilcache *cache;
    struct stat found;
    CHECK_EQ(lilcache_open(&options, &cache, NULL), LILCACHE_OK);
    CHECK_EQ(lilcache_mode(cache), 0660);
    CHECK_EQ(fstat(cache->segment->fd, &found), 0);
    CHECK_EQ(found.st_uid, geteuid());
    CHECK_EQ(found.st_gid, options.group);
    lilcache_close(cache);
}

/* Who does not ask for the reason is refused all the same. */
TEST(a_refusal_with_nobody_to_tell, 20) {
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    struct rlimit low = {MIB, limit.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
    CHECK_EQ(status_of(lct_name("n"), 2 * MIB, 0), LILCACHE_OS);
    CHECK_EQ(status_of(lct_name("n"), 2 * MIB, LILCACHE_ANONYMOUS), LILCACHE_OS);
    CHECK_EQ(status_of(lct_name("n"), MIB, 0), LILCACHE_OK);
}

/* Objects of two devices: a number of one of them may be that of the other, too. */
TEST(named_and_anonymous_segments_side_by_side, 20) {
    struct lilcache *caches[4];
    for (int i = 0; i < 4; i++) { /* each is looked for among those before */
        caches[i] = i % 2 ? ct_open_named(lct_name("side"), MIB, 0) : ct_open(MIB);
        CHECK_EQ(ct_set(caches[i], 1, (uint64_t)i, 30), LILCACHE_OK);
    }
    CHECK(caches[1]->segment == caches[3]->segment);
    CHECK(caches[0]->segment->id.device != caches[1]->segment->id.device);
    CHECK_EQ(ct_get(caches[0], 1, 0, 30), CT_RIGHT);
    CHECK_EQ(ct_get(caches[1], 1, 3, 30), CT_RIGHT);
    CHECK_EQ(ct_get(caches[2], 1, 2, 30), CT_RIGHT);
    for (int i = 0; i < 4; i++) {
        lilcache_close(caches[i]);
    }
}

TEST(three_segments_left_in_any_order, 20) {
    static const int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}};
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        struct lilcache *caches[3];
        for (int i = 0; i < 3; i++) {
            caches[i] = ct_open(MIB);
            CHECK_EQ(ct_set(caches[i], 1, (uint64_t)i, 30), LILCACHE_OK);
        }
        for (int i = 0; i < 3; i++) {
            int which = orders[o][i];
            CHECK_EQ(ct_get(caches[which], 1, (uint64_t)which, 30), CT_RIGHT);
            lilcache_close(caches[which]);
        }
        CHECK(*lc_fork_registry() == NULL);
    }
}

static struct lilcache *shared;
static char shared_name[64];

static void bare(void (*act)(void)) {
    pid_t child = _Fork();
    if (child == 0) {
        act();
        _exit(0);
    }
    lct_join(child);
}

static void close_it(void) { lilcache_close(shared); }

static void open_it(void) {
    struct lilcache *again = ct_open_named(shared_name, MIB, 0);
    CHECK_EQ(ct_get(again, 1, 1, 30), CT_RIGHT);
    CHECK_EQ(ct_set(again, 2, 2, 30), LILCACHE_OK);
    lilcache_close(again);
}

static void use_it(void) {
    CHECK_EQ(ct_get(shared, 1, 1, 30), CT_RIGHT);
    CHECK_EQ(ct_set(shared, 3, 3, 30), LILCACHE_OK);
}

TEST(children_of_bare_forks, 20) {
    snprintf(shared_name, sizeof shared_name, "%s", lct_name("b"));
    shared = ct_open_named(shared_name, MIB, 0);
    CHECK_EQ(ct_set(shared, 1, 1, 30), LILCACHE_OK);
    bare(close_it);
    bare(open_it);
    bare(use_it);
    CHECK_EQ(ct_get(shared, 2, 2, 30), CT_RIGHT);
    CHECK_EQ(ct_get(shared, 3, 3, 30), CT_RIGHT);
    ct_check_unhurt(shared);
    lilcache_close(shared);
}

TEST(retiring_what_is_not_there_any_more, 20) {
    struct lilcache *cache = ct_open(MIB);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    CHECK_EQ(ct_set(cache, 1, 1, 30), LILCACHE_RETIRED);
    lilcache_close(cache);

    char object[256];
    struct lilcache *old = ct_open_named(lct_name("r"), MIB, 0);
    CHECK(lilcache_object_name(lct_name("r"), object, sizeof object) > 0);
    CHECK_EQ(shm_unlink(object), 0);
    struct lilcache *young = ct_open_named(lct_name("r"), MIB, 0);
    CHECK_EQ(ct_set(young, 1, 1, 30), LILCACHE_OK);
    CHECK_EQ(lilcache_retire(old), LILCACHE_OK); /* its namesake is left alone */
    CHECK_EQ(ct_set(old, 1, 1, 30), LILCACHE_RETIRED);
    CHECK_EQ(ct_get(young, 1, 1, 30), CT_RIGHT);
    struct lilcache *third = ct_open_named(lct_name("r"), MIB, 0);
    CHECK_EQ(lilcache_created(third), 0);
    lilcache_close(third);
    lilcache_close(old);
    lilcache_close(young);
}

TEST(without_descriptors, 20) {
    struct lilcache *cache = ct_open_named(lct_name("d"), MIB, 0);
    CHECK_EQ(lilcache_mode(cache), 0600);
    close(cache->segment->fd);
    CHECK_EQ(lilcache_mode(cache), LILCACHE_OS);
    for (uint64_t n = 0; n < 5000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 10), LILCACHE_OK);
    }
    CHECK(lilcache_process_row(cache) >= 0);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
