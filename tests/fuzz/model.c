/* What is expected of single keys; see model.h. */
#include "model.h"

#include "lc_counter.h"
#include "lc_record.h"

#define SAMPLE 8 /* keys read at an input's end that it did not touch */

static uint8_t out[MODEL_OUT];
static struct offer offers[MODEL_OFFERS];
static uint32_t offered;

uint8_t *model_out(void) { return out; }

bool model_has_pins(const struct model *m) { return m->pinned > 0 || m->foreign_pins; }

/* --- entries ---------------------------------------------------------------------- */

struct entry *model_entry(struct model *m, uint32_t n) {
    if (!m->is_touched[n]) {
        m->is_touched[n] = true;
        m->touched[m->touched_count++] = (uint16_t)n;
    }
    return &m->entries[n];
}

bool model_alive(const struct model *m, const struct entry *e) {
    return e->present && e->clears == m->clears && arena_now_ms < e->dies_at;
}

static uint64_t model_evictions(const struct model *m) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < m->segment->shard_count; i++) {
        const struct shm_shard *ctl = m->segment->shards[i].ctl;
        sum += ctl->sh_counter[LC_SHARD_evictions] +
               ctl->sh_counter[LC_SHARD_index_evictions];
    }
    return sum;
}

void model_seen(struct model *m, uint32_t n, bool hit) {
    struct entry *e = &m->entries[n];
    bool alive = model_alive(m, e);
    if (m->damaged || alive == hit) {
        return;
    }
    if (hit) {
        FINDING("key %u is back", n);
    }
    m->lost++;
    model_entry(m, n)->present = false;
    if (m->lost > model_evictions(m) - m->evicted) {
        FINDING("key %u is the loss number %llu beside %llu evictions", n,
                (unsigned long long)m->lost,
                (unsigned long long)(model_evictions(m) - m->evicted));
    }
}

static bool entry_is(const struct entry *e, uint64_t length, const void *data) {
    return e->length == length && (e->number ? memcmp(data, &e->value, 8) == 0
                                             : value_is(data, length, e->slice));
}

static bool offers_have(const struct offer *list, uint32_t count, uint32_t n,
                        uint64_t length, const void *data) {
    for (uint32_t i = count; i-- > 0;) {
        const struct offer *o = &list[i];
        if (o->n == n && o->length == length &&
            (o->number ? memcmp(data, &o->value, 8) == 0
                       : value_is(data, length, o->slice))) {
            return true;
        }
    }
    return false;
}

/* Was it ever offered under this key: by the input, or while the state was made? */
static bool model_knows(const struct model *m, uint32_t n, uint64_t length,
                        const void *data) {
    return offers_have(offers, offered, n, length, data) ||
           offers_have(m->history, m->history_count, n, length, data);
}

void model_check_value(struct model *m, uint32_t n, int64_t result, const void *data) {
    const struct entry *e = &m->entries[n];
    uint64_t length = LILCACHE_LENGTH(result);
    if (!m->damaged) {
        MUST_EQ(length, e->length);
        MUST_EQ(LILCACHE_VALUE_TYPE(result), e->type);
        MUST(entry_is(e, length, data));
    } else if (m->checksums && !model_knows(m, n, length, data)) {
        FINDING("key %u has a value of %llu bytes that it never had", n,
                (unsigned long long)length);
    }
}

struct entry model_next(struct model *m, uint64_t length, int64_t ttl) {
    uint32_t slice = m->next_slice;
    m->next_slice = (uint16_t)(slice + 40503);
    return (struct entry){
        .present = true,
        .type = (uint8_t)(2 + slice % 254),
        .clears = m->clears,
        .slice = slice,
        .length = (uint32_t)length,
        .dies_at = ttl > 0 ? arena_now_ms + (uint64_t)ttl : UINT64_MAX,
    };
}

