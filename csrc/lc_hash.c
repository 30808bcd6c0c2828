/* SipHash-1-3. The tweak is folded into the key, which for SipHash is as good as
 * another random key per tweak. And what of lc_hash_key is not inline. */
#include "lc_hash.h"

/* Tweak of the words that a secret is made of: none of a key's type or a checksum. */
#define HASH_DRAW UINT64_MAX

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

#define HASH_ROUND                                                                     \
    do {                                                                               \
        v0 += v1;                                                                      \
        v1 = ROTL(v1, 13);                                                             \
        v1 ^= v0;                                                                      \
        v0 = ROTL(v0, 32);                                                             \
        v2 += v3;                                                                      \
        v3 = ROTL(v3, 16);                                                             \
        v3 ^= v2;                                                                      \
        v0 += v3;                                                                      \
        v3 = ROTL(v3, 21);                                                             \
        v3 ^= v0;                                                                      \
        v2 += v1;                                                                      \
        v1 = ROTL(v1, 17);                                                             \
        v1 ^= v2;                                                                      \
        v2 = ROTL(v2, 32);                                                             \
    } while (0)

lc_hash64 lc_hash(const uint64_t key[2], const void *data, size_t length,
                  uint64_t tweak) {
    uint64_t k0 = key[0] ^ tweak * 0x9E3779B97F4A7C15ULL;
    uint64_t k1 = key[1];
    uint64_t v0 = k0 ^ 0x736f6d6570736575ULL;
    uint64_t v1 = k1 ^ 0x646f72616e646f6dULL;
    uint64_t v2 = k0 ^ 0x6c7967656e657261ULL;
    uint64_t v3 = k1 ^ 0x7465646279746573ULL;
    const unsigned char *at = data;
    const unsigned char *words_end = at + (length & ~(size_t)7);
    uint64_t last = (uint64_t)length << 56;
    size_t rest = length & 7;

    for (; at != words_end; at += 8) {
        uint64_t m;
        memcpy(&m, at, 8);
        v3 ^= m;
        HASH_ROUND;
        v0 ^= m;
    }
    last |= lc_hash_rest(at, rest);
    v3 ^= last;
    HASH_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    HASH_ROUND;
    HASH_ROUND;
    HASH_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

void lc_hash_secret_draw(struct lc_hash_secret *secret, const uint64_t key[2]) {
    uint64_t words[(sizeof *secret - sizeof secret->key) / 8];
    for (uint64_t i = 0; i < sizeof words / sizeof *words; i++) {
        words[i] = lc_hash(key, &i, sizeof i, HASH_DRAW);
    }
    memcpy(secret->key, key, sizeof secret->key);
    memcpy(secret->first, words, sizeof words);
}

/* NH: the products of pairs of words, each with a secret one added. A word that is
 * missing is 0; the length tells it from one that is there. */
lc_hash64 lc_hash_key_long(const struct lc_hash_secret *secret, const void *key,
                           size_t length, uint32_t type) {
    const unsigned char *at = key;
    const uint64_t *add = secret->add;
    unsigned __int128 sum = 0;
    if (length > LC_HASH_SHORT) {
        return lc_hash(secret->key, key, length, type);
    }
    for (size_t left = length; left > 0; add += 2) {
        uint64_t a = 0;
        uint64_t b = 0;
        size_t pair = lc_min64(left, 16);
        if (pair >= 8) {
            memcpy(&a, at, 8);
            if (pair == 16) {
                memcpy(&b, at + 8, 8);
            } else {
                b = lc_hash_rest(at + 8, pair - 8);
            }
        } else {
            a = lc_hash_rest(at, pair);
        }
        sum += (unsigned __int128)(a + add[0]) * (b + add[1]);
        at += pair;
        left -= pair;
    }
    return lc_hash_finish(secret, (uint64_t)sum, (uint64_t)(sum >> 64),
                          lc_hash_wide(secret->base[0][type]) +
                              lc_hash_times(length, secret->third));
}
