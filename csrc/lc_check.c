/* One function per family of invariants; ids as in docs/invariants.md. Allocates
 * scratch from libc, which only the caller of lilcache_check pays for. */
#include "lc_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lc_append.h"
#include "lc_block.h"
#include "lc_hash.h"
#include "lc_index.h"
#include "lc_pages.h"

struct check {
    const struct lc_shard *shard;
    char *report;
    size_t cap;
    uint64_t *live;       /* per block: what bl_live of its run should be */
    uint32_t *page_owner; /* per page: group + 1 that lists it */
};

#define CHECK_FAIL(c, ...)                                                             \
    do {                                                                               \
        if ((c)->report) {                                                             \
            snprintf((c)->report, (c)->cap, __VA_ARGS__);                              \
        }                                                                              \
        return false;                                                                  \
    } while (0)

/* B1 B2: the table walks from end to end and its counts agree. */
static bool check_table(struct check *c) {
    const struct lc_shard *shard = c->shard;
    const struct shm_shard *ctl = shard->ctl;
    uint32_t counts[8] = {0};
    uint32_t pages = 0;
    uint32_t b = 0;
    while (b < shard->block_count) {
        const struct shm_block *block = &shard->blocks[b];
        /* Once each, here as elsewhere: damage may come between two loads. */
        uint64_t head_word = lc_load_relaxed(&block->bl_word);
        enum lc_block_state state = lc_word_state(head_word);
        uint32_t length = lc_word_length(head_word);
        if (state > LC_BLOCK_INDEX) {
            CHECK_FAIL(c, "B1: block %u is a head in state %d", b, (int)state);
        }
        if (length == 0 || length > shard->block_count - b ||
            (length > 1 && (state == LC_BLOCK_FREE || state == LC_BLOCK_INDEX))) {
            CHECK_FAIL(c, "B1: block %u has length %u in state %d", b, length,
                       (int)state);
        }
        for (uint32_t i = 1; i < length; i++) {
            uint64_t word = shard->blocks[b + i].bl_word;
            if (lc_word_state(word) != LC_BLOCK_CONT || lc_word_length(word) != i) {
                CHECK_FAIL(c, "B2: block %u does not continue run %u", b + i, b);
            }
        }
        if (state == LC_BLOCK_OPEN && !lc_run_is_listed_locked(shard, b)) {
            CHECK_FAIL(c, "B1: run %u is open and nobody's", b);
        }
        if (state != LC_BLOCK_INDEX && block->bl_fill > (uint64_t)length
                                                            << shard->block_shift) {
            CHECK_FAIL(c, "B3: run %u is filled past its end", b);
        }
        if (state == LC_BLOCK_INDEX) {
            /* P2: what is counted as used for nothing is missing for ever. */
            uint32_t used = lc_pages_used_locked(shard, b);
            if (block->bl_fill != used) {
                CHECK_FAIL(c, "P2: block %u counts %u pages", b, used);
            }
            pages += used;
        }
        counts[state] += length;
        b += length;
    }
    if (counts[LC_BLOCK_FREE] != ctl->sh_free_blocks ||
        counts[LC_BLOCK_INDEX] != ctl->sh_index_blocks ||
        counts[LC_BLOCK_PARKED] != ctl->sh_parked_blocks ||
        pages != ctl->sh_index_pages) {
        CHECK_FAIL(c, "B1: counts: free %u/%u index %u/%u parked %u/%u pages %u/%u",
                   counts[LC_BLOCK_FREE], ctl->sh_free_blocks, counts[LC_BLOCK_INDEX],
                   ctl->sh_index_blocks, counts[LC_BLOCK_PARKED], ctl->sh_parked_blocks,
                   pages, ctl->sh_index_pages);
    }
    for (int queue = 0; queue < LC_QUEUES; queue++) {
        for (int place = 0; place < LC_OPEN_RUNS; place++) {
            uint32_t head = lc_load_relaxed32(&ctl->sh_open[queue][place]);
            if (head == LC_NO_BLOCK) {
                continue;
            }
            if (head >= shard->block_count ||
                lc_word_state(shard->blocks[head].bl_word) != LC_BLOCK_OPEN) {
                CHECK_FAIL(c, "B1: open run %u is not open", head);
            }
        }
    }
    if (ctl->sh_intent.in_kind != LC_INTENT_NONE) {
        CHECK_FAIL(c, "R1: an intent is armed with nobody inside");
    }
    return true;
}