void model_offer(uint32_t n, const struct entry *next) {
    MUST(offered < MODEL_OFFERS);
    offers[offered++] = (struct offer){(uint16_t)n, next->number, next->slice,
                                       next->length, next->value};
}

bool model_is_tired(void) { return offered > MODEL_OFFERS / 4; }

void model_store(struct model *m, uint32_t n, const struct entry *next) {
    *model_entry(m, n) = *next;
}

bool model_retired(const struct model *m, int64_t status) {
    return m->damaged ? status == LILCACHE_RETIRED : m->retired;
}

bool model_refused(struct model *m, int64_t status, uint64_t record_bytes) {
    if (model_retired(m, status)) {
        MUST_EQ(status, LILCACHE_RETIRED);
        return true;
    }
    if (status == LILCACHE_NO_SPACE) {
        MUST(m->damaged || (model_has_pins(m) && record_bytes + 64 > m->block_bytes));
        return true;
    }
    if (status == LILCACHE_CORRUPT) {
        MUST(m->damaged);
        return true;
    }
    return false;
}

/* --- states ----------------------------------------------------------------------- */

void model_begin(struct model *m, struct lilcache *cache) {
    memset(m, 0, sizeof *m);
    m->cache = cache;
    m->segment = cache->segment;
    m->checksums = cache->segment->shards[0].checksums;
    m->max_value = lilcache_max_value(cache);
    m->block_bytes = 1ULL << cache->segment->shards[0].block_shift;
    MUST(m->max_value < VALUE_MAX);
    offered = 0;
}

void model_save(struct model *m) {
    for (uint32_t n = 0; n < KEYS; n++) {
        if (m->entries[n].present) {
            model_get(m, n, MODEL_OUT);
        }
    }
    m->history = malloc(offered * sizeof *m->history + 1);
    MUST(m->history != NULL);
    memcpy(m->history, offers, offered * sizeof *offers);
    m->history_count = offered;
    m->touched_count = 0;
    memset(m->is_touched, 0, sizeof m->is_touched);
    memcpy(m->saved, m->entries, sizeof m->saved);
    m->lost = 0;
    m->evicted = model_evictions(m);
    m->saved_clears = m->clears;
    m->saved_slice = m->next_slice;
    offered = 0;
}

void model_restore(struct model *m) {
    for (uint32_t i = 0; i < m->touched_count; i++) {
        uint32_t n = m->touched[i];
        m->entries[n] = m->saved[n];
        m->is_touched[n] = false;
    }
    m->touched_count = 0;
    m->damaged = false;
    m->retired = false;
    m->known.used = false;
    m->clears = m->saved_clears;
    m->next_slice = m->saved_slice;
    m->lost = 0;
    offered = 0;
}

void model_sample(struct model *m, uint32_t first) {
    for (uint32_t i = 0; i < m->touched_count; i++) {
        model_get(m, m->touched[i], MODEL_OUT);
    }
    for (uint32_t i = 0; i < SAMPLE; i++) {
        model_get(m, (first + i * 37) % KEYS, MODEL_OUT);
    }
}

/* --- reads ------------------------------------------------------------------------ */

void model_get(struct model *m, uint32_t n, uint64_t cap) {
    struct key key = key_of(n);
    uint32_t stamp = 0;
    cap = lc_min64(cap, MODEL_OUT);
    int64_t result =
        lilcache_gets(m->cache, key.bytes, key.length, key.type, out, cap, &stamp);
    if (model_refused(m, result, 0)) {
        return;
    }
    if (result == LILCACHE_TOO_LARGE) {
        model_seen(m, n, true);
        MUST(m->damaged || m->entries[n].length > cap);
        return;
    }
    MUST(result >= 0 || result == LILCACHE_MISS);
    model_seen(m, n, result >= 0);
    if (result >= 0) {
        MUST(LILCACHE_LENGTH(result) <= cap);
        model_check_value(m, n, result, out);
        struct entry *e = model_entry(m, n);
        MUST(m->damaged || !e->stamped || e->stamp == stamp);
        e->stamp = stamp;
        e->stamped = true;
    }
}

