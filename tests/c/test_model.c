/* Random operations against a naive model, in one process. The model knows for every
 * key the value it may have; a hit must be that value, and a miss is final. In segments
 * with room a miss is a failure. Argument: the seed. */
#include "cachetest.h"

#define KEYS        1200
#define PINS        8
#define BATCH       8
#define CHECK_EVERY 500

struct entry {
    bool present; /* no miss seen since it was stored */
    bool stamped; /* stamp is known */
    bool number;  /* an INT64 of this value */
    uint32_t stamp;
    int64_t value;
    uint64_t seed; /* else bytes of this seed and length */
    uint64_t length;
    uint64_t dies_from; /* ms: alive before, dead from dies_to on */
    uint64_t dies_to;
};

struct held {
    bool used;
    uint64_t seed;
    struct lilcache_view view;
};

static struct model {
    struct lilcache *cache;
    struct ct_random random;
    struct entry entries[KEYS];
    struct held pins[PINS];
    uint64_t pinned;
    uint64_t value_max;
    uint64_t block_bytes;
    bool roomy;
    uint8_t *out;
    uint8_t *in;
    uint64_t cap;
    uint64_t before; /* time around the last call */
    uint64_t after;
    uint64_t hits;
    uint64_t misses;
    uint64_t refused;
} m;

struct key {
    const void *bytes;
    size_t length;
    int type;
};

/* Four keys of each text, which differ by type only; some keys are long, but where
 * every key is to stay: for a record longer than a block, others may have to go. */
static struct key key_of(uint32_t n) {
    static uint8_t bytes[LILCACHE_KEY_MAX];
    uint32_t text = n / 4;
    struct key key = {bytes, 1 + text % 40, (int)(n % 4)};
    key.length = text == 7 && !m.roomy ? LILCACHE_KEY_MAX
                 : text == 8           ? 3000
                                       : lc_max64(key.length, 3);
    memset(bytes, 'k', key.length);
    memcpy(bytes + key.length - 2, &(uint16_t){(uint16_t)text}, 2);
    return key;
}

static uint32_t any(uint32_t limit) { return (uint32_t)ct_below(&m.random, limit); }

/* The upper half is rarely chosen, so that some values live long. */
static uint32_t any_key(void) {
    uint32_t n = any(KEYS);
    return n >= KEYS / 2 && any(6) != 0 ? n - KEYS / 2 : n;
}

static void clock_before(void) { m.before = lc_os_now_ms(); }
static void clock_after(void) { m.after = lc_os_now_ms(); }

static int type_of(const struct entry *e) {
    return e->number ? LILCACHE_TYPE_INT64 : 2 + (int)(e->seed % 254);
}

/* A read or a condition found the key, or not. */
static void seen(struct entry *e, bool hit) {
    bool dead = !e->present || m.before >= e->dies_to;
    bool alive = e->present && m.after < e->dies_from;
    if (hit) {
        CHECK(!dead);
        m.hits++;
    } else {
        if (alive && m.roomy) {
            LCT_FAIL("lost a key beside free room: %llu evicted, %llu from the index",
                     (unsigned long long)ct_stat(m.cache, "evictions"),
                     (unsigned long long)ct_stat(m.cache, "index_evictions"));
        }
        m.misses += alive;
        e->present = false;
    }
}

static void check_value(const struct entry *e, int64_t result, const void *data) {
    CHECK_EQ(LILCACHE_LENGTH(result), e->length);
    CHECK_EQ(LILCACHE_VALUE_TYPE(result), type_of(e));
    CHECK(e->number ? memcmp(data, &e->value, 8) == 0
                    : ct_matches(data, e->length, e->seed));
}

/* --- values and expiry to come ---------------------------------------------------- */

static int64_t any_ttl(void) {
    switch (any(6)) {
    case 0:
        return 1 + any(30);
    case 1:
        return 1000000 + any(1000);
    default:
        return LILCACHE_TTL_NONE;
    }
}

static void set_expiry(struct entry *e, int64_t ttl) {
    e->dies_from = ttl > 0 ? m.before + (uint64_t)ttl : UINT64_MAX;
    e->dies_to = ttl > 0 ? m.after + (uint64_t)ttl : UINT64_MAX;
}

