/* Every verb of lilcache.h, its answers and its limits. */
#include "cachetest.h"

static struct lilcache *c;

#define STR       LILCACHE_KEY_STR
#define KEY(key_) key_, strlen(key_), STR

static int set(const char *key, const char *value, int64_t ttl_ms, int mode) {
    return lilcache_set(c, KEY(key), value, strlen(value), 3, ttl_ms, mode);
}

static bool holds(const char *key, const char *value) {
    char out[256];
    int64_t result = lilcache_get(c, KEY(key), out, sizeof out);
    return result == LILCACHE_PACK(3, strlen(value)) &&
           memcmp(out, value, strlen(value)) == 0;
}

static int64_t read_of(const char *key) {
    char out[256];
    return lilcache_get(c, KEY(key), out, sizeof out);
}

static int64_t ttl_of(const char *key) {
    int64_t ttl = -99;
    int status = lilcache_ttl(c, KEY(key), &ttl);
    return status == LILCACHE_OK ? ttl : -1000 + status;
}

static void gone_within(const char *key, double seconds) {
    double until = lct_seconds() + seconds;
    while (read_of(key) != LILCACHE_MISS) {
        CHECK(lct_seconds() < until);
        lct_sleep_ms(5);
    }
}

TEST(tries_do_what_their_namesakes_do, 10) {
    static char large[256 * 1024];
    char out[8];
    c = ct_open(4 * MIB);
    CHECK_EQ(lilcache_try_delete(c, KEY("a")), LILCACHE_MISS);
    CHECK_EQ(set("a", "old", 60000, LILCACHE_SET), LILCACHE_OK);
    CHECK_EQ(
        lilcache_try_set(c, KEY("a"), "new", 3, 9, LILCACHE_TTL_NONE, LILCACHE_SET),
        LILCACHE_OK);
    CHECK_EQ(lilcache_get(c, KEY("a"), out, sizeof out), LILCACHE_PACK(9, 3));
    CHECK(memcmp(out, "new", 3) == 0);
    CHECK_EQ(ttl_of("a"), -1);
    CHECK_EQ(lilcache_try_set(c, KEY("a"), large, sizeof large, 9, LILCACHE_TTL_NONE,
                              LILCACHE_SET),
             LILCACHE_BUSY);
    CHECK_EQ(
        lilcache_try_set(c, KEY("a"), "v", 1, 256, LILCACHE_TTL_NONE, LILCACHE_SET),
        LILCACHE_INVALID);
    CHECK_EQ(
        lilcache_try_set(c, "", 0, STR, "v", 1, 0, LILCACHE_TTL_NONE, LILCACHE_SET),
        LILCACHE_KEY_SIZE);
    CHECK_EQ(lilcache_try_delete(c, "", 0, STR), LILCACHE_KEY_SIZE);
    CHECK_EQ(lilcache_get(c, KEY("a"), out, sizeof out), LILCACHE_PACK(9, 3));
    CHECK_EQ(
        lilcache_try_set(c, KEY("a"), "more", 4, 9, LILCACHE_TTL_NONE, LILCACHE_ADD),
        LILCACHE_EXISTS);
    CHECK_EQ(lilcache_try_set(c, KEY("a"), "more", 4, 9, 5000, LILCACHE_REPLACE),
             LILCACHE_OK);
    CHECK(ttl_of("a") > 4000 && ttl_of("a") <= 5000);
    CHECK_EQ(lilcache_try_set(c, KEY("a"), "v", 1, 9, -1, LILCACHE_SET), LILCACHE_TTL);
    CHECK_EQ(lilcache_try_set(c, KEY("a"), "v", 1, 9, 0, 3), LILCACHE_INVALID);
    CHECK_EQ(lilcache_try_delete(c, KEY("a")), LILCACHE_OK);
    const int64_t ten = 10;
    int64_t sum = 0;
    CHECK_EQ(lilcache_try_incr(c, KEY("a"), 3, NULL, LILCACHE_TTL_NONE, &sum),
             LILCACHE_MISS);
    CHECK_EQ(lilcache_try_incr(c, KEY("a"), 3, &ten, 5000, &sum), LILCACHE_OK);
    CHECK_EQ(sum, 10);
    CHECK_EQ(lilcache_try_incr(c, KEY("a"), 3, &ten, LILCACHE_TTL_NONE, &sum),
             LILCACHE_OK);
    CHECK_EQ(sum, 13);
    CHECK(ttl_of("a") > 4000 && ttl_of("a") <= 5000);
    CHECK_EQ(lilcache_try_delete(c, KEY("a")), LILCACHE_OK);
    CHECK_EQ(read_of("a"), LILCACHE_MISS);
    CHECK_EQ(ct_stat(c, "sets"), 5);
    CHECK_EQ(ct_stat(c, "deletes"), 2);
    ct_check_unhurt(c);
    lilcache_close(c);
}

