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
#include "lc_fork.h"
#include "lc_guard.h"
#include "lc_hash.h"
#include "lc_lock.h"
#include "lc_object.h"
#include "lc_pages.h"
#include "lc_room.h"
#include "lc_row.h"

#define SEGMENT_CREATE_WAIT_MS 10000
#define SEGMENT_OPEN_TRIES     1000 /* against names that come and go */
#define SEGMENT_BOOT_ID        "/proc/sys/kernel/random/boot_id"
#define SEGMENT_NAME_CHECK                                                             \
    65536 /* operations between two looks whether the name is left */

static const uint64_t segment_name_key[2] = {0x6c696c6361636865ULL, 1};

uint32_t lc_segment_fingerprint(void) {
    uint64_t facts[] = {
        LC_LAYOUT_VERSION,
        sizeof(void *),
        sizeof(struct shm_header),
        sizeof(struct shm_row),
        sizeof(struct shm_shard),
        sizeof(struct shm_block),
        sizeof(struct shm_group),
        sizeof(struct shm_intent),
        sizeof(pthread_mutex_t),
        offsetof(struct shm_shard, sh_intent),
        offsetof(struct shm_shard, sh_counter),
        offsetof(struct shm_header, hd_ready),
#if defined(__GLIBC__)
        1, /* libcs of one mutex size still have different mutexes */
#else
        2,
#endif
        0x0102030405060708ULL, /* byte order, since it is hashed as bytes */
    };
    return (uint32_t)lc_hash(segment_name_key, facts, sizeof facts, 0);
}

