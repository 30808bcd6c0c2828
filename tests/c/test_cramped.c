/* A heap that has no room left but what is taken from somebody: index blocks out of
 * line, open runs alone. */
#include "cachetest.h"
#include "lc_block.h"
#include "lc_evict.h"
#include "lc_group.h"
#include "lc_index.h"
#include "lc_pages.h"
#include "lc_recover.h"
#include "lc_shard.h"
#include "lc_victim.h"

static struct lilcache *cache;
static struct lc_shard *shard;

static void fresh(uint64_t keys, size_t length) {
    cache = ct_open(MIB);
    shard = ct_shard(cache);
    for (uint64_t n = 0; n < keys; n++) {
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
    }
}

static enum lc_block_state state_of(uint32_t block) {
    return lc_word_state(shard->blocks[block].bl_word);
}

static uint32_t count_of(enum lc_block_state state) {
    uint32_t count = 0;
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        count += state_of(b) == state;
    }
    return count;
}

/* Every block that is free becomes one of the index. */
static void give_all_to_the_index(void) {
    while (lc_pages_extend_locked(shard, true)) {
    }
    CHECK_EQ(count_of(LC_BLOCK_FREE), 0);
}

static void enter(void) { CHECK_EQ(lc_shard_enter(shard, 1000), LILCACHE_OK); }

/* The index gives back what it does not need, and everything works. */
static void recovers(void) {
    ct_check(cache);
    for (uint64_t n = 0; n < 3000; n++) {
        CHECK_EQ(ct_set(cache, 5000 + n, n, 200), LILCACHE_OK);
        CHECK(ct_get(cache, 5000 + n, n, 200) == CT_RIGHT);
    }
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* Nothing is sealed, nothing free: the fuller of the open runs goes. */
TEST(of_open_runs_alone_the_fullest_goes, 20) {
    fresh(30, 100);
    CHECK_EQ(count_of(LC_BLOCK_OPEN), 1);
    enter();
    uint32_t small = shard->ctl->sh_open[LC_SMALL][0];
    uint64_t at = lc_run_room_locked(shard, LC_MAIN, 100);
    CHECK(at != UINT64_MAX);
    uint32_t main_run = shard->ctl->sh_open[LC_MAIN][0];
    CHECK(main_run != small && count_of(LC_BLOCK_OPEN) == 2);
    give_all_to_the_index();
    CHECK_EQ(lc_evict_force_locked(shard, 1), LILCACHE_OK);
    CHECK_EQ(state_of(small), LC_BLOCK_FREE);
    CHECK_EQ(state_of(main_run), LC_BLOCK_OPEN);
    give_all_to_the_index();
    CHECK_EQ(lc_evict_force_locked(shard, 1), LILCACHE_OK); /* and then the other */
    CHECK_EQ(state_of(main_run), LC_BLOCK_FREE);
    give_all_to_the_index();
    CHECK_EQ(lc_pages_next_locked(shard), LC_NO_BLOCK);
    CHECK(!lc_pages_extend_locked(shard, false));
    CHECK_EQ(lc_evict_force_locked(shard, 1), LILCACHE_NO_SPACE);
    CHECK_EQ(lc_evict_force_locked(shard, 5 << shard->block_shift), LILCACHE_NO_SPACE);
    lc_shard_leave(shard);
    for (uint64_t n = 0; n < 30; n++) {
        CHECK(ct_get(cache, n, n, 100) == CT_MISS);
    }
    recovers();
}

static void make_useless(uint32_t but) {
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        if (state_of(b) == LC_BLOCK_FREE && b != but) {
            lc_block_set_locked(shard, b, LC_BLOCK_SEALED, LC_SMALL, 1);
            shard->ctl->sh_free_blocks--;
        }
    }
}

/* A run is being cleaned, what lives in it still there; the others hold nothing that is
 * visible. Who needs room at once takes one of those. */