TEST(set_add_replace_delete, 10) {
    c = ct_open(1 * MIB);
    CHECK_EQ(read_of("a"), LILCACHE_MISS);
    CHECK_EQ(set("a", "1", 0, LILCACHE_REPLACE), LILCACHE_MISS);
    CHECK_EQ(set("a", "2", 0, LILCACHE_ADD), LILCACHE_OK);
    CHECK_EQ(set("a", "3", 0, LILCACHE_ADD), LILCACHE_EXISTS);
    CHECK(holds("a", "2"));
    CHECK_EQ(set("a", "4", 0, LILCACHE_REPLACE), LILCACHE_OK);
    CHECK_EQ(set("a", "", 0, LILCACHE_SET), LILCACHE_OK);
    CHECK(holds("a", ""));
    CHECK_EQ(lilcache_delete(c, KEY("a")), LILCACHE_OK);
    CHECK_EQ(lilcache_delete(c, KEY("a")), LILCACHE_MISS);
    CHECK_EQ(set("a", "5", 0, LILCACHE_REPLACE), LILCACHE_MISS);
    CHECK_EQ(set("a", "5", 0, 3), LILCACHE_INVALID);
    CHECK_EQ(set("a", "5", 0, -1), LILCACHE_INVALID);
    CHECK_EQ(lilcache_set(c, KEY("a"), "v", 1, 256, 0, 0), LILCACHE_INVALID);
    CHECK_EQ(lilcache_set(c, KEY("a"), "v", 1, -1, 0, 0), LILCACHE_INVALID);
    CHECK_EQ(lilcache_set(c, KEY("a"), "v", 1, 255, 0, 0), LILCACHE_OK);
    CHECK_EQ(read_of("a"), LILCACHE_PACK(255, 1));
    CHECK_EQ(ct_stat(c, "items"), 1);
    CHECK_EQ(lilcache_clear(c), LILCACHE_OK);
    CHECK_EQ(read_of("a"), LILCACHE_MISS);
    CHECK_EQ(ct_stat(c, "items"), 0);
    CHECK_EQ(ct_stat(c, "sets"), 4);
    CHECK_EQ(ct_stat(c, "deletes"), 1);
    ct_check_unhurt(c);
    lilcache_close(c);
}

