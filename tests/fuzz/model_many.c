/* What is expected of batches, walks and questions about the segment; see model.h. */
#include "model.h"

#define BATCH       8
#define BATCH_VALUE 1500 /* bytes of each value at most */

struct batch {
    uint32_t count;
    uint32_t n[BATCH];
    uint32_t key_lengths[BATCH];
    uint8_t key_types[BATCH];
    uint8_t keys[BATCH * 3008 + 2 * (LILCACHE_KEY_MAX + 1)];
    int64_t results[BATCH];
};

static struct batch batch;

/* Different keys: what a key is in the middle of a batch is not modelled. */
static void batch_make(uint32_t n, uint32_t count) {
    uint8_t *at = batch.keys;
    batch.count = count % BATCH + 1;
    for (uint32_t i = 0; i < batch.count; i++) {
        batch.n[i] = (n + i * 7) % KEYS;
        struct key key = key_of(batch.n[i]);
        memcpy(at, key.bytes, key.length);
        at += key.length;
        batch.key_lengths[i] = key.length;
        batch.key_types[i] = (uint8_t)key.type;
        batch.results[i] = INT64_MIN;
    }
}

void model_get_many(struct model *m, uint32_t n, uint32_t count, uint64_t cap) {
    const uint8_t *at = model_out();
    int64_t hits = 0;
    batch_make(n, count);
    cap = lc_min64(cap, MODEL_OUT);
    int64_t total =
        lilcache_get_many(m->cache, batch.count, batch.keys, batch.key_lengths,
                          batch.key_types, model_out(), cap, batch.results);
    for (uint32_t i = 0; i < batch.count; i++) {
        int64_t result = batch.results[i];
        if (model_refused(m, result, 0) || result == LILCACHE_TOO_LARGE) {
            continue;
        }
        MUST(result >= 0 || result == LILCACHE_MISS);
        model_seen(m, batch.n[i], result >= 0);
        if (result >= 0) {
            MUST((uint64_t)(at - model_out()) + LILCACHE_LENGTH(result) <= cap);
            model_check_value(m, batch.n[i], result, at);
            at += LILCACHE_LENGTH(result);
            hits++;
        }
    }
    MUST_EQ(hits, total);
}

void model_set_many(struct model *m, uint32_t n, uint32_t count, uint64_t length,
                    int64_t ttl) {
    uint64_t lengths[BATCH];
    uint8_t types[BATCH];
    struct entry next[BATCH];
    uint8_t *at = model_out();
    int64_t stored = 0;
    batch_make(n, count);
    length = lc_min64(length, BATCH_VALUE);
    for (uint32_t i = 0; i < batch.count; i++) {
        next[i] = model_next(m, length, ttl);
        memcpy(at, value_of(next[i].slice), length);
        at += length;
        lengths[i] = length;
        types[i] = next[i].type;
        model_offer(batch.n[i], &next[i]);
    }
    int64_t total = lilcache_set_many(m->cache, batch.count, batch.keys,
                                      batch.key_lengths, batch.key_types, model_out(),
                                      lengths, types, ttl, batch.results);
    for (uint32_t i = 0; i < batch.count; i++) {
        int64_t status = batch.results[i];
        stored += status == LILCACHE_OK;
        if (!model_too_much(m, length, ttl, status) &&
            !model_refused(m, status, length + batch.key_lengths[i])) {
            MUST_EQ(status, LILCACHE_OK);
            model_store(m, batch.n[i], &next[i]);
        }
    }
    MUST_EQ(stored, total);
}

void model_delete_many(struct model *m, uint32_t n, uint32_t count) {
    int64_t deleted = 0;
    batch_make(n, count);
    int64_t total =
        lilcache_delete_many(m->cache, batch.count, batch.keys, batch.key_lengths,
                             batch.key_types, batch.results);
    for (uint32_t i = 0; i < batch.count; i++) {
        int64_t status = batch.results[i];
        deleted += status == LILCACHE_OK;
        if (!model_refused(m, status, 0)) {
            MUST(status == LILCACHE_OK || status == LILCACHE_MISS);
            model_seen(m, batch.n[i], status == LILCACHE_OK);
            model_entry(m, batch.n[i])->present = false;
        }
    }
    MUST_EQ(deleted, total);
}

