/* Segments and their life.
 *
 *   open(name) --> object exists? --no--> create O_EXCL
 *                     |yes                   |
 *                     v                      v
 *              owner, mode, links     lock the creation byte
 *                     |                      |
 *                     +--> lock, too --> ready? --yes--> validate, map, claim a row
 *                          |                 |no, and empty
 *                          |no               v
 *                          v         grant, reserve, write everything,
 *                  take its name,    ready = last store
 *                    once more
 *
 * Whoever holds the creation byte and finds the object not ready replaces it: a creator
 * that died leaves no trace. It is not made ready where it is, since damage makes a
 * segment look like that, too, while others work in it. Invariants: L1 L4 L5 F2 S1. */
#include "lc_segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lc_atomic.h"
#include "lc_error.h"
#include "lc_fork.h"
#include "lc_guard.h"
#include "lc_header.h"
#include "lc_mapping.h"
#include "lc_object.h"
#include "lc_room.h"
#include "lc_row.h"
#include "lc_stripe.h"

#define SEGMENT_CREATE_WAIT_MS 10000
#define SEGMENT_OPEN_TRIES     1000 /* against names that come and go */

/* Nobody shall meet in this object any more. Its name first: members of its group
 * may not remove that, and a retired segment whose name stays is in everybody's
 * way. The caller holds the creation byte, so the name still is that of the object
 * [L4]. */
static int segment_take_name(const struct lc_segment *segment, int fd) {
    int failed = lc_os_shm_unlink(segment->object_name);
    if (failed && failed != -ENOENT) {
        return failed;
    }
    lc_header_retire(fd);
    return 0;
}

static struct lc_segment *segment_registered(const struct lc_os_id *id) {
    for (struct lc_segment *s = *lc_fork_registry(); s; s = s->next) {
        if (s->id.device == id->device && s->id.inode == id->inode) {
            return s;
        }
    }
    return NULL;
}

static void segment_free(struct lc_segment *segment) {
    if (segment->base) {
        lc_guard_remove(segment->base);
        lc_os_unmap(segment->base, segment->size);
    }
    lc_object_close(segment, segment->lock_fd);
    lc_object_close(segment, segment->shared_fd);
    lc_object_close(segment, segment->fd);
    free(segment->shards);
    free(segment->pins);
    free(segment);
}

static int segment_lock_creation(int fd, uint64_t until, struct lilcache_error *error) {
    for (;;) {
        int failed = lc_os_lock_byte(fd, LC_CREATE_BYTE);
        if (failed != -EAGAIN) {
            return failed ? lc_fail(error, LILCACHE_OS, failed, "fcntl(F_OFD_SETLK)")
                          : LILCACHE_OK;
        }
        if (lc_os_monotonic_ms() > until) {
            return lc_fail(error, LILCACHE_NOT_READY, 0, "creation lock");
        }
        lc_os_sleep_ms(1);
    }
}

/* An object of that name in segment->fd, and whether this call made it. */
static int segment_open_object(struct lc_segment *segment,
                               const struct lilcache_options *options, bool *made,
                               struct lilcache_error *error) {
    *made = false;
    segment->fd = lc_object_open(segment->object_name);
    if (segment->fd >= 0) {
        return LILCACHE_OK;
    }
    if (segment->fd != -ENOENT || options->flags & LILCACHE_ATTACH) {
        return lc_fail(error, lc_object_refused(segment->fd), segment->fd, "shm_open");
    }
    segment->fd = lc_os_shm_create(segment->object_name, 0600, LC_CREATE_BYTE);
    *made = segment->fd >= 0;
    return *made ? LILCACHE_OK
                 : lc_fail(error, LILCACHE_OS, segment->fd, "shm_open(O_CREAT)");
}

/* An object that is not as it must be to be used. */
static int segment_refuse(int status, const struct lc_os_file *file,
                          struct lilcache_error *error) {
    char found[64];
    snprintf(found, sizeof found, "owner %u, group %u, mode %04o, links %u",
             file->owner, file->group, file->mode, file->links);
    return lc_fail(error, status, 0,
                   status == LILCACHE_MISMATCH ? "not a regular file" : found);
}

/* Take a row, through which others see that this process lives. */
static int segment_claim(struct lc_segment *segment, struct lilcache_error *error) {
    int failed;
    int row = lc_row_claim(segment, segment->lock_fd, &failed);
    for (int tries = 0; row == LILCACHE_TOO_MANY_PROCESSES && tries < 3; tries++) {
        lc_os_sleep_ms(1); /* a sweeper may have held the row of a dead process */
        row = lc_row_claim(segment, segment->lock_fd, &failed);
    }
    if (row < 0) {
        return lc_fail(error, row, failed, "process rows");
    }
    segment->row = row;
    return LILCACHE_OK;
}