/* Current is only what the key still has. In a damaged segment anything may be. */
static void known_check(struct model *m, bool must) {
    const struct entry *now = &m->entries[m->known.n];
    const struct entry *then = &m->known.entry;
    int status = lilcache_is_current(m->cache, &m->known.version);
    if (model_refused(m, status, 0)) {
        return;
    }
    MUST(status == LILCACHE_OK || (status == LILCACHE_MISS && (!must || m->damaged)));
    MUST(status == LILCACHE_MISS || m->damaged ||
         (model_alive(m, now) && now->slice == then->slice &&
          now->number == then->number && now->value == then->value));
}

void model_version(struct model *m, uint32_t n) {
    struct key key = key_of(n);
    if (m->known.used) {
        known_check(m, false);
    }
    int64_t result = lilcache_get_version(m->cache, key.bytes, key.length, key.type,
                                          out, MODEL_OUT, &m->known.version);
    m->known.used = result >= 0;
    if (model_refused(m, result, 0) || result == LILCACHE_TOO_LARGE) {
        return;
    }
    MUST(result >= 0 || result == LILCACHE_MISS);
    model_seen(m, n, result >= 0);
    if (result >= 0) {
        model_check_value(m, n, result, out);
        m->known.n = n;
        m->known.entry = m->entries[n];
        known_check(m, true);
    }
}

void model_ttl(struct model *m, uint32_t n) {
    struct key key = key_of(n);
    const struct entry *e = &m->entries[n];
    int64_t ttl = 0;
    int status = lilcache_ttl(m->cache, key.bytes, key.length, key.type, &ttl);
    if (model_refused(m, status, 0)) {
        return;
    }
    MUST(status == LILCACHE_OK || status == LILCACHE_MISS);
    model_seen(m, n, status == LILCACHE_OK);
    if (status == LILCACHE_OK && !m->damaged) {
        MUST_EQ(ttl,
                e->dies_at == UINT64_MAX ? -1 : (int64_t)(e->dies_at - arena_now_ms));
    }
}

void model_unpin(struct model *m, uint32_t place) {
    struct held *pin = &m->pins[place];
    if (!pin->used) {
        return;
    }
    if (!m->damaged) {
        MUST(entry_is(&pin->entry, pin->view.length, pin->view.data));
    }
    lilcache_unpin(m->cache, pin->view.pin);
    pin->used = false;
    m->pinned--;
}

void model_pin(struct model *m, uint32_t n, uint32_t place) {
    struct held *pin = &m->pins[place];
    struct key key = key_of(n);
    model_unpin(m, place);
    int64_t result =
        lilcache_pin(m->cache, key.bytes, key.length, key.type, &pin->view);
    if (model_refused(m, result, 0)) {
        return;
    }
    if (result == LILCACHE_NO_PIN) {
        MUST(m->damaged || model_has_pins(m) ||
             m->entries[n].length > m->max_value / 2);
        return;
    }
    MUST(result >= 0 || result == LILCACHE_MISS);
    model_seen(m, n, result >= 0);
    if (result >= 0) {
        const uint8_t *data = pin->view.data;
        MUST(data >= m->segment->base &&
             data + pin->view.length <= m->segment->base + m->segment->size);
        model_check_value(m, n, result, data);
        pin->used = true;
        pin->entry = m->entries[n];
        m->pinned++;
    }
}

/* --- writes ----------------------------------------------------------------------- */

static uint64_t record_bytes(uint32_t n, uint64_t length) {
    return lc_record_bound(LC_RECORD_EXPIRES | LC_RECORD_CHECKSUM | LC_RECORD_ALIGNED,
                           key_of(n).length, length);
}

