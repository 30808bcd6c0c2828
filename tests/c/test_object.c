/* lc_segment.c: objects under a segment's name that are none, or not ours. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cachetest.h"
#include "lc_object.h"

#define SIZE (1 * MIB)

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

static int status_of_open(const char *name) {
    struct lilcache *cache;
    struct lilcache_error error;
    int status = try_open(name, SIZE, 0, &cache, &error);
    CHECK_EQ(error.status, status);
    if (status == LILCACHE_OK) {
        lilcache_close(cache);
    }
    return status;
}

/* The object as shm_open wants it. */
static const char *object_of(const char *name) {
    static char object[300] = "/";
    CHECK(lilcache_object_name(name, object + 1, sizeof object - 1) > 0);
    return object;
}

static int object_open(const char *name, int flags) {
    int fd = shm_open(object_of(name), O_RDWR | flags, 0600);
    CHECK(fd >= 0);
    return fd;
}

static void works(struct lilcache *cache, uint64_t n) {
    size_t length =
        lc_min64(500, lilcache_max_value(cache)); /* may be garbage as well */
    CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
    CHECK(ct_get(cache, n, n, length) == CT_RIGHT);
    CHECK(ct_delete(cache, n) == LILCACHE_OK);
    ct_check(cache);
}

TEST(foreign_objects_are_refused, 10) {
    const char *name = lct_name("foreign");
    static const mode_t open_to_others[] = {0666, 0602, 0620, 0660, 0622, 0640, 0604};
    lilcache_close(ct_open_named(name, SIZE, 0));
    int fd = object_open(name, 0);
    for (size_t i = 0; i < sizeof open_to_others / sizeof *open_to_others; i++) {
        CHECK_EQ(fchmod(fd, open_to_others[i]), 0);
        CHECK_EQ(status_of_open(name), LILCACHE_FOREIGN);
    }
    CHECK_EQ(fchmod(fd, 0600), 0);
    CHECK_EQ(status_of_open(name), LILCACHE_OK);
    if (geteuid() == 0) {
        CHECK_EQ(fchown(fd, 12345, (gid_t)-1), 0);
        CHECK_EQ(status_of_open(name), LILCACHE_FOREIGN);
        CHECK_EQ(fchown(fd, 0, (gid_t)-1), 0);
    }
    close(fd);
    /* Somebody put another file of ours in our way. */
    char first[320];
    char second[330];
    snprintf(first, sizeof first, "/dev/shm%s", object_of(name));
    snprintf(second, sizeof second, "%s.second", first);
    CHECK_EQ(link(first, second), 0);
    CHECK_EQ(status_of_open(name), LILCACHE_FOREIGN);
    CHECK_EQ(unlink(second), 0);
    CHECK_EQ(status_of_open(name), LILCACHE_OK);
    /* Not ready, but not ours to make ready either. */
    CHECK_EQ(shm_unlink(object_of(name)), 0);
    fd = object_open(name, O_CREAT | O_EXCL);
    CHECK_EQ(fchmod(fd, 0666), 0);
    CHECK_EQ(status_of_open(name), LILCACHE_FOREIGN);
    close(fd);
}

/* What else can have the name of a file; nothing of it is opened for more than a look.
 */
TEST(what_is_no_file_is_refused, 10) {
    const char *name = lct_name("kind");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[320];
    snprintf(path, sizeof path, "/dev/shm%s", object_of(name));
    for (int kind = 0; kind < 4; kind++) {
        struct lilcache *cache;
        struct lilcache_error error;
        int made = -1;
        int held = -1;
        if (kind == 0) {
            made = mkfifo(path, 0600);
        } else if (kind == 1) {
            made = mkdir(path, 0700);
        } else if (kind == 2) {
            made = symlink("/dev/shm/nowhere", path);
        } else {
            held = socket(AF_UNIX, SOCK_STREAM, 0);
            CHECK(strlen(path) < sizeof address.sun_path);
            memcpy(address.sun_path, path, strlen(path) + 1);
            made = bind(held, (struct sockaddr *)&address, sizeof address);
        }
        CHECK_EQ(made, 0);
        CHECK_EQ(try_open(name, SIZE, 0, &cache, &error), LILCACHE_MISMATCH);
        CHECK(error.step[0]);
        CHECK_EQ(remove(path), 0); /* it is still there */
        close(held);
    }
    CHECK_EQ(status_of_open(name), LILCACHE_OK);
}