/* Attach what segment->fd is, make it, or (*again) take its name. The caller holds the
 * creation byte. */
static int segment_enter_locked(struct lc_segment *segment,
                                const struct lilcache_options *options,
                                const struct lc_geometry *g, bool recreate, bool *again,
                                struct lc_segment **registered,
                                struct lilcache_error *error) {
    struct lc_os_file file;
    bool ready;
    bool retired;
    int failed = lc_os_stat(segment->fd, &file); /* it may have grown while we waited */
    if (failed || file.links == 0) {
        *again = !failed;
        return lc_fail(error, LILCACHE_OS, failed ? failed : -EEXIST, "fstat");
    }
    int status = lc_header_is_ready(segment->fd, file.size, &ready, &retired, error);
    if (status) {
        return status;
    }
    /* Empty, with processes in it: somebody cut it short. */
    bool used =
        file.size > 0 || lc_os_bytes_locked(segment->lock_fd, LC_ROW_BYTE, LC_ROWS_MAX);
    bool broken = !ready && used && !(options->flags & LILCACHE_ATTACH);
    struct lc_segment *known = segment_registered(&file.id);
    /* Cut short while we used it, even if it has its size again: no handle of it will
     * ever do anything. */
    bool lost = known && lc_load_relaxed32(&known->lost) != 0;
    if (broken || lost || (ready && (recreate || retired))) {
        failed = segment_take_name(segment, segment->fd);
        if (!failed) {
            *again = true;
            return lc_fail(error, LILCACHE_RETIRED, 0, "retired");
        }
        if (ready || lc_object_refused(failed) != LILCACHE_FOREIGN) {
            return lc_fail(error, lc_object_refused(failed), failed, "shm_unlink");
        }
        /* Ours to finish all the same: our group's, and its creator is dead. */
    }
    if (known) {
        *registered = known;
        return LILCACHE_OK;
    }
    if (ready) {
        return lc_mapping_attach(segment, file.size, options, error);
    }
    if (options->flags & LILCACHE_ATTACH) {
        return lc_fail(error, LILCACHE_NOT_READY, 0, "attach");
    }
    status = lc_mapping_make(segment, options, g, error);
    if (!status) {
        status = segment_claim(segment, error); /* nobody has attached yet */
    }
    if (status) {
        lc_os_shm_unlink(segment->object_name);
    }
    return status;
}

/* Lock the object that segment->fd is and enter it. */
static int segment_enter(struct lc_segment *segment,
                         const struct lilcache_options *options,
                         const struct lc_geometry *g, uint64_t until, bool recreate,
                         bool *again, struct lc_segment **registered,
                         struct lilcache_error *error) {
    struct lc_os_file file;
    int failed = lc_os_stat(segment->fd, &file);
    if (failed) {
        return lc_fail(error, LILCACHE_OS, failed, "fstat");
    }
    int status = lc_object_judge(&file, options);
    if (status) {
        return segment_refuse(status, &file, error);
    }
    segment->id = file.id;
    segment->lock_fd = lc_object_reopen(segment);
    if (segment->lock_fd < 0) {
        return lc_fail(error, LILCACHE_OS, segment->lock_fd, "open(/proc/self/fd)");
    }
    status = segment_lock_creation(segment->lock_fd, until, error);
    if (status) {
        return status;
    }
    status =
        segment_enter_locked(segment, options, g, recreate, again, registered, error);
    lc_os_unlock_byte(segment->lock_fd, LC_CREATE_BYTE);
    return status;
}

/* One attempt by name. *again: the object went away or was retired meanwhile. The
 * registry is locked. */
static int segment_try_named(struct lc_segment *segment,
                             const struct lilcache_options *options,
                             const struct lc_geometry *g, uint64_t until, bool recreate,
                             bool *again, struct lc_segment **registered,
                             struct lilcache_error *error) {
    bool made;
    int status = segment_open_object(segment, options, &made, error);
    if (status) {
        *again = segment->fd == -EEXIST; /* created by another between the two calls */
        segment->fd = -1;
        return status;
    }
    status =
        segment_enter(segment, options, g, until, recreate, again, registered, error);
    if (status && made) {
        lc_os_shm_forsake(segment->fd, segment->object_name, LC_CREATE_BYTE);
    }
    return status;
}