/* What the key is to become, its bytes in m.in. */
static struct entry any_value(void) {
    struct entry e = {.present = true, .seed = ct_random(&m.random)};
    if (any(6) == 0) {
        e.number = true;
        e.length = 8;
        e.value = (int64_t)ct_random(&m.random) >> any(64);
        memcpy(m.in, &e.value, 8);
        return e;
    }
    uint64_t top =
        any(20) == 0 ? m.value_max : lc_min64(m.value_max, 3 * m.block_bytes);
    e.length = any(30) == 0 ? m.value_max : ct_spread(&m.random, 0, top);
    ct_fill(m.in, e.length, e.seed);
    return e;
}

/* A write may be refused only for a large value, and only while something is pinned. */
static bool refused(int status, uint64_t length) {
    if (status != LILCACHE_NO_SPACE) {
        return false;
    }
    CHECK(m.pinned > 0 && length + 4000 > m.block_bytes);
    m.refused++;
    return true;
}

/* --- operations ------------------------------------------------------------------- */

static void do_get(uint32_t n) {
    struct entry *e = &m.entries[n];
    struct key key = key_of(n);
    uint32_t stamp;
    clock_before();
    int64_t result =
        lilcache_gets(m.cache, key.bytes, key.length, key.type, m.out, m.cap, &stamp);
    clock_after();
    CHECK(result >= 0 || result == LILCACHE_MISS);
    seen(e, result >= 0);
    if (result >= 0) {
        check_value(e, result, m.out);
        CHECK(!e->stamped || e->stamp == stamp);
        e->stamp = stamp;
        e->stamped = true;
    }
}

static void do_set(uint32_t n, int mode) {
    struct entry *e = &m.entries[n];
    struct key key = key_of(n);
    struct entry next = any_value();
    int64_t ttl = any_ttl();
    clock_before();
    int status = lilcache_set(m.cache, key.bytes, key.length, key.type, m.in,
                              next.length, type_of(&next), ttl, mode);
    clock_after();
    if (refused(status, next.length)) {
        return;
    }
    if (mode == LILCACHE_ADD) {
        CHECK(status == LILCACHE_OK || status == LILCACHE_EXISTS);
        seen(e, status == LILCACHE_EXISTS);
    } else if (mode == LILCACHE_REPLACE) {
        CHECK(status == LILCACHE_OK || status == LILCACHE_MISS);
        seen(e, status == LILCACHE_OK);
    } else {
        CHECK_EQ(status, LILCACHE_OK);
    }
    if (status == LILCACHE_OK) {
        *e = next;
        set_expiry(e, ttl);
        do_get(n);
        CHECK(e->present || m.after >= e->dies_from); /* its own write at least */
    }
}

static void do_cas(uint32_t n) {
    struct entry *e = &m.entries[n];
    struct key key = key_of(n);
    struct entry next = any_value();
    int64_t ttl = any_ttl();
    bool current = e->stamped && any(4) != 0;
    uint32_t stamp = current ? e->stamp : e->stamp + 1 + any(1000);
    if (!e->stamped) {
        return;
    }
    clock_before();
    int status = lilcache_cas(m.cache, key.bytes, key.length, key.type, m.in,
                              next.length, type_of(&next), ttl, stamp);
    clock_after();
    if (refused(status, next.length)) {
        return;
    }
    seen(e, status != LILCACHE_MISS);
    if (status == LILCACHE_MISS) {
        return;
    }
    CHECK_EQ(status, current ? LILCACHE_OK : LILCACHE_EXISTS);
    if (current) {
        *e = next;
        set_expiry(e, ttl);
    }
}

static void do_delete(uint32_t n) {
    struct key key = key_of(n);
    clock_before();
    int status = lilcache_delete(m.cache, key.bytes, key.length, key.type);
    clock_after();
    CHECK(status == LILCACHE_OK || status == LILCACHE_MISS);
    seen(&m.entries[n], status == LILCACHE_OK);
    m.entries[n].present = false;
}

static void do_pop(uint32_t n) {
    struct entry *e = &m.entries[n];
    struct key key = key_of(n);
    clock_before();
    int64_t result =
        lilcache_pop(m.cache, key.bytes, key.length, key.type, m.out, m.cap);
    clock_after();
    CHECK(result >= 0 || result == LILCACHE_MISS);
    seen(e, result >= 0);
    if (result >= 0) {
        check_value(e, result, m.out);
    }
    e->present = false;
}