/* A whole walk returns exactly the keys that are there. */
void model_scan(struct model *m) {
    bool found[KEYS] = {false};
    uint64_t cursor = 0;
    do {
        uint32_t count = 0;
        uint64_t was = cursor;
        int64_t used =
            lilcache_scan(m->cache, &cursor, model_out(), LILCACHE_SCAN_MIN, &count);
        const uint8_t *at = model_out();
        if (model_refused(m, used, 0)) {
            return;
        }
        if (m->damaged && used == LILCACHE_TOO_LARGE) {
            return; /* every slot with one tag, say */
        }
        MUST(used >= 0 && used <= LILCACHE_SCAN_MIN);
        for (uint32_t i = 0; i < count; i++) {
            uint16_t length;
            memcpy(&length, at, 2);
            MUST(at + 3 + length <= model_out() + used);
            uint32_t n = key_number(at + 3, length, at[2]);
            MUST(m->damaged || n < KEYS);
            found[n % KEYS] = true;
            at += 3 + length;
        }
        MUST_EQ(at - model_out(), used);
        MUST(cursor == 0 || cursor > was);
    } while (cursor != 0);
    for (uint32_t n = 0; n < KEYS; n++) {
        model_seen(m, n, found[n]);
    }
}

bool model_check(struct model *m) {
    char report[256] = "";
    int violated = lilcache_check(m->cache, report, sizeof report);
    if (violated && !m->damaged) {
        FINDING("check: %d %s", violated, report);
    }
    MUST(violated == 0 || violated == 1);
    return !violated;
}

void model_misuse(struct model *m, uint32_t n, uint32_t which) {
    struct key key = key_of(n);
    int64_t status = 0;
    int64_t wanted = LILCACHE_INVALID;
    uint64_t cursor = UINT64_MAX >> (n % 32);
    uint32_t count;
    switch (which % 8) {
    case 0:
        status = lilcache_get(m->cache, key.bytes, 0, key.type, model_out(), 1);
        wanted = LILCACHE_KEY_SIZE;
        break;
    case 1:
        status = lilcache_set(m->cache, key.bytes, LILCACHE_KEY_MAX + 1, key.type, "",
                              0, 2, 0, LILCACHE_SET);
        wanted = LILCACHE_KEY_SIZE;
        break;
    case 2:
        status = lilcache_delete(m->cache, key.bytes, key.length, 4 + (int)n);
        break;
    case 3:
        status = lilcache_set(m->cache, key.bytes, key.length, key.type, "", 0, 256, 0,
                              LILCACHE_SET);
        break;
    case 4:
        status = lilcache_set(m->cache, key.bytes, key.length, key.type, "", 0, 2, 0,
                              LILCACHE_REPLACE + 1);
        break;
    case 5:
        status = lilcache_scan(m->cache, &cursor, model_out(), 100, &count);
        break;
    case 6: /* somewhere, or past the end */
        status =
            lilcache_scan(m->cache, &cursor, model_out(), LILCACHE_SCAN_MIN, &count);
        wanted =
            status >= 0 || status == LILCACHE_CORRUPT || status == LILCACHE_TOO_LARGE
                ? status
                : wanted;
        break;
    default: /* a pin that nobody holds */
        for (uint32_t i = 0; i < MODEL_PINS; i++) {
            if (m->pins[i].used && (uint32_t)m->pins[i].view.pin == n % 16) {
                return;
            }
        }
        lilcache_unpin(m->cache, n % 16);
        return;
    }
    MUST(status == wanted || status == LILCACHE_RETIRED);
}

void model_facts(struct model *m) {
    uint64_t values[128];
    char name[256];
    int count = lilcache_stats(m->cache, values, 128);
    for (int i = 0; i <= count; i++) {
        MUST((lilcache_stat_name(i) == NULL) == (i == count));
        MUST((lilcache_stat_help(i) == NULL) == (i == count));
    }
    for (int status = -40; status <= 1; status++) {
        MUST(lilcache_status_name(status) && lilcache_status_text(status));
    }
    MUST(m->damaged || ct_stat(m->cache, "contended_misses") == 0);
    MUST(m->damaged || m->foreign_pins || ct_stat(m->cache, "pins") <= m->pinned);
    MUST_EQ(lilcache_size(m->cache), m->segment->size);
    MUST_EQ(lilcache_max_value(m->cache), m->max_value);
    MUST(lilcache_base(m->cache) == m->segment->base);
    MUST_EQ(lilcache_mode(m->cache) & 0600, 0600);
    MUST(lilcache_process_row(m->cache) >= 0);
    MUST(lilcache_object_name("fuzz", name, sizeof name) > 5);
    lilcache_created(m->cache);
}
