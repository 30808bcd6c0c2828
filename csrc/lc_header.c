/* The header of a segment, and the name of its object: facts that are written once, and
 * the checks that make an object one of ours. Invariants: L1 L4 L5. */
#include "lc_header.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lc_error.h"
#include "lc_hash.h"
#include "lc_os.h"

#define HEADER_BOOT_ID "/proc/sys/kernel/random/boot_id"

static const uint64_t header_key[2] = {0x6c696c6361636865ULL, 1};

static uint32_t header_fingerprint(void) {
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
    return (uint32_t)lc_hash(header_key, facts, sizeof facts, 0);
}

int lc_header_object_name(const char *name, char *out, size_t cap, int *failed) {
    struct {
        uint64_t fingerprint;
        struct lc_os_id pid_namespace;
    } identity = {.fingerprint = header_fingerprint()};
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
    uint64_t suffix = lc_hash(header_key, &identity, sizeof identity, 1);
    return snprintf(out, cap, "%s.%016llx", name, (unsigned long long)suffix);
}

int lilcache_object_name(const char *name, char *out, size_t cap) {
    int failed;
    return lc_header_object_name(name, out, cap, &failed);
}

uint64_t lc_header_checksum(const struct shm_header *header) {
    return lc_hash(header_key, header, offsetof(struct shm_header, hd_checksum), 0);
}

int lc_header_make(struct shm_header *header, const struct lc_geometry *g,
                   uint32_t flags, struct lilcache_error *error) {
    struct lc_os_id time_ns;
    *header = (struct shm_header){0};
    int failed = lc_os_random(header->hd_hash_key, sizeof header->hd_hash_key);
    if (failed) {
        return lc_fail(error, LILCACHE_OS, failed, "getrandom");
    }
    failed = lc_os_boot_id(header->hd_boot_id);
    if (failed) {
        return lc_fail(error, LILCACHE_OS, failed, HEADER_BOOT_ID);
    }
    failed = lc_os_namespace("time", &time_ns);
    if (failed) {
        return lc_fail(error, LILCACHE_OS, failed, "stat(/proc/self/ns/time)");
    }
    header->hd_magic = LC_MAGIC;
    header->hd_layout = LC_LAYOUT_VERSION;
    header->hd_fingerprint = header_fingerprint();
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
    header->hd_flags = flags & (LILCACHE_CHECKSUMS | LILCACHE_FAVOR_BYTES);
    header->hd_rows_at = g->rows_at;
    header->hd_shards_at = g->shards_at;
    header->hd_shard_bytes = g->shard_bytes;
    header->hd_groups_at = g->groups_at;
    header->hd_blocks_at = g->blocks_at;
    header->hd_heap_at = g->heap_at;
    header->hd_checksum = lc_header_checksum(header);
    return LILCACHE_OK;
}

int lc_header_check(const struct shm_header *h, uint64_t size, struct lc_geometry *g,
                    struct lilcache_error *error) {
    struct lc_os_id time_ns;
    if (h->hd_magic != LC_MAGIC || h->hd_layout != LC_LAYOUT_VERSION ||
        h->hd_fingerprint != header_fingerprint()) {
        return lc_fail(error, LILCACHE_MISMATCH, 0, "header");
    }
    if (h->hd_checksum != lc_header_checksum(h) || h->hd_size != size ||
        h->hd_shard_count == 0 || h->hd_row_count == 0 ||
        !lc_geometry_make(h->hd_size, h->hd_max_value, h->hd_row_count,
                          h->hd_shard_count, 1, g) ||
        h->hd_row_bytes != g->row_bytes || h->hd_row_pins != g->row_pins ||
        h->hd_block_shift != g->block_shift || h->hd_block_count != g->block_count ||
        h->hd_group_count != g->group_count || h->hd_rows_at != g->rows_at ||
        h->hd_shards_at != g->shards_at || h->hd_shard_bytes != g->shard_bytes ||
        h->hd_groups_at != g->groups_at || h->hd_blocks_at != g->blocks_at ||
        h->hd_heap_at != g->heap_at) {
        return lc_fail(error, LILCACHE_CORRUPT, 0, "header");
    }
    int failed = lc_os_namespace("time", &time_ns);
    if (failed) {
        return lc_fail(error, LILCACHE_OS, failed, "stat(/proc/self/ns/time)");
    }
    if (h->hd_time_ns[0] != time_ns.device || h->hd_time_ns[1] != time_ns.inode) {
        return lc_fail(error, LILCACHE_NAMESPACE, 0, "time namespace");
    }
    return LILCACHE_OK;
}

int lc_header_is_ready(int fd, uint64_t size, bool *ready, bool *retired,
                       struct lilcache_error *error) {
    struct shm_header header;
    uint64_t boot_id[2] = {0, 0};
    *ready = *retired = false;
    int failed = size < LC_SIZE_MIN ? -ENODATA : lc_os_read(fd, &header, sizeof header);
    if (failed) {
        return failed == -ENODATA ? LILCACHE_OK
                                  : lc_fail(error, LILCACHE_OS, failed, "pread");
    }
    /* Cut short, it is of no use to those who are in it either. */
    bool cut =
        header.hd_checksum == lc_header_checksum(&header) && size < header.hd_size;
    if (header.hd_ready != LC_READY || cut) {
        return LILCACHE_OK;
    }
    /* Left over from another boot, on a file system that outlives it? */
    failed = lc_os_boot_id(boot_id);
    if (failed && failed != -ENOENT) {
        return lc_fail(error, LILCACHE_OS, failed, HEADER_BOOT_ID);
    }
    *ready = failed ||
             (header.hd_boot_id[0] == boot_id[0] && header.hd_boot_id[1] == boot_id[1]);
    *retired = header.hd_retired != 0;
    return LILCACHE_OK;
}

void lc_header_retire(int fd) {
    static const uint64_t retired = 1;
    struct shm_header header;
    if (lc_os_read(fd, &header, sizeof header) == 0 && header.hd_magic == LC_MAGIC) {
        lc_os_write_at(fd, &retired, sizeof retired,
                       offsetof(struct shm_header, hd_retired));
    }
}
