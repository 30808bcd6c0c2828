/* /dev/shm of every size, with other files in it, read-only, missing, out of inodes. A
 * segment that fits to the page works on all of its pages; one that does not is an
 * error with both sizes, and the file system is as it was. */
#include "famine.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define PAGE 4096

struct room {
    uint64_t segment; /* bytes */
    uint64_t pages;   /* free */
};

static struct statvfs space(void) {
    struct statvfs found;
    CHECK(!statvfs("/dev/shm", &found));
    return found;
}

static void refused(int status, const struct lilcache_error *error, int code) {
    if (status != LILCACHE_OS || error->os_errno != code || !error->step[0]) {
        LCT_FAIL("%s at \"%s\" with errno %d, not %d", lilcache_status_name(status),
                 error->step, error->os_errno, code);
    }
}

static void open_and_fill(void *argument) {
    const struct room *room = argument;
    struct lilcache *cache;
    struct lilcache_error error;
    const char *name = famine_name("tmpfs");
    struct statvfs before = space();
    int status = famine_open(name, room->segment, 0, &cache, &error);
    if (room->pages * PAGE < room->segment) {
        refused(status, &error, ENOSPC);
        CHECK_EQ(error.wanted_bytes, room->segment);
        CHECK_EQ(error.available_bytes, room->pages * PAGE);
        CHECK_EQ(space().f_bfree, before.f_bfree);
        if (room->pages * PAGE < MIB || room->segment == MIB) {
            return;
        }
        /* What the error advises. */
        status = famine_open(name, MIB, 0, &cache, &error);
    }
    CHECK_EQ(status, LILCACHE_OK);
    famine_fill(cache);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
}

static void open_hidden(void *argument) {
    const struct room *room = argument;
    struct lilcache *cache;
    struct lilcache_error error;
    int status = famine_open(famine_name("tmpfs"), room->segment, 0, &cache, &error);
    if (room->pages * PAGE >= room->segment) {
        CHECK_EQ(status, LILCACHE_OK);
        famine_fill(cache);
        CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
        lilcache_close(cache);
    } else {
        refused(status, &error, ENOSPC);
        CHECK_EQ(error.wanted_bytes, room->segment);
        CHECK(strcmp(error.step, "posix_fallocate") == 0);
    }
}

static void try_room(uint64_t segment, uint64_t pages, void (*run)(void *)) {
    char options[64];
    struct room room = {segment, pages};
    snprintf(options, sizeof options, "size=%llu", (unsigned long long)pages * PAGE);
    snprintf(famine_where, sizeof famine_where, "%llu MiB in %llu pages%s",
             (unsigned long long)(segment / MIB), (unsigned long long)pages,
             run == open_hidden ? ", nobody looks before" : "");
    famine_mount_shm(options);
    fail_hide_free_space(run == open_hidden);
    famine_trial(run, &room);
    fail_hide_free_space(false);
    CHECK_EQ(space().f_bfree, pages);
    famine_unmount_shm();
}

static void sweep(bool thorough) {
    uint64_t sizes = 0;
    for (uint64_t pages = 1; pages <= 300; pages++) {
        try_room(MIB, pages, open_and_fill);
        sizes++;
    }
    const uint64_t whole = 64 * MIB / PAGE;
    const uint64_t around = thorough ? whole : 32;
    for (uint64_t pages = whole + 32; pages > whole - around; pages--) {
        try_room(64 * MIB, pages, open_and_fill);
        sizes++;
    }
    for (uint64_t pages = 64; !thorough && pages < whole - 32; pages += 64) {
        try_room(64 * MIB, pages, open_and_fill);
        sizes++;
    }
    printf("tmpfs: %llu sizes\n", (unsigned long long)sizes);
}

/* The look at the free space is only a courtesy to others: without it, the reservation
 * itself finds out, and takes back what it had. */
static void sweep_hidden(bool thorough) {
    uint64_t segment = thorough ? 64 * MIB : MIB;
    uint64_t whole = segment / PAGE;
    for (uint64_t pages = 1; pages <= whole + 44; pages += thorough ? 37 : 1) {
        try_room(segment, pages, open_hidden);
    }
}