/* The length, LILCACHE_INVALID, or LILCACHE_OS with a negative errno in *failed. */
static int segment_object_name(const char *name, char *out, size_t cap, int *failed) {
    struct {
        uint64_t fingerprint;
        struct lc_os_id pid_namespace;
    } identity = {.fingerprint = lc_segment_fingerprint()};
    size_t length = strlen(name);
    *failed = 0;
    if (length < 1 || length > 200) {
        return LILCACHE_INVALID;
    }
    for (size_t i = 0; i < length; i++) {
        char ch = name[i];
        bool fine = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                    (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' ||
                    (ch == '.' && i > 0);
        if (!fine) {
            return LILCACHE_INVALID;
        }
    }
    *failed = lc_os_namespace("pid", &identity.pid_namespace);
    if (*failed) {
        return LILCACHE_OS; /* a guess would be another segment's name */
    }
    uint64_t suffix = lc_hash(segment_name_key, &identity, sizeof identity, 1);
    return snprintf(out, cap, "%s.%016llx", name, (unsigned long long)suffix);
}

int lilcache_object_name(const char *name, char *out, size_t cap) {
    int failed;
    return segment_object_name(name, out, cap, &failed);
}

static int segment_fail(struct lilcache_error *error, int status, int os_errno,
                        const char *step) {
    if (error) {
        error->status = status;
        error->os_errno = os_errno < 0 ? -os_errno : os_errno;
        snprintf(error->step, sizeof error->step, "%s", step);
    }
    return status;
}

static uint64_t segment_checksum(const struct shm_header *header) {
    return lc_hash(segment_name_key, header, offsetof(struct shm_header, hd_checksum),
                   0);
}

/* Copy the geometry into the process and point into the mapping. header: a copy whose
 * checksum is right. */
static int segment_view(struct lc_segment *segment, const struct lc_geometry *g,
                        const struct shm_header *header) {
    segment->header = (struct shm_header *)segment->base;
    segment->size = g->size;
    segment->max_value = g->max_value;
    segment->shard_count = g->shard_count;
    segment->row_count = g->row_count;
    segment->row_bytes = g->row_bytes;
    segment->row_pins = g->row_pins;
    segment->rows_at = g->rows_at;
    segment->hash_key[0] = header->hd_hash_key[0];
    segment->hash_key[1] = header->hd_hash_key[1];
    segment->shards = calloc(g->shard_count, sizeof *segment->shards);
    segment->pins = calloc(g->row_pins, sizeof *segment->pins);
    if (!segment->shards || !segment->pins) {
        return LILCACHE_MEMORY;
    }
    for (uint32_t i = 0; i < g->shard_count; i++) {
        struct lc_shard *shard = &segment->shards[i];
        uint8_t *at = segment->base + g->shards_at + i * g->shard_bytes;
        uint64_t owner_bytes;
        shard->ctl = (struct shm_shard *)at;
        shard->groups = (struct shm_group *)(at + g->groups_at);
        shard->blocks = (struct shm_block *)(at + g->blocks_at);
        shard->heap = at + g->heap_at;
        shard->heap_bytes = (uint64_t)g->block_count << g->block_shift;
        shard->record_max = g->max_value + LILCACHE_KEY_MAX + 128;
        shard->number = i;
        shard->block_count = g->block_count;
        shard->block_shift = g->block_shift;
        shard->group_count = g->group_count;
        shard->group_shift = 64 - lc_log2(g->group_count);
        shard->page_shift = g->block_shift - LC_PAGE_SHIFT;
        owner_bytes = sizeof(uint32_t) << shard->page_shift;
        shard->owner_pages = (uint32_t)lc_div_up(owner_bytes, LC_PAGE_BYTES);
        shard->page_numbers = g->block_count << shard->page_shift;
        /* Ghosts may cost the index 1/128 of the heap: docs/decisions/0002. */
        shard->ghosts_per_group =
            (uint32_t)(shard->heap_bytes / 128 / g->group_count / 10);
        shard->checksums = (header->hd_flags & LILCACHE_CHECKSUMS) != 0;
        shard->segment = segment;
    }
    return LILCACHE_OK;
}

static int segment_make_header(struct shm_header *header, const struct lc_geometry *g,
                               uint32_t flags, struct lilcache_error *error) {
    struct lc_os_id time_ns;
    *header = (struct shm_header){0};
    int failed = lc_os_random(header->hd_hash_key, sizeof header->hd_hash_key);
    if (failed) {
        return segment_fail(error, LILCACHE_OS, failed, "getrandom");
    }
    failed = lc_os_boot_id(header->hd_boot_id);
    if (failed) {
        return segment_fail(error, LILCACHE_OS, failed, SEGMENT_BOOT_ID);
    }
    failed = lc_os_namespace("time", &time_ns);
    if (failed) {
        return segment_fail(error, LILCACHE_OS, failed, "stat(/proc/self/ns/time)");
    }
    header->hd_magic = LC_MAGIC;
    header->hd_layout = LC_LAYOUT_VERSION;
    header->hd_fingerprint = lc_segment_fingerprint();
    header->hd_size = g->size;
    header->hd_max_value = g->max_value;
    header->hd_time_ns[0] = time_ns.device;
    header->hd_time_ns[1] = time_ns.inode;
    header->hd_shard_count = g->shard_count;
    header->hd_row_count = g->row_count;
    header->hd_row_bytes = g->row_bytes;
    header->hd_row_pins = g->row_pins;
    header->hd_block_shift = g->block_shift;
    header->hd_block_count = g->block_count;
    header->hd_group_count = g->group_count;
    header->hd_flags = flags & LILCACHE_CHECKSUMS;
    header->hd_rows_at = g->rows_at;
    header->hd_shards_at = g->shards_at;
    header->hd_shard_bytes = g->shard_bytes;
    header->hd_groups_at = g->groups_at;
    header->hd_blocks_at = g->blocks_at;
    header->hd_heap_at = g->heap_at;
    header->hd_checksum = segment_checksum(header);
    return LILCACHE_OK;
}

static int segment_map(struct lc_segment *segment, uint64_t size,
                       const struct lilcache_options *options,
                       struct lilcache_error *error) {
    void *base;
    int failed = lc_os_map(segment->fd, size, &base);
    if (failed) {
        return segment_fail(error, LILCACHE_OS, failed, "mmap");
    }
    segment->base = base;
    segment->size = size;
    if (!(options->flags & LILCACHE_UNGUARDED)) {
        failed = lc_guard_install();
        if (failed) {
            return segment_fail(error, LILCACHE_OS, failed, "sigaction");
        }
        lc_guard_add(base, size, segment->fd, &segment->id, &segment->lost);
    }
    return LILCACHE_OK;
}

static int segment_init_shard(struct lc_shard *shard) {
    struct shm_shard *ctl = shard->ctl;
    memset(ctl, 0, sizeof *ctl);
    memset(shard->groups, 0, shard->group_count * sizeof *shard->groups);
    memset(shard->blocks, 0, shard->block_count * sizeof *shard->blocks);
    for (uint32_t b = 0; b < shard->block_count; b++) {
        shard->blocks[b].bl_word = lc_block_word(LC_BLOCK_FREE, LC_SMALL, 1, 0);
    }
    for (int queue = 0; queue < LC_QUEUES; queue++) {
        for (int place = 0; place < LC_OPEN_RUNS; place++) {
            ctl->sh_open[queue][place] = LC_NO_BLOCK;
        }
    }
    ctl->sh_victim = LC_NO_BLOCK;
    ctl->sh_free_blocks = shard->block_count;
    ctl->sh_index_hint = shard->block_count - 1;
    ctl->sh_index_low = shard->block_count;
    return lc_lock_init(ctl);
}

/* Reserve, map and write a new segment, ready last. The caller holds the creation byte.
 */
static int segment_make(struct lc_segment *segment,
                        const struct lilcache_options *options,
                        const struct lc_geometry *g, struct lilcache_error *error) {
    struct shm_header header;
    int failed = 0;
    /* First of all, so that those it is meant for wait for it, and can replace it when
     * we die. */
    if (options->owner >= 0 || options->group >= 0) {
        failed = lc_object_grant(segment->fd, options);
    }
    if (failed) {
        return segment_fail(error, LILCACHE_OS, failed, "fchown");
    }
    struct lc_room_refusal why;
    failed = lc_room_reserve(segment->fd, g->size, &why);
    if (failed) {
        if (error) {
            error->wanted_bytes = g->size;
            error->available_bytes = why.available;
        }
        return segment_fail(error, LILCACHE_OS, failed, why.step);
    }
    int status = segment_map(segment, g->size, options, error);
    if (status) {
        return status;
    }
    status = segment_make_header(&header, g, options->flags, error);
    if (status) {
        return status;
    }
    memset(segment->base, 0, g->shards_at);
    memcpy(segment->base, &header, offsetof(struct shm_header, hd_ready));
    status = segment_view(segment, g, &header);
    if (status) {
        return segment_fail(error, status, ENOMEM, "calloc");
    }
    for (uint32_t i = 0; i < segment->shard_count; i++) {
        failed = segment_init_shard(&segment->shards[i]);
        if (failed) {
            return segment_fail(error, LILCACHE_OS, failed, "pthread_mutex_init");
        }
    }
    segment->created = true;
    /* Release: everything is in place, also for a reader who comes when we are dead
     * [L4]. */
    lc_store_release(&segment->header->hd_ready, LC_READY);
    return LILCACHE_OK;
}

/* Check every number of a copy of the header [L1]. */
static int segment_check_header(const struct shm_header *h, uint64_t size,
                                struct lc_geometry *g, struct lilcache_error *error) {
    struct lc_os_id time_ns;
    if (h->hd_magic != LC_MAGIC || h->hd_layout != LC_LAYOUT_VERSION ||
        h->hd_fingerprint != lc_segment_fingerprint()) {
        return segment_fail(error, LILCACHE_MISMATCH, 0, "header");
    }
    if (h->hd_checksum != segment_checksum(h) || h->hd_size != size ||
        h->hd_shard_count == 0 || h->hd_row_count == 0 ||
        !lc_geometry_make(h->hd_size, h->hd_max_value, h->hd_row_count,
                          h->hd_shard_count, 1, g) ||
        h->hd_row_bytes != g->row_bytes || h->hd_row_pins != g->row_pins ||
        h->hd_block_shift != g->block_shift || h->hd_block_count != g->block_count ||
        h->hd_group_count != g->group_count || h->hd_rows_at != g->rows_at ||
        h->hd_shards_at != g->shards_at || h->hd_shard_bytes != g->shard_bytes ||
        h->hd_groups_at != g->groups_at || h->hd_blocks_at != g->blocks_at ||
        h->hd_heap_at != g->heap_at) {
        return segment_fail(error, LILCACHE_CORRUPT, 0, "header");
    }
    int failed = lc_os_namespace("time", &time_ns);
    if (failed) {
        return segment_fail(error, LILCACHE_OS, failed, "stat(/proc/self/ns/time)");
    }
    if (h->hd_time_ns[0] != time_ns.device || h->hd_time_ns[1] != time_ns.inode) {
        return segment_fail(error, LILCACHE_NAMESPACE, 0, "time namespace");
    }
    return LILCACHE_OK;
}

/* Map a ready segment. */
static int segment_attach(struct lc_segment *segment, uint64_t size,
                          const struct lilcache_options *options,
                          struct lilcache_error *error) {
    struct shm_header header;
    struct lc_geometry g;
    int failed = lc_os_read(segment->fd, &header, sizeof header);
    if (failed) {
        return segment_fail(error, LILCACHE_OS, failed, "pread");
    }
    int status = segment_check_header(&header, size, &g, error);
    if (status == LILCACHE_OK) {
        status = segment_map(segment, size, options, error);
    }
    if (status) {
        return status;
    }
    status = segment_view(segment, &g, &header);
    return status ? segment_fail(error, status, ENOMEM, "calloc") : LILCACHE_OK;
}

/* Whether the object is a whole segment, and one that was retired. The caller holds its
 * creation byte, so nobody is writing it [L4]. A failure is neither: whoever took it
 * for "not ready" would replace a live segment. */
static int segment_is_ready(int fd, uint64_t size, bool *ready, bool *retired,
                            struct lilcache_error *error) {
    struct shm_header header;
    uint64_t boot_id[2] = {0, 0};
    *ready = *retired = false;
    int failed = size < LC_SIZE_MIN ? -ENODATA : lc_os_read(fd, &header, sizeof header);
    if (failed) {
        return failed == -ENODATA ? LILCACHE_OK
                                  : segment_fail(error, LILCACHE_OS, failed, "pread");
    }
    /* Cut short, it is of no use to those who are in it either. */
    bool cut = header.hd_checksum == segment_checksum(&header) && size < header.hd_size;
    if (header.hd_ready != LC_READY || cut) {
        return LILCACHE_OK;
    }
    /* Left over from another boot, on a file system that outlives it? */
    failed = lc_os_boot_id(boot_id);
    if (failed && failed != -ENOENT) {
        return segment_fail(error, LILCACHE_OS, failed, SEGMENT_BOOT_ID);
    }
    *ready = failed ||
             (header.hd_boot_id[0] == boot_id[0] && header.hd_boot_id[1] == boot_id[1]);
    *retired = header.hd_retired != 0;
    return LILCACHE_OK;
}

/* Somebody may work in it still. */
static void segment_set_retired(int fd) {
    static const uint64_t retired = 1;
    struct shm_header header;
    if (lc_os_read(fd, &header, sizeof header) == 0 && header.hd_magic == LC_MAGIC) {
        lc_os_write_at(fd, &retired, sizeof retired,
                       offsetof(struct shm_header, hd_retired));
    }
}

/* Nobody shall meet in this object any more. Its name first: members of its group may
 * not remove that, and a retired segment whose name stays is in everybody's way. The
 * caller holds the creation byte, so the name still is that of the object [L4]. */
static int segment_take_name(const struct lc_segment *segment, int fd) {
    int failed = lc_os_shm_unlink(segment->object_name);
    if (failed && failed != -ENOENT) {
        return failed;
    }
    segment_set_retired(fd);
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
            return failed
                       ? segment_fail(error, LILCACHE_OS, failed, "fcntl(F_OFD_SETLK)")
                       : LILCACHE_OK;
        }
        if (lc_os_monotonic_ms() > until) {
            return segment_fail(error, LILCACHE_NOT_READY, 0, "creation lock");
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
        return segment_fail(error, lc_object_refused(segment->fd), segment->fd,
                            "shm_open");
    }
    segment->fd = lc_os_shm_create(segment->object_name, 0600, LC_CREATE_BYTE);
    *made = segment->fd >= 0;
    return *made ? LILCACHE_OK
                 : segment_fail(error, LILCACHE_OS, segment->fd, "shm_open(O_CREAT)");
}

