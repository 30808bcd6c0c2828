/* lc_block.c: runs come, are filled, sealed and freed; the table walks; its hints can
 * be worked out again; how long runs are. */
#include "cachetest.h"
#include "lc_block.h"
#include "lc_check.h"
#include "lc_shard.h"

static struct lc_shard *enter(struct lilcache *cache) {
    struct lc_shard *shard = ct_shard(cache);
    CHECK_EQ(lc_shard_enter(shard, 1000), LILCACHE_OK);
    return shard;
}

/* [B1] [B2], without the helpers under test. */
static void check_walk(const struct lc_shard *shard) {
    uint32_t free_blocks = 0;
    uint32_t b = 0;
    while (b < shard->block_count) {
        uint64_t word = shard->blocks[b].bl_word;
        uint32_t length = lc_word_length(word);
        CHECK(lc_word_state(word) != LC_BLOCK_CONT);
        CHECK(length >= 1 && length <= shard->block_count - b);
        free_blocks += lc_word_state(word) == LC_BLOCK_FREE;
        for (uint32_t i = 0; i < length; i++) {
            uint64_t inner = shard->blocks[b + i].bl_word;
            CHECK(i == 0 || (lc_word_state(inner) == LC_BLOCK_CONT &&
                             lc_word_length(inner) == i));
            CHECK_EQ(lc_block_head_locked(shard, b + i), b);
        }
        CHECK_EQ(lc_block_next_locked(shard, b), b + length);
        b += length;
    }
    CHECK_EQ(b, shard->block_count);
    CHECK_EQ(free_blocks, shard->ctl->sh_free_blocks);
    CHECK(lc_check_quick_locked(shard));
}

/* Opens a run of at least `length` blocks and fills that many. */
static uint32_t open_full(struct lc_shard *shard, enum lc_queue queue,
                          uint32_t length) {
    uint64_t bytes = (uint64_t)length << shard->block_shift;
    uint64_t at = lc_run_room_locked(shard, queue, bytes);
    if (at == UINT64_MAX) {
        return LC_NO_BLOCK;
    }
    lc_run_fill_locked(shard, at, at + bytes);
    return (uint32_t)(at >> shard->block_shift);
}

TEST(a_run_from_room_to_free, 20) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lc_shard *shard = enter(cache);
    uint64_t block = 1ULL << shard->block_shift;
    uint64_t bytes = 5 * block - 8;
    uint64_t recycles = ct_stat(cache, "recycles");

    CHECK(lc_run_room_open_locked(shard, LC_SMALL, 64) == UINT64_MAX);
    uint64_t at = lc_run_room_locked(shard, LC_SMALL, bytes);
    CHECK(at != UINT64_MAX && at % block == 0);
    uint32_t head = (uint32_t)(at >> shard->block_shift);
    CHECK_EQ(lc_word_length(shard->blocks[head].bl_word), 5);
    CHECK_EQ(lc_word_state(shard->blocks[head].bl_word), LC_BLOCK_OPEN);
    check_walk(shard);

    /* Nothing is taken until it is filled. */
    CHECK_EQ(lc_run_room_locked(shard, LC_SMALL, bytes), at);
    lc_run_fill_locked(shard, at, at + 100);
    CHECK_EQ(lc_run_room_open_locked(shard, LC_SMALL, 64), at + 104);
    lc_run_fill_locked(shard, at + 104, at + bytes);
    CHECK_EQ(shard->blocks[head].bl_fill, bytes);
    CHECK_EQ(lc_run_room_open_locked(shard, LC_SMALL, 8), at + bytes);
    CHECK(lc_run_room_open_locked(shard, LC_SMALL, 16) == UINT64_MAX);
    CHECK(lc_run_room_open_locked(shard, LC_MAIN, 8) == UINT64_MAX);

    lc_run_seal_locked(shard, head);
    CHECK_EQ(lc_word_state(shard->blocks[head].bl_word), LC_BLOCK_SEALED);
    CHECK(lc_run_room_open_locked(shard, LC_SMALL, 8) == UINT64_MAX);
    check_walk(shard);

    uint64_t generations[6];
    for (uint32_t i = 0; i < 6; i++) {
        generations[i] = shard->blocks[head + i].bl_generation;
    }
    lc_run_free_locked(shard, head);
    for (uint32_t i = 0; i < 5; i++) {
        CHECK(shard->blocks[head + i].bl_generation >= generations[i] + 1);
        CHECK_EQ(lc_word_state(shard->blocks[head + i].bl_word), LC_BLOCK_FREE);
        CHECK_EQ(shard->blocks[head + i].bl_fill, 0);
    }
    CHECK_EQ(shard->blocks[head + 5].bl_generation, generations[5]); /* not its block */
    CHECK_EQ(ct_stat(cache, "recycles"), recycles + 5);
    CHECK_EQ(shard->ctl->sh_free_blocks, shard->block_count);
    check_walk(shard);
    lc_shard_leave(shard);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* Two runs per queue stay open, and the one with less room is sealed for a third. */