static int segment_make_anonymous(struct lc_segment *segment,
                                  const struct lilcache_options *options,
                                  const struct lc_geometry *g,
                                  struct lilcache_error *error) {
    struct lc_os_file file;
    segment->anonymous = true;
    segment->fd = lc_os_memfd(segment->object_name);
    if (segment->fd < 0) {
        return lc_fail(error, LILCACHE_OS, segment->fd, "memfd_create");
    }
    int failed = lc_os_stat(segment->fd, &file);
    if (failed) {
        return lc_fail(error, LILCACHE_OS, failed, "fstat");
    }
    segment->id = file.id;
    segment->lock_fd = lc_object_reopen(segment);
    if (segment->lock_fd < 0) {
        return lc_fail(error, LILCACHE_OS, segment->lock_fd, "open(/proc/self/fd)");
    }
    int status = lc_mapping_make(segment, options, g, error);
    if (status == LILCACHE_OK) {
        lc_os_seal_size(segment->fd); /* a kernel that cannot leaves it to the guard */
    }
    return status;
}

static struct lc_segment *segment_blank(const char *object_name) {
    struct lc_segment *segment = calloc(1, sizeof *segment);
    if (segment) {
        segment->fd = segment->lock_fd = -1;
        segment->spare_fd = segment->shared_fd = -1;
        segment->row = segment->spare_row = -1;
        pthread_mutex_init(&segment->pin_mutex, NULL);
        snprintf(segment->object_name, sizeof segment->object_name, "%s", object_name);
    }
    return segment;
}

static int segment_open_locked(const struct lilcache_options *options,
                               const char *object_name, const struct lc_geometry *g,
                               struct lc_segment **out, struct lilcache_error *error) {
    bool recreate = (options->flags & LILCACHE_RECREATE) != 0;
    uint64_t until = lc_os_monotonic_ms() + SEGMENT_CREATE_WAIT_MS;
    bool again = true;
    int status = LILCACHE_NOT_READY;
    for (int tries = 0; again && tries < SEGMENT_OPEN_TRIES; tries++) {
        struct lc_segment *registered = NULL;
        struct lc_segment *segment = segment_blank(object_name);
        again = false;
        if (!segment) {
            return lc_fail(error, LILCACHE_MEMORY, ENOMEM, "calloc");
        }
        if (options->flags & LILCACHE_ANONYMOUS) {
            status = segment_make_anonymous(segment, options, g, error);
        } else {
            status = segment_try_named(segment, options, g, until, recreate, &again,
                                       &registered, error);
            recreate = recreate && status != LILCACHE_RETIRED;
        }
        if (status == LILCACHE_OK && registered) {
            segment_free(segment);
            registered->references++;
            *out = registered;
            return LILCACHE_OK;
        }
        if (status == LILCACHE_OK && segment->row < 0) {
            status = segment_claim(segment, error);
        }
        if (status == LILCACHE_OK) {
            segment->references = 1;
            segment->next = *lc_fork_registry();
            *lc_fork_registry() = segment;
            *out = segment;
            return LILCACHE_OK;
        }
        segment_free(segment);
    }
    return status;
}

int lilcache_open(const struct lilcache_options *options, struct lilcache **out,
                  struct lilcache_error *error) {
    struct lc_geometry g;
    char object_name[256];
    uint32_t cores = options->cores ? options->cores : lc_os_cores();
    if (error) {
        memset(error, 0, sizeof *error);
    }
    int failed = 0;
    int named =
        lc_header_object_name(options->name, object_name, sizeof object_name, &failed);
    if (named < 0) {
        return lc_fail(error, named, failed,
                       failed ? "stat(/proc/self/ns/pid)" : "name");
    }
    bool sized = !(options->flags & LILCACHE_ATTACH) || options->size_bytes != 0 ||
                 options->flags & LILCACHE_ANONYMOUS;
    if (sized && !lc_geometry_make(options->size_bytes, options->max_value_bytes,
                                   options->max_processes, 0, cores, &g)) {
        return lc_fail(error, LILCACHE_INVALID, 0, "size, max_value");
    }
    failed = lc_fork_init();
    if (failed) {
        return lc_fail(error, LILCACHE_MEMORY, failed, "pthread_atfork");
    }
    struct lilcache *cache = calloc(1, sizeof *cache);
    if (!cache) {
        return lc_fail(error, LILCACHE_MEMORY, ENOMEM, "calloc");
    }
    if (!lc_fork_noticed()) {
        lc_fork_child_now();
    }
    lc_fork_registry_lock();
    int status = segment_open_locked(options, object_name, &g, &cache->segment, error);
    if (status == LILCACHE_OK) {
        cache->created = cache->segment->created && cache->segment->references == 1;
    }
    lc_fork_registry_unlock();
    if (status) {
        free(cache);
        return status;
    }
    if (error) {
        memset(error, 0, sizeof *error); /* of an attempt that was repeated */
    }
    *out = cache;
    return LILCACHE_OK;
}

