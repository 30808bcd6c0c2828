/* Index pages and the blocks they come from.
 *
 *   heap:  | record blocks ... | free | index | index | index |
 *                                       ^low                  ^ block_count
 *   index block: | owner table | page | page | ... |
 *
 * Crash story: a page taken by a group that never switched to it is found by its owner
 * word and freed by lc_pages_sweep_locked. Invariants: P1 P2. */
#include "lc_pages.h"

#include <string.h>

#include "lc_block.h"
#include "lc_crash.h"

static uint32_t *pages_owner_table(const struct lc_shard *shard, uint32_t block) {
    return (uint32_t *)(shard->heap + ((uint64_t)block << shard->block_shift));
}

static bool pages_is_index(const struct lc_shard *shard, uint32_t block) {
    return lc_word_state(shard->blocks[block].bl_word) == LC_BLOCK_INDEX;
}

uint32_t lc_pages_per_block(const struct lc_shard *shard) {
    return (1u << shard->page_shift) - shard->owner_pages;
}

uint32_t lc_pages_used_locked(const struct lc_shard *shard, uint32_t block) {
    const uint32_t *owners = pages_owner_table(shard, block);
    uint32_t used = 0;
    for (uint32_t i = shard->owner_pages; i < 1u << shard->page_shift; i++) {
        used += owners[i] != 0;
    }
    return used;
}

uint32_t lc_pages_free_locked(const struct lc_shard *shard) {
    uint64_t all = (uint64_t)shard->ctl->sh_index_blocks * lc_pages_per_block(shard);
    uint64_t used = shard->ctl->sh_index_pages;
    return all > used ? (uint32_t)(all - used) : 0;
}

static uint32_t pages_take_in(struct lc_shard *shard, uint32_t block, uint32_t group) {
    uint32_t *owners = pages_owner_table(shard, block);
    uint32_t count = 1u << shard->page_shift;
    for (uint32_t i = shard->owner_pages; i < count; i++) {
        if (owners[i] == 0) {
            owners[i] = group + 1;
            LC_CRASH(group_page_taken);
            shard->blocks[block].bl_fill++;
            shard->ctl->sh_index_pages++;
            return (block << shard->page_shift) + i;
        }
    }
    return UINT32_MAX;
}

/* The highest free page in blocks [low, from], but for the block `avoid`. */
static uint32_t pages_take_between(struct lc_shard *shard, uint32_t group,
                                   uint32_t avoid, uint32_t low, uint32_t from) {
    bool skipped = false;
    for (uint32_t b = from + 1; b-- > 0 && b >= low;) {
        if (!pages_is_index(shard, b)) {
            continue;
        }
        if (b == avoid) {
            skipped = true;
            continue;
        }
        if (shard->blocks[b].bl_fill < lc_pages_per_block(shard)) {
            uint32_t page = pages_take_in(shard, b, group);
            if (page != UINT32_MAX) {
                if (!skipped) {
                    shard->ctl->sh_index_hint = b;
                }
                return page;
            }
        }
    }
    return UINT32_MAX;
}

uint32_t lc_page_take_locked(struct lc_shard *shard, uint32_t group, uint32_t avoid) {
    uint32_t last = shard->block_count - 1;
    uint32_t hint = lc_load_relaxed32(&shard->ctl->sh_index_hint);
    uint32_t low = lc_load_relaxed32(&shard->ctl->sh_index_low);
    if (lc_pages_free_locked(shard) == 0) {
        return UINT32_MAX;
    }
    uint32_t from = (uint32_t)lc_min64(hint, last);
    uint32_t page = pages_take_between(shard, group, avoid, low, from);
    /* Both are hints, which nothing checks: damaged ones must not hide free pages from
     * every set to come. */
    return page != UINT32_MAX ? page : pages_take_between(shard, group, avoid, 0, last);
}

bool lc_page_is_owned_locked(const struct lc_shard *shard, uint32_t group,
                             uint32_t page) {
    uint32_t block = page >> shard->page_shift;
    uint32_t index = page & ((1u << shard->page_shift) - 1);
    return page < shard->page_numbers && pages_is_index(shard, block) &&
           index >= shard->owner_pages &&
           pages_owner_table(shard, block)[index] == group + 1;
}