TEST(two_open_runs_per_queue, 20) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lc_shard *shard = enter(cache);
    uint64_t block = 1ULL << shard->block_shift;
    static const uint64_t left[] = {512, 1024, 0};
    uint32_t heads[3];
    for (int i = 0; i < 3; i++) {
        uint64_t at = lc_run_room_locked(shard, LC_MAIN, block);
        CHECK(at != UINT64_MAX);
        lc_run_fill_locked(shard, at, at + block - left[i]);
        heads[i] = (uint32_t)(at >> shard->block_shift);
        check_walk(shard);
    }
    CHECK_EQ(lc_word_state(shard->blocks[heads[0]].bl_word), LC_BLOCK_SEALED);
    CHECK_EQ(lc_word_state(shard->blocks[heads[1]].bl_word), LC_BLOCK_OPEN);
    CHECK_EQ(lc_word_state(shard->blocks[heads[2]].bl_word), LC_BLOCK_OPEN);
    uint64_t at = lc_run_room_open_locked(shard, LC_MAIN, 1024);
    CHECK_EQ(at >> shard->block_shift, heads[1]);
    lc_run_seal_all_locked(shard);
    CHECK(lc_run_room_open_locked(shard, LC_MAIN, 8) == UINT64_MAX);
    check_walk(shard);
    for (int i = 0; i < 3; i++) {
        lc_run_free_locked(shard, heads[i]);
    }
    lc_shard_leave(shard);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* Runs of random lengths come and go; blocks never get lost, generations only grow. */
