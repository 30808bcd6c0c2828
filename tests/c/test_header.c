/* lc_header.c and lc_geometry.c: headers whose checksum is right and whose facts are
 * not: nobody has flipped a bit there, somebody has written it, or another version. */
#include <fcntl.h>

#include "cachetest.h"
#include "lc_geometry.h"
#include "lc_header.h"

#define SIZE (1 * MIB)

static int open_status(const char *name, struct lilcache_error *error) {
    struct lilcache_options options = {
        .name = name, .size_bytes = SIZE, .cores = 1, .owner = -1, .group = -1};
    struct lilcache *cache;
    int status = lilcache_open(&options, &cache, error);
    if (status == LILCACHE_OK) {
        lilcache_close(cache);
    }
    return status;
}

static int object_open(const char *name) {
    char object[300] = "/";
    CHECK(lilcache_object_name(name, object + 1, sizeof object - 1) > 0);
    int fd = shm_open(object, O_RDWR, 0600);
    CHECK(fd >= 0);
    return fd;
}

static void put(int fd, struct shm_header *header) {
    header->hd_checksum = lc_header_checksum(header);
    CHECK(pwrite(fd, header, sizeof *header, 0) == sizeof *header);
}

struct fact {
    size_t at;
    size_t bytes;
    int status; /* when it is another */
};

#define FACT(name, status)                                                             \
    {offsetof(struct shm_header, name), sizeof(((struct shm_header *)0)->name), status}

static const struct fact facts[] = {
    FACT(hd_magic, LILCACHE_MISMATCH),       FACT(hd_layout, LILCACHE_MISMATCH),
    FACT(hd_fingerprint, LILCACHE_MISMATCH), FACT(hd_size, LILCACHE_CORRUPT),
    FACT(hd_max_value, LILCACHE_CORRUPT),    FACT(hd_shard_count, LILCACHE_CORRUPT),
    FACT(hd_row_count, LILCACHE_CORRUPT),    FACT(hd_row_bytes, LILCACHE_CORRUPT),
    FACT(hd_row_pins, LILCACHE_CORRUPT),     FACT(hd_block_shift, LILCACHE_CORRUPT),
    FACT(hd_block_count, LILCACHE_CORRUPT),  FACT(hd_group_count, LILCACHE_CORRUPT),
    FACT(hd_rows_at, LILCACHE_CORRUPT),      FACT(hd_shards_at, LILCACHE_CORRUPT),
    FACT(hd_shard_bytes, LILCACHE_CORRUPT),  FACT(hd_groups_at, LILCACHE_CORRUPT),
    FACT(hd_blocks_at, LILCACHE_CORRUPT),    FACT(hd_heap_at, LILCACHE_CORRUPT),
};

/* Not one of the facts is believed because the checksum is right; the one that decides
 * how the object would be mapped least of all. */
TEST(a_right_checksum_makes_no_wrong_fact_right, 30) {
    static const uint64_t wrong[] = {0, 1, 3, 64, 4096, UINT32_MAX, UINT64_MAX};
    const char *name = lct_name("facts");
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    CHECK_EQ(ct_set(cache, 1, 1, 500), LILCACHE_OK);
    lilcache_close(cache);
    int fd = object_open(name);
    struct shm_header good;
    CHECK(pread(fd, &good, sizeof good, 0) == sizeof good);
    CHECK_EQ(lc_header_checksum(&good), good.hd_checksum);
    for (size_t f = 0; f < sizeof facts / sizeof *facts; f++) {
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            struct lilcache_error error;
            struct shm_header bad = good;
            memcpy((uint8_t *)&bad + facts[f].at, &wrong[i], facts[f].bytes);
            /* A size above its own is that of an object that was cut short, and any
             * largest value there is room for will do. */
            if (memcmp(&bad, &good, sizeof bad) == 0 || bad.hd_size > SIZE ||
                (bad.hd_max_value != good.hd_max_value && bad.hd_max_value < SIZE)) {
                continue;
            }
            put(fd, &bad);
            CHECK_EQ(open_status(name, &error), facts[f].status);
            CHECK_EQ(error.status, facts[f].status);
            CHECK(strcmp(error.step, "header") == 0);
        }
    }
    put(fd, &good);
    close(fd);
    cache = ct_open_named(name, SIZE, 0); /* refusing it has not hurt it */
    CHECK_EQ(lilcache_created(cache), 0);
    CHECK(ct_get(cache, 1, 1, 500) == CT_RIGHT);
    lilcache_close(cache);
}

/* Clocks of another time namespace count from another moment. */
TEST(another_time_namespace_is_refused, 10) {
    const char *name = lct_name("time");
    lilcache_close(ct_open_named(name, SIZE, 0));
    int fd = object_open(name);
    struct shm_header good;
    CHECK(pread(fd, &good, sizeof good, 0) == sizeof good);
    for (int i = 0; i < 2; i++) {
        struct lilcache_error error;
        struct shm_header other = good;
        other.hd_time_ns[i]++;
        put(fd, &other);
        CHECK_EQ(open_status(name, &error), LILCACHE_NAMESPACE);
    }
    put(fd, &good);
    close(fd);
    struct lilcache_error error;
    CHECK_EQ(open_status(name, &error), LILCACHE_OK);
}

/* Only the rightful header of a larger segment shows that its object was cut short. */
TEST(a_longer_size_without_a_checksum_is_damage, 10) {
    const char *name = lct_name("longer");
    lilcache_close(ct_open_named(name, SIZE, 0));
    int fd = object_open(name);
    struct shm_header good;
    struct lilcache_error error;
    CHECK(pread(fd, &good, sizeof good, 0) == sizeof good);
    struct shm_header other = good;
    other.hd_size = 2 * SIZE;
    CHECK(pwrite(fd, &other, sizeof other, 0) == sizeof other);
    CHECK_EQ(open_status(name, &error), LILCACHE_CORRUPT);
    put(fd, &other);
    close(fd);
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    CHECK_EQ(lilcache_created(cache), 1); /* in the place of one that is of no use */
    lilcache_close(cache);
}

TEST(a_boot_id_of_which_one_half_is_right_is_another, 10) {
    const char *name = lct_name("boot");
    for (int i = 0; i < 2; i++) {
        struct shm_header header;
        lilcache_close(ct_open_named(name, SIZE, 0));
        int fd = object_open(name);
        CHECK(pread(fd, &header, sizeof header, 0) == sizeof header);
        header.hd_boot_id[i] ^= 1;
        put(fd, &header);
        close(fd);
        struct lilcache *cache = ct_open_named(name, SIZE, 0);
        CHECK_EQ(lilcache_created(cache), 1);
        CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
        lilcache_close(cache);
    }
}

/* Shards so small that not one block fits beside their tables. */
TEST(a_geometry_without_room_for_a_block_is_none, 10) {
    struct lc_geometry g;
    CHECK(!lc_geometry_make(SIZE, 1000, 4096, 64, 1, &g));
    CHECK_EQ(g.block_count, 0);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