TEST(key_types_and_sizes, 10) {
    static const size_t sizes[] = {
        1, 2, 255, 256, LILCACHE_KEY_MAX - 1, LILCACHE_KEY_MAX};
    c = ct_open(16 * MIB);
    char *key = calloc(1, LILCACHE_KEY_MAX + 1);
    char out;
    CHECK(key != NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int type = 0; type < 4; type++) {
            char value = (char)(i * 4 + (size_t)type);
            CHECK_EQ(
                lilcache_set(c, key, sizes[i], type, &value, 1, 0, 0, LILCACHE_ADD),
                LILCACHE_OK);
        }
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int type = 0; type < 4; type++) {
            CHECK_EQ(lilcache_get(c, key, sizes[i], type, &out, 1),
                     LILCACHE_PACK(0, 1));
            CHECK_EQ(out, i * 4 + (size_t)type);
        }
    }
    CHECK_EQ(lilcache_get(c, key, 1, 4, &out, 1), LILCACHE_INVALID);
    CHECK_EQ(lilcache_get(c, key, 1, -1, &out, 1), LILCACHE_INVALID);
    for (size_t size = 0; size <= LILCACHE_KEY_MAX + 1; size += LILCACHE_KEY_MAX + 1) {
        struct lilcache_view view;
        int64_t number;
        uint32_t stamp;
        CHECK_EQ(lilcache_set(c, key, size, 0, "v", 1, 0, 0, 0), LILCACHE_KEY_SIZE);
        CHECK_EQ(lilcache_cas(c, key, size, 0, "v", 1, 0, 0, 1), LILCACHE_KEY_SIZE);
        CHECK_EQ(lilcache_get(c, key, size, 0, &out, 1), LILCACHE_KEY_SIZE);
        CHECK_EQ(lilcache_gets(c, key, size, 0, &out, 1, &stamp), LILCACHE_KEY_SIZE);
        CHECK_EQ(lilcache_pop(c, key, size, 0, &out, 1), LILCACHE_KEY_SIZE);
        CHECK_EQ(lilcache_pin(c, key, size, 0, &view), LILCACHE_KEY_SIZE);
        CHECK_EQ(lilcache_delete(c, key, size, 0), LILCACHE_KEY_SIZE);
        CHECK_EQ(lilcache_touch(c, key, size, 0, 0), LILCACHE_KEY_SIZE);
        CHECK_EQ(lilcache_ttl(c, key, size, 0, &number), LILCACHE_KEY_SIZE);
        CHECK_EQ(lilcache_incr(c, key, size, 0, 1, NULL, 0, &number),
                 LILCACHE_KEY_SIZE);
    }
    free(key);
    ct_check_unhurt(c);
    lilcache_close(c);
}

TEST(the_largest_value_and_one_byte_more, 20) {
    static const uint64_t sizes[] = {1, 4, 64};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        c = ct_open(sizes[i] * MIB);
        size_t most = lilcache_max_value(c);
        CHECK_EQ(most, sizes[i] * MIB / 4);
        for (uint64_t n = 0; n < 10; n++) {
            CHECK_EQ(ct_set(c, n, n, most), LILCACHE_OK);
            CHECK(ct_get(c, n, n, most) == CT_RIGHT);
        }
        CHECK_EQ(ct_set(c, 9, 9, most + 1), LILCACHE_VALUE_SIZE);
        CHECK(ct_get(c, 9, 9, most) == CT_RIGHT);
        CHECK_EQ(lilcache_get(c, "key-000000000009", CT_KEY_BYTES, STR, NULL, 0),
                 LILCACHE_TOO_LARGE);
        uint64_t took = 0;
        CHECK_EQ(lilcache_get(c, "key-000000000009", CT_KEY_BYTES, STR, &took, 7),
                 LILCACHE_TOO_LARGE);
        CHECK_EQ(took, 0);
        CHECK_EQ(lilcache_get(c, "key-000000000009", CT_KEY_BYTES, STR, &took, 8),
                 LILCACHE_TOO_LARGE);
        CHECK_EQ(took, most);
        ct_check_unhurt(c);
        lilcache_close(c);
    }
}

