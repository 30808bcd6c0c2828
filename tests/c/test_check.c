/* lc_check.c: each thing that must be true is made untrue, alone, and the checker says
 * which it was; then it is true again. */
#include "cachetest.h"
#include "lc_append.h"
#include "lc_block.h"
#include "lc_check.h"
#include "lc_index.h"
#include "lc_pages.h"
#include "lc_read.h"

#define KEYS 600

static struct lilcache *cache;
static struct lc_shard *shard;

static void says_at(int line, const char *wanted) {
    char report[256] = "";
    int violated = lilcache_check(cache, report, sizeof report);
    if (violated != 1 || strncmp(report, wanted, strlen(wanted)) != 0) {
        LCT_FAIL("line %d: %d \"%s\" instead of \"%s\"", line, violated, report,
                 wanted);
    }
    CHECK_EQ(lilcache_check(cache, NULL, 0), 1); /* the text is not needed */
}

#define says(wanted) says_at(__LINE__, wanted)

/* While the word is `value`, the checker's report begins with `text`. */
#define UNTRUE(word, value, text)                                                      \
    do {                                                                               \
        __typeof__(word) before_ = (word);                                             \
        (word) = (__typeof__(word))(value);                                            \
        CHECK((word) != before_);                                                      \
        says(text);                                                                    \
        (word) = before_;                                                              \
        ct_check(cache);                                                               \
    } while (0)

/* Small values, one that needs several blocks, and old records in between. */
static void fresh(void) {
    cache = ct_open_flags(MIB, LILCACHE_CHECKSUMS);
    shard = ct_shard(cache);
    for (uint64_t n = 0; n < KEYS; n++) {
        CHECK_EQ(ct_set(cache, n, n, 40), LILCACHE_OK);
    }
    CHECK_EQ(ct_set(cache, KEYS, 1, 50000), LILCACHE_OK);
    CHECK_EQ(ct_set(cache, 0, 1, 40), LILCACHE_OK);
    ct_check(cache);
}

static uint32_t block_in(enum lc_block_state state, bool long_run) {
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        uint64_t word = shard->blocks[b].bl_word;
        if (lc_word_state(word) == state && (lc_word_length(word) > 1) == long_run) {
            return b;
        }
    }
    LCT_FAIL("no block in state %d", (int)state);
}

static uint64_t word_of(uint32_t block, enum lc_block_state state, uint32_t length) {
    uint64_t word = shard->blocks[block].bl_word;
    return lc_block_word(state, lc_word_queue(word), length, lc_word_epoch(word));
}

TEST(the_block_table, 20) {
    fresh();
    struct shm_shard *ctl = shard->ctl;
    struct shm_block *blocks = shard->blocks;
    ct_set(cache, KEYS + 1, 1, 60000);
    uint32_t free_block = block_in(LC_BLOCK_FREE, false);
    uint32_t index = block_in(LC_BLOCK_INDEX, false);
    uint32_t run = lc_block_head_locked(shard, ctl->sh_open[LC_SMALL][0]);
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        run = lc_block_length_locked(shard, b) > 1 ? b : run;
    }
    uint32_t length = lc_block_length_locked(shard, run);
    CHECK(length > 2);

    UNTRUE(blocks[free_block].bl_word, word_of(free_block, LC_BLOCK_CONT, 1),
           "B1: block");
    UNTRUE(blocks[free_block].bl_word, word_of(free_block, LC_BLOCK_FREE, 0),
           "B1: block");
    UNTRUE(blocks[free_block].bl_word, word_of(free_block, LC_BLOCK_FREE, 2),
           "B1: block");
    UNTRUE(blocks[free_block].bl_word, word_of(free_block, LC_BLOCK_SEALED, 0xFFFF),
           "B1: block");
    UNTRUE(blocks[index - 1].bl_word, word_of(index - 1, LC_BLOCK_INDEX, 2),
           "B1: block");
    UNTRUE(blocks[run + 1].bl_word, word_of(run + 1, LC_BLOCK_SEALED, 1), "B2: block");
    UNTRUE(blocks[run + 2].bl_word, word_of(run + 2, LC_BLOCK_CONT, 1), "B2: block");
    UNTRUE(blocks[run].bl_fill, ((uint64_t)length << shard->block_shift) + 8,
           "B3: run");
    UNTRUE(ctl->sh_free_blocks, ctl->sh_free_blocks + 1, "B1: counts: free");
    UNTRUE(ctl->sh_index_blocks, ctl->sh_index_blocks - 1, "B1: counts: free");
    UNTRUE(ctl->sh_parked_blocks, 1, "B1: counts: free");
    UNTRUE(ctl->sh_index_pages, ctl->sh_index_pages + 1, "B1: counts: free");
    UNTRUE(ctl->sh_open[LC_MAIN][1], shard->block_count, "B1: open run");
    UNTRUE(ctl->sh_open[LC_MAIN][1], free_block, "B1: open run");
    UNTRUE(ctl->sh_open[LC_SMALL][0], LC_NO_BLOCK, "B1: run");
    UNTRUE(ctl->sh_intent.in_kind, LC_INTENT_SLOT, "R1: an intent");
    lilcache_close(cache);
}

