/* get_many, set_many and delete_many; segments with checksums. */
#include "cachetest.h"

static struct lilcache *c;

#define COUNT 6

/* Keys "0", "1", ..; the fourth is empty. */
static const char keys[] = "01245";
static const uint32_t key_lengths[COUNT] = {1, 1, 1, 0, 1, 1};
static const uint8_t key_types[COUNT] = {1, 1, 1, 1, 9, 1};

TEST(each_result_is_that_of_the_single_call, 10) {
    static const uint64_t value_lengths[COUNT] = {3, 0, 5, 1, 1, 2};
    static const uint8_t value_types[COUNT] = {3, 4, 5, 6, 7, 8};
    int64_t results[COUNT];
    char out[16];
    c = ct_open(1 * MIB);
    CHECK_EQ(lilcache_get_many(c, COUNT, keys, key_lengths, key_types, out, sizeof out,
                               results),
             0);
    CHECK_EQ(results[0], LILCACHE_MISS);
    CHECK_EQ(lilcache_set_many(c, COUNT, keys, key_lengths, key_types, "aaacccccdeff",
                               value_lengths, value_types, 100000, results),
             4);
    CHECK_EQ(results[0], LILCACHE_OK);
    CHECK_EQ(results[3], LILCACHE_KEY_SIZE);
    CHECK_EQ(results[4], LILCACHE_INVALID);
    CHECK_EQ(results[5], LILCACHE_OK);
    CHECK_EQ(lilcache_get_many(c, COUNT, keys, key_lengths, key_types, out, sizeof out,
                               results),
             4);
    CHECK(memcmp(out, "aaacccccff", 10) == 0);
    CHECK_EQ(results[0], LILCACHE_PACK(3, 3));
    CHECK_EQ(results[1], LILCACHE_PACK(4, 0));
    CHECK_EQ(results[2], LILCACHE_PACK(5, 5));
    CHECK_EQ(results[3], LILCACHE_KEY_SIZE);
    CHECK_EQ(results[4], LILCACHE_INVALID);
    CHECK_EQ(results[5], LILCACHE_PACK(8, 2));
    int64_t ttl;
    CHECK_EQ(lilcache_ttl(c, "5", 1, LILCACHE_KEY_STR, &ttl), LILCACHE_OK);
    CHECK(ttl > 90000 && ttl <= 100000);
    /* No room for the third; the last fits into what is left. */
    CHECK_EQ(lilcache_get_many(c, COUNT, keys, key_lengths, key_types, out, 7, results),
             3);
    CHECK_EQ(results[2], LILCACHE_TOO_LARGE);
    CHECK_EQ(results[5], LILCACHE_PACK(8, 2));
    CHECK(memcmp(out, "aaaff", 5) == 0);
    CHECK_EQ(lilcache_delete_many(c, COUNT, keys, key_lengths, key_types, results), 4);
    CHECK_EQ(results[2], LILCACHE_OK);
    CHECK_EQ(results[3], LILCACHE_KEY_SIZE);
    CHECK_EQ(lilcache_delete_many(c, COUNT, keys, key_lengths, key_types, results), 0);
    CHECK_EQ(results[2], LILCACHE_MISS);
    CHECK_EQ(ct_stat(c, "deletes"), 4);
    CHECK_EQ(lilcache_get_many(c, 0, keys, key_lengths, key_types, out, 0, results), 0);
    ct_check_unhurt(c);
    lilcache_close(c);
}

/* More than are begun at a time, every third of them absent. */
TEST(many_more_than_are_begun_together, 10) {
    enum { MANY = 70 };
    char names[MANY * CT_KEY_BYTES + 1];
    uint32_t lengths[MANY];
    uint8_t types[MANY];
    int64_t results[MANY];
    uint64_t values[MANY];
    c = ct_open(1 * MIB);
    for (uint64_t n = 0; n < MANY; n++) {
        ct_key(n, names + n * CT_KEY_BYTES);
        lengths[n] = CT_KEY_BYTES;
        types[n] = LILCACHE_KEY_STR;
        CHECK(n % 3 == 0 ||
              lilcache_set(c, names + n * CT_KEY_BYTES, CT_KEY_BYTES, LILCACHE_KEY_STR,
                           &n, sizeof n, 1, 0, LILCACHE_SET) == LILCACHE_OK);
    }
    CHECK_EQ(lilcache_get_many(c, MANY, names, lengths, types, values, sizeof values,
                               results),
             46);
    const uint64_t *next = values;
    for (uint64_t n = 0; n < MANY; n++) {
        CHECK_EQ(results[n], n % 3 == 0 ? LILCACHE_MISS : LILCACHE_PACK(1, 8));
        CHECK(n % 3 == 0 || *next++ == n);
    }
    CHECK_EQ(ct_stat(c, "hits"), 46);
    CHECK_EQ(ct_stat(c, "misses"), 24);
    lilcache_close(c);
}

