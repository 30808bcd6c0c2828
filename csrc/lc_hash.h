/* Keyed hashes, so that whoever chooses keys cannot choose collisions.
 *
 * lc_hash, of any bytes, for checksums and long keys: SipHash-1-3 (Aumasson, Bernstein:
 * "SipHash: a fast short-input PRF", 2012).
 *
 * lc_hash_key, of a key, for the index: of up to LC_HASH_SHORT bytes a function drawn
 * at random from a strongly universal family, in a third of the instructions.
 *
 *   up to 15 bytes        two words, a and b, with the length in the last byte
 *   16 bytes              two words
 *   up to LC_HASH_SHORT   the two words of NH (Black, Halevi, Krawczyk, Krovetz,
 *                         Rogaway: "UMAC", 1999)
 *   hash                  finish(top half of base + a*A + b*B [+ length*T] mod 2^128)
 *
 * There is a base of each type, and one more of 16 bytes. With all of them, A, B and T
 * at random, any two vectors have any two hashes equally often (Dietzfelbinger:
 * "Universal hashing and k-wise independent random variables via integer arithmetic
 * without primes", 1996), and two keys of one length have one NH once in 2^64. So of
 * keys that are chosen without sight of the secret two share a bucket no more often
 * than by chance. finish, a bijection, takes nothing of that away; without it keys that
 * count up would lie at even distances. */
#ifndef LC_HASH_H
#define LC_HASH_H

#include <string.h>

#include "lc_base.h"

#define LC_HASH_SHORT 64
#define LC_HASH_TYPES 4 /* LILCACHE_KEY_* */

/* What lc_hash_key needs of a segment's hash key. Pairs are the low and the high half
 * of a number of 128 bits. */
struct lc_hash_secret {
    uint64_t key[2];
    uint64_t first[2];                  /* A */
    uint64_t second[2];                 /* B */
    uint64_t base[2][LC_HASH_TYPES][2]; /* of 16 bytes, and of all other lengths */
    uint64_t third[2];                  /* T */
    uint64_t add[LC_HASH_SHORT / 8];    /* to each word, for NH */
};

/* tweak makes equal bytes of different kinds differ. */
lc_hash64 lc_hash(const uint64_t key[2], const void *data, size_t length,
                  uint64_t tweak);

void lc_hash_secret_draw(struct lc_hash_secret *secret, const uint64_t key[2]);

/* Of more than 16 bytes. */
lc_hash64 lc_hash_key_long(const struct lc_hash_secret *secret, const void *key,
                           size_t length, uint32_t type);

/* Less than 8 bytes as a word. None is loaded twice: it could be another one by then
 * [K5]. */
static inline uint64_t lc_hash_rest(const unsigned char *at, size_t rest) {
    uint64_t word = 0;
    size_t done = 0;
    if (rest & 4) {
        uint32_t part;
        memcpy(&part, at, sizeof part);
        word = part;
        done = 4;
    }
    if (rest & 2) {
        uint16_t part;
        memcpy(&part, at + done, sizeof part);
        word |= (uint64_t)part << (8 * done);
        done += 2;
    }
    if (rest & 1) {
        word |= (uint64_t)at[done] << (8 * done);
    }
    return word;
}

static inline unsigned __int128 lc_hash_times(uint64_t word, const uint64_t factor[2]) {
    return (unsigned __int128)word * factor[0] +
           ((unsigned __int128)(word * factor[1]) << 64);
}

static inline unsigned __int128 lc_hash_wide(const uint64_t halves[2]) {
    return (unsigned __int128)halves[1] << 64 | halves[0];
}

static inline lc_hash64 lc_hash_finish(const struct lc_hash_secret *secret, uint64_t a,
                                       uint64_t b, unsigned __int128 base) {
    unsigned __int128 sum = base + lc_hash_times(a, secret->first);
    uint64_t hash = (uint64_t)((sum + lc_hash_times(b, secret->second)) >> 64);
    hash ^= hash >> 32;
    hash *= 0xE9846AF9B1A615DULL; /* odd, so that it can be undone */
    return hash ^ hash >> 29;
}

/* type: LILCACHE_KEY_*; equal bytes of different types differ. */
static LC_INLINE lc_hash64 lc_hash_key(const struct lc_hash_secret *secret,
                                       const void *key, size_t length, uint32_t type) {
    const unsigned char *at = key;
    uint64_t a = 0;
    uint64_t b = 0;
    if (length == 16) {
        memcpy(&a, at, 8);
        memcpy(&b, at + 8, 8);
        return lc_hash_finish(secret, a, b, lc_hash_wide(secret->base[1][type]));
    }
    if (length > 16) {
        return lc_hash_key_long(secret, key, length, type);
    }
    if (length >= 8) {
        memcpy(&a, at, 8);
        b = lc_hash_rest(at + 8, length - 8);
    } else {
        a = lc_hash_rest(at, length);
    }
    b |= (uint64_t)length << 56;
    return lc_hash_finish(secret, a, b, lc_hash_wide(secret->base[0][type]));
}

#endif