TEST(ttl_and_touch, 20) {
    c = ct_open(1 * MIB);
    CHECK_EQ(ttl_of("t"), -1000 + LILCACHE_MISS);
    CHECK_EQ(lilcache_touch(c, KEY("t"), 5), LILCACHE_MISS);
    CHECK_EQ(set("t", "v", -1, 0), LILCACHE_TTL);
    CHECK_EQ(set("t", "v", INT64_MAX, 0), LILCACHE_TTL);
    CHECK_EQ(set("t", "v", 0, 0), LILCACHE_OK);
    CHECK_EQ(ttl_of("t"), -1);
    uint32_t stamp;
    uint32_t later;
    char out[8];
    CHECK_EQ(lilcache_gets(c, KEY("t"), out, 8, &stamp), LILCACHE_PACK(3, 1));
    CHECK_EQ(lilcache_touch(c, KEY("t"), -1), LILCACHE_TTL);
    CHECK_EQ(lilcache_touch(c, KEY("t"), 100000), LILCACHE_OK); /* adds a ttl */
    CHECK(ttl_of("t") > 90000 && ttl_of("t") <= 100000);
    CHECK_EQ(lilcache_touch(c, KEY("t"), 200000), LILCACHE_OK); /* changes it */
    CHECK(ttl_of("t") > 190000);
    CHECK_EQ(lilcache_touch(c, KEY("t"), LILCACHE_TTL_NONE),
             LILCACHE_OK); /* removes it */
    CHECK_EQ(ttl_of("t"), -1);
    CHECK_EQ(lilcache_gets(c, KEY("t"), out, 8, &later), LILCACHE_PACK(3, 1));
    CHECK_EQ(later, stamp);
    CHECK(holds("t", "v"));
    double before = lct_seconds();
    CHECK_EQ(lilcache_touch(c, KEY("t"), 60), LILCACHE_OK);
    CHECK_EQ(set("u", "v", 60, 0), LILCACHE_OK);
    gone_within("t", 5);
    gone_within("u", 5);
    CHECK(lct_seconds() - before >= 0.055);
    CHECK_EQ(ttl_of("t"), -1000 + LILCACHE_MISS);
    /* What has expired is absent for every verb. */
    CHECK_EQ(lilcache_touch(c, KEY("t"), 100), LILCACHE_MISS);
    CHECK_EQ(lilcache_delete(c, KEY("u")), LILCACHE_MISS);
    CHECK_EQ(set("t", "w", 0, LILCACHE_REPLACE), LILCACHE_MISS);
    CHECK_EQ(lilcache_cas(c, KEY("t"), "w", 1, 3, 0, stamp), LILCACHE_MISS);
    CHECK_EQ(lilcache_pop(c, KEY("t"), out, 8), LILCACHE_MISS);
    CHECK_EQ(set("t", "w", 0, LILCACHE_ADD), LILCACHE_OK);
    CHECK_EQ(ttl_of("t"), -1);
    ct_check_unhurt(c);
    lilcache_close(c);
}