static void do_touch(uint32_t n) {
    struct entry *e = &m.entries[n];
    struct key key = key_of(n);
    int64_t ttl = any_ttl();
    clock_before();
    int status = lilcache_touch(m.cache, key.bytes, key.length, key.type, ttl);
    clock_after();
    if (refused(status, e->length)) {
        return;
    }
    CHECK(status == LILCACHE_OK || status == LILCACHE_MISS);
    seen(e, status == LILCACHE_OK);
    if (status == LILCACHE_OK) {
        set_expiry(e, ttl);
    }
}

static void do_ttl(uint32_t n) {
    struct entry *e = &m.entries[n];
    struct key key = key_of(n);
    int64_t ttl = 0;
    clock_before();
    int status = lilcache_ttl(m.cache, key.bytes, key.length, key.type, &ttl);
    clock_after();
    CHECK(status == LILCACHE_OK || status == LILCACHE_MISS);
    seen(e, status == LILCACHE_OK);
    if (status == LILCACHE_OK && e->dies_to == UINT64_MAX) {
        CHECK_EQ(ttl, -1);
    } else if (status == LILCACHE_OK) {
        CHECK(ttl > 0 && m.before + (uint64_t)ttl <= e->dies_to);
        CHECK(m.after + (uint64_t)ttl >= e->dies_from);
    }
}

static void do_incr(uint32_t n) {
    struct entry *e = &m.entries[n];
    struct key key = key_of(n);
    int64_t delta = (int64_t)ct_random(&m.random) >> any(64);
    int64_t initial = (int64_t)any(1000);
    int64_t ttl = any_ttl();
    int64_t result = 0;
    int64_t wanted = 0;
    bool create = any(2);
    clock_before();
    int status = lilcache_incr(m.cache, key.bytes, key.length, key.type, delta,
                               create ? &initial : NULL, ttl, &result);
    clock_after();
    bool dead = !e->present || m.before >= e->dies_to;
    bool overflow = e->number && __builtin_add_overflow(e->value, delta, &wanted);
    if (status == LILCACHE_NOT_INTEGER) {
        CHECK(!dead && !e->number);
    } else if (status == LILCACHE_OVERFLOW) {
        CHECK(!dead && overflow);
    } else if (status == LILCACHE_MISS) {
        CHECK(!create);
        seen(e, false);
    } else {
        bool went_on = !dead && e->number && !overflow && result == wanted;
        CHECK_EQ(status, LILCACHE_OK);
        if (!went_on) {
            CHECK(create && result == initial);
            seen(e, false);
            *e = (struct entry){.present = true, .number = true, .length = 8};
            set_expiry(e, ttl);
        }
        e->value = result;
        e->stamped = false;
    }
}

static void do_clear(void) {
    CHECK_EQ(lilcache_clear(m.cache), LILCACHE_OK);
    for (uint32_t n = 0; n < KEYS; n++) {
        m.entries[n].present = false;
    }
}

/* --- many at once ----------------------------------------------------------------- */

struct batch {
    uint32_t n[BATCH];
    uint32_t key_lengths[BATCH];
    uint8_t key_types[BATCH];
    uint8_t *keys;
    int64_t results[BATCH];
};

/* Different keys: what a key is in the middle of a batch is not modelled. */
static void any_batch(struct batch *batch) {
    static uint8_t keys[BATCH * LILCACHE_KEY_MAX];
    uint8_t *at = keys;
    uint32_t first = any_key();
    uint32_t half = first < KEYS / 2 ? 0 : KEYS / 2;
    batch->keys = keys;
    for (uint32_t i = 0; i < BATCH; i++) {
        batch->n[i] = half + (first + i * 7) % (KEYS / 2);
        struct key key = key_of(batch->n[i]);
        memcpy(at, key.bytes, key.length);
        at += key.length;
        batch->key_lengths[i] = (uint32_t)key.length;
        batch->key_types[i] = (uint8_t)key.type;
    }
}

