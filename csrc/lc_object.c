/* Descriptors of a segment's object. A number that we keep is only a number: every use
 * that would harm another file compares device and inode first. State: none.
 * Invariants: L6. */
#include "lc_object.h"

#include <errno.h>

/* Milliseconds. Between a creator's open and its fchown lie microseconds, unless it is
 * preempted on a busy machine. */
#define OBJECT_OPEN_TRIES 200

static bool object_same(const struct lc_segment *segment,
                        const struct lc_os_file *file) {
    return file->id.device == segment->id.device && file->id.inode == segment->id.inode;
}

int lc_object_check(const struct lc_segment *segment, int fd) {
    struct lc_os_file file;
    int failed = fd < 0 ? fd : lc_os_stat(fd, &file);
    return failed ? failed : object_same(segment, &file) ? 0 : -EBADF;
}

bool lc_object_is(const struct lc_segment *segment, int fd) {
    return lc_object_check(segment, fd) == 0;
}

int lc_object_reopen(const struct lc_segment *segment) {
    int fd = lc_os_reopen(segment->fd);
    int failed = lc_object_check(segment, fd);
    if (!failed) {
        return fd;
    }
    lc_os_close(fd);
    if (segment->anonymous) {
        return failed;
    }
    fd = lc_os_shm_open(segment->object_name);
    if (lc_object_is(segment, fd)) {
        return fd;
    }
    lc_os_close(fd);
    return failed;
}

void lc_object_close(const struct lc_segment *segment, int fd) {
    struct lc_os_file file;
    bool known = segment->id.inode != 0 && fd >= 0 && lc_os_stat(fd, &file) == 0;
    if (!known || object_same(segment, &file)) {
        lc_os_close(fd);
    }
}

int lc_object_open(const char *object_name) {
    int fd = lc_os_shm_open(object_name);
    for (int tries = 1; tries < OBJECT_OPEN_TRIES && (fd == -EACCES || fd == -EAGAIN);
         tries++) {
        lc_os_sleep_ms(1);
        fd = lc_os_shm_open(object_name);
    }
    return fd;
}

int lc_object_refused(int failed) {
    switch (-failed) {
    case ELOOP: /* a link */
    case EISDIR:
    case EINVAL: /* what glibc makes of EISDIR */
    case ENXIO:  /* a socket */
    case ENODEV:
        return LILCACHE_MISMATCH;
    case EACCES:
    case EPERM:
    case EAGAIN: /* a lease */
        return LILCACHE_FOREIGN;
    default:
        return LILCACHE_OS;
    }
}

int lc_object_judge(const struct lc_os_file *file,
                    const struct lilcache_options *options) {
    if (!file->regular) {
        return LILCACHE_MISMATCH;
    }
    bool mine = file->owner == lc_os_uid() ||
                (options->owner >= 0 && file->owner == (uint64_t)options->owner);
    /* Reading is enough to learn the hash key, and to hold the creation byte. */
    uint32_t others = 077;
    if (options->group >= 0 && file->group == (uint64_t)options->group) {
        others = 007;
    }
    /* A second name makes it a file of ours that somebody put in our way. */
    return mine && !(file->mode & others) && file->links <= 1 ? LILCACHE_OK
                                                              : LILCACHE_FOREIGN;
}

int lc_object_grant(int fd, const struct lilcache_options *options) {
    struct lc_os_file file;
    uint32_t mode = options->group >= 0 ? 0660 : 0600;
    int failed = lc_os_stat(fd, &file);
    if (failed) {
        return failed;
    }
    bool owned = options->owner < 0 || file.owner == (uint64_t)options->owner;
    bool grouped = options->group < 0 || file.group == (uint64_t)options->group;
    if (owned && grouped && file.mode == mode) {
        return 0; /* a member of the group may find it so, and could not change it */
    }
    return lc_os_chown(fd, options->owner, options->group, mode);
}
