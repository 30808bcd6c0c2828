#include "stream.h"

#include <stdlib.h>

#include "lc_hash.h"
#include "lc_row.h"

#define CHECKS_MAX 3
#define FILL_MAX   9000 /* bytes of each value of a fill */
#define RARE       15
#define BYTES_MAX  100000 /* of long values, after which there are no more */

enum verb {
    V_SET = 0, /* four of them */
    V_ADD = 4,
    V_REPLACE,
    V_CAS,
    V_CAS_WRONG,
    V_TRY_SET,
    V_GET,
    V_GET_TWICE,
    V_GET_SHORT,
    V_TTL,
    V_PIN,
    V_UNPIN,
    V_DELETE,
    V_TRY_DELETE,
    V_POP,
    V_TOUCH,
    V_INCR,
    V_INCR_ONLY,
    V_CLEAR,
    V_GET_MANY,
    V_SET_MANY,
    V_DELETE_MANY,
    V_SCAN,
    V_CHECK,
    V_WAIT,
    V_FILL,
    V_READ,
    V_OTHER,
    V_PATCH,
    V_COUNT,
};

struct input input_open(const uint8_t *data, size_t size) {
    static const uint64_t key[2] = {1, 2};
    static uint64_t every;
    if (every == 0) {
        const char *wanted = getenv("FUZZ_CHECK_EVERY");
        every = wanted ? strtoull(wanted, NULL, 10) : 1;
        MUST(every > 0);
    }
    bool checked = lc_hash(key, data, size, 0) % every == 0;
    return (struct input){.at = data, .end = data + size, .checked = checked};
}

uint8_t input_byte(struct input *in) { return in->at < in->end ? *in->at++ : 0; }

/* Short ones, those around a block, around what is large, and around the limit. The
 * last two kinds cost as much time as a hundred others, and are to be rare. */
static uint64_t length_of(const struct model *m, struct input *in, uint32_t b,
                          uint32_t x) {
    uint64_t length;
    if (b < 64) {
        return b;
    }
    if (b < 128) {
        return 64 + (b - 64) * 16;
    }
    if (b < 176 || x != RARE || in->bytes > BYTES_MAX) {
        return (uint64_t)(b % 3 + 1) * m->block_bytes - b % 16 * 8;
    }
    if (b < 208) {
        length = LC_VALUE_ALIGN_FROM - 16 + (b - 176);
    } else if (b < 240) {
        length = (uint64_t)(b - 208) * 8192;
    } else {
        length = m->max_value + b - 254;
    }
    length = lc_min64(length, VALUE_MAX);
    in->bytes += length;
    return length;
}

static int64_t ttl_of(uint32_t choice) {
    static const int64_t ttls[8] = {0, 0, 1, 5, 1000, 1000000, -1, INT64_MAX / 2 + 1};
    return ttls[choice & 7];
}

static int64_t delta_of(uint32_t b) {
    static const int64_t deltas[8] = {0, 1, -1, 1000, INT64_MAX, INT64_MIN, 7, -1000};
    return deltas[b & 7];
}

static void advance(uint32_t choice) {
    static const uint32_t waits[8] = {1, 1, 4, 100, 1000, 1000, 100000, 1000000};
    arena_now_ms += waits[choice & 7];
}

static void other(struct model *m, uint32_t n, uint32_t b) {
    if (b >= 254) {
        model_retire(m);
    } else if (b >= 240) {
        lc_row_sweep(m->segment);
    } else if (b >= 224) {
        model_facts(m);
    } else {
        model_misuse(m, n, b);
    }
}

bool stream_step(struct model *m, struct input *in, stream_patch patch) {
    if (in->at == in->end || model_is_tired()) {
        return false;
    }
    uint32_t verb = input_byte(in) % V_COUNT;
    uint32_t a = input_byte(in);
    uint32_t b = input_byte(in);
    uint32_t c = input_byte(in);
    uint32_t n = (a | (c & 1) << 8) % KEYS;
    uint32_t x = c >> 4;
    uint64_t length = length_of(m, in, b, x);
    int64_t ttl = ttl_of(c >> 1);
    switch (verb) {
    case V_ADD:
        model_set(m, n, length, ttl, LILCACHE_ADD);
        break;
    case V_REPLACE:
        model_set(m, n, length, ttl, LILCACHE_REPLACE);
        break;
    case V_CAS:
    case V_CAS_WRONG:
        model_cas(m, n, length, ttl, verb == V_CAS);
        break;
    case V_TRY_SET:
        model_try_set(m, n, length);
        break;
    case V_GET_TWICE:
        model_version(m, n);
        model_get(m, n, MODEL_OUT);
        break;
    case V_GET:
        model_get(m, n, MODEL_OUT);
        break;
    case V_GET_SHORT:
        model_get(m, n, length);
        break;
    case V_TTL:
        model_ttl(m, n);
        break;
    case V_PIN:
        model_pin(m, n, x % MODEL_PINS);
        break;
    case V_UNPIN:
        model_unpin(m, x % MODEL_PINS);
        break;
    case V_DELETE:
        model_delete(m, n, true);
        break;
    case V_TRY_DELETE:
        model_delete(m, n, false);
        break;
    case V_POP:
        model_pop(m, n, x ? MODEL_OUT : length);
        break;
    case V_TOUCH:
        model_touch(m, n, ttl);
        break;
    case V_INCR:
    case V_INCR_ONLY:
        model_incr(m, n, delta_of(b), verb == V_INCR, ttl);
        break;
    case V_CLEAR:
        model_clear(m);
        break;
    case V_GET_MANY:
        model_get_many(m, n, x, b < 128 ? MODEL_OUT : length);
        break;
    case V_SET_MANY:
        model_set_many(m, n, x, length, ttl);
        break;
    case V_DELETE_MANY:
        model_delete_many(m, n, x);
        break;
    case V_SCAN:
        if (in->checks++ < CHECKS_MAX) {
            model_scan(m);
        }
        break;
    case V_CHECK:
        if (in->checked && in->checks++ < CHECKS_MAX) {
            model_check(m);
        }
        break;
    case V_WAIT:
        advance(x);
        break;
    case V_FILL:
        for (uint32_t i = 0; i <= x / 2; i++) {
            model_set(m, (n + i) % KEYS, lc_min64(length, FILL_MAX), ttl, LILCACHE_SET);
        }
        break;
    case V_READ:
        for (uint32_t i = 0; i <= x / 2; i++) {
            model_get(m, (n + i) % KEYS, MODEL_OUT);
        }
        break;
    case V_OTHER:
        other(m, n, b);
        break;
    case V_PATCH:
        if (patch) {
            patch(m, in, a, b | c << 8);
        }
        break;
    default:
        model_set(m, n, length, ttl, LILCACHE_SET);
        break;
    }
    return true;
}

void stream_end(struct model *m) {
    for (uint32_t place = 0; place < MODEL_PINS; place++) {
        model_unpin(m, place);
    }
}