bool model_too_much(const struct model *m, uint64_t length, int64_t ttl,
                    int64_t status) {
    if (model_retired(m, status) ||
        (length <= m->max_value && ttl >= 0 && ttl <= INT64_MAX / 2)) {
        return false;
    }
    MUST_EQ(status, length > m->max_value ? LILCACHE_VALUE_SIZE : LILCACHE_TTL);
    return true;
}

void model_set(struct model *m, uint32_t n, uint64_t length, int64_t ttl, int mode) {
    struct key key = key_of(n);
    struct entry next = model_next(m, length, ttl);
    model_offer(n, &next);
    int status = lilcache_set(m->cache, key.bytes, key.length, key.type,
                              value_of(next.slice), length, next.type, ttl, mode);
    if (model_too_much(m, length, ttl, status) ||
        model_refused(m, status, record_bytes(n, length))) {
        return;
    }
    if (mode == LILCACHE_ADD) {
        MUST(status == LILCACHE_OK || status == LILCACHE_EXISTS);
        model_seen(m, n, status == LILCACHE_EXISTS);
    } else if (mode == LILCACHE_REPLACE) {
        MUST(status == LILCACHE_OK || status == LILCACHE_MISS);
        model_seen(m, n, status == LILCACHE_OK);
    } else {
        MUST_EQ(status, LILCACHE_OK);
    }
    if (status == LILCACHE_OK) {
        model_store(m, n, &next);
    }
}

void model_try_set(struct model *m, uint32_t n, uint64_t length) {
    struct key key = key_of(n);
    struct entry next = model_next(m, length, 0);
    model_offer(n, &next);
    int status = lilcache_try_set(m->cache, key.bytes, key.length, key.type,
                                  value_of(next.slice), length, next.type,
                                  LILCACHE_TTL_NONE, LILCACHE_SET);
    if (length >= LC_VALUE_ALIGN_FROM) {
        MUST_EQ(status, LILCACHE_BUSY);
    } else if (!model_too_much(m, length, 0, status) &&
               !model_refused(m, status, record_bytes(n, length))) {
        MUST_EQ(status, LILCACHE_OK);
        model_store(m, n, &next);
    }
}

void model_cas(struct model *m, uint32_t n, uint64_t length, int64_t ttl,
               bool current) {
    struct key key = key_of(n);
    const struct entry *e = &m->entries[n];
    bool right = current && e->stamped;
    uint32_t stamp = right ? e->stamp : e->stamp + 1 + n;
    struct entry next = model_next(m, length, ttl);
    if (!e->stamped && !m->damaged) {
        return;
    }
    model_offer(n, &next);
    int status = lilcache_cas(m->cache, key.bytes, key.length, key.type,
                              value_of(next.slice), length, next.type, ttl, stamp);
    if (model_too_much(m, length, ttl, status) ||
        model_refused(m, status, record_bytes(n, length))) {
        return;
    }
    MUST(status == LILCACHE_OK || status == LILCACHE_EXISTS || status == LILCACHE_MISS);
    model_seen(m, n, status != LILCACHE_MISS);
    if (status != LILCACHE_MISS && !m->damaged) {
        MUST_EQ(status, right ? LILCACHE_OK : LILCACHE_EXISTS);
    }
    if (status == LILCACHE_OK) {
        model_store(m, n, &next);
    }
}

void model_delete(struct model *m, uint32_t n, bool waits) {
    struct key key = key_of(n);
    int status = waits ? lilcache_delete(m->cache, key.bytes, key.length, key.type)
                       : lilcache_try_delete(m->cache, key.bytes, key.length, key.type);
    if (model_refused(m, status, 0)) {
        return;
    }
    MUST(status == LILCACHE_OK || status == LILCACHE_MISS);
    model_seen(m, n, status == LILCACHE_OK);
    model_entry(m, n)->present = false;
}

