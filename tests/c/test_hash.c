/* lc_hash.c against SipHash-1-3 and hashes of keys made elsewhere; how evenly keys
 * spread. */
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

/* --- keys ------------------------------------------------------------------------- */

/* Input 00 01 02 .. of lengths 1 to 64, type length % 4, and a secret whose words are
 * those below; made with Python's integers. */
static const uint64_t key_vectors[LC_HASH_SHORT] = {
    0x8c8128919e3dc68b, 0xf422bccbab133dc9, 0x2e9190922751ef73, 0x4eef74fea983556a,
    0x495771eba5d07ae8, 0x784d31fa143cf947, 0x9fa9e6ba0f73df81, 0xb1649f0f48c24b56,
    0x008c86c6fa2ea9ec, 0x844fe75b0aab2b30, 0x117a91f3de4cd611, 0x3bc62dd65f21b972,
    0xb93f40b56fd51251, 0x298a60ba3425947f, 0x00fc4c2db9af24ce, 0x2b97d818201975b4,
    0xbf817e6027e042cd, 0x9dd1324e16934719, 0xd37785ab84d3dde9, 0x997723a162ec64ef,
    0x67a3ef496fbdb057, 0x894392ca31818bd2, 0x61d5108a8ab049d9, 0x83b5a1c0b6112fd4,
    0xbb6743b9c54120aa, 0x668201364d0f378a, 0xc6d1ab032fde2ead, 0x1da9c7e90839406b,
    0xc95813bde981e83c, 0xe89cd1b6c979bd01, 0x96f4d309706e1e20, 0x24de60811818ac99,
    0x5050e02e81e0e3a1, 0xaf7eb36237e19dcd, 0x65b4af5ab93ff666, 0xdc98d8b205f5c0f0,
    0x4fdc63aa188d3d48, 0x1d66d08fd2d987f1, 0xda569af445c37a15, 0x9d005cd7d95fcd4e,
    0x7a8d71f2106114f8, 0x1766c999394d2f9d, 0x4ba9d0a781d57eb7, 0x20b17e23c7c8d637,
    0x08781f67d2bfa9bb, 0xa01f4d1542bf6fb9, 0x54b4232598cad5e4, 0xe7772bed15ec92e3,
    0x9375b16b0dee40ee, 0xd9c08652077d95c8, 0x860eb94910dac6ee, 0x41cf63f7c21469c1,
    0x1ccbd4c58e35f1eb, 0xc420d157bcc60c1f, 0x983eb7fef814f7cc, 0x408b274aab293878,
    0x23e6efbcaed99fd9, 0xa0fa83c33741f59b, 0x90e4ec81c961828a, 0x4af64d4b5b9f3a8c,
    0x1e3f0303f8fb22f4, 0x24db5802e6d199e2, 0x505b2e81287fe83d, 0x080c79064085de76,
};

TEST(vectors_of_keys, 10) {
    struct lc_hash_secret secret = {0};
    uint64_t words[(sizeof secret - sizeof secret.key) / 8];
    uint8_t input[LC_HASH_SHORT];
    for (uint64_t i = 0; i < sizeof words / sizeof *words; i++) {
        words[i] = (i + 1) * 0x9E3779B97F4A7C15 + i * i;
    }
    memcpy(secret.first, words, sizeof words);
    for (size_t i = 0; i < sizeof input; i++) {
        input[i] = (uint8_t)i;
    }
    for (size_t length = 1; length <= LC_HASH_SHORT; length++) {
        CHECK(lc_hash_key(&secret, input, length, length % 4) ==
              key_vectors[length - 1]);
    }
}

static struct lc_hash_secret secret_of(uint64_t number) {
    struct lc_hash_secret secret;
    const uint64_t key[2] = {number, ~number};
    lc_hash_secret_draw(&secret, key);
    return secret;
}

TEST(long_keys_are_hashed_by_siphash, 10) {
    struct lc_hash_secret secret = secret_of(1);
    char key[LC_HASH_SHORT + 1] = "a long one";
    CHECK(lc_hash_key(&secret, key, sizeof key, 2) ==
          lc_hash(secret.key, key, sizeof key, 2));
}