void lilcache_close(struct lilcache *cache) {
    struct lc_segment *segment = cache->segment;
    if (!lc_fork_noticed()) {
        lc_fork_child_now();
    }
    lc_fork_registry_lock();
    bool last = --segment->references == 0;
    if (last) {
        struct lc_segment **at = lc_fork_registry();
        while (*at != segment) {
            at = &(*at)->next;
        }
        *at = segment->next;
    }
    free(cache);
    if (last) {
        if (segment->row >= 0 && !segment->row_is_shared) {
            lc_row_release(segment, (uint32_t)segment->row);
        }
        segment_free(segment); /* before a fork can inherit its descriptors */
    }
    lc_fork_registry_unlock();
}

/* Under the object's creation byte, as everybody who replaces it [L4]. */
static int segment_unlink_locked(struct lc_segment *segment,
                                 struct lilcache_error *error) {
    int fd = lc_os_shm_open(segment->object_name);
    int failed = lc_object_check(segment, fd);
    if (!failed) {
        failed = segment_take_name(segment, fd);
    }
    lc_os_close(fd);
    if (!failed || failed == -ENOENT || failed == -EBADF) { /* it is another's */
        return LILCACHE_OK;
    }
    return lc_fail(error, lc_object_refused(failed), failed, "shm_unlink");
}

/* Take the name away if it is still this object's. */
static int segment_unlink(struct lc_segment *segment, struct lilcache_error *error) {
    int own = lc_object_reopen(segment);
    if (own < 0) {
        return lc_fail(error, lc_object_refused(own), own, "open");
    }
    uint64_t until = lc_os_monotonic_ms() + SEGMENT_CREATE_WAIT_MS;
    int status = segment_lock_creation(own, until, error);
    if (status == LILCACHE_OK) {
        status = segment_unlink_locked(segment, error);
    }
    lc_os_close(own);
    return status;
}

int lilcache_retire(struct lilcache *cache) {
    struct lc_segment *segment = cache->segment;
    struct lilcache_error error = {0};
    int status = segment->anonymous ? LILCACHE_OK : segment_unlink(segment, &error);
    if (status == LILCACHE_OK) {
        /* Release: who sees it finds the name gone, and starts anew. */
        lc_store_release(&segment->header->hd_retired, 1);
    }
    errno = error.os_errno;
    return status;
}

int lilcache_collapse(struct lilcache *cache, uint64_t at) {
    struct lc_segment *segment = cache->segment;
    int gone = lc_segment_alive(segment);
    if (gone) {
        return gone;
    }
    uint64_t bytes = lc_os_huge_page();
    if (at % bytes != 0 || at >= segment->size || segment->size - at < bytes) {
        return LILCACHE_INVALID;
    }
    int failed = lc_os_collapse(segment->base + at);
    errno = -failed;
    return failed ? LILCACHE_OS : (int)lc_segment_told(segment, LILCACHE_OK);
}

uint64_t lilcache_huge_page(void) { return lc_os_huge_page(); }

uint64_t lilcache_memory_left(void) { return lc_room_left(); }

/* Somebody cut the object short. What is left of it is nothing to go on with, and those
 * who have not noticed yet are told. */
LC_NOINLINE int lc_segment_leave_lost(struct lc_segment *segment) {
    if (lc_load_relaxed32(&segment->lost) != LC_LOST_LEFT) {
        lc_store_relaxed32(&segment->lost, LC_LOST_LEFT);
        if (!segment->anonymous) {
            segment_unlink(segment, NULL);
        }
        lc_store_release(&segment->header->hd_retired, 1);
    }
    return LILCACHE_RETIRED;
}

void lc_segment_look(struct lc_segment *segment) {
    struct lc_os_file file;
    if (!segment->anonymous && lc_os_stat(segment->fd, &file) == 0 && file.links == 0 &&
        lc_object_is(segment, segment->fd)) {
        lc_store_release(&segment->header->hd_retired, 1);
    }
}

int lilcache_created(const struct lilcache *cache) { return cache->created; }
uint64_t lilcache_size(const struct lilcache *cache) { return cache->segment->size; }
uint64_t lilcache_max_value(const struct lilcache *cache) {
    return cache->segment->max_value;
}
const void *lilcache_base(const struct lilcache *cache) { return cache->segment->base; }

int lilcache_mode(const struct lilcache *cache) {
    struct lc_os_file file;
    int failed = lc_os_stat(cache->segment->fd, &file);
    return failed ? LILCACHE_OS : (int)file.mode;
}

int lilcache_process_row(struct lilcache *cache) {
    return lc_row_mine(cache->segment) ? cache->segment->row
                                       : LILCACHE_TOO_MANY_PROCESSES;
}