void model_pop(struct model *m, uint32_t n, uint64_t cap) {
    struct key key = key_of(n);
    cap = lc_min64(cap, MODEL_OUT);
    int64_t result = lilcache_pop(m->cache, key.bytes, key.length, key.type, out, cap);
    if (model_refused(m, result, 0)) {
        return;
    }
    if (result == LILCACHE_TOO_LARGE) {
        model_seen(m, n, true);
        MUST(m->damaged || m->entries[n].length > cap);
        return;
    }
    MUST(result >= 0 || result == LILCACHE_MISS);
    model_seen(m, n, result >= 0);
    if (result >= 0) {
        MUST(LILCACHE_LENGTH(result) <= cap);
        model_check_value(m, n, result, out);
    }
    model_entry(m, n)->present = false;
}

void model_touch(struct model *m, uint32_t n, int64_t ttl) {
    struct key key = key_of(n);
    int status = lilcache_touch(m->cache, key.bytes, key.length, key.type, ttl);
    if (model_too_much(m, 0, ttl, status) ||
        model_refused(m, status, record_bytes(n, m->entries[n].length))) {
        return;
    }
    MUST(status == LILCACHE_OK || status == LILCACHE_MISS);
    model_seen(m, n, status == LILCACHE_OK);
    if (status == LILCACHE_OK) {
        model_entry(m, n)->dies_at = ttl ? arena_now_ms + (uint64_t)ttl : UINT64_MAX;
    }
}

void model_incr(struct model *m, uint32_t n, int64_t delta, bool create, int64_t ttl) {
    struct key key = key_of(n);
    const struct entry *e = &m->entries[n];
    bool alive = model_alive(m, e);
    int64_t initial = (int64_t)n * 1000003;
    int64_t result = 0;
    int64_t sum = 0;
    int64_t before;
    bool overflow = e->number && __builtin_add_overflow(e->value, delta, &sum);
    int status = lilcache_incr(m->cache, key.bytes, key.length, key.type, delta,
                               create ? &initial : NULL, ttl, &result);
    if (!model_retired(m, status) && (ttl < LILCACHE_TTL_KEEP || ttl > INT64_MAX / 2)) {
        MUST_EQ(status, LILCACHE_TTL);
        return;
    }
    if (model_refused(m, status, record_bytes(n, 8))) {
        return;
    }
    if (status == LILCACHE_NOT_INTEGER || status == LILCACHE_OVERFLOW) {
        MUST(m->damaged ||
             (alive && (status == LILCACHE_OVERFLOW ? overflow : !e->number)));
        return;
    }
    if (status == LILCACHE_MISS) {
        /* Without `create`, or evicted to make room for itself. */
        model_seen(m, n, false);
        return;
    }
    MUST_EQ(status, LILCACHE_OK);
    struct entry next = {.present = true,
                         .number = true,
                         .type = LILCACHE_TYPE_INT64,
                         .clears = m->clears,
                         .length = 8,
                         .value = result,
                         .dies_at =
                             ttl > 0 ? arena_now_ms + (uint64_t)ttl : UINT64_MAX};
    bool went_on = alive && e->number && !overflow && result == sum;
    if (m->damaged) {
        before = (int64_t)((uint64_t)result - (uint64_t)delta);
        MUST(!m->checksums || (create && result == initial) ||
             model_knows(m, n, 8, &before));
    } else if (went_on) {
        next.dies_at = e->dies_at;
    } else {
        MUST(create && result == initial);
        model_seen(m, n, false);
    }
    model_offer(n, &next);
    model_store(m, n, &next);
}

void model_clear(struct model *m) {
    int status = lilcache_clear(m->cache);
    if (!model_refused(m, status, 0)) {
        MUST_EQ(status, LILCACHE_OK);
        m->clears++;
    }
}

void model_retire(struct model *m) {
    MUST_EQ(lilcache_retire(m->cache), LILCACHE_OK);
    m->retired = true;
}
