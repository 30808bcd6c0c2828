#include "keys.h"

#include "cachetest.h"
#include "finding.h"

#define LONGEST 48

static uint8_t pool[SLICES + VALUE_MAX];
static uint8_t texts[KEYS / 4][LONGEST];
static uint8_t long_text[LILCACHE_KEY_MAX];
static uint8_t medium_text[3000];

void keys_begin(void) {
    struct ct_random random = {1};
    for (size_t i = 0; i + 8 <= sizeof pool; i += 8) {
        uint64_t word = ct_random(&random);
        memcpy(pool + i, &word, 8);
    }
    memset(long_text, 'l', sizeof long_text);
    memset(medium_text, 'm', sizeof medium_text);
    memset(texts, 'k', sizeof texts);
}

/* Four keys of each text, which differ by type only. */
struct key key_of(uint32_t n) {
    uint32_t text = n / 4;
    struct key key = {texts[text], 3 + text % (LONGEST - 3), (int)(n % 4)};
    if (text == KEY_LONG / 4) {
        key.bytes = long_text;
        key.length = sizeof long_text;
    } else if (text == KEY_MEDIUM / 4) {
        key.bytes = medium_text;
        key.length = sizeof medium_text;
    } else {
        memcpy(texts[text], &(uint16_t){(uint16_t)text}, 2);
    }
    return key;
}

uint32_t key_number(const uint8_t *bytes, uint32_t length, int type) {
    uint16_t text;
    if (length < 2) {
        return KEYS;
    }
    memcpy(&text, bytes, 2);
    uint32_t n = length == sizeof long_text     ? KEY_LONG
                 : length == sizeof medium_text ? KEY_MEDIUM
                 : text < KEYS / 4              ? text * 4u
                                                : KEYS;
    if (n == KEYS) {
        return KEYS;
    }
    struct key key = key_of(n + (uint32_t)type);
    return key.length == length && memcmp(key.bytes, bytes, length) == 0
               ? n + (uint32_t)type
               : KEYS;
}

const uint8_t *value_of(uint32_t slice) { return pool + slice % SLICES; }

bool value_is(const void *data, size_t length, uint32_t slice) {
    return memcmp(data, value_of(slice), length) == 0;
}
