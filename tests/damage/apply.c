/* Damage, once and all the time. */
#include "driver.h"

const char *const mode_names[MODES] = {"bit",  "noise", "zeros", "ones",
                                       "swap", "copy",  "page"};

bool may_damage(const struct damage *damage, uint64_t at) {
    struct piece lock = map->pieces[LOCK][0];
    return (at >= lock.at && at < lock.at + lock.bytes) == (damage->region == LOCK);
}

static void put(const struct damage *damage, uint64_t at, const uint8_t *bytes,
                uint64_t length) {
    for (uint64_t i = 0; i < length; i++) {
        if (may_damage(damage, at + i)) {
            raw[at + i] = bytes[i];
        }
    }
}

void apply(const struct damage *damage) {
    struct ct_random noise = {damage->seed};
    uint64_t length = lc_min64(damage->bits, SEGMENT_BYTES - damage->at);
    uint64_t at = damage->at;
    uint8_t bytes[4096];
    switch (damage->mode) {
    case FLIP:
        if (may_damage(damage, at)) {
            __atomic_fetch_xor(raw + at, (uint8_t)(1u << damage->bits),
                               __ATOMIC_SEQ_CST);
        }
        return;
    case ZEROS:
        memset(bytes, 0, length);
        break;
    case ONES:
        memset(bytes, 0xff, length);
        break;
    case SWAP:
        length = 16;
        at = at / 16 * 16;
        memcpy(bytes, raw + at + 8, 8);
        memcpy(bytes + 8, raw + at, 8);
        break;
    case COPY:
        memcpy(bytes, raw + ct_below(&noise, SEGMENT_BYTES - length) / 8 * 8, length);
        break;
    default:
        if (damage->mode == PAGE) {
            at = at / sizeof bytes * sizeof bytes;
            length = sizeof bytes;
        }
        for (uint64_t i = 0; i < length; i++) {
            bytes[i] = (uint8_t)ct_random(&noise);
        }
        break;
    }
    put(damage, at, bytes, length);
}

/* --- hostile writers ---------------------------------------------------------------
 */

static void write_noise(bool everywhere, uint64_t seed) {
    struct ct_random noise = {seed};
    struct piece lock = map->pieces[LOCK][0];
    for (;;) {
        uint64_t at = ct_below(&noise, SEGMENT_BYTES - 8);
        uint64_t word = ct_random(&noise);
        if (noise.state & 16) { /* where it hurts most */
            at =
                4096 * 1 + at % (map->pieces[BLOCKS][0].at + map->bytes[BLOCKS] - 4096);
        }
        bool spared = at < LC_HEADER_BYTES && !everywhere;
        if (!spared && (at + 8 <= lock.at || at >= lock.at + lock.bytes)) {
            memcpy(raw + at, &word, 1 + (word >> 7) % 8);
            board->hostile_writes++;
        }
    }
}

/* Few words of the metadata, now right and now wrong, over and over: what is checked is
 * another by the time it is used, while all around it makes sense. */
static void write_toggles(uint64_t seed) {
    static const enum region regions[] = {CONTROL, INTENT, GROUPS, BLOCKS, INDEX, ROWS};
    struct ct_random noise = {seed};
    struct {
        uint64_t at, right, wrong;
    } words[12];
    uint64_t count = 1 + ct_below(&noise, sizeof words / sizeof *words);
    for (uint64_t i = 0; i < count; i++) {
        enum region region;
        do {
            region = regions[ct_below(&noise, sizeof regions / sizeof *regions)];
        } while (map->bytes[region] == 0);
        words[i].at =
            map_byte(map, region, ct_below(&noise, map->bytes[region])) & ~7ULL;
        memcpy(&words[i].right, image + words[i].at, 8);
        uint64_t bits = ct_random(&noise) >> ct_below(&noise, 64);
        words[i].wrong = noise.state & 8 ? bits : words[i].right ^ bits;
    }
    for (;;) {
        for (uint64_t i = 0; i < count; i++) {
            uint64_t now = ct_random(&noise);
            uint64_t word = now & 16 ? words[i].right : words[i].wrong;
            __atomic_store_n((uint64_t *)(raw + words[i].at), word, __ATOMIC_RELAXED);
            if ((now >> 20) % 4096 == 0) {
                memcpy(&words[i].right, raw + words[i].at, 8);
            }
        }
        board->hostile_writes += count;
    }
}

void write_hostile(enum hostility how, uint64_t seed) {
    if (how == TOGGLES) {
        write_toggles(seed);
    }
    write_noise(how == EVERYWHERE, seed);
    _exit(0);
}
