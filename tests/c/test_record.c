/* lc_record.h and lc_append.c: what a record looks like, and that nothing read from one
 * is believed. */
#include "cachetest.h"
#include "lc_append.h"
#include "lc_block.h"
#include "lc_record.h"

static uint64_t append(struct lc_shard *shard, struct lc_source *source,
                       struct lc_record *out) {
    uint64_t at = lc_run_room_locked(shard, LC_SMALL, lc_append_plan(shard, source));
    CHECK(at != UINT64_MAX);
    lc_append_head_locked(shard, source, at, out);
    lc_append_value(shard, source, out);
    return at;
}

static struct lc_source source_of(const char *value, uint32_t length) {
    return (struct lc_source){
        .key = "some key",
        .value = value,
        .key_length = 8,
        .value_length = length,
        .stamp = 4711,
        .expires = UINT64_MAX,
        .flags = LILCACHE_KEY_INT | 200 << LC_RECORD_VALUE_TYPE_SHIFT,
    };
}

TEST(written_and_read, 10) {
    struct lilcache *cache = ct_open(MIB);
    struct lc_shard *shard = ct_shard(cache);
    struct lc_record record;
    struct lc_record again;
    struct lc_source source = source_of("a value", 7);
    memset(&record, 0, sizeof record); /* padding, too */
    memset(&again, 0, sizeof again);
    uint64_t at = append(shard, &source, &record);
    CHECK(lc_record_read(shard, at, &again));
    CHECK_EQ(again.offset, record.offset);
    CHECK_EQ(again.total, record.total);
    CHECK_EQ(again.value_at, record.value_at);
    CHECK_EQ(again.key_at, record.key_at);
    CHECK_EQ(again.key_length, record.key_length);
    CHECK_EQ(again.value_length, record.value_length);
    CHECK_EQ(again.stamp, record.stamp);
    CHECK_EQ(again.flags, record.flags);
    CHECK_EQ(record.total, 32); /* 12 + 8 + 7, to the next 8 */
    CHECK_EQ(record.stamp, 4711);
    CHECK_EQ(lc_record_key_type(&record), LILCACHE_KEY_INT);
    CHECK_EQ(lc_record_value_type(&record), 200);
    CHECK(memcmp(lc_record_key(shard, &record), "some key", 8) == 0);
    CHECK(memcmp(shard->heap + record.value_at, "a value", 7) == 0);
    CHECK(record.expires == UINT64_MAX);
    CHECK(!lc_record_expired(&record));
    lilcache_close(cache);
}