static bool check_dirs(struct check *c) {
    const struct lc_shard *shard = c->shard;
    uint64_t listed = 0;
    for (uint32_t g = 0; g < shard->group_count; g++) {
        uint64_t dir = lc_load_relaxed(&shard->groups[g].gr_dir);
        struct lc_group group;
        if (dir == 0) {
            continue;
        }
        if (!lc_group_open(shard, dir, &group)) {
            CHECK_FAIL(c, "I4: group %u has no valid directory word", g);
        }
        listed += group.pages;
        for (uint32_t i = 0; i < group.pages; i++) {
            uint32_t page =
                i == 0 ? group.first : lc_load_relaxed32(&group.list[i - 1]);
            uint32_t block = page >> shard->page_shift;
            if (page >= shard->page_numbers ||
                lc_word_state(shard->blocks[block].bl_word) != LC_BLOCK_INDEX) {
                CHECK_FAIL(c, "P1: page %u of group %u is in no index block", page, g);
            }
            const uint32_t *owners =
                (const uint32_t *)(shard->heap +
                                   ((uint64_t)block << shard->block_shift));
            if (owners[page & ((1u << shard->page_shift) - 1)] != g + 1) {
                CHECK_FAIL(c, "P1: page %u of group %u has another owner", page, g);
            }
            if (c->page_owner) {
                if (c->page_owner[page]) {
                    CHECK_FAIL(c, "P1: page %u is in two groups", page);
                }
                c->page_owner[page] = g + 1;
            }
        }
    }
    if (listed != shard->ctl->sh_index_pages) {
        CHECK_FAIL(c, "P2: groups list %llu pages of %u", (unsigned long long)listed,
                   shard->ctl->sh_index_pages);
    }
    return true;
}

/* P2: no page is owned by a group that does not list it. */
static bool check_owners(struct check *c) {
    const struct lc_shard *shard = c->shard;
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        if (lc_word_state(shard->blocks[b].bl_word) != LC_BLOCK_INDEX) {
            continue;
        }
        const uint32_t *owners =
            (const uint32_t *)(shard->heap + ((uint64_t)b << shard->block_shift));
        for (uint32_t i = shard->owner_pages; i < 1u << shard->page_shift; i++) {
            uint32_t page = (b << shard->page_shift) + i;
            if (owners[i] != c->page_owner[page]) {
                CHECK_FAIL(c, "P2: page %u is owned by %u but listed by %u", page,
                           owners[i], c->page_owner[page]);
            }
        }
    }
    return true;
}

/* I1: a live slot points to a record of a readable run, whose key has this tag. */
static bool check_slot(struct check *c, uint32_t g, const struct lc_group *group,
                       uint32_t bucket, uint64_t word) {
    const struct lc_shard *shard = c->shard;
    struct lc_record record;
    struct lc_found found;
    if (!lc_record_read(shard, lc_slot_offset(word), &record)) {
        CHECK_FAIL(c, "I1: a slot of group %u points to no record", g);
    }
    uint32_t head = lc_block_head_locked(shard, lc_block_of(shard, record.offset));
    const struct shm_block *block = &shard->blocks[head];
    enum lc_block_state state = lc_word_state(block->bl_word);
    if ((state != LC_BLOCK_OPEN && state != LC_BLOCK_SEALED) ||
        record.offset + record.total >
            ((uint64_t)head << shard->block_shift) + block->bl_fill) {
        CHECK_FAIL(c, "I1: a slot of group %u points outside the filled runs", g);
    }
    const void *key = lc_record_key(shard, &record);
    uint32_t type = lc_record_key_type(&record);
    lc_hash64 hash = lc_hash_key(&shard->segment->hash, key, record.key_length, type);
    if (lc_tag_of(hash) != lc_slot_tag(word) || lc_group_of(shard, hash) != g ||
        lc_shard_of(shard->segment, hash) != shard) {
        CHECK_FAIL(c, "I1: a slot of group %u does not fit its record's key", g);
    }
    if (!lc_index_find_locked(shard, hash, key, record.key_length, type, &found,
                              NULL) ||
        found.record.offset != record.offset) {
        uint32_t home = lc_group_home(group, lc_slot_tag(word));
        CHECK_FAIL(c, "I3: the slot in bucket %u of group %u (home %u) is not found",
                   bucket, g, home);
    }
    if (record.flags & LC_RECORD_DEAD) {
        CHECK_FAIL(c, "R1: a live slot of group %u points to a record marked dead", g);
    }
    if (!lc_append_verify(shard, &record)) {
        CHECK_FAIL(c, "R2: a record of group %u does not match its checksum", g);
    }
    c->live[head] += (record.total >> LC_UNIT_SHIFT) + (1ULL << 32);
    return true;
}

