/* SipHash-1-3. The tweak is folded into the key, which for SipHash is as good as
 * another random key per tweak. */
#include "lc_hash.h"

#include <string.h>

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
    /* No byte is loaded twice: it could be another one by then [K5]. */
    size_t done = 0;
    if (rest & 4) {
        uint32_t m;
        memcpy(&m, at, 4);
        last |= m;
        done = 4;
    }
    if (rest & 2) {
        uint16_t m;
        memcpy(&m, at + done, 2);
        last |= (uint64_t)m << (8 * done);
        done += 2;
    }
    if (rest & 1) {
        last |= (uint64_t)at[done] << (8 * done);
    }
    v3 ^= last;
    HASH_ROUND;
    v0 ^= last;
    v2 ^= 0xff;
    HASH_ROUND;
    HASH_ROUND;
    HASH_ROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}
