/* Names, helps and values of status.def and stats.def. */
#include "lc_block.h"
#include "lc_check.h"
#include "lc_counter.h"
#include "lc_index.h"
#include "lc_pin.h"
#include "lc_row.h"
#include "lc_segment.h"
#include "lc_shard.h"

#define LC_NAME_PROCESS(name) "P" #name
#define LC_NAME_SHARD(name)   "S" #name
#define LC_NAME_GAUGE(name)   "G" #name

enum stats_index {
#define X(name, kind, help) STATS_##name,
#include "stats.def"
#undef X
    STATS_COUNT
};

static const struct {
    const char *name; /* after one letter for its kind */
    const char *help;
} stats_table[] = {
#define X(name, kind, help) {LC_NAME_##kind(name), help},
#include "stats.def"
#undef X
};

const char *lilcache_stat_name(int index) {
    return index >= 0 && index < STATS_COUNT ? stats_table[index].name + 1 : NULL;
}

const char *lilcache_stat_help(int index) {
    return index >= 0 && index < STATS_COUNT ? stats_table[index].help : NULL;
}

const char *lilcache_status_name(int status) {
    switch (status) {
#define X(name, code, class_, text)                                                    \
    case code:                                                                         \
        return #name;
#include "status.def"
#undef X
    default:
        return "UNKNOWN";
    }
}

const char *lilcache_status_text(int status) {
    switch (status) {
#define X(name, code, class_, text)                                                    \
    case code:                                                                         \
        return text;
#include "status.def"
#undef X
    default:
        return "unknown status";
    }
}

/* Sums over words that change meanwhile: each is some recent value. */
static void stats_shard_racy(const struct lc_shard *shard,
                             uint64_t values[STATS_COUNT]) {
    const struct shm_shard *ctl = shard->ctl;
    uint32_t epoch = (uint32_t)lc_load_relaxed(&ctl->sh_epoch);
    for (uint32_t b = 0; b < shard->block_count; b++) {
        const struct shm_block *block = &shard->blocks[b];
        uint64_t word = lc_load_relaxed(&block->bl_word);
        uint64_t live = lc_load_relaxed(&block->bl_live);
        switch (lc_word_state(word)) {
        case LC_BLOCK_FREE:
            values[STATS_free_blocks]++;
            break;
        case LC_BLOCK_INDEX:
            values[STATS_index_bytes] += 1ULL << shard->block_shift;
            break;
        case LC_BLOCK_PARKED:
            values[STATS_parked_blocks] += lc_word_length(word);
            break;
        case LC_BLOCK_OPEN:
        case LC_BLOCK_SEALED:
            if (lc_word_epoch(word) == epoch) {
                uint64_t bytes = (live & UINT32_MAX) << LC_UNIT_SHIFT;
                values[STATS_items] += live >> 32;
                values[STATS_live_bytes] += bytes;
                values[lc_word_queue(word) == LC_MAIN ? STATS_main_bytes
                                                      : STATS_small_bytes] += bytes;
            }
            break;
        default:
            break;
        }
    }
    for (uint32_t g = 0; g < shard->group_count; g++) {
        uint32_t pages = (uint32_t)(lc_load_relaxed(&shard->groups[g].gr_dir) >> 32);
        values[STATS_ghosts] += lc_load_relaxed(&shard->groups[g].gr_counts) >> 32;
        if (pages > 0) {
            values[STATS_index_slots] +=
                (uint64_t)lc_group_buckets(pages) * LC_BUCKET_SLOTS;
        }
    }
}

int lilcache_stats(struct lilcache *cache, uint64_t *out, int count) {
    struct lc_segment *segment = cache->segment;
    uint64_t values[STATS_COUNT] = {0};
    uint64_t process[LC_ROW_COUNTERS] = {0};
    uint64_t shard_sums[LC_SHARD_COUNTERS] = {0};
    int process_at = 0;
    int shard_at = 0;

    for (int c = 0; c < LC_ROW_COUNTERS; c++) {
        process[c] = lc_load_relaxed(&segment->header->hd_left[c]);
    }
    for (uint32_t i = 0; i < lc_rows_used(segment); i++) {
        struct shm_row *row = lc_row_at(segment, i);
        for (int c = 0; c < LC_ROW_COUNTERS; c++) {
            process[c] += lc_row_sum(segment, row, (enum lc_row_counter)c);
        }
        values[STATS_processes] +=
            (uint32_t)lc_load_relaxed(&row->rw_state) == LC_ROW_USED;
    }
    for (uint32_t s = 0; s < segment->shard_count; s++) {
        const struct lc_shard *shard = &segment->shards[s];
        for (int c = 0; c < LC_SHARD_COUNTERS; c++) {
            shard_sums[c] += lc_load_relaxed(&shard->ctl->sh_counter[c]);
        }
        stats_shard_racy(shard, values);
    }
    values[STATS_pins] = lc_pin_count(segment);
    values[STATS_size_bytes] = segment->size;
    values[STATS_max_value_bytes] = segment->max_value;
    values[STATS_shards] = segment->shard_count;
    values[STATS_blocks] =
        (uint64_t)segment->shards[0].block_count * segment->shard_count;
    values[STATS_block_bytes] = 1ULL << segment->shards[0].block_shift;
    for (int i = 0; i < STATS_COUNT; i++) {
        char kind = stats_table[i].name[0];
        if (kind == 'P') {
            values[i] = process[process_at++];
        } else if (kind == 'S') {
            values[i] = shard_sums[shard_at++];
        }
    }
    for (int i = 0; i < count && i < STATS_COUNT; i++) {
        out[i] = values[i];
    }
    return STATS_COUNT;
}

int lilcache_check(struct lilcache *cache, char *report, size_t cap) {
    struct lc_segment *segment = cache->segment;
    int violated = 0;
    for (uint32_t s = 0; s < segment->shard_count && !violated; s++) {
        struct lc_shard *shard = &segment->shards[s];
        int status = lc_shard_enter(shard, LILCACHE_SLICE_MS);
        if (status != LILCACHE_OK) {
            return status;
        }
        violated = !lc_check_all_locked(shard, report, cap);
        lc_shard_leave(shard);
    }
    return (int)lc_segment_told(segment, violated);
}