TEST(what_is_useless_goes_before_a_run_that_is_being_cleaned, 20) {
    fresh(3000, 1000);
    CHECK_EQ(lilcache_clear(cache), LILCACHE_OK);
    CHECK_EQ(ct_set(cache, 7, 7, 100), LILCACHE_OK);
    uint64_t evictions = ct_stat(cache, "evictions");
    enter();
    uint32_t head = shard->ctl->sh_open[LC_SMALL][0];
    CHECK_EQ(state_of(head), LC_BLOCK_OPEN);
    lc_run_seal_locked(shard, head);
    shard->ctl->sh_victim = head;
    shard->ctl->sh_victim_at = 0;
    shard->ctl->sh_victim_mode = LC_VICTIM_CLEAN;
    make_useless(LC_NO_BLOCK);
    CHECK_EQ(lc_evict_force_locked(shard, 1), LILCACHE_OK);
    lc_shard_leave(shard);
    CHECK(ct_get(cache, 7, 7, 100) == CT_RIGHT);
    CHECK_EQ(ct_stat(cache, "evictions"), evictions);
    recovers();
}

/* The index wants the block in which a run lies. What lives in that run stays, as long
 * as there is room elsewhere, or something useless that can make room. */
TEST(the_index_takes_the_place_of_no_living_record, 20) {
    fresh(1500, 100);
    enter();
    uint32_t next = lc_pages_next_locked(shard);
    CHECK_EQ(state_of(next), LC_BLOCK_FREE);
    lc_run_seal_all_locked(shard);
    make_useless(next);
    CHECK(lc_run_room_locked(shard, LC_SMALL, 100) != UINT64_MAX);
    CHECK_EQ(state_of(next), LC_BLOCK_OPEN);
    lc_shard_leave(shard);
    CHECK_EQ(ct_set(cache, 7777, 7, 100), LILCACHE_OK);
    uint64_t evictions = ct_stat(cache, "evictions");
    enter();
    lc_run_seal_all_locked(shard);
    CHECK_EQ(state_of(next), LC_BLOCK_SEALED);
    make_useless(next);
    CHECK_EQ(shard->ctl->sh_free_blocks, 0);
    shard->ctl->sh_victim = LC_NO_BLOCK;
    shard->ctl->sh_index_low = 0; /* as after a repair: not known */
    CHECK(lc_victim_ready_locked(shard, false));
    CHECK(shard->ctl->sh_victim != next);
    lc_evict_slice_locked(shard, 10000);
    CHECK_EQ(state_of(next), LC_BLOCK_FREE); /* once there was room, it moved */
    lc_shard_leave(shard);
    for (uint64_t n = 0; n < 300; n++) {
        CHECK_EQ(ct_set(cache, 8000 + n % 20, n, 100), LILCACHE_OK);
    }
    CHECK(ct_get(cache, 7777, 7, 100) == CT_RIGHT);
    CHECK_EQ(ct_stat(cache, "evictions"), evictions);
    recovers();
}

/* An index block in the middle parts the heap: for a long run it moves to the others,
 * and what stands at the index's end makes way. Whether it comes to that depends on the
 * hash key, which is another one each time. */
TEST(a_long_run_straightens_the_index, 30) {
    int straightened = 0;
    for (uint32_t round = 0; round < 3 || (!straightened && round < 60); round++) {
        uint32_t way = round % 3;
        fresh(way == 2 ? 6000 : 1500, 200);
        enter();
        uint32_t next = lc_pages_next_locked(shard);
        if (way == 1) { /* an open run at the index's end */
            lc_run_seal_all_locked(shard);
            CHECK(lc_run_room_locked(shard, LC_SMALL, 100) != UINT64_MAX);
        }
        /* Take the block half-way between the start and the index's end. */
        uint32_t half = lc_block_head_locked(shard, next / 2);
        while (state_of(half) != LC_BLOCK_FREE && half < next) {
            uint32_t length = lc_block_length_locked(shard, half);
            if (state_of(half) == LC_BLOCK_OPEN) {
                lc_run_seal_locked(shard, half);
            }
            shard->ctl->sh_victim = half;
            shard->ctl->sh_victim_at = 0;
            shard->ctl->sh_victim_mode = LC_VICTIM_DROP;
            CHECK_EQ(lc_evict_force_locked(shard, 1), LILCACHE_OK);
            half += length;
        }
        for (uint32_t b = half + 1; b < next; b++) { /* so that extend takes that one */
            if (state_of(b) == LC_BLOCK_FREE) {
                lc_block_set_locked(shard, b, LC_BLOCK_SEALED, LC_SMALL, 1);
                shard->ctl->sh_free_blocks--;
            }
        }
        if (state_of(next) != LC_BLOCK_FREE && lc_pages_extend_locked(shard, true)) {
            uint32_t lowest = lc_pages_lowest_locked(shard);
            uint32_t longest = (uint32_t)lc_max64(lowest, next - lowest) + 1;
            CHECK_EQ(lowest, half);
            uint64_t bytes = (uint64_t)longest << shard->block_shift;
            CHECK_EQ(lc_evict_force_locked(shard, bytes), LILCACHE_OK);
            CHECK(lc_pages_lowest_locked(shard) > lowest);
            CHECK(lc_run_possible_locked(shard, longest));
            straightened++;
        }
        lc_shard_leave(shard);
        recovers();
    }
    CHECK(straightened > 0);
}