TEST(incr, 20) {
    c = ct_open(1 * MIB);
    const int64_t initial = 40;
    int64_t number = 0;
    CHECK_EQ(lilcache_incr(c, KEY("i"), 1, NULL, 0, &number), LILCACHE_MISS);
    CHECK_EQ(lilcache_incr(c, KEY("i"), 1, &initial, -2, &number), LILCACHE_TTL);
    CHECK_EQ(lilcache_incr(c, KEY("i"), 1, &initial, 100000, &number), LILCACHE_OK);
    CHECK_EQ(number, 40); /* not 41 */
    CHECK_EQ(lilcache_incr(c, KEY("i"), 2, &initial, 5, &number), LILCACHE_OK);
    CHECK_EQ(number, 42);
    CHECK(ttl_of("i") > 90000); /* kept */
    CHECK_EQ(lilcache_incr(c, KEY("i"), -100, NULL, LILCACHE_TTL_KEEP, &number),
             LILCACHE_OK);
    CHECK_EQ(number, -58);
    CHECK(ttl_of("i") > 90000);
    int64_t stored = INT64_MAX - 1;
    CHECK_EQ(lilcache_set(c, KEY("m"), &stored, 8, LILCACHE_TYPE_INT64, 0, 0),
             LILCACHE_OK);
    CHECK_EQ(lilcache_incr(c, KEY("m"), 1, NULL, 0, &number), LILCACHE_OK);
    CHECK(number == INT64_MAX);
    CHECK_EQ(lilcache_incr(c, KEY("m"), 1, NULL, 0, &number), LILCACHE_OVERFLOW);
    CHECK_EQ(lilcache_get(c, KEY("m"), &stored, 8),
             LILCACHE_PACK(LILCACHE_TYPE_INT64, 8));
    CHECK(stored == INT64_MAX);
    stored = INT64_MIN;
    CHECK_EQ(lilcache_set(c, KEY("m"), &stored, 8, LILCACHE_TYPE_INT64, 0, 0),
             LILCACHE_OK);
    CHECK_EQ(lilcache_incr(c, KEY("m"), -1, NULL, 0, &number), LILCACHE_OVERFLOW);
    CHECK_EQ(set("s", "12345678", 0, 0), LILCACHE_OK); /* eight bytes of another type */
    CHECK_EQ(lilcache_incr(c, KEY("s"), 1, &initial, 0, &number), LILCACHE_NOT_INTEGER);
    CHECK_EQ(lilcache_set(c, KEY("s"), "1234", 4, LILCACHE_TYPE_INT64, 0, 0),
             LILCACHE_OK);
    CHECK_EQ(lilcache_incr(c, KEY("s"), 1, &initial, 0, &number), LILCACHE_NOT_INTEGER);
    CHECK_EQ(lilcache_incr(c, KEY("x"), 0, &initial, 30, &number), LILCACHE_OK);
    gone_within("x", 5);
    ct_check_unhurt(c);
    lilcache_close(c);
}

TEST(cas_and_pop, 10) {
    c = ct_open(1 * MIB);
    char out[8];
    uint32_t first;
    uint32_t second;
    CHECK_EQ(lilcache_cas(c, KEY("c"), "v", 1, 3, 0, 0), LILCACHE_MISS);
    CHECK_EQ(set("c", "1", 0, 0), LILCACHE_OK);
    CHECK_EQ(lilcache_gets(c, KEY("c"), out, 8, &first), LILCACHE_PACK(3, 1));
    CHECK_EQ(lilcache_cas(c, KEY("c"), "2", 1, 3, 0, first + 1), LILCACHE_EXISTS);
    CHECK_EQ(lilcache_cas(c, KEY("c"), "2", 1, 3, 100000, first), LILCACHE_OK);
    CHECK(holds("c", "2"));
    CHECK(ttl_of("c") > 90000);
    CHECK_EQ(lilcache_cas(c, KEY("c"), "3", 1, 3, 0, first), LILCACHE_EXISTS);
    CHECK_EQ(lilcache_gets(c, KEY("c"), out, 8, &second), LILCACHE_PACK(3, 1));
    CHECK(second != first);
    CHECK_EQ(set("c", "2", 0, 0), LILCACHE_OK); /* the same value, another stamp */
    CHECK_EQ(lilcache_cas(c, KEY("c"), "3", 1, 3, 0, second), LILCACHE_EXISTS);
    CHECK_EQ(set("c", "12345", 0, 0), LILCACHE_OK);
    for (size_t cap = 0; cap < 5; cap++) {
        CHECK_EQ(lilcache_pop(c, KEY("c"), out, cap), LILCACHE_TOO_LARGE);
        CHECK(holds("c", "12345"));
    }
    CHECK_EQ(lilcache_pop(c, KEY("c"), out, 5), LILCACHE_PACK(3, 5));
    CHECK(memcmp(out, "12345", 5) == 0);
    CHECK_EQ(lilcache_pop(c, KEY("c"), out, 5), LILCACHE_MISS);
    CHECK_EQ(ct_stat(c, "deletes"), 1);
    lilcache_close(c);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