/* Every byte, the length and the type change all bits of the hash equally often: of
 * 4,096 secrets each bit is changed by about half. */
static void check_avalanche(const void *one, size_t one_length, const void *other,
                            size_t other_length, uint32_t other_type) {
    uint32_t changed[64] = {0};
    for (uint64_t n = 0; n < 4096; n++) {
        struct lc_hash_secret secret = secret_of(n);
        lc_hash64 difference = lc_hash_key(&secret, one, one_length, 0) ^
                               lc_hash_key(&secret, other, other_length, other_type);
        for (int bit = 0; bit < 64; bit++) {
            changed[bit] += difference >> bit & 1;
        }
    }
    for (int bit = 0; bit < 64; bit++) { /* 2,048 expected; 6 sigma is 192 */
        CHECK(changed[bit] > 1856 && changed[bit] < 2240);
    }
}

TEST(every_byte_matters, 60) {
    static const size_t lengths[] = {1, 5, 8, 11, 15, 16, 17, 31, 32, 47, 64};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t length = lengths[i];
        char one[LC_HASH_SHORT] = {0};
        for (size_t at = 0; at < length; at++) {
            char other[LC_HASH_SHORT] = {0};
            other[at] = 1;
            check_avalanche(one, length, other, length, 0);
        }
        check_avalanche(one, length, one, length, 1);
        check_avalanche(one, length, one, length == 64 ? 63 : length + 1, 0);
    }
}

/* --- keys that resemble each other ------------------------------------------------ */

#define ALIKE   4096
#define BUCKETS 1024

static size_t make_alike(int kind, uint32_t n, char out[LC_HASH_SHORT + 1]) {
    static const char *const formats[] = {"%u", "key:%012u", "%08u:session",
                                          "user:%u:profile",
                                          "/static/app/%06u/index.html?version=%u"};
    uint64_t word = n;
    switch (kind) {
    case 5: /* binary, counting in the first word */
        memcpy(out, &word, 8);
        return 8;
    case 6: /* in the last byte but one, and in the first */
        memset(out, 0, 16);
        out[14] = (char)n;
        out[0] = (char)(n >> 8);
        return 16;
    default:
        return (size_t)snprintf(out, LC_HASH_SHORT + 1, formats[kind], n, n);
    }
}

static uint32_t longest_of(const struct lc_hash_secret *secret, int kind, bool siphash,
                           int shift) {
    static uint16_t counts[BUCKETS];
    uint32_t longest = 0;
    memset(counts, 0, sizeof counts);
    for (uint32_t n = 0; n < ALIKE; n++) {
        char key[LC_HASH_SHORT + 1];
        size_t length = make_alike(kind, n, key);
        lc_hash64 hash = siphash ? lc_hash(secret->key, key, length, 1)
                                 : lc_hash_key(secret, key, length, 1);
        uint32_t count = ++counts[hash >> shift & (BUCKETS - 1)];
        longest = count > longest ? count : longest;
    }
    return longest;
}

/* Under 300 secrets the fullest of 1,024 buckets holds as many of 4,096 keys as by
 * SipHash, in the fields that the index uses: shard, home bucket, group. */
TEST(keys_alike_spread_as_by_siphash, 120) {
    static const int shifts[] = {0, 24, 54};
    for (int kind = 0; kind < 7; kind++) {
        for (int field = 0; field < 3; field++) {
            uint64_t sum[2] = {0, 0};
            uint32_t most[2] = {0, 0};
            for (uint64_t n = 0; n < 300; n++) {
                struct lc_hash_secret secret = secret_of(n);
                for (int side = 0; side < 2; side++) {
                    uint32_t longest =
                        longest_of(&secret, kind, side == 0, shifts[field]);
                    sum[side] += longest;
                    most[side] = longest > most[side] ? longest : most[side];
                }
            }
            CHECK((double)sum[1] < 1.05 * (double)sum[0]);
            CHECK(most[1] <= most[0] + 6);
        }
    }
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