/* Asked for another owner, it is not enough that somebody else owns it. */
TEST(an_owner_who_was_not_asked_for_is_refused, 10) {
    const char *name = lct_name("owner");
    struct lilcache_options options = {
        .name = name, .size_bytes = SIZE, .cores = 1, .owner = 4321, .group = -1};
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    struct lilcache_error error;
    struct lc_os_file file = {.regular = true, .owner = 1234, .mode = 0600, .links = 1};
    CHECK_EQ(lc_object_judge(&file, &options), LILCACHE_FOREIGN);
    file.owner = 4321;
    CHECK_EQ(lc_object_judge(&file, &options), LILCACHE_OK);
    lilcache_close(cache);
    if (geteuid() == 0) {
        int fd = object_open(name, 0);
        CHECK_EQ(fchown(fd, 1234, (gid_t)-1), 0);
        CHECK_EQ(lilcache_open(&options, &cache, &error), LILCACHE_FOREIGN);
        CHECK(strncmp(error.step, "owner 1234,", 11) == 0);
        CHECK_EQ(fchown(fd, 4321, (gid_t)-1), 0);
        CHECK_EQ(lilcache_open(&options, &cache, &error), LILCACHE_OK);
        lilcache_close(cache);
        close(fd);
    }
}

/* An object is given away in the three ways there are: its owner, its group, both. */
TEST(objects_are_given_to_an_owner_or_a_group, 10) {
    static const struct {
        int64_t owner;
        int64_t group;
        mode_t mode;
    } cases[] = {{4321, -1, 0600}, {-1, 8765, 0660}, {4321, 8765, 0660}};
    bool root = geteuid() == 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lilcache_options options = {
            .owner = cases[i].owner < 0 ? -1
                     : root             ? cases[i].owner
                                        : geteuid(),
            .group = cases[i].group < 0 ? -1
                     : root             ? cases[i].group
                                        : getegid(),
        };
        struct stat found;
        int fd = object_open(lct_name("given"), O_CREAT | O_EXCL);
        for (int times = 0; times < 2; times++) { /* once more: it is so already */
            CHECK_EQ(lc_object_grant(fd, &options), 0);
            CHECK_EQ(fstat(fd, &found), 0);
            CHECK_EQ(found.st_uid, options.owner < 0 ? geteuid() : options.owner);
            CHECK_EQ(found.st_gid, options.group < 0 ? getegid() : options.group);
            CHECK_EQ(found.st_mode & 07777, cases[i].mode);
        }
        /* One of them right is not enough. */
        CHECK_EQ(fchmod(fd, 0400), 0);
        CHECK_EQ(lc_object_grant(fd, &options), 0);
        CHECK_EQ(fstat(fd, &found), 0);
        CHECK_EQ(found.st_mode & 07777, cases[i].mode);
        close(fd);
        CHECK_EQ(shm_unlink(object_of(lct_name("given"))), 0);
    }
}

/* Only who may make a segment may replace what is none. */
TEST(attaching_to_what_is_not_ready_changes_nothing, 10) {
    const char *name = lct_name("attach");
    static const size_t lengths[] = {0, 100, SIZE};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct lilcache *cache;
        struct lilcache_error error;
        struct stat found;
        int fd = object_open(name, O_CREAT | O_EXCL);
        CHECK_EQ(ftruncate(fd, (off_t)lengths[i]), 0);
        CHECK_EQ(try_open(name, 0, LILCACHE_ATTACH, &cache, &error),
                 LILCACHE_NOT_READY);
        CHECK(strcmp(error.step, "attach") == 0);
        CHECK_EQ(fstat(fd, &found), 0);
        CHECK_EQ(found.st_nlink, 1);
        CHECK_EQ(found.st_size, lengths[i]);
        close(fd);
        CHECK_EQ(shm_unlink(object_of(name)), 0);
    }
    CHECK_EQ(try_open(name, 0, LILCACHE_ATTACH | LILCACHE_ANONYMOUS,
                      &(struct lilcache *){NULL}, &(struct lilcache_error){0}),
             LILCACHE_INVALID);
}

