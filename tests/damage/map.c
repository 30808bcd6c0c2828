#include "damage.h"
#include "lc_block.h"
#include "lc_index.h"

#define RECORDS_SAMPLED 24
#define FIRST_ROWS      4 /* of those in use at most three, and a free one */

const char *const region_names[REGIONS] = {"header",  "rows",    "control", "lock",
                                           "intent",  "groups",  "blocks",  "index",
                                           "records", "anywhere"};

static void add(struct map *map, const struct lilcache *cache, enum region region,
                const void *from, uint64_t bytes) {
    CHECK(map->count[region] < PIECES_MAX);
    map->pieces[region][map->count[region]++] =
        (struct piece){(uint64_t)((const uint8_t *)from - cache->segment->base), bytes};
    map->bytes[region] += bytes;
}

struct sampling {
    struct map *map;
    const struct lilcache *cache;
    uint32_t left;
    uint32_t passed;
};

static void add_record(const struct lc_shard *shard, uint32_t group, uint64_t *slot,
                       void *context) {
    struct sampling *sampling = context;
    struct lc_record record;
    (void)group;
    if (lc_slot_is_live(*slot) &&
        lc_record_read(shard, lc_slot_offset(*slot), &record) &&
        sampling->passed++ % 5 == 0 && sampling->left > 0) {
        sampling->left--;
        add(sampling->map, sampling->cache, RECORDS, shard->heap + record.offset,
            lc_min64(record.total, 200));
        if (record.total >= 224) {
            add(sampling->map, sampling->cache, RECORDS,
                shard->heap + record.offset + record.total - 24, 24);
        }
    }
}

void map_make(struct lilcache *cache, bool all_rows, struct map *map) {
    struct lc_segment *segment = cache->segment;
    struct lc_shard *shard = ct_shard(cache);
    struct shm_shard *ctl = shard->ctl;
    memset(map->count, 0, sizeof map->count);
    memset(map->bytes, 0, sizeof map->bytes);
    add(map, cache, HEADER, segment->base, sizeof(struct shm_header));
    for (uint32_t row = 0; row < segment->row_count; row++) {
        const struct shm_row *at = lc_row_at(segment, row);
        bool used = (uint32_t)at->rw_state == LC_ROW_USED;
        if (used || all_rows || row < FIRST_ROWS) {
            add(map, cache, ROWS, at, segment->row_bytes);
        }
    }
    add(map, cache, LOCK, &ctl->sh_mutex, sizeof ctl->sh_mutex);
    add(map, cache, CONTROL, &ctl->sh_epoch, sizeof ctl->sh_epoch);
    add(map, cache, INTENT, &ctl->sh_intent, sizeof ctl->sh_intent);
    add(map, cache, CONTROL, &ctl->sh_stamp,
        sizeof *ctl - offsetof(struct shm_shard, sh_stamp));
    add(map, cache, GROUPS, shard->groups, shard->group_count * sizeof *shard->groups);
    add(map, cache, BLOCKS, shard->blocks, shard->block_count * sizeof *shard->blocks);
    for (uint32_t b = 0; b < shard->block_count; b++) {
        if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_INDEX) {
            const uint32_t *owners =
                (uint32_t *)(shard->heap + ((uint64_t)b << shard->block_shift));
            add(map, cache, INDEX, owners, LC_PAGE_BYTES);
            for (uint32_t i = shard->owner_pages; i < 1u << shard->page_shift; i++) {
                if (owners[i] != 0) {
                    add(map, cache, INDEX,
                        (const uint8_t *)owners + i * (uint64_t)LC_PAGE_BYTES,
                        LC_PAGE_BYTES);
                }
            }
        }
    }
    struct sampling sampling = {map, cache, RECORDS_SAMPLED, 0};
    for (uint32_t g = 0; g < shard->group_count; g++) {
        lc_index_visit_locked(shard, g, add_record, &sampling);
    }
}

uint64_t map_byte(const struct map *map, enum region region, uint64_t n) {
    for (uint32_t i = 0; i < map->count[region]; i++) {
        if (n < map->pieces[region][i].bytes) {
            return map->pieces[region][i].at + n;
        }
        n -= map->pieces[region][i].bytes;
    }
    LCT_FAIL("no such byte in %s", region_names[region]);
}