/* An object that is not as it must be to be used. */
static int segment_refuse(int status, const struct lc_os_file *file,
                          struct lilcache_error *error) {
    char found[64];
    snprintf(found, sizeof found, "owner %u, group %u, mode %04o, links %u",
             file->owner, file->group, file->mode, file->links);
    return segment_fail(error, status, 0,
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
        return segment_fail(error, row, failed, "process rows");
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
        return segment_fail(error, LILCACHE_OS, failed ? failed : -EEXIST, "fstat");
    }
    int status = segment_is_ready(segment->fd, file.size, &ready, &retired, error);
    if (status) {
        return status;
    }
    /* Empty, with processes in it: somebody cut it short. */
    bool used =
        file.size > 0 || lc_os_bytes_locked(segment->lock_fd, LC_ROW_BYTE, LC_ROWS_MAX);
    bool broken = !ready && used && !(options->flags & LILCACHE_ATTACH);
    if (broken || (ready && (recreate || retired))) {
        failed = segment_take_name(segment, segment->fd);
        if (!failed) {
            *again = true;
            return segment_fail(error, LILCACHE_RETIRED, 0, "retired");
        }
        if (ready || lc_object_refused(failed) != LILCACHE_FOREIGN) {
            return segment_fail(error, lc_object_refused(failed), failed, "shm_unlink");
        }
        /* Ours to finish all the same: our group's, and its creator is dead. */
    }
    *registered = segment_registered(&file.id);
    if (*registered) {
        return LILCACHE_OK;
    }
    if (ready) {
        return segment_attach(segment, file.size, options, error);
    }
    if (options->flags & LILCACHE_ATTACH) {
        return segment_fail(error, LILCACHE_NOT_READY, 0, "attach");
    }
    status = segment_make(segment, options, g, error);
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
        return segment_fail(error, LILCACHE_OS, failed, "fstat");
    }
    int status = lc_object_judge(&file, options);
    if (status) {
        return segment_refuse(status, &file, error);
    }
    segment->id = file.id;
    segment->lock_fd = lc_object_reopen(segment);
    if (segment->lock_fd < 0) {
        return segment_fail(error, LILCACHE_OS, segment->lock_fd,
                            "open(/proc/self/fd)");
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
        return segment_fail(error, LILCACHE_OS, segment->fd, "memfd_create");
    }
    int failed = lc_os_stat(segment->fd, &file);
    if (failed) {
        return segment_fail(error, LILCACHE_OS, failed, "fstat");
    }
    segment->id = file.id;
    segment->lock_fd = lc_object_reopen(segment);
    if (segment->lock_fd < 0) {
        return segment_fail(error, LILCACHE_OS, segment->lock_fd,
                            "open(/proc/self/fd)");
    }
    int status = segment_make(segment, options, g, error);
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
            return segment_fail(error, LILCACHE_MEMORY, ENOMEM, "calloc");
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
        segment_object_name(options->name, object_name, sizeof object_name, &failed);
    if (named < 0) {
        return segment_fail(error, named, failed,
                            failed ? "stat(/proc/self/ns/pid)" : "name");
    }
    bool sized = !(options->flags & LILCACHE_ATTACH) || options->size_bytes != 0 ||
                 options->flags & LILCACHE_ANONYMOUS;
    if (sized && !lc_geometry_make(options->size_bytes, options->max_value_bytes,
                                   options->max_processes, 0, cores, &g)) {
        return segment_fail(error, LILCACHE_INVALID, 0, "size, max_value");
    }
    failed = lc_fork_init();
    if (failed) {
        return segment_fail(error, LILCACHE_MEMORY, failed, "pthread_atfork");
    }
    struct lilcache *cache = calloc(1, sizeof *cache);
    if (!cache) {
        return segment_fail(error, LILCACHE_MEMORY, ENOMEM, "calloc");
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
        while (*at && *at != segment) {
            at = &(*at)->next;
        }
        if (*at) {
            *at = segment->next;
        }
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
    return segment_fail(error, lc_object_refused(failed), failed, "shm_unlink");
}