static void do_get_many(void) {
    struct batch batch;
    const uint8_t *at = m.out;
    int64_t hits = 0;
    any_batch(&batch);
    clock_before();
    int64_t count = lilcache_get_many(m.cache, BATCH, batch.keys, batch.key_lengths,
                                      batch.key_types, m.out, m.cap, batch.results);
    clock_after();
    for (int i = 0; i < BATCH; i++) {
        if (batch.results[i] == LILCACHE_TOO_LARGE) {
            continue;
        }
        seen(&m.entries[batch.n[i]], batch.results[i] >= 0);
        if (batch.results[i] >= 0) {
            check_value(&m.entries[batch.n[i]], batch.results[i], at);
            at += LILCACHE_LENGTH(batch.results[i]);
            hits++;
        }
    }
    CHECK_EQ(hits, count);
}

static void do_set_many(void) {
    struct batch batch;
    uint64_t lengths[BATCH];
    uint8_t types[BATCH];
    struct entry next[BATCH];
    int64_t ttl = any_ttl();
    uint64_t used = 0;
    any_batch(&batch);
    for (int i = 0; i < BATCH; i++) {
        next[i] = (struct entry){.present = true, .seed = ct_random(&m.random)};
        next[i].length = ct_spread(&m.random, 0, lc_min64(m.value_max / BATCH, 70000));
        ct_fill(m.in + used, next[i].length, next[i].seed);
        used += next[i].length;
        lengths[i] = next[i].length;
        types[i] = (uint8_t)type_of(&next[i]);
    }
    clock_before();
    lilcache_set_many(m.cache, BATCH, batch.keys, batch.key_lengths, batch.key_types,
                      m.in, lengths, types, ttl, batch.results);
    clock_after();
    for (int i = 0; i < BATCH; i++) {
        if (!refused((int)batch.results[i], lengths[i])) {
            CHECK_EQ(batch.results[i], LILCACHE_OK);
            m.entries[batch.n[i]] = next[i];
            set_expiry(&m.entries[batch.n[i]], ttl);
        }
    }
}

static void do_delete_many(void) {
    struct batch batch;
    any_batch(&batch);
    clock_before();
    lilcache_delete_many(m.cache, BATCH, batch.keys, batch.key_lengths, batch.key_types,
                         batch.results);
    clock_after();
    for (int i = 0; i < BATCH; i++) {
        seen(&m.entries[batch.n[i]], batch.results[i] == LILCACHE_OK);
        m.entries[batch.n[i]].present = false;
    }
}

/* A whole walk returns exactly the keys that are there. */
static void do_scan(void) {
    bool found[KEYS] = {false};
    uint64_t cursor = 0;
    clock_before();
    do {
        uint32_t count;
        int64_t used = lilcache_scan(m.cache, &cursor, m.out, m.cap, &count);
        const uint8_t *at = m.out;
        CHECK(used >= 0);
        for (uint32_t i = 0; i < count; i++) {
            uint16_t length;
            uint16_t text;
            memcpy(&length, at, 2);
            memcpy(&text, at + 3 + length - 2, 2);
            uint32_t n = text * 4u + at[2];
            CHECK(n < KEYS && key_of(n).length == length);
            CHECK(memcmp(key_of(n).bytes, at + 3, length) == 0);
            found[n] = true;
            at += 3 + length;
        }
        CHECK_EQ(at - m.out, used);
    } while (cursor != 0);
    clock_after();
    for (uint32_t n = 0; n < KEYS; n++) {
        seen(&m.entries[n], found[n]);
    }
}

/* --- pins ------------------------------------------------------------------------- */

static void verify_pin(const struct held *pin) {
    CHECK(ct_matches(pin->view.data, pin->view.length, pin->seed));
}

static void drop_pin(struct held *pin) {
    if (pin->used) {
        verify_pin(pin);
        lilcache_unpin(m.cache, pin->view.pin);
        pin->used = false;
        m.pinned--;
    }
}

static void do_pin(uint32_t n) {
    struct entry *e = &m.entries[n];
    struct held *pin = &m.pins[any(PINS)];
    struct key key = key_of(n);
    drop_pin(pin);
    if (e->number || any(3) == 0) {
        return;
    }
    clock_before();
    int64_t result = lilcache_pin(m.cache, key.bytes, key.length, key.type, &pin->view);
    clock_after();
    if (result == LILCACHE_NO_PIN) {
        CHECK(m.pinned > 0 || e->length > m.value_max / 2);
        return;
    }
    seen(e, result >= 0);
    if (result >= 0) {
        check_value(e, result, pin->view.data);
        pin->used = true;
        pin->seed = e->seed;
        m.pinned++;
    }
}

