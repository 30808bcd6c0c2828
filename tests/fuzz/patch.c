#include "patch.h"

#include "lc_index.h"
#include "lc_pages.h"

enum kind {
    K_HEADER,
    K_ROW,
    K_SHARD,
    K_INTENT,
    K_PHASE,
    K_GROUP,
    K_BLOCK,
    K_SLOT,
    K_OVERFLOW,
    K_PAGE_LIST,
    K_OWNER,
    K_RECORD,
    K_RECORD_BYTE,
    K_HEAP_WORD,
    K_BURST,
    K_OWNER_DIED,
    K_COUNT,
};

/* Numbers that mean something somewhere: limits, states, references. */
static uint64_t interesting(const struct lc_shard *shard, uint32_t which) {
    uint32_t state = which % 7;
    uint32_t lengths[8] = {
        0, 1, 2, 7, shard->block_count, shard->block_count - 1, 300, 0xFFFFFF};
    uint64_t numbers[32] = {
        0,
        1,
        2,
        7,
        8,
        255,
        4095,
        65535,
        65536,
        INT32_MAX,
        UINT32_MAX,
        1ULL << 32,
        INT64_MAX,
        1ULL << 63,
        UINT64_MAX,
        UINT64_MAX - 1,
        shard->block_count,
        shard->block_count - 1,
        shard->block_count + 1,
        shard->page_numbers,
        shard->page_numbers - 1,
        shard->heap_bytes,
        shard->heap_bytes - 8,
        shard->heap_bytes - 16,
        shard->heap_bytes >> LC_UNIT_SHIFT,
        shard->group_count,
        shard->record_max,
        1ULL << shard->block_shift,
        arena_now_ms,
        lc_group_dir(shard->page_numbers - 1, 1),
        lc_group_dir(shard->page_numbers - 1, LC_GROUP_PAGES_MAX),
        lc_slot_live(which, (shard->heap_bytes >> LC_UNIT_SHIFT) - 1, 0),
    };
    if (which < 32) {
        return numbers[which];
    }
    if (which < 128) {
        return lc_block_word((enum lc_block_state)state, which & 1 ? LC_MAIN : LC_SMALL,
                             lengths[which / 7 % 8], (uint32_t)shard->ctl->sh_epoch);
    }
    if (which < 192) {
        uint32_t block = which * 5 % shard->block_count;
        return which & 1 ? shard->blocks[block].bl_word
                         : (uint64_t)block << shard->block_shift;
    }
    return shard->groups[which % shard->group_count].gr_dir;
}

static uint64_t changed(const struct lc_shard *shard, uint64_t word, uint32_t how,
                        uint32_t a, uint32_t b, uint32_t c) {
    switch (how % 8) {
    case 0:
    case 1:
        return word ^ 1ULL << (a & 63);
    case 2:
        return interesting(shard, a);
    case 3: /* one half of the word */
        return b & 1 ? (word & UINT32_MAX) | interesting(shard, a) << 32
                     : (word & ~(uint64_t)UINT32_MAX) |
                           (interesting(shard, a) & UINT32_MAX);
    case 4:
        return word + (uint64_t)(int64_t)(int8_t)a;
    case 5:
        return word ^ (uint64_t)(a | b << 8 | c << 16) << (how >> 3 & 31);
    case 6:
        return a | (uint64_t)b << 8 | (uint64_t)c << 16;
    default:
        return word + ((uint64_t)(int64_t)(int8_t)a << 32);
    }
}

static void change(const struct lc_shard *shard, uint64_t *word, struct input *in) {
    uint32_t how = input_byte(in);
    uint32_t a = input_byte(in);
    uint32_t b = input_byte(in);
    arena_write64(word, changed(shard, *word, how, a, b, input_byte(in)));
}

void patch_header(struct shm_header *header, struct input *in, uint32_t where) {
    static struct lc_shard shard = {.block_count = 200,
                                    .block_shift = 12,
                                    .group_count = 8,
                                    .page_numbers = 1600,
                                    .heap_bytes = 200 << 12};
    static struct shm_shard ctl;
    static struct shm_block blocks[200];
    static struct shm_group groups[8];
    shard.ctl = &ctl;
    shard.blocks = blocks;
    shard.groups = groups;
    uint64_t *word = (uint64_t *)header + where;
    uint32_t how = input_byte(in);
    uint32_t a = input_byte(in);
    arena_write64(word, changed(&shard, *word, how, a, input_byte(in), 0));
}

/* --- places ----------------------------------------------------------------------- */

static struct shm_bucket *bucket_at(const struct lc_shard *shard, uint32_t where) {
    struct lc_group group;
    for (uint32_t i = 0; i < shard->group_count; i++) {
        uint32_t g = (where + i) % shard->group_count;
        if (lc_group_open(shard, shard->groups[g].gr_dir, &group)) {
            return lc_group_bucket(shard, &group,
                                   where / shard->group_count % group.buckets);
        }
    }
    return NULL;
}

