/* Keys and values that prove themselves.
 *
 *   0        4     8        12      16       24                    length - 8
 *   +--------+-----+--------+-------+--------+---------------------+----------+
 *   | length | key | writer | zero  | version| words of a generator| checksum |
 *   +--------+-----+--------+-------+--------+---------------------+----------+
 *
 * The generator is seeded by all that stands in the head, so any byte of another value,
 * another version or another place is wrong where it stands. Values below
 * VALUE_HEADED bytes have no head and depend on key and length alone. */
#include <stdio.h>
#include <string.h>

#include "stress.h"

#define VALUE_HEADED 40u
#define VALUE_LARGE_SHARE 1024
#define VALUE_STRICT_MAX 40000

struct value_head {
    uint32_t length;
    uint32_t key;
    uint32_t writer;
    uint32_t zero;
    uint64_t version;
};

uint64_t value_mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
    return x ^ x >> 31;
}

static uint64_t value_next(uint64_t state) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^ state << 17;
}

/* Keys that differ in their last two bits have the same bytes and another type. */
void key_make(uint32_t id, struct stress_key *out) {
    uint32_t base = id >> 2;
    uint64_t state = value_mix(base);
    out->type = (int)(id & 3);
    out->length = base % 61 == 7 ? 200 + base % 300 : 4 + (uint32_t)(state % 29);
    memcpy(out->bytes, &base, sizeof base);
    for (uint32_t i = sizeof base; i < out->length; i++) {
        state = value_next(state);
        out->bytes[i] = (uint8_t)state;
    }
}

bool key_parse(const uint8_t *bytes, uint32_t length, int type, uint32_t *id) {
    struct stress_key key;
    uint32_t base;
    if (length < sizeof base) {
        return false;
    }
    memcpy(&base, bytes, sizeof base);
    *id = base << 2 | (uint32_t)type;
    key_make(*id, &key);
    return key.length == length && memcmp(key.bytes, bytes, length) == 0;
}

/* From 16 on: 1 is the integer type. */
int value_type(uint32_t key, uint32_t length) {
    return 16 + (int)(value_mix((uint64_t)key << 32 | length) % 240);
}

static uint8_t value_short(uint32_t key, uint32_t length, uint32_t at) {
    return (uint8_t)value_mix((uint64_t)key << 32 | length << 8 | at);
}

static uint64_t value_seed(const struct value_head *head) {
    uint64_t seed = value_mix((uint64_t)head->key << 32 | head->writer);
    seed = value_mix(seed ^ head->version);
    return value_mix(seed ^ head->length) | 1; /* the generator must not start at 0 */
}

void value_make(uint8_t *out, uint32_t key, uint32_t writer, uint64_t version,
                uint32_t length) {
    if (length < VALUE_HEADED) {
        for (uint32_t i = 0; i < length; i++) {
            out[i] = value_short(key, length, i);
        }
        return;
    }
    struct value_head head = {length, key, writer, 0, version};
    uint64_t state = value_seed(&head);
    uint64_t sum = state;
    uint32_t end = length - 8;
    memcpy(out, &head, sizeof head);
    for (uint32_t at = sizeof head; at < end; at += 8) {
        state = value_next(state);
        sum = sum * 31 + state;
        memcpy(out + at, &state, at + 8 <= end ? 8 : end - at);
    }
    sum = value_mix(sum);
    memcpy(out + end, &sum, sizeof sum);
}

static bool value_check_body(const uint8_t *in, const struct value_head *head,
                             char *why, size_t cap) {
    uint64_t state = value_seed(head);
    uint64_t sum = state;
    uint32_t end = head->length - 8;
    for (uint32_t at = sizeof *head; at < end; at += 8) {
        state = value_next(state);
        sum = sum * 31 + state;
        if (memcmp(in + at, &state, at + 8 <= end ? 8 : end - at) != 0) {
            snprintf(why, cap, "torn at byte %u of %u (version %llu of writer %u)", at,
                     head->length, (unsigned long long)head->version, head->writer);
            return false;
        }
    }
    sum = value_mix(sum);
    if (memcmp(in + end, &sum, sizeof sum) != 0) {
        snprintf(why, cap, "wrong checksum (length %u)", head->length);
        return false;
    }
    return true;
}

bool value_check(uint32_t key, const void *bytes, int64_t result,
                 struct value_facts *facts, char *why, size_t cap) {
    const uint8_t *in = bytes;
    uint64_t length = LILCACHE_LENGTH(result);
    struct value_head head;
    *facts = (struct value_facts){0, 0};
    if (length == 0 || length > STRESS_VALUE_BYTES) {
        snprintf(why, cap, "length %llu", (unsigned long long)length);
        return false;
    }
    if ((int)LILCACHE_VALUE_TYPE(result) != value_type(key, (uint32_t)length)) {
        snprintf(why, cap, "type %u with length %llu", LILCACHE_VALUE_TYPE(result),
                 (unsigned long long)length);
        return false;
    }
    if (length < VALUE_HEADED) {
        for (uint32_t i = 0; i < length; i++) {
            if (in[i] != value_short(key, (uint32_t)length, i)) {
                snprintf(why, cap, "byte %u of a short one of %llu is wrong", i,
                         (unsigned long long)length);
                return false;
            }
        }
        return true;
    }
    memcpy(&head, in, sizeof head);
    if (head.length != length || head.key != key || head.zero != 0) {
        snprintf(why, cap, "head says key %u, length %u; length is %llu", head.key,
                 head.length, (unsigned long long)length);
        return false;
    }
    facts->version = head.version;
    facts->writer = head.writer;
    return value_check_body(in, &head, why, cap);
}

/* Mostly around a hundred bytes; sometimes one byte, sometimes several blocks. */
static uint32_t value_pick_churn(struct actor *actor, uint32_t block, bool small) {
    uint32_t dice = actor_below(actor, 1000);
    if (dice < 40) {
        return 1 + actor_below(actor, VALUE_HEADED - 1);
    }
    if (dice < 700 || (small && dice < 985)) {
        return VALUE_HEADED + actor_below(actor, 160);
    }
    if (dice < 940) {
        return 200 + actor_below(actor, 2000);
    }
    if (dice < 990) {
        return block / 4 + actor_below(actor, block);
    }
    if (dice < 996) {
        return block + actor_below(actor, 3 * block);
    }
    return (64u << 10) + actor_below(actor, 6 * block);
}

uint32_t value_pick_length(struct actor *actor, uint32_t key) {
    bool small = __atomic_load_n(&actor->board->wave, __ATOMIC_RELAXED) != WAVE_FEW;
    if (actor->phase->strict) { /* few may be large, so that all have room */
        return 1 + actor_below(actor, key % VALUE_LARGE_SHARE ? 120 : VALUE_STRICT_MAX);
    }
    uint32_t length = value_pick_churn(actor, actor->block_bytes, small);
    return length < STRESS_VALUE_BYTES ? length : STRESS_VALUE_BYTES;
}