static void verify_pins(void) {
    for (int i = 0; i < PINS; i++) {
        if (m.pins[i].used) {
            verify_pin(&m.pins[i]);
        }
    }
}

/* --- runs ------------------------------------------------------------------------- */

static void step(void) {
    uint32_t n = any_key();
    uint32_t dice = any(1000);
    if (dice < 300) {
        do_set(n, LILCACHE_SET);
    } else if (dice < 550) {
        do_get(n);
    } else if (dice < 600) {
        do_set(n, LILCACHE_ADD);
    } else if (dice < 650) {
        do_set(n, LILCACHE_REPLACE);
    } else if (dice < 700) {
        do_cas(n);
    } else if (dice < 750) {
        do_delete(n);
    } else if (dice < 780) {
        do_pop(n);
    } else if (dice < 830) {
        do_touch(n);
    } else if (dice < 860) {
        do_ttl(n);
    } else if (dice < 920) {
        do_incr(n);
    } else if (dice < 960) {
        do_pin(n);
    } else if (dice < 975) {
        do_get_many();
    } else if (dice < 985) {
        do_set_many();
    } else if (dice < 990) {
        do_delete_many();
    } else if (dice < 995) {
        do_scan();
    } else if (dice < 996 && any(m.roomy ? 1000 : 2) == 0) { /* rare: let it fill up */
        do_clear();
    } else if (dice < 997) {
        lct_sleep_ms(5);
    } else {
        verify_pins();
    }
}

static void run(uint64_t size, uint64_t value_max, uint32_t flags, bool roomy,
                uint32_t steps) {
    uint64_t seed = lct_number(20240607);
    m.cache = ct_open_flags(size, flags);
    m.random.state = seed + size + value_max;
    m.value_max = lc_min64(value_max, lilcache_max_value(m.cache));
    m.block_bytes = ct_stat(m.cache, "block_bytes");
    m.roomy = roomy;
    m.cap = lc_max64(2 * m.value_max, LILCACHE_SCAN_MIN);
    m.out = malloc(m.cap);
    m.in = malloc(m.cap);
    for (uint32_t i = 0; i < steps; i++) {
        step();
        if (i % CHECK_EVERY == 0) {
            ct_check_unhurt(m.cache);
        }
    }
    for (int i = 0; i < PINS; i++) {
        drop_pin(&m.pins[i]);
    }
    for (uint32_t n = 0; n < KEYS; n++) {
        do_get(n);
    }
    ct_check_unhurt(m.cache);
    CHECK_EQ(ct_stat(m.cache, "pins"), 0);
    CHECK_EQ(ct_stat(m.cache, "contended_misses"), 0);
    printf(
        "  seed %llu: %llu hits, %llu lost, %llu refused beside pins, %llu evictions, "
        "%llu relocations, %llu recycles\n",
        (unsigned long long)seed, (unsigned long long)m.hits,
        (unsigned long long)m.misses, (unsigned long long)m.refused,
        (unsigned long long)ct_stat(m.cache, "evictions"),
        (unsigned long long)ct_stat(m.cache, "relocations"),
        (unsigned long long)ct_stat(m.cache, "recycles"));
    free(m.in);
    free(m.out);
    lilcache_close(m.cache);
}

TEST(one_mib, 60) { run(1 * MIB, UINT64_MAX, 0, false, 40000); }
TEST(two_mib, 60) { run(2 * MIB, UINT64_MAX, 0, false, 25000); }
TEST(four_mib, 60) { run(4 * MIB, UINT64_MAX, 0, false, 15000); }
TEST(four_mib_checksums, 60) {
    run(4 * MIB, UINT64_MAX, LILCACHE_CHECKSUMS, false, 8000);
}
TEST(one_mib_of_crumbs, 60) { run(1 * MIB, 300, 0, true, 80000); }
TEST(with_room, 60) { run(16 * MIB, 50000, 0, true, 60000); }
TEST(with_room_for_large, 60) { run(128 * MIB, 300000, 0, true, 20000); }
TEST(sixty_four_mib, 60) { run(64 * MIB, UINT64_MAX, 0, false, 1500); }

int main(int argc, char **argv) { return lct_main(argc, argv); }