static int64_t pin(uint64_t n, struct lilcache_view *view) {
    char key[CT_KEY_BYTES + 1];
    ct_key(n, key);
    return lilcache_pin(c, key, CT_KEY_BYTES, LILCACHE_KEY_STR, view);
}

/* Flip one bit of key n's value. */
static void damage(uint64_t n, uint64_t at) {
    struct lilcache_view view;
    CHECK(pin(n, &view) >= 0);
    CHECK(at < view.length);
    ((uint8_t *)(uintptr_t)view.data)[at] ^= 0x10;
    lilcache_unpin(c, view.pin);
}

TEST(a_flipped_byte_is_a_miss_where_there_are_checksums, 10) {
    static const size_t lengths[] = {1, 7, 8, 100, 5000, 100000};
    struct lilcache_view view;
    c = ct_open_flags(1 * MIB, LILCACHE_CHECKSUMS);
    for (uint64_t n = 0; n < sizeof lengths / sizeof *lengths; n++) {
        uint64_t before = ct_stat(c, "corrupt_reads");
        CHECK_EQ(ct_set(c, n, n, lengths[n]), LILCACHE_OK);
        CHECK(ct_get(c, n, n, lengths[n]) == CT_RIGHT);
        damage(n, lengths[n] / 2);
        CHECK(ct_get(c, n, n, lengths[n]) == CT_MISS);
        CHECK_EQ(ct_stat(c, "corrupt_reads"), before + 1);
        CHECK_EQ(pin(n, &view), LILCACHE_MISS);
        CHECK_EQ(ct_stat(c, "corrupt_reads"), before + 2);
        CHECK_EQ(ct_stat(c, "pins"), 0);
        CHECK_EQ(ct_set(c, n, n + 1, lengths[n]), LILCACHE_OK);
        CHECK(ct_get(c, n, n + 1, lengths[n]) == CT_RIGHT);
    }
    ct_check_unhurt(c);
    lilcache_close(c);
}

TEST(damage_is_not_passed_on_by_touch_or_pop, 10) {
    char out[100];
    c = ct_open_flags(1 * MIB, LILCACHE_CHECKSUMS);
    for (int64_t ttl = 0; ttl <= 1000; ttl += 1000) {
        CHECK_EQ(ct_set_ttl(c, 1, 1, 100, ttl * 100), LILCACHE_OK);
        damage(1, 3);
        CHECK_EQ(lilcache_touch(c, "key-000000000001", CT_KEY_BYTES, LILCACHE_KEY_STR,
                                50000),
                 LILCACHE_MISS);
        CHECK(ct_get(c, 1, 1, 100) == CT_MISS);
        CHECK_EQ(ct_set_ttl(c, 1, 1, 100, ttl * 100), LILCACHE_OK);
        damage(1, 99);
        CHECK_EQ(lilcache_pop(c, "key-000000000001", CT_KEY_BYTES, LILCACHE_KEY_STR,
                              out, sizeof out),
                 LILCACHE_MISS);
    }
    ct_check_unhurt(c);
    lilcache_close(c);
}

TEST(without_checksums_bytes_are_what_they_are, 10) {
    c = ct_open(1 * MIB);
    CHECK_EQ(ct_set(c, 1, 1, 100), LILCACHE_OK);
    damage(1, 50);
    CHECK(ct_get(c, 1, 1, 100) == CT_WRONG);
    CHECK_EQ(ct_stat(c, "corrupt_reads"), 0);
    lilcache_close(c);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