/* Take the name away if it is still this object's. */
static int segment_unlink(struct lc_segment *segment, struct lilcache_error *error) {
    int own = lc_object_reopen(segment);
    if (own < 0) {
        return segment_fail(error, lc_object_refused(own), own, "open");
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

uint64_t lilcache_memory_left(void) { return lc_room_left(); }

/* Somebody cut the object short. What is left of it is nothing to go on with, and those
 * who have not noticed yet are told. */
static int segment_leave_lost(struct lc_segment *segment) {
    if (lc_load_relaxed32(&segment->lost) != LC_LOST_LEFT) {
        lc_store_relaxed32(&segment->lost, LC_LOST_LEFT);
        if (!segment->anonymous) {
            segment_unlink(segment, NULL);
        }
        lc_store_release(&segment->header->hd_retired, 1);
    }
    return LILCACHE_RETIRED;
}

int lc_segment_alive(struct lc_segment *segment) {
    if (LC_UNLIKELY(!lc_fork_noticed())) {
        lc_fork_child_now();
    }
    /* A plain count: threads may lose steps of it, it only sets a pace. */
    uint64_t calls = lc_load_relaxed(&segment->calls) + 1;
    lc_store_relaxed(&segment->calls, calls);
    if (LC_UNLIKELY(calls % SEGMENT_NAME_CHECK == 0) && !segment->anonymous) {
        struct lc_os_file file;
        if (lc_os_stat(segment->fd, &file) == 0 && file.links == 0 &&
            lc_object_is(segment, segment->fd)) {
            lc_store_release(&segment->header->hd_retired, 1);
        }
    }
    bool retired = lc_load_acquire(&segment->header->hd_retired) != 0;
    /* Behind the look at the header, which may be what has gone. */
    if (LC_UNLIKELY(lc_load_relaxed32(&segment->lost) != 0)) {
        return segment_leave_lost(segment);
    }
    return LC_UNLIKELY(retired) ? LILCACHE_RETIRED : LILCACHE_OK;
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