/* Full index blocks have no room for each other's groups. */
TEST(the_lowest_index_block_stays_when_the_others_are_full, 20) {
    fresh(0, 0);
    enter();
    CHECK(!lc_index_empty_lowest_locked(shard)); /* there is none */
    lc_shard_leave(shard);
    CHECK_EQ(ct_set(cache, 1, 1, 10), LILCACHE_OK);
    enter();
    CHECK_EQ(shard->ctl->sh_index_blocks, 1);
    CHECK(!lc_index_empty_lowest_locked(shard)); /* it is the only one */
    lc_shard_leave(shard);
    for (uint64_t n = 0;
         shard->ctl->sh_index_blocks < 2 || lc_pages_free_locked(shard) > 4; n++) {
        CHECK(n < 6000);
        CHECK_EQ(ct_set(cache, n, n, 4), LILCACHE_OK);
    }
    enter();
    uint32_t lowest = lc_pages_lowest_locked(shard);
    give_all_to_the_index(); /* only so that there is no block to be had */
    for (uint32_t b = 0; b < lowest; b++) {
        if (state_of(b) == LC_BLOCK_INDEX) {
            lc_run_free_locked(shard, b);
            lc_block_set_locked(shard, b, LC_BLOCK_SEALED, LC_SMALL, 1);
            shard->ctl->sh_index_blocks--;
        }
    }
    shard->ctl->sh_index_low = 0;
    CHECK_EQ(lc_pages_lowest_locked(shard), lowest);
    CHECK(!lc_index_empty_lowest_locked(shard));
    CHECK_EQ(state_of(lowest), LC_BLOCK_INDEX);
    lc_recover_damage_locked(shard);
    lc_shard_leave(shard);
    ct_check(cache);
    lilcache_close(cache);
}

#define LARGE     200000
#define LARGE_FIT 5
#define REPLACED  1
#define OTHER     100

/* Without a row there is no pin to be had: a large value is copied under the lock, and
 * to make room for it may take the very value that it is to replace. */
static void replace_the_oldest(void) {
    static uint8_t value[LARGE];
    char key[CT_KEY_BYTES + 1];
    int64_t ttl;
    uint32_t missed = 0;
    ct_key(REPLACED, key);
    ct_fill(value, LARGE, 2);
    for (uint64_t others = 0; others <= LARGE_FIT; others++) {
        /* Anew: what was read by the round before would stay. */
        (void)lilcache_delete(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR);
        CHECK_EQ(ct_set(cache, REPLACED, 1, LARGE), LILCACHE_OK);
        for (uint64_t n = 0; n < others; n++) {
            CHECK_EQ(ct_set(cache, OTHER + n, n, LARGE), LILCACHE_OK);
        }
        /* lilcache_ttl: unlike a get, it is no reason to keep the value. */
        if (lilcache_ttl(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &ttl) !=
            LILCACHE_OK) {
            continue;
        }
        int status = lilcache_set(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                                  LARGE, 7, LILCACHE_TTL_NONE, LILCACHE_REPLACE);
        bool gone = status == LILCACHE_MISS;
        CHECK(gone || status == LILCACHE_OK);
        CHECK_EQ(ct_get(cache, REPLACED, 2, LARGE), gone ? CT_MISS : CT_RIGHT);
        missed += gone;
    }
    CHECK(missed > 0);
    ct_check_unhurt(cache);
}

TEST(room_made_of_the_value_that_is_replaced, 30) {
    const char *name = lct_name("rowless");
    struct lilcache_options options = {
        .name = name,
        .size_bytes = MIB,
        .max_processes = 1,
        .cores = 1,
        .owner = -1,
        .group = -1,
    };
    struct lilcache_error error;
    CHECK_EQ(lilcache_open(&options, &cache, &error), LILCACHE_OK);
    pid_t child = fork();
    if (child == 0) {
        CHECK(lilcache_process_row(cache) < 0);
        replace_the_oldest();
        _exit(0);
    }
    lct_join(child);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