/* Cut short to nothing while a process is in it: whoever comes next leaves it to those
 * and begins another. */
TEST(an_empty_object_with_a_process_in_it_is_not_made_anew, 10) {
    const char *name = lct_name("emptied");
    struct lilcache *old = ct_open_named(name, SIZE, 0);
    struct stat before;
    struct stat after;
    int fd = object_open(name, 0);
    CHECK_EQ(ftruncate(fd, 0), 0);
    pid_t child = fork();
    if (child == 0) {
        struct lilcache *cache = ct_open_named(name, SIZE, 0);
        CHECK_EQ(lilcache_created(cache), 1);
        works(cache, 1);
        _exit(0);
    }
    lct_join(child);
    int next = object_open(name, 0);
    CHECK(fstat(fd, &before) == 0 && fstat(next, &after) == 0);
    CHECK(before.st_ino != after.st_ino && before.st_size == 0);
    CHECK_EQ(ct_set(old, 1, 1, 500), LILCACHE_RETIRED);
    CHECK_EQ(ct_set(old, 1, 1, 500), LILCACHE_RETIRED);
    lilcache_close(old);
    close(fd);
    close(next);
}

/* Damage, or another boot's identity: whoever works in it keeps a segment in order. */
TEST(a_segment_that_is_not_ready_any_more_is_replaced_not_made_anew, 10) {
    const char *name = lct_name("unready");
    static const size_t words[] = {offsetof(struct shm_header, hd_ready),
                                   offsetof(struct shm_header, hd_boot_id)};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        struct lilcache *old = ct_open_named(name, SIZE, 0);
        for (uint64_t n = 0; n < 100; n++) {
            CHECK_EQ(ct_set(old, n, n, 500), LILCACHE_OK);
        }
        int fd = object_open(name, 0);
        uint64_t word;
        CHECK(pread(fd, &word, 8, (off_t)words[i]) == 8);
        word ^= 1;
        CHECK(pwrite(fd, &word, 8, (off_t)words[i]) == 8);
        close(fd);
        pid_t child = fork();
        if (child == 0) {
            struct lilcache *cache = ct_open_named(name, SIZE, 0);
            CHECK_EQ(lilcache_created(cache), 1);
            works(cache, 1);
            _exit(0);
        }
        lct_join(child);
        ct_check(old);
        CHECK_EQ(ct_set(old, 1, 1, 500), LILCACHE_RETIRED);
        lilcache_close(old);
        CHECK_EQ(shm_unlink(object_of(name)), 0);
    }
}

/* The kernel lets the lease's owner make us wait for /proc/sys/fs/lease-break-time. */
TEST(a_lease_makes_nobody_wait, 10) {
    const char *name = lct_name("lease");
    int fd = object_open(name, O_CREAT | O_EXCL);
    signal(SIGIO, SIG_IGN);
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
    CHECK_EQ(status_of_open(name), LILCACHE_FOREIGN);
    close(fd);
    CHECK_EQ(status_of_open(name), LILCACHE_OK);
}

/* A header that is not the one that was written never counts: not one bit of what its
 * checksum covers. */