static void put_file(const char *path, uint64_t bytes) {
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    CHECK(bytes == 0 || !posix_fallocate(fd, 0, (off_t)bytes));
    close(fd);
}

/* Docker's 64 MB, in which others have files. */
static void shared_with_files(void) {
    for (uint64_t others = 0; others <= 64; others += 2) {
        struct room room = {32 * MIB, (64 - others) * MIB / PAGE};
        snprintf(famine_where, sizeof famine_where, "64 MB with %llu MB of files",
                 (unsigned long long)others);
        famine_mount_shm("size=64m");
        put_file("/dev/shm/others", others * MIB);
        famine_trial(open_and_fill, &room);
        CHECK_EQ(space().f_bfree, room.pages);
        famine_unmount_shm();
    }
}

/* Every other time it waits, longer from time to time, once with the file empty and
 * once with it full: however slow the machine, an opening then meets enough room and
 * too little. The times without a wait are those that race. */
static void fill_and_empty(void) {
    int fd = open("/dev/shm/others", O_RDWR | O_CREAT, 0600);
    for (unsigned turn = 0;; turn++) {
        unsigned wait_ms = turn % 2 ? turn : 0;
        CHECK(fd >= 0 && !ftruncate(fd, 0));
        lct_sleep_ms(wait_ms);
        for (off_t at = 0; at < (off_t)(40 * MIB); at += MIB) {
            posix_fallocate(fd, at, MIB); /* as far as it goes */
        }
        lct_sleep_ms(wait_ms);
    }
}

static void open_beside_writer(void *argument) {
    (void)argument;
    int refusals = 0;
    int made = 0;
    pid_t writer = fork();
    CHECK(writer >= 0);
    if (writer == 0) {
        fill_and_empty();
    }
    double until = lct_seconds() + 25; /* the trial's alarm comes at 30 */
    while ((refusals == 0 || made == 0 || refusals + made < 40) &&
           lct_seconds() < until) {
        struct lilcache *cache;
        struct lilcache_error error;
        int status = famine_open(famine_name("tmpfs"), 40 * MIB, 0, &cache, &error);
        if (status == LILCACHE_OK) {
            famine_fill(cache);
            CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
            lilcache_close(cache);
            made++;
        } else {
            refused(status, &error, ENOSPC);
            refusals++;
        }
    }
    kill(writer, SIGKILL);
    CHECK(waitpid(writer, NULL, 0) == writer);
    CHECK(refusals > 0 && made > 0);
}

/* Space that is free when we look may be taken while we reserve. */
static void beside_a_writer(void) {
    snprintf(famine_where, sizeof famine_where, "beside a process that fills it");
    famine_mount_shm("size=64m");
    famine_trial(open_beside_writer, NULL);
    CHECK(!unlink("/dev/shm/others"));
    CHECK_EQ(space().f_bfree, 64 * MIB / PAGE);
    famine_unmount_shm();
}

/* Named opening fails so; an anonymous cache needs no /dev/shm. */
static void open_refused(void *argument) {
    int code = *(int *)argument;
    struct lilcache *cache;
    struct lilcache_error error;
    for (uint32_t flags = 0; flags <= LILCACHE_RECREATE; flags += LILCACHE_RECREATE) {
        refused(famine_open(famine_name("tmpfs"), MIB, flags, &cache, &error), &error,
                code);
        CHECK(strncmp(error.step, "shm_open", 8) == 0);
        CHECK_EQ(error.wanted_bytes, 0);
    }
    cache = ct_open(MIB);
    famine_fill(cache);
    lilcache_close(cache);
}

static void open_refused_as_nobody(void *argument) {
    CHECK(!setuid(65534));
    open_refused(argument);
}