TEST(random_runs_keep_the_table_whole, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lc_shard *shard = enter(cache);
    struct ct_random random = {23};
    static uint64_t generations[4096];
    static uint32_t heads[4096];
    uint32_t count = 0;
    uint32_t refused = 0;
    CHECK(shard->block_count <= 4096);
    for (int i = 0; i < 4000; i++) {
        if (ct_below(&random, 5) < 3) {
            uint32_t length = (uint32_t)ct_spread(&random, 1, 40);
            bool possible = lc_run_possible_locked(shard, length);
            uint32_t head = open_full(shard, (enum lc_queue)(i % 2), length);
            CHECK_EQ(head != LC_NO_BLOCK, possible);
            refused += !possible;
            if (possible) {
                lc_run_seal_locked(shard, head);
                CHECK(lc_block_length_locked(shard, head) == length);
                heads[count++] = head;
            }
        } else if (count > 0) {
            uint32_t which = (uint32_t)ct_below(&random, count);
            uint32_t head = heads[which];
            uint32_t length = lc_block_length_locked(shard, head);
            lc_run_free_locked(shard, head);
            for (uint32_t b = head; b < head + length; b++) {
                generations[b]++;
            }
            heads[which] = heads[--count];
        }
        if (i % 16 == 0) {
            check_walk(shard);
        }
    }
    for (uint32_t b = 0; b < shard->block_count; b++) {
        CHECK_EQ(shard->blocks[b].bl_generation, generations[b]);
    }
    CHECK(refused > 10 && count > 10);
    while (count > 0) {
        lc_run_free_locked(shard, heads[--count]);
    }
    CHECK_EQ(shard->ctl->sh_free_blocks, shard->block_count);
    lc_shard_leave(shard);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

static void fill_cache(struct lilcache *cache) {
    for (uint64_t n = 0; n < 300; n++) {
        CHECK_EQ(ct_set(cache, n, n, 50 + n % 7 * 1500), LILCACHE_OK);
    }
    for (uint64_t n = 0; n < 20; n++) {
        CHECK_EQ(ct_delete(cache, n * 3), LILCACHE_OK);
    }
}

TEST(repair_restores_scrambled_hints, 30) {
    struct lilcache *cache = ct_open(4 * MIB);
    fill_cache(cache);
    struct lc_shard *shard = enter(cache);
    struct shm_shard *ctl = shard->ctl;
    struct ct_random random = {29};
    for (int round = 0; round < 50; round++) {
        struct shm_shard before = *ctl;
        uint32_t scrambled = 0;
        ctl->sh_free_blocks = (uint32_t)ct_random(&random);
        ctl->sh_index_blocks = (uint32_t)ct_random(&random);
        ctl->sh_index_pages = (uint32_t)ct_random(&random);
        ctl->sh_parked_blocks = (uint32_t)ct_random(&random);
        ctl->sh_index_hint = (uint32_t)ct_random(&random);
        ctl->sh_index_low = (uint32_t)ct_random(&random);
        ctl->sh_sequence = 0;
        ctl->sh_victim = (uint32_t)ct_random(&random);
        for (uint32_t b = 0; b < shard->block_count; b++) {
            if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_CONT) {
                shard->blocks[b].bl_word = ct_random(&random);
                scrambled++;
            }
        }
        CHECK(scrambled > 10);
        CHECK(!lc_check_quick_locked(shard));
        for (int times = 0; times < 2; times++) { /* it may be repeated [R3] */
            lc_block_repair_locked(shard);
            check_walk(shard);
            CHECK_EQ(ctl->sh_free_blocks, before.sh_free_blocks);
            CHECK_EQ(ctl->sh_index_blocks, before.sh_index_blocks);
            CHECK_EQ(ctl->sh_index_pages, before.sh_index_pages);
            CHECK_EQ(ctl->sh_parked_blocks, before.sh_parked_blocks);
            CHECK_EQ(ctl->sh_sequence, before.sh_sequence);
            CHECK_EQ(ctl->sh_victim, LC_NO_BLOCK);
            CHECK(memcmp(ctl->sh_open, before.sh_open, sizeof before.sh_open) == 0);
        }
    }
    /* Forgotten open runs are sealed; names of runs that are not open are dropped. */
    uint32_t head = ctl->sh_open[LC_SMALL][0];
    CHECK(head < shard->block_count);
    ctl->sh_open[LC_SMALL][0] = shard->block_count + 5;
    ctl->sh_open[LC_MAIN][1] = shard->block_count - 1;
    lc_block_repair_locked(shard);
    CHECK_EQ(lc_word_state(shard->blocks[head].bl_word), LC_BLOCK_SEALED);
    CHECK_EQ(ctl->sh_open[LC_SMALL][0], LC_NO_BLOCK);
    CHECK_EQ(ctl->sh_open[LC_MAIN][1], LC_NO_BLOCK);
    check_walk(shard);
    lc_shard_leave(shard);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* The owner died after it had freed the head, but an inner word is an orphan. */
TEST(repair_frees_orphans_with_a_new_generation, 20) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lc_shard *shard = enter(cache);
    uint32_t head = open_full(shard, LC_SMALL, 4);
    uint64_t generation = shard->blocks[head + 2].bl_generation;
    lc_run_seal_locked(shard, head);
    lc_block_set_locked(shard, head, LC_BLOCK_FREE, LC_SMALL, 1);
    shard->blocks[head].bl_fill = 0;
    lc_block_repair_locked(shard);
    check_walk(shard);
    CHECK_EQ(shard->ctl->sh_free_blocks, shard->block_count);
    CHECK(shard->blocks[head + 2].bl_generation > generation);
    lc_shard_leave(shard);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(run_lengths, 20) {
    struct lilcache *cache = ct_open(1 * MIB);
    /* 12 bytes of header, the key, and this: 3024, of which 4 fill 3 blocks nearly. */
    size_t length = 3024 - 12 - CT_KEY_BYTES;
    for (uint64_t n = 0; n < 40; n++) {
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
    }
    struct lc_shard *shard = enter(cache);
    CHECK_EQ(1u << shard->block_shift, 4096);
    CHECK_EQ(shard->ctl->sh_mean_bytes, 3024);
    CHECK_EQ(lc_run_length_locked(shard, 3024), 3);
    uint32_t head = shard->ctl->sh_open[LC_SMALL][0];
    CHECK_EQ(lc_word_length(shard->blocks[head].bl_word), 3);
    CHECK_EQ(lc_run_length_locked(shard, 4 * 4096), 4); /* more than such a run holds */
    CHECK_EQ(lc_run_length_locked(shard, 4 * 4096 + 8), 5);
    for (int i = 0; i < 2000; i++) { /* records that fill one block exactly */
        lc_run_measure_locked(shard, 1024);
    }
    CHECK_EQ(shard->ctl->sh_mean_bytes, 1024);
    CHECK_EQ(lc_run_length_locked(shard, 1024), 1);
    lc_shard_leave(shard);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