TEST(every_bit_of_the_header_is_checked, 60) {
    const char *name = lct_name("bits");
    struct shm_header good;
    lilcache_close(ct_open_named(name, SIZE, 0));
    for (size_t bit = 0; bit < offsetof(struct shm_header, hd_retired) * 8; bit++) {
        struct lilcache *cache;
        struct lilcache_error error;
        int fd = object_open(name, 0);
        CHECK(pread(fd, &good, sizeof good, 0) == sizeof good);
        ((uint8_t *)&good)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(pwrite(fd, &good, sizeof good, 0) == sizeof good);
        int status = try_open(name, SIZE, 0, &cache, &error);
        bool remade = bit / 8 >= offsetof(struct shm_header, hd_ready) ||
                      (bit / 8 >= offsetof(struct shm_header, hd_boot_id) &&
                       bit / 8 < offsetof(struct shm_header, hd_time_ns));
        if (remade) { /* another one in its place; whoever uses the old one leaves it */
            CHECK_EQ(status, LILCACHE_OK);
            CHECK_EQ(lilcache_created(cache), 1);
            lilcache_close(cache);
            CHECK(pread(fd, &good, sizeof good, 0) == sizeof good && good.hd_retired);
        } else {
            bool identity = bit / 8 < offsetof(struct shm_header, hd_size);
            CHECK_EQ(status, identity ? LILCACHE_MISMATCH : LILCACHE_CORRUPT);
            ((uint8_t *)&good)[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(pwrite(fd, &good, sizeof good, 0) == sizeof good);
        }
        close(fd);
    }
}

/* Every word of the header, with everything that is likely to hurt. */
TEST(a_garbage_header_never_hurts, 60) {
    static const uint64_t garbage[] = {0, 1, UINT64_MAX, 1ULL << 31, 1ULL << 63, 4097};
    const char *name = lct_name("garbage");
    uint64_t good[LC_HEADER_BYTES / 8];
    lilcache_close(ct_open_named(name, SIZE, 0));
    int fd = object_open(name, 0);
    CHECK(pread(fd, good, sizeof good, 0) == sizeof good);
    close(fd);
    for (size_t at = 0; at < LC_HEADER_BYTES / 8; at++) {
        for (size_t g = 0; g < sizeof garbage / sizeof *garbage + 2; g++) {
            uint64_t word = g < 6 ? garbage[g] : good[at] ^ (g == 6 ? 1 : 1ULL << 32);
            struct lilcache *cache;
            struct lilcache_error error;
            shm_unlink(object_of(name));
            lilcache_close(ct_open_named(name, SIZE, 0));
            fd = object_open(name, 0);
            CHECK(pwrite(fd, &word, 8, (off_t)at * 8) == 8);
            close(fd);
            int status = try_open(name, SIZE, 0, &cache, &error);
            if (status == LILCACHE_OK) {
                works(cache, at);
                lilcache_close(cache);
            } else if (status != LILCACHE_NAMESPACE) {
                CHECK(status == LILCACHE_MISMATCH || status == LILCACHE_CORRUPT);
            }
            if (at == 0 && word != LC_MAGIC) {
                CHECK_EQ(status, LILCACHE_MISMATCH);
            }
        }
    }
}

TEST(objects_of_any_length_and_content, 30) {
    static const off_t lengths[] = {0,        1,    511,         4096,
                                    SIZE - 1, SIZE, SIZE + 4096, 2 * SIZE};
    const char *name = lct_name("length");
    uint8_t noise[8192];
    ct_fill(noise, sizeof noise, 3);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        /* A good header in front of too much or too little. */
        lilcache_close(ct_open_named(name, SIZE, 0));
        int fd = object_open(name, 0);
        CHECK_EQ(ftruncate(fd, lengths[i]), 0);
        CHECK_EQ(status_of_open(name),
                 lengths[i] > (off_t)SIZE ? LILCACHE_CORRUPT : LILCACHE_OK);
        close(fd);
        CHECK_EQ(shm_unlink(object_of(name)), 0);
        /* Noise that is not ready is made anew. */
        fd = object_open(name, O_CREAT | O_EXCL);
        CHECK(write(fd, noise, sizeof noise) == sizeof noise);
        CHECK_EQ(ftruncate(fd, lengths[i]), 0);
        struct lilcache *cache = ct_open_named(name, SIZE, 0);
        CHECK_EQ(lilcache_created(cache), 1);
        works(cache, i);
        lilcache_close(cache);
        close(fd);
        CHECK_EQ(shm_unlink(object_of(name)), 0);
    }
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