/* A second mount over the first, which cannot turn read-only under open files. */
static void set_read_only(bool read_only) {
    if (read_only) {
        CHECK(!mount("/dev/shm", "/dev/shm", NULL, MS_BIND, NULL));
        CHECK(!mount("", "/dev/shm", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    } else {
        famine_unmount_shm();
    }
}

static void attached_while_read_only(void *argument) {
    struct lilcache *cache;
    struct lilcache_error error;
    CHECK_EQ(famine_open(famine_name("tmpfs"), MIB, 0, &cache, &error), LILCACHE_OK);
    set_read_only(true);
    famine_fill(cache);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        famine_works(cache); /* its row takes a description of its own */
        lilcache_close(cache);
        open_refused(argument);
        _exit(0);
    }
    lct_join(child);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OS);
    CHECK_EQ(errno, EROFS);
    set_read_only(false);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
}

static void unusable(void) {
    int code = EROFS;
    snprintf(famine_where, sizeof famine_where, "read-only");
    famine_mount_shm("size=64m");
    set_read_only(true);
    famine_trial(open_refused, &code);
    set_read_only(false);
    snprintf(famine_where, sizeof famine_where, "read-only while attached");
    famine_trial(attached_while_read_only, &code);
    famine_unmount_shm();

    code = ENOSPC;
    snprintf(famine_where, sizeof famine_where, "out of inodes");
    famine_mount_shm("size=64m,nr_inodes=1");
    famine_trial(open_refused, &code);
    famine_unmount_shm();

    code = EACCES;
    snprintf(famine_where, sizeof famine_where, "not writable");
    famine_mount_shm("size=64m,mode=0755");
    famine_trial(open_refused_as_nobody, &code);
    famine_unmount_shm();

    /* Over all of /dev, since nobody may remove /dev/shm. */
    CHECK(!mount("famine", "/dev", "tmpfs", 0, NULL));
    code = ENOENT;
    snprintf(famine_where, sizeof famine_where, "missing");
    famine_trial(open_refused, &code);
    code = ENOTDIR;
    snprintf(famine_where, sizeof famine_where, "a file");
    put_file("/dev/shm", 1);
    famine_trial(open_refused, &code);
    CHECK(!umount("/dev"));
}

static void open_on_disk(void *argument) {
    (void)argument;
    struct lilcache *cache;
    struct lilcache_error error;
    CHECK_EQ(famine_open(famine_name("tmpfs"), MIB, 0, &cache, &error), LILCACHE_OK);
    famine_fill(cache);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
}

/* A creator that died between giving the object its size and its pages. */
static void open_over_sparse(void *argument) {
    const struct room *room = argument;
    struct lilcache *cache;
    struct lilcache_error error;
    const char *name = famine_name("tmpfs");
    int fd = shm_open(famine_object(name), O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && !ftruncate(fd, (off_t)room->segment));
    close(fd);
    int status = famine_open(name, room->segment, 0, &cache, &error);
    if (room->pages * PAGE < room->segment) {
        refused(status, &error, ENOSPC);
        return;
    }
    CHECK_EQ(status, LILCACHE_OK);
    famine_fill(cache);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
}

static void sparse_leftovers(void) {
    for (uint64_t pages = 0; pages <= 256; pages += 64) {
        struct room room = {MIB, pages};
        snprintf(famine_where, sizeof famine_where, "a sparse leftover, %llu pages",
                 (unsigned long long)pages);
        famine_mount_shm("size=2m");
        put_file("/dev/shm/others", (512 - pages) * PAGE);
        famine_trial(open_over_sparse, &room);
        CHECK_EQ(space().f_bfree, pages);
        famine_unmount_shm();
    }
}

/* No limit of its own: statvfs tells nothing; and a directory of some other file
 * system in its place. */
static void unlimited(void) {
    snprintf(famine_where, sizeof famine_where, "no limit");
    famine_mount_shm("size=0");
    famine_trial(open_on_disk, NULL);
    famine_unmount_shm();
    snprintf(famine_where, sizeof famine_where, "a folder on disk");
    CHECK(!mount(".", "/dev/shm", NULL, MS_BIND, NULL));
    famine_trial(open_on_disk, NULL);
    famine_unmount_shm();
}

void tmpfs_all(bool thorough) {
    famine_private_mounts();
    unusable();
    unlimited();
    sparse_leftovers();
    shared_with_files();
    beside_a_writer();
    sweep_hidden(false);
    sweep(thorough);
    if (thorough) {
        sweep_hidden(true);
    }
}