/* A group with so many pages. */
static uint32_t group_with(uint32_t pages) {
    for (uint32_t g = 0; g < shard->group_count; g++) {
        if (shard->groups[g].gr_dir >> 32 >= pages) {
            return g;
        }
    }
    LCT_FAIL("no group of %u pages", pages);
}

static uint32_t *owners_of(uint32_t block) {
    return (uint32_t *)(shard->heap + ((uint64_t)block << shard->block_shift));
}

TEST(pages_and_their_owners, 20) {
    fresh();
    struct lc_group group;
    for (uint64_t n = KEYS + 1; lc_pages_free_locked(shard) == 0; n++) {
        CHECK_EQ(ct_set(cache, n, n, 40), LILCACHE_OK);
    }
    uint32_t g = group_with(2);
    CHECK(lc_group_open(shard, shard->groups[g].gr_dir, &group));
    uint32_t *list = (uint32_t *)(uintptr_t)group.list;
    uint32_t index = group.first >> shard->page_shift;
    uint32_t *owners = owners_of(index);
    uint32_t roomy = LC_NO_BLOCK;
    uint32_t unused = 0;
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        bool is_index = lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_INDEX;
        for (uint32_t i = shard->owner_pages; is_index && i < 1u << shard->page_shift;
             i++) {
            if (owners_of(b)[i] == 0) {
                roomy = b;
                unused = i;
            }
        }
    }
    CHECK(roomy != LC_NO_BLOCK);

    UNTRUE(shard->groups[g].gr_dir, 1, "I4: group");
    UNTRUE(list[0], shard->page_numbers, "P1: page");
    UNTRUE(list[0], 0, "P1: page");
    UNTRUE(list[0], ((uint64_t)roomy << shard->page_shift) + unused, "P1: page");
    UNTRUE(list[0], group.first, "P1: page");
    UNTRUE(owners_of(roomy)[unused], g + 1, "P2: block");
    UNTRUE(owners[group.first & ((1u << shard->page_shift) - 1)], g + 2, "P1: page");
    uint32_t block = list[0] >> shard->page_shift;
    CHECK_EQ(owners_of(block)[0], 0); /* the page of the owners themselves */
    owners_of(block)[0] = g + 1;
    UNTRUE(list[0], block << shard->page_shift, "P2: page");
    owners_of(block)[0] = 0;
    shard->ctl->sh_index_pages++;
    shard->blocks[index].bl_fill++;
    says("P2: block");
    shard->blocks[index].bl_fill--;
    owners_of(roomy)[unused] = g + 1; /* counted as used, and by no group */
    shard->blocks[roomy].bl_fill++;
    says("P2: groups list");
    owners_of(roomy)[unused] = 0;
    shard->blocks[roomy].bl_fill--;
    shard->ctl->sh_index_pages--;
    lilcache_close(cache);
}

/* Key n's slot and record. */
static struct lc_found found_of(uint64_t n) {
    char key[CT_KEY_BYTES + 1];
    struct lc_key made;
    struct lc_found found;
    ct_key(n, key);
    CHECK_EQ(lc_key_make(cache->segment, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &made),
             LILCACHE_OK);
    CHECK(lc_index_find_locked(shard, made.hash, made.bytes, made.length, made.type,
                               &found, NULL));
    return found;
}

/* An empty slot of a group, in a bucket other than `not`. */
static uint64_t *empty_slot(uint32_t g, const uint64_t *not) {
    struct lc_group group;
    CHECK(lc_group_open(shard, shard->groups[g].gr_dir, &group));
    for (uint32_t b = 0; b < group.buckets; b++) {
        struct shm_bucket *bucket = lc_group_bucket(shard, &group, b);
        for (uint32_t i = 0; i < LC_BUCKET_SLOTS; i++) {
            if (bucket->bk_slot[i] == 0 &&
                (not < bucket->bk_slot || not >= bucket->bk_slot + LC_BUCKET_SLOTS)) {
                return &bucket->bk_slot[i];
            }
        }
    }
    LCT_FAIL("group %u is full", g);
}

/* A key whose slot is in its home bucket, from which nothing is looked for further on.
 */
