/* Descriptors of a segment's object. A number that we keep is only a number: every use
 * that would harm another file compares device and inode first. State: none. */
#include "lc_object.h"

#include <errno.h>

static bool object_same(const struct lc_segment *segment,
                        const struct lc_os_file *file) {
    return file->id.device == segment->id.device && file->id.inode == segment->id.inode;
}

bool lc_object_is(const struct lc_segment *segment, int fd) {
    struct lc_os_file file;
    return fd >= 0 && lc_os_stat(fd, &file) == 0 && object_same(segment, &file);
}

int lc_object_reopen(const struct lc_segment *segment) {
    int fd = lc_os_reopen(segment->fd);
    if (lc_object_is(segment, fd)) {
        return fd;
    }
    lc_os_close(fd);
    int failed = fd < 0 ? fd : -EBADF;
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
