/* lc_geometry.c: where everything lies, for every size from 1 MiB to 64 GiB. */
#include "cachetest.h"
#include "lc_geometry.h"

/* Everything inside, nothing over anything else, in order. */
static void check_geometry(const struct lc_geometry *g) {
    uint64_t block = 1ULL << g->block_shift;
    uint64_t rows_end = g->rows_at + (uint64_t)g->row_count * g->row_bytes;
    uint64_t groups_end = g->groups_at + g->group_count * sizeof(struct shm_group);
    uint64_t blocks_end = g->blocks_at + g->block_count * sizeof(struct shm_block);
    uint64_t heap_bytes = (uint64_t)g->block_count * block;
    uint64_t last_shard = g->shards_at + (g->shard_count - 1) * g->shard_bytes;

    CHECK(g->rows_at >= sizeof(struct shm_header));
    CHECK(g->row_bytes % LC_CACHE_LINE == 0);
    CHECK(g->row_bytes >= sizeof(struct shm_row) + 8 * g->row_pins);
    CHECK(g->shards_at >= rows_end && g->shards_at % LC_CACHE_LINE == 0);
    CHECK(g->groups_at >= sizeof(struct shm_shard));
    CHECK(g->blocks_at >= groups_end && g->blocks_at % 16 == 0);
    CHECK(g->heap_at >= blocks_end);
    CHECK((g->shards_at + g->heap_at) % LC_HEAP_ALIGN == 0);
    CHECK(g->shard_count == 1 || g->shard_bytes % LC_HEAP_ALIGN == 0);
    CHECK(g->shard_count == 1 || g->heap_at + heap_bytes <= g->shard_bytes);
    CHECK(last_shard + g->heap_at + heap_bytes <= g->size);

    CHECK(block >= LC_BLOCK_MIN && block <= LC_BLOCK_MAX);
    CHECK(g->block_count >= 16 && g->block_count < 1u << 24);
    CHECK(heap_bytes >> LC_UNIT_SHIFT <= LC_UNIT_MASK + 1);
    CHECK((uint64_t)g->block_count << (g->block_shift - LC_PAGE_SHIFT) <= UINT32_MAX);
    CHECK((g->group_count & (g->group_count - 1)) == 0);
    CHECK(g->max_value + LC_BLOCK_MIN <= heap_bytes / 2 + block);
    CHECK(g->row_pins > 0 && g->row_count > 0);
}

static uint64_t heap_share(const struct lc_geometry *g) {
    uint64_t heap = ((uint64_t)g->block_count << g->block_shift) * g->shard_count;
    return heap * 1000 / g->size;
}

TEST(every_size, 30) {
    struct ct_random random = {5};
    for (int i = 0; i < 20000; i++) {
        uint64_t size = i < 17 ? MIB << i : MIB + ct_random(&random) % (64ULL << 30);
        struct lc_geometry g;
        uint32_t cores = 1 + (uint32_t)ct_below(&random, 96);
        if (i >= 17 && i % 2) {
            size = MIB + (size >> ct_below(&random, 16));
        }
        size = lc_min64(size, LC_SIZE_MAX);
        CHECK(lc_geometry_make(size, 0, 0, 0, cores, &g));
        check_geometry(&g);
        CHECK(g.size == size && g.shard_count <= cores);
        CHECK(heap_share(&g) > (size < 2 * MIB ? 900 : 940));
    }
}

TEST(powers_of_two, 10) {
    static const struct {
        uint64_t size;
        uint32_t shards, blocks_from, block_bytes, rows;
    } wanted[] = {
        {1 * MIB, 1, 240, 4096, 64},          {2 * MIB, 1, 240, 8192, 64},
        {4 * MIB, 1, 240, 16 << 10, 256},     {64 * MIB, 1, 250, 256 << 10, 256},
        {1024 * MIB, 8, 250, 512 << 10, 256}, {65536 * MIB, 8, 4090, 2 << 20, 256},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct lc_geometry g;
        CHECK(lc_geometry_make(wanted[i].size, 0, 0, 0, 8, &g));
        CHECK_EQ(g.shard_count, wanted[i].shards);
        CHECK_EQ(1u << g.block_shift, wanted[i].block_bytes);
        CHECK(g.block_count >= wanted[i].blocks_from);
        CHECK_EQ(g.row_count, wanted[i].rows);
        printf("  %6llu MiB: heap %llu permille, %u shards of %u blocks of %u KiB\n",
               (unsigned long long)(wanted[i].size / MIB),
               (unsigned long long)heap_share(&g), g.shard_count, g.block_count,
               (1u << g.block_shift) >> 10);
    }
}

/* Attaching works from four numbers of the header and must come to the same places. */
TEST(attach_repeats_it, 10) {
    struct ct_random random = {6};
    for (int i = 0; i < 2000; i++) {
        uint64_t size =
            MIB + (ct_random(&random) % (64ULL << 30) >> ct_below(&random, 16));
        struct lc_geometry made;
        struct lc_geometry again;
        size = lc_min64(size, LC_SIZE_MAX);
        CHECK(lc_geometry_make(size, 0, 0, 0, 8, &made));
        CHECK(lc_geometry_make(size, made.max_value, made.row_count, made.shard_count,
                               1, &again));
        CHECK(memcmp(&made, &again, sizeof made) == 0);
    }
}

TEST(larger_values_by_request, 10) {
    struct lc_geometry g;
    CHECK(lc_geometry_make(1024 * MIB, 400 * MIB, 0, 0, 8, &g));
    CHECK_EQ(g.shard_count, 1);
    check_geometry(&g);
    CHECK(lc_geometry_make(1024 * MIB, 1 * MIB, 0, 0, 64, &g));
    CHECK_EQ(g.shard_count, 64);
    check_geometry(&g);
    CHECK(lc_geometry_make(1024 * MIB, 1 * MIB, 0, 0, 5, &g));
    CHECK_EQ(g.shard_count, 4);
}

TEST(impossible_sizes, 10) {
    struct lc_geometry g;
    CHECK(!lc_geometry_make(0, 0, 0, 0, 1, &g));
    CHECK(!lc_geometry_make(MIB - 1, 0, 0, 0, 1, &g));
    CHECK(!lc_geometry_make(LC_SIZE_MAX + 1, 0, 0, 0, 1, &g));
    CHECK(!lc_geometry_make(UINT64_MAX, 0, 0, 0, 1, &g));
    CHECK(!lc_geometry_make(MIB, MIB, 0, 0, 1, &g));
    CHECK(!lc_geometry_make(MIB, UINT64_MAX, 0, 0, 1, &g));
    CHECK(!lc_geometry_make(64 * MIB, 0, 0, 3, 1, &g));
    CHECK(!lc_geometry_make(64 * MIB, 0, 0, 128, 1, &g));
    CHECK(!lc_geometry_make(64 * MIB, 16 * MIB, 0, 8, 1,
                            &g)); /* no shard could hold it */
}

TEST(rows_by_request, 10) {
    static const uint32_t rows[] = {1, 2, 64, 255, 1000, 4096};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct lc_geometry g;
        CHECK(lc_geometry_make(64 * MIB, 0, rows[i], 0, 1, &g));
        CHECK_EQ(g.row_count, rows[i]);
        check_geometry(&g);
    }
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
