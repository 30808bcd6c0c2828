/* Keys by number, and values that are slices of one pool of random bytes: two slices
 * have no byte pattern in common, and none has to be made for a set. */
#ifndef KEYS_H
#define KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS       512
#define SLICES     65536u
#define VALUE_MAX  (300u << 10)
#define KEY_LONG   484 /* four keys from here on are as long as a key may be */
#define KEY_MEDIUM 488 /* and four are most of a block long */

struct key {
    const uint8_t *bytes;
    uint32_t length;
    int type;
};

void keys_begin(void);
struct key key_of(uint32_t n);
/* The number of a key that scan returned; KEYS: none of ours. */
uint32_t key_number(const uint8_t *bytes, uint32_t length, int type);

const uint8_t *value_of(uint32_t slice);
bool value_is(const void *data, size_t length, uint32_t slice);

#endif