static uint64_t *slot_at(const struct lc_shard *shard, uint32_t where) {
    struct shm_bucket *bucket = bucket_at(shard, where);
    for (uint32_t i = 0; bucket && i < LC_BUCKET_SLOTS; i++) {
        uint32_t at = (where / 512 + i) % LC_BUCKET_SLOTS;
        if (bucket->bk_slot[at] != 0) {
            return &bucket->bk_slot[at];
        }
    }
    return bucket ? &bucket->bk_slot[where % LC_BUCKET_SLOTS] : NULL;
}

/* The record that a slot from `where` on points to; 0: none. */
static uint64_t record_at(const struct lc_shard *shard, uint32_t where,
                          struct lc_record *record) {
    for (uint32_t i = 0; i < 16; i++) {
        const uint64_t *slot = slot_at(shard, where + i * 8);
        if (slot && lc_slot_is_live(*slot) &&
            lc_record_read(shard, lc_slot_offset(*slot), record)) {
            return record->total;
        }
    }
    return 0;
}

static void burst(const struct lc_shard *shard, struct input *in, uint32_t where) {
    struct ct_random random = {where};
    uint8_t bytes[256];
    uint64_t room = shard->heap_bytes - sizeof bytes;
    uint64_t at = ((uint64_t)where * 64 + input_byte(in)) % room;
    size_t count = (size_t)input_byte(in) + 1;
    uint32_t how = input_byte(in);
    input_byte(in);
    for (size_t i = 0; i < count; i++) {
        bytes[i] = how < 64 ? 0 : how < 128 ? 0xFF : (uint8_t)ct_random(&random);
    }
    uint8_t *from =
        how % 4 ? shard->heap : (uint8_t *)shard->groups; /* and the block table */
    if (from != shard->heap) {
        at %= (uint64_t)(shard->heap - from) - sizeof bytes;
    }
    arena_write(from + at, bytes, count);
}

void patch_apply(struct model *m, struct input *in, uint32_t kind, uint32_t where) {
    struct lc_segment *segment = m->segment;
    const struct lc_shard *shard = &segment->shards[where % segment->shard_count];
    struct shm_shard *ctl = shard->ctl;
    const size_t after_lock = offsetof(struct shm_shard, sh_epoch);
    struct shm_bucket *bucket;
    struct lc_record record;
    struct lc_group group;
    uint64_t *slot;
    m->damaged = true;
    switch (kind % K_COUNT) {
    case K_HEADER:
        change(shard,
               (uint64_t *)segment->header + where % (sizeof *segment->header / 8), in);
        break;
    case K_ROW:
        change(shard,
               (uint64_t *)lc_row_at(segment, where % segment->row_count) +
                   where / 16 % (segment->row_bytes / 8),
               in);
        break;
    case K_SHARD: /* a mutex with changed words cannot be survived by anybody */
        change(shard,
               (uint64_t *)((uint8_t *)ctl + after_lock) +
                   where % ((sizeof *ctl - after_lock) / 8),
               in);
        break;
    case K_INTENT:
        change(shard, (uint64_t *)&ctl->sh_intent + where % 16, in);
        break;
    case K_PHASE:
        arena_write64(&ctl->sh_intent.in_phase, where % 4);
        break;
    case K_GROUP:
        change(shard, (uint64_t *)shard->groups + where % (shard->group_count * 4), in);
        break;
    case K_BLOCK:
        change(shard,
               (uint64_t *)&shard->blocks[where % shard->block_count] +
                   where / 256 % (sizeof(struct shm_block) / 8),
               in);
        break;
    case K_SLOT:
        slot = slot_at(shard, where);
        if (slot) {
            change(shard, slot, in);
        }
        break;
    case K_OVERFLOW:
        bucket = bucket_at(shard, where);
        if (bucket) {
            change(shard, &bucket->bk_overflow, in);
        }
        break;
    case K_PAGE_LIST:
        if (lc_group_open(shard, shard->groups[where % shard->group_count].gr_dir,
                          &group)) {
            change(shard, (uint64_t *)group.list + where / 8 % 8, in);
        }
        break;
    case K_OWNER:
        for (uint32_t b = shard->block_count; b-- > 0;) {
            if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_INDEX) {
                change(shard,
                       (uint64_t *)(shard->heap + ((uint64_t)b << shard->block_shift)) +
                           where % 8,
                       in);
                break;
            }
        }
        break;
    case K_RECORD:
        if (record_at(shard, where, &record)) {
            change(shard, (uint64_t *)(shard->heap + record.offset) + where / 256 % 3,
                   in);
        }
        break;
    case K_RECORD_BYTE:
        if (record_at(shard, where, &record)) {
            uint8_t *at =
                shard->heap + record.offset + (uint64_t)where * 7 % record.total;
            arena_write(at, &(uint8_t){(uint8_t)(*at ^ (input_byte(in) | 1))}, 1);
        }
        break;
    case K_HEAP_WORD:
        change(shard,
               (uint64_t *)shard->heap +
                   ((uint64_t)where * 16 + where / 4096) % (shard->heap_bytes / 8),
               in);
        break;
    case K_BURST:
        burst(shard, in, where);
        break;
    default:
        arena_owner_died(segment, where % segment->shard_count);
        break;
    }
}
