/* lc_hash.c against SipHash-1-3 made elsewhere. */
#include "cachetest.h"
#include "lc_hash.h"

/* Key 00 01 .. 0f, input 00 01 02 .., one vector per input length; the first is that of
 * Rust's core library. */
static const uint64_t vectors[] = {
    0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d, 0x8bf80ab8e7ddf7fb,
    0xcf75576088d38328, 0xdef9d52f49533b67, 0xc50d2b50c59f22a7, 0xd3927d989bb11140,
    0x369095118d299a8e, 0x25a48eb36c063de4, 0x79de85ee92ff097f, 0x70c118c1f94dc352,
    0x78a384b157b4d9a2, 0x306f760c1229ffa7, 0x605aa111c0f95d34, 0xd320d86d2a519956,
    0xcc4fdd1a7d908b66, 0x9cf2689063dbd80c, 0x8ffc389cb473e63e, 0xf21f9de58d297d1c,
    0xc0dc2f46a6cce040, 0xb992abfe2b45f844, 0x7ffe7b9ba320872e, 0x525a0e7fdae6c123,
    0xf464aeb267349c8c,
};

TEST(vectors_by_length, 10) {
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t input[64];
    for (size_t i = 0; i < sizeof input; i++) {
        input[i] = (uint8_t)i;
    }
    for (size_t length = 0; length < sizeof vectors / sizeof *vectors; length++) {
        CHECK(lc_hash(key, input, length, 0) == vectors[length]);
    }
    CHECK(lc_hash(key, input, 63, 0) == 0x9d199062b7bbb3a8);
}

/* CPython hashes bytes with SipHash-1-3, and with a key of zeros under
 * PYTHONHASHSEED=0. */
TEST(vectors_of_cpython, 10) {
    const uint64_t key[2] = {0, 0};
    CHECK(lc_hash(key, "abc", 3, 0) == 0xc03bc3a0042630f2);
    CHECK(lc_hash(key, "lilcache", 8, 0) == 0x7cc29bca2c8e317a);
    CHECK(lc_hash(key, "0123456789abcdef!", 17, 0) == 0x9463628f6c8882ca);
}

TEST(alignment_does_not_matter, 10) {
    const uint64_t key[2] = {1, 2};
    char buffer[64];
    for (size_t shift = 0; shift < 16; shift++) {
        memcpy(buffer + shift, "the same bytes wherever they lie", 32);
        CHECK(lc_hash(key, buffer + shift, 32, 0) ==
              lc_hash(key, "the same bytes wherever they lie", 32, 0));
    }
}

TEST(key_and_tweak_matter, 10) {
    uint64_t hashes[8];
    for (uint64_t tweak = 0; tweak < 4; tweak++) {
        const uint64_t one[2] = {1, 2};
        const uint64_t other[2] = {1, 3};
        hashes[tweak] = lc_hash(one, "a", 1, tweak);
        hashes[4 + tweak] = lc_hash(other, "a", 1, tweak);
    }
    for (int i = 0; i < 8; i++) {
        for (int j = 0; j < i; j++) {
            CHECK(hashes[i] != hashes[j]);
        }
    }
}

/* Every bit field that the index takes from a hash is used evenly. */
TEST(fields_are_even, 10) {
    const uint64_t key[2] = {11, 12};
    uint32_t counts[3][64] = {0};
    for (uint64_t i = 0; i < 64000; i++) {
        lc_hash64 hash = lc_hash(key, &i, sizeof i, LILCACHE_KEY_STR);
        counts[0][hash & 63]++;             /* shard */
        counts[1][lc_tag_of(hash) >> 22]++; /* home bucket */
        counts[2][hash >> 58]++;            /* group */
    }
    for (int field = 0; field < 3; field++) {
        for (int i = 0; i < 64; i++) { /* 1000 expected; 6 sigma is 190 */
            CHECK(counts[field][i] > 800 && counts[field][i] < 1200);
        }
    }
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