/* In memory of just that length: a byte read beyond it is an error of its own. */
TEST(every_byte_of_a_key_is_compared, 10) {
    for (uint32_t length = 1; length <= 64; length++) {
        uint8_t *one = malloc(length);
        uint8_t *other = malloc(length);
        CHECK(one && other);
        for (uint32_t i = 0; i < length; i++) {
            one[i] = other[i] = (uint8_t)(7 * i + length);
        }
        CHECK(lc_key_equal(one, other, length));
        for (uint32_t bit = 0; bit < 8 * length; bit++) {
            other[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(!lc_key_equal(one, other, length));
            other[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        free(one);
        free(other);
    }
}

TEST(expiry_takes_a_word, 10) {
    struct lilcache *cache = ct_open(MIB);
    struct lc_shard *shard = ct_shard(cache);
    struct lc_record record;
    struct lc_source source = source_of("a value", 7);
    source.expires = lc_os_now_ms() + 100000;
    append(shard, &source, &record);
    CHECK_EQ(record.total, 40);
    CHECK_EQ(record.key_at, 24);
    CHECK(record.expires == source.expires);
    CHECK(!lc_record_expired(&record));
    lc_store_relaxed(lc_record_expiry_word(shard, &record), lc_os_now_ms());
    CHECK(lc_record_read(shard, record.offset, &record) && lc_record_expired(&record));
    lilcache_close(cache);
}

/* Every bit but LC_RECORD_DEAD, padding aside. */
TEST(checksum_covers_every_bit, 10) {
    for (int expires = 0; expires < 2; expires++) {
        struct lilcache *cache = ct_open_flags(MIB, LILCACHE_CHECKSUMS);
        struct lc_shard *shard = ct_shard(cache);
        struct lc_record record;
        struct lc_source source = source_of("a value", 7);
        source.expires = expires ? lc_os_now_ms() + 100000 : UINT64_MAX;
        uint64_t at = append(shard, &source, &record);
        CHECK_EQ(record.total, expires ? 48 : 40);
        CHECK(lc_append_verify(shard, &record));
        for (uint32_t bit = 0; bit < record.total * 8; bit++) {
            uint8_t *target = shard->heap + at + bit / 8;
            bool padding = expires && bit >= 12 * 8 && bit < 16 * 8;
            bool rounding =
                bit >= (record.value_at - at + 7) * 8 && bit < (record.total - 8) * 8;
            bool dead = bit == 16 + 5;
            struct lc_record changed;
            *target ^= (uint8_t)(1 << bit % 8);
            bool passes = lc_record_read(shard, at, &changed) &&
                          lc_append_verify(shard, &changed);
            CHECK(passes == (padding || rounding || dead));
            *target ^= (uint8_t)(1 << bit % 8);
        }
        lilcache_close(cache);
    }
}

/* The bound asked for is enough wherever the record comes to lie. */
TEST(bound_holds_for_every_place, 10) {
    static const uint32_t lengths[] = {0,    1,     7,     8,     9,
                                       4000, 65535, 65536, 65537, 1 << 20};
    for (uint32_t flags = 0; flags < 64; flags++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            for (uint64_t key_length = 1; key_length < 70; key_length++) {
                for (uint64_t at = 0; at < 128; at += 8) {
                    uint16_t f = (uint16_t)flags;
                    uint64_t value_at = lc_record_value_at(at, f, key_length);
                    uint64_t end = lc_record_end(value_at, f, lengths[i]);
                    CHECK(end - at <= lc_record_bound(f, key_length, lengths[i]));
                    CHECK(end % 8 == 0 && value_at + lengths[i] <= end);
                }
            }
        }
    }
}

TEST(large_values_are_aligned, 10) {
    struct lilcache *cache = ct_open(16 * MIB);
    struct lc_shard *shard = ct_shard(cache);
    for (uint32_t length = 65534; length < 65540; length++) {
        char *value = calloc(1, length);
        struct lc_record record;
        struct lc_source source = source_of(value, length);
        append(shard, &source, &record);
        CHECK(length < LC_VALUE_ALIGN_FROM || record.value_at % LC_VALUE_ALIGN == 0);
        CHECK_EQ(record.total % 8, 0);
        free(value);
    }
    lilcache_close(cache);
}

/* Whatever the bytes say, a record that is accepted lies inside the heap. */
TEST(random_headers_stay_in_bounds, 20) {
    struct lilcache *cache = ct_open(MIB);
    struct lc_shard *shard = ct_shard(cache);
    struct ct_random random = {1};
    uint64_t accepted = 0;
    for (int i = 0; i < 2000000; i++) {
        uint64_t at = ct_below(&random, shard->heap_bytes + 64);
        struct lc_record record;
        if (i & 1) {
            at &= ~7ULL;
        }
        if (at + 12 <= shard->heap_bytes) {
            uint64_t bits = ct_random(&random);
            uint32_t length = (uint32_t)ct_random(&random) >> ct_below(&random, 32);
            memcpy(shard->heap + at, &bits, 4);
            memcpy(shard->heap + at + 4, &length, 4);
        }
        if (lc_record_read(shard, at, &record)) {
            accepted++;
            CHECK(record.total <= shard->record_max && record.key_length > 0);
            CHECK(record.offset + record.key_at + record.key_length <= record.value_at);
            CHECK(record.value_at + record.value_length <=
                  record.offset + record.total);
            CHECK(record.offset + record.total <= shard->heap_bytes);
        }
    }
    CHECK(accepted > 1000);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