static bool check_groups(struct check *c) {
    const struct lc_shard *shard = c->shard;
    for (uint32_t g = 0; g < shard->group_count; g++) {
        struct lc_group group;
        uint64_t live = 0;
        uint64_t ghosts = 0;
        if (!lc_group_open(shard, lc_load_relaxed(&shard->groups[g].gr_dir), &group)) {
            continue;
        }
        for (uint32_t b = 0; b < group.buckets; b++) {
            const struct shm_bucket *bucket = lc_group_bucket(shard, &group, b);
            if (!bucket) {
                CHECK_FAIL(c, "I4: group %u lists a page that does not exist", g);
            }
            for (uint32_t i = 0; i < LC_BUCKET_SLOTS; i++) {
                uint64_t word = lc_load_relaxed(&bucket->bk_slot[i]);
                ghosts += lc_slot_is_ghost(word);
                live += lc_slot_is_live(word);
                if (lc_slot_is_live(word) && !check_slot(c, g, &group, b, word)) {
                    return false;
                }
            }
        }
        if (shard->groups[g].gr_counts != (ghosts << 32 | live)) {
            CHECK_FAIL(c, "I2: group %u counts %llx, has %llx", g,
                       (unsigned long long)shard->groups[g].gr_counts,
                       (unsigned long long)(ghosts << 32 | live));
        }
    }
    return true;
}

/* B3: records follow each other up to the fill. E2: live bytes are what slots point to.
 */
static bool check_runs(struct check *c) {
    const struct lc_shard *shard = c->shard;
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        const struct shm_block *block = &shard->blocks[b];
        enum lc_block_state state = lc_word_state(block->bl_word);
        if (state != LC_BLOCK_OPEN && state != LC_BLOCK_SEALED) {
            continue;
        }
        uint64_t at = 0;
        while (at < block->bl_fill) {
            struct lc_record record;
            if (!lc_record_read(shard, ((uint64_t)b << shard->block_shift) + at,
                                &record)) {
                CHECK_FAIL(c, "B3: run %u has no record at %llu", b,
                           (unsigned long long)at);
            }
            at += record.total;
        }
        if (at != block->bl_fill) {
            CHECK_FAIL(c, "B3: the last record of run %u passes its fill", b);
        }
        if (block->bl_live != c->live[b]) {
            CHECK_FAIL(c, "E2: run %u counts live %llx, has %llx", b,
                       (unsigned long long)block->bl_live,
                       (unsigned long long)c->live[b]);
        }
    }
    return true;
}

LC_NOINLINE bool lc_check_quick_locked(const struct lc_shard *shard) {
    struct check c = {.shard = shard};
    return check_table(&c) && check_dirs(&c);
}

bool lc_check_all_locked(const struct lc_shard *shard, char *report, size_t cap) {
    struct check c = {
        .shard = shard,
        .report = report,
        .cap = cap,
        .live = calloc(shard->block_count, sizeof(uint64_t)),
        .page_owner = calloc(shard->page_numbers, sizeof(uint32_t)),
    };
    bool whole = false;
    if (c.live && c.page_owner) {
        whole = check_table(&c) && check_dirs(&c) && check_owners(&c) &&
                check_groups(&c) && check_runs(&c);
    } else {
        snprintf(report, cap, "out of memory");
    }
    free(c.live);
    free(c.page_owner);
    return whole;
}
