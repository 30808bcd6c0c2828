/* An object's bytes as a segment: laid out anew, or found ready. Invariants: L1 L4. */
#include "lc_mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lc_atomic.h"
#include "lc_error.h"
#include "lc_guard.h"
#include "lc_header.h"
#include "lc_lock.h"
#include "lc_object.h"
#include "lc_room.h"

/* Copy the geometry into the process and point into the mapping. header: a copy whose
 * checksum is right. */
static int mapping_view(struct lc_segment *segment, const struct lc_geometry *g,
                        const struct shm_header *header) {
    segment->header = (struct shm_header *)segment->base;
    segment->size = g->size;
    segment->max_value = g->max_value;
    segment->shard_count = g->shard_count;
    segment->row_count = g->row_count;
    segment->row_bytes = g->row_bytes;
    segment->row_pins = g->row_pins;
    segment->row_stripes = g->row_stripes;
    segment->stripe_mask = (g->row_stripes - 1) * LC_CACHE_LINE;
    segment->row_counters_at = (uint32_t)sizeof(struct shm_row) + g->row_pins * 8;
    segment->rows_at = g->rows_at;
    lc_hash_secret_draw(&segment->hash, header->hd_hash_key);
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
        shard->run_waiting = (2U << 16) / g->block_count;
        /* Ghosts may cost the index 1/128 of the heap: docs/decisions/0002. */
        shard->ghosts_per_group =
            (uint32_t)(shard->heap_bytes / 128 / g->group_count / 10);
        shard->checksums = (header->hd_flags & LILCACHE_CHECKSUMS) != 0;
        shard->favor_bytes = (header->hd_flags & LILCACHE_FAVOR_BYTES) != 0;
        shard->segment = segment;
    }
    return LILCACHE_OK;
}

static int mapping_map(struct lc_segment *segment, uint64_t size,
                       const struct lilcache_options *options,
                       struct lilcache_error *error) {
    void *base = NULL;
    int failed = lc_os_map(segment->fd, size, &base);
    if (failed) {
        return lc_fail(error, LILCACHE_OS, failed, "mmap");
    }
    segment->base = base;
    segment->size = size;
    if (!(options->flags & LILCACHE_UNGUARDED)) {
        failed = lc_guard_install();
        if (failed) {
            return lc_fail(error, LILCACHE_OS, failed, "sigaction");
        }
        lc_guard_add(base, size, segment->fd, &segment->id, &segment->lost);
    }
    return LILCACHE_OK;
}

static int mapping_init_shard(struct lc_shard *shard) {
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

int lc_mapping_make(struct lc_segment *segment, const struct lilcache_options *options,
                    const struct lc_geometry *g, struct lilcache_error *error) {
    struct shm_header header;
    int failed = 0;
    /* First of all, so that those it is meant for wait for it, and can replace it when
     * we die. */
    if (options->owner >= 0 || options->group >= 0) {
        failed = lc_object_grant(segment->fd, options);
    }
    if (failed) {
        return lc_fail(error, LILCACHE_OS, failed, "fchown");
    }
    struct lc_room_refusal why;
    failed = lc_room_reserve(segment->fd, g->size, &why);
    if (failed) {
        if (error) {
            error->wanted_bytes = g->size;
            error->available_bytes = why.available;
        }
        return lc_fail(error, LILCACHE_OS, failed, why.step);
    }
    int status = mapping_map(segment, g->size, options, error);
    if (status) {
        return status;
    }
    status = lc_header_make(&header, g, options->flags, error);
    if (status) {
        return status;
    }
    memset(segment->base, 0, g->shards_at);
    memcpy(segment->base, &header, offsetof(struct shm_header, hd_ready));
    status = mapping_view(segment, g, &header);
    if (status) {
        return lc_fail(error, status, ENOMEM, "calloc");
    }
    for (uint32_t i = 0; i < segment->shard_count; i++) {
        failed = mapping_init_shard(&segment->shards[i]);
        if (failed) {
            return lc_fail(error, LILCACHE_OS, failed, "pthread_mutex_init");
        }
    }
    segment->created = true;
    /* Release: everything is in place, also for a reader who comes when we are dead
     * [L4]. */
    lc_store_release(&segment->header->hd_ready, LC_READY);
    return LILCACHE_OK;
}

int lc_mapping_attach(struct lc_segment *segment, uint64_t size,
                      const struct lilcache_options *options,
                      struct lilcache_error *error) {
    struct shm_header header;
    struct lc_geometry g;
    int failed = lc_os_read(segment->fd, &header, sizeof header);
    if (failed) {
        return lc_fail(error, LILCACHE_OS, failed, "pread");
    }
    int status = lc_header_check(&header, size, &g, error);
    if (status == LILCACHE_OK) {
        status = mapping_map(segment, size, options, error);
    }
    if (status) {
        return status;
    }
    status = mapping_view(segment, &g, &header);
    return status ? lc_fail(error, status, ENOMEM, "calloc") : LILCACHE_OK;
}