static uint64_t key_at_home(void) {
    for (uint64_t n = 1; n < KEYS; n++) {
        struct lc_found found = found_of(n);
        struct lc_group group;
        uint64_t dir = shard->groups[found.place.group].gr_dir;
        CHECK(lc_group_open(shard, dir, &group));
        uint32_t home = lc_group_home(&group, lc_slot_tag(*found.place.slot));
        const struct shm_bucket *bucket = lc_group_bucket(shard, &group, home);
        if (bucket->bk_overflow == 0 && found.place.slot >= bucket->bk_slot &&
            found.place.slot < bucket->bk_slot + LC_BUCKET_SLOTS) {
            return n;
        }
    }
    LCT_FAIL("every bucket overflows");
}

TEST(slots_and_the_records_they_point_to, 20) {
    fresh();
    uint64_t key = key_at_home();
    struct lc_found found = found_of(key);
    struct lc_found other = found_of(key + 1);
    for (uint64_t n = key + 2; other.place.group == found.place.group; n++) {
        other = found_of(n);
    }
    uint64_t *slot = found.place.slot;
    uint64_t word = *slot;
    struct shm_record *record = lc_record_at(shard, found.record.offset);
    uint32_t head =
        lc_block_head_locked(shard, lc_block_of(shard, found.record.offset));

    UNTRUE(*slot, word | LC_UNIT_MASK, "I1: a slot");
    UNTRUE(*slot, word ^ 1ULL << LC_TAG_SHIFT, "I1: a slot");
    UNTRUE(shard->blocks[head].bl_fill, 8, "I1: a slot");
    UNTRUE(record->rc_flags, record->rc_flags | LC_RECORD_DEAD, "R1: a live slot");
    UNTRUE(shard->heap[found.record.value_at], ~shard->heap[found.record.value_at],
           "R2: a record");
    UNTRUE(shard->groups[found.place.group].gr_counts,
           shard->groups[found.place.group].gr_counts + 1, "I2: group");

    /* The bytes of a record where no run is. */
    uint32_t free_block = block_in(LC_BLOCK_FREE, false);
    uint64_t to = (uint64_t)free_block << shard->block_shift;
    memcpy(shard->heap + to, record, found.record.total);
    UNTRUE(*slot, (word & ~LC_UNIT_MASK) | to >> LC_UNIT_SHIFT, "I1: a slot");

    /* In another group. */
    uint64_t *elsewhere = empty_slot(other.place.group, NULL);
    UNTRUE(*elsewhere, word, "I1: a slot");

    /* In another bucket, which nothing says is to be looked at. */
    elsewhere = empty_slot(found.place.group, slot);
    *slot = 0;
    *elsewhere = word;
    says("I3: the slot");
    *elsewhere = 0;
    *slot = word;
    ct_check(cache);

    /* Twice: the second is never found. */
    uint64_t stale = found.record.offset;
    CHECK_EQ(ct_set(cache, key, 77, 40), LILCACHE_OK);
    found = found_of(key);
    lc_record_at(shard, stale)->rc_flags &= (uint16_t)~LC_RECORD_DEAD;
    elsewhere = empty_slot(found.place.group, found.place.slot);
    UNTRUE(*elsewhere, (word & ~LC_UNIT_MASK) | stale >> LC_UNIT_SHIFT, "I3: the slot");
    lilcache_close(cache);
}

TEST(runs_and_their_bytes, 20) {
    fresh();
    uint64_t last = found_of(0).record.offset;
    uint32_t head = lc_block_head_locked(shard, lc_block_of(shard, last));
    struct shm_record *record = lc_record_at(shard, last);
    UNTRUE(shard->blocks[head].bl_live, shard->blocks[head].bl_live + 1, "E2: run");
    CHECK_EQ(ct_delete(cache, 0), LILCACHE_OK);
    UNTRUE(record->rc_key_length, 0, "B3: run");
    UNTRUE(shard->blocks[head].bl_fill, shard->blocks[head].bl_fill - 8,
           "B3: the last record");
    lilcache_close(cache);
}

TEST(what_recovery_looks_at_first, 20) {
    fresh();
    CHECK(lc_check_quick_locked(shard));
    uint64_t before = shard->groups[0].gr_dir;
    shard->groups[0].gr_dir = 1;
    CHECK(!lc_check_quick_locked(shard));
    shard->groups[0].gr_dir = before;
    shard->ctl->sh_free_blocks++;
    CHECK(!lc_check_quick_locked(shard));
    shard->ctl->sh_free_blocks--;
    CHECK(lc_check_quick_locked(shard));
    lilcache_close(cache);
}

TEST(a_lock_that_is_held_or_lost, 20) {
    char report[64];
    fresh();
    CHECK_EQ(pthread_mutex_lock(&shard->ctl->sh_mutex), 0);
    CHECK_EQ(lilcache_check(cache, report, sizeof report), LILCACHE_BUSY);
    CHECK_EQ(pthread_mutex_unlock(&shard->ctl->sh_mutex), 0);
    ct_check(cache);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