void lc_page_give_locked(struct lc_shard *shard, uint32_t group, uint32_t page) {
    uint32_t block = page >> shard->page_shift;
    uint32_t index = page & ((1u << shard->page_shift) - 1);
    if (!lc_page_is_owned_locked(shard, group, page)) {
        return;
    }
    pages_owner_table(shard, block)[index] = 0;
    if (shard->blocks[block].bl_fill > 0) {
        shard->blocks[block].bl_fill--;
    }
    if (shard->ctl->sh_index_pages > 0) {
        shard->ctl->sh_index_pages--;
    }
    if (block > shard->ctl->sh_index_hint) {
        shard->ctl->sh_index_hint = block;
    }
}

uint32_t lc_pages_next_locked(const struct lc_shard *shard) {
    uint32_t b = shard->block_count;
    while (b > 0 && pages_is_index(shard, b - 1)) {
        b--;
    }
    return b > 0 ? b - 1 : LC_NO_BLOCK;
}

static bool pages_is_free(const struct lc_shard *shard, uint32_t block) {
    return lc_word_state(shard->blocks[block].bl_word) == LC_BLOCK_FREE;
}

bool lc_pages_extend_locked(struct lc_shard *shard, bool anywhere) {
    struct shm_shard *ctl = shard->ctl;
    uint32_t block = lc_pages_next_locked(shard);
    if (block == LC_NO_BLOCK) {
        return false;
    }
    while (anywhere && block > 0 && !pages_is_free(shard, block)) {
        block--;
    }
    if (!pages_is_free(shard, block)) {
        return false;
    }
    memset(pages_owner_table(shard, block), 0,
           (size_t)shard->owner_pages << LC_PAGE_SHIFT);
    shard->blocks[block].bl_fill = 0;
    lc_store_relaxed(&shard->blocks[block].bl_live, 0);
    lc_block_set_locked(shard, block, LC_BLOCK_INDEX, LC_SMALL, 1);
    LC_CRASH(index_block_taken);
    ctl->sh_free_blocks -= ctl->sh_free_blocks > 0;
    ctl->sh_index_blocks++;
    ctl->sh_index_hint = (uint32_t)lc_max64(ctl->sh_index_hint, block);
    ctl->sh_index_low = (uint32_t)lc_min64(ctl->sh_index_low, block);
    return true;
}

uint32_t lc_pages_lowest_locked(struct lc_shard *shard) {
    uint32_t low = lc_load_relaxed32(&shard->ctl->sh_index_low);
    for (;;) {
        for (uint32_t b = low; b < shard->block_count; b++) {
            if (pages_is_index(shard, b)) {
                shard->ctl->sh_index_low = b;
                return b;
            }
        }
        if (low == 0) {
            return LC_NO_BLOCK;
        }
        low = 0; /* it is a hint, and may be damaged */
    }
}

uint32_t lc_pages_owner_locked(const struct lc_shard *shard, uint32_t block) {
    const uint32_t *owners = pages_owner_table(shard, block);
    for (uint32_t i = shard->owner_pages; i < 1u << shard->page_shift; i++) {
        uint32_t owner = lc_load_relaxed32(&owners[i]); /* once: it may be damaged */
        if (owner != 0 && owner <= shard->group_count) {
            return owner - 1;
        }
    }
    return LC_NO_BLOCK;
}

static bool pages_kept(uint32_t page, const uint32_t *kept, uint32_t kept_count) {
    for (uint32_t i = 0; i < kept_count; i++) {
        if (kept[i] == page) {
            return true;
        }
    }
    return false;
}

void lc_pages_sweep_locked(struct lc_shard *shard, uint32_t group, const uint32_t *kept,
                           uint32_t kept_count) {
    uint32_t all_used = 0;
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        if (!pages_is_index(shard, b)) {
            continue;
        }
        uint32_t *owners = pages_owner_table(shard, b);
        uint32_t used = 0;
        for (uint32_t i = shard->owner_pages; i < 1u << shard->page_shift; i++) {
            uint32_t page = (b << shard->page_shift) + i;
            if (group == UINT32_MAX ||
                (owners[i] == group + 1 && !pages_kept(page, kept, kept_count))) {
                owners[i] = 0;
            }
            used += owners[i] != 0;
        }
        shard->blocks[b].bl_fill = used;
        all_used += used;
    }
    shard->ctl->sh_index_pages = all_used;
    shard->ctl->sh_index_hint = shard->block_count - 1;
    shard->ctl->sh_index_low = 0;
}
