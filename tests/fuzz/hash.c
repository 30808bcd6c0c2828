/* A hash in the place of the core's (--wrap). SipHash took a third of a campaign and
 * teaches the fuzzer nothing: tests/c/test_hash.c has its vectors. Every bit of an
 * input of this one changes the output, too, which checksums rely on. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lc_hash.h"

#define LANES 4
#define PRIME 0x9FB21C651E98DF25ULL

lc_hash64 __wrap_lc_hash(const uint64_t key[2], const void *data, size_t length,
                         uint64_t tweak);

static uint64_t load(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

/* Both steps can be undone, so that none forgets a bit. */
static uint64_t mix(uint64_t sum, uint64_t word) {
    sum = (sum ^ word) * PRIME;
    return sum ^ sum >> 29;
}

__attribute__((no_sanitize("undefined", "address"))) lc_hash64
__wrap_lc_hash(const uint64_t key[2], const void *data, size_t length, uint64_t tweak) {
    const uint8_t *at = data;
    uint64_t sum = mix(key[0] ^ length, tweak);
    uint64_t last = 0;
    if (length >= 8 * LANES) {
        uint64_t lane[LANES] = {sum, sum + 1, sum + 2, sum + 3};
        for (; length >= 8 * LANES; length -= 8 * LANES, at += 8 * LANES) {
            for (int i = 0; i < LANES; i++) {
                lane[i] = mix(lane[i], load(at + 8 * i));
            }
        }
        for (int i = 0; i < LANES; i++) {
            sum = mix(sum, lane[i]);
        }
    }
    for (; length >= 8; length -= 8, at += 8) {
        sum = mix(sum, load(at));
    }
    if (length) {
        memcpy(&last, at, length);
    }
    return mix(mix(mix(sum, last), key[1]), 0);
}
