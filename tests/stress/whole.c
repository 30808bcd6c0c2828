/* What can be counted where nothing is evicted: increments, compare-and-swaps, critical
 * sections made of add and delete, tokens that must not be popped twice, and scans. */
#include <stdlib.h>
#include <string.h>

#include "lc_atomic.h"
#include "stress.h"

#define WHOLE_CAS_TYPE 7

/* Make the counters, before there are workers. */
void sum_prepare(struct lilcache *cache, struct board *board) {
    for (uint32_t i = 0; i < STRESS_COUNTERS; i++) {
        struct stress_key name;
        int64_t zero = 0;
        int64_t result;
        key_make(STRESS_COUNTER_AT + i, &name);
        int status = lilcache_incr(cache, name.bytes, name.length, name.type, 1, &zero,
                                   LILCACHE_TTL_NONE, &result);
        key_make(STRESS_CAS_AT + i, &name);
        int other = lilcache_set(cache, name.bytes, name.length, name.type, &zero,
                                 sizeof zero, WHOLE_CAS_TYPE, 0, LILCACHE_ADD);
        if (status != LILCACHE_OK || result != 0 || other != LILCACHE_OK) {
            board_violation(board, "the counters cannot be made: %s, %s",
                            lilcache_status_name(status), lilcache_status_name(other));
        }
    }
}

static void sum_incr(struct actor *actor) {
    struct stress_key name;
    uint32_t number = actor_below(actor, STRESS_COUNTERS);
    int64_t delta = 1 + actor_below(actor, 9);
    int64_t before = 0;
    int64_t result = 0;
    int status;
    key_make(STRESS_COUNTER_AT + number, &name);
    int64_t got = lilcache_get(actor->cache, name.bytes, name.length, name.type,
                               &before, sizeof before);
    actor_count(actor, COUNT_incr_begun, (uint64_t)delta);
    actor->mine->doing = "incr";
    do {
        status = lilcache_incr(actor->cache, name.bytes, name.length, name.type, delta,
                               NULL, LILCACHE_TTL_NONE, &result);
    } while (actor_busy(actor, status));
    if (status == LILCACHE_BUSY) {
        actor_count(actor, COUNT_incr_begun, (uint64_t)-delta);
        return;
    }
    actor_count(actor, COUNT_incr_acked, (uint64_t)delta);
    if (status != LILCACHE_OK || got != LILCACHE_PACK(LILCACHE_TYPE_INT64, 8) ||
        result < before + delta) {
        board_violation(actor->board,
                        "actor %u: counter %u: %s, %lld after %lld plus %lld",
                        actor->id, number, lilcache_status_name(status),
                        (long long)result, (long long)before, (long long)delta);
    }
}

static void sum_cas(struct actor *actor) {
    struct stress_key name;
    int64_t value;
    uint32_t stamp;
    int status = LILCACHE_EXISTS;
    key_make(STRESS_CAS_AT + actor_below(actor, STRESS_COUNTERS), &name);
    for (int tries = 0; tries < 8 && status == LILCACHE_EXISTS; tries++) {
        int64_t got = lilcache_gets(actor->cache, name.bytes, name.length, name.type,
                                    &value, sizeof value, &stamp);
        if (got != LILCACHE_PACK(WHOLE_CAS_TYPE, 8)) {
            board_violation(actor->board, "actor %u: a cas counter reads %llx",
                            actor->id, (unsigned long long)got);
            return;
        }
        value++;
        actor_count(actor, COUNT_cas_begun, 1);
        actor->mine->doing = "cas";
        do {
            status = lilcache_cas(actor->cache, name.bytes, name.length, name.type,
                                  &value, sizeof value, WHOLE_CAS_TYPE, 0, stamp);
        } while (actor_busy(actor, status));
        actor_count(actor, status == LILCACHE_OK ? COUNT_cas_acked : COUNT_cas_begun,
                    status == LILCACHE_OK ? 1 : (uint64_t)-1);
    }
    if (status != LILCACHE_OK && status != LILCACHE_EXISTS && status != LILCACHE_BUSY) {
        board_violation(actor->board, "actor %u: cas returns %s", actor->id,
                        lilcache_status_name(status));
    }
}

static int whole_delete(struct actor *actor, const struct stress_key *name) {
    int status;
    actor->mine->doing = "delete";
    do {
        status = lilcache_delete(actor->cache, name->bytes, name->length, name->type);
    } while (actor_busy(actor, status));
    return status;
}

static void whole_lock(struct actor *actor) {
    struct stress_key name;
    uint8_t value[8] = {0};
    uint32_t number = actor_below(actor, STRESS_LOCKS);
    uint64_t *holder = &actor->board->lock_holder[number];
    int status;
    memcpy(value, &actor->id, sizeof actor->id);
    key_make(STRESS_LOCK_AT + number, &name);
    actor->mine->doing = "add";
    do {
        status = lilcache_set(actor->cache, name.bytes, name.length, name.type, value,
                              sizeof value, 0, LILCACHE_TTL_NONE, LILCACHE_ADD);
    } while (actor_busy(actor, status));
    if (status == LILCACHE_EXISTS || status == LILCACHE_BUSY) {
        return;
    }
    uint64_t before = __atomic_exchange_n(holder, actor->id + 1, __ATOMIC_SEQ_CST);
    if (status != LILCACHE_OK || before != 0) {
        board_violation(actor->board, "actor %u: add of lock %u: %s, held by %llu",
                        actor->id, number, lilcache_status_name(status),
                        (unsigned long long)before);
        return;
    }
    read_one(actor, key_any(actor));
    before = __atomic_exchange_n(holder, 0, __ATOMIC_SEQ_CST);
    status = whole_delete(actor, &name);
    if (before != actor->id + 1 || (status != LILCACHE_OK && status != LILCACHE_BUSY)) {
        board_violation(actor->board,
                        "actor %u: lock %u was taken over by %llu, delete: %s",
                        actor->id, number, (unsigned long long)before,
                        lilcache_status_name(status));
    }
    actor_count(actor, COUNT_locks, 1);
}

/* Give back what a killed predecessor held. Nobody else may: only it knows. */
void sum_inherit(struct actor *actor) {
    for (uint32_t i = 0; i < STRESS_LOCKS; i++) {
        struct stress_key name;
        uint32_t holder;
        uint64_t mine = actor->id + 1;
        key_make(STRESS_LOCK_AT + i, &name);
        int64_t got = lilcache_get(actor->cache, name.bytes, name.length, name.type,
                                   actor->out, STRESS_VALUE_BYTES);
        memcpy(&holder, actor->out, sizeof holder);
        if (got >= 0 && holder == actor->id) {
            __atomic_compare_exchange_n(&actor->board->lock_holder[i], &mine, 0, 0,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
            whole_delete(actor, &name);
        }
    }
}

static void token_put(struct actor *actor, uint32_t token) {
    struct stress_key name;
    uint32_t key = STRESS_TOKEN_AT + token;
    uint32_t length = 40 + actor_below(actor, 200);
    uint64_t version = actor->mine->sequence + 1;
    int status;
    lc_store_release(&actor->mine->sequence, version);
    key_make(key, &name);
    value_make(actor->in, key, actor->id, version, length);
    actor->mine->doing = "set";
    do {
        status =
            lilcache_set(actor->cache, name.bytes, name.length, name.type, actor->in,
                         length, value_type(key, length), 0, LILCACHE_SET);
    } while (actor_busy(actor, status));
    if (status != LILCACHE_OK && status != LILCACHE_BUSY) {
        board_violation(actor->board, "set of a token returns %s",
                        lilcache_status_name(status));
    }
}

static void token_pop(struct actor *actor, uint32_t token) {
    struct stress_key name;
    struct value_facts facts;
    char why[160];
    uint32_t key = STRESS_TOKEN_AT + token;
    int64_t result;
    key_make(key, &name);
    do {
        actor->mine->doing = "pop";
        result = lilcache_pop(actor->cache, name.bytes, name.length, name.type,
                              actor->out, STRESS_VALUE_BYTES);
    } while (actor_busy(actor, result));
    if (result == LILCACHE_MISS || result == LILCACHE_BUSY) {
        return;
    }
    if (result < 0 || !value_check(key, actor->out, result, &facts, why, sizeof why)) {
        board_violation(actor->board, "pop of token %u: %s", token,
                        result < 0 ? lilcache_status_name((int)result) : why);
        return;
    }
    uint64_t *log = &actor->board->token_log[token][facts.version % STRESS_TOKEN_LOG];
    bool twice =
        __atomic_exchange_n(log, facts.version, __ATOMIC_SEQ_CST) == facts.version;
    if (twice || facts.writer != token % actor->actors) {
        board_violation(actor->board, "token %u: version %llu of writer %u popped%s",
                        token, (unsigned long long)facts.version, facts.writer,
                        twice ? " twice" : "");
    }
    actor_count(actor, COUNT_tokens, 1);
}

void sum_step(struct actor *actor) {
    uint32_t token = actor_below(actor, STRESS_TOKENS);
    switch (actor_below(actor, 5)) {
    case 0:
        sum_incr(actor);
        break;
    case 1:
        sum_cas(actor);
        break;
    case 2:
        whole_lock(actor);
        break;
    case 3:
        token += actor->id - token % actor->actors; /* one of its own */
        if (token < STRESS_TOKENS) {
            token_put(actor, token);
        }
        break;
    default:
        token_pop(actor, token);
        break;
    }
}

static int64_t sum_of(struct lilcache *cache, struct board *board, uint32_t first) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < STRESS_COUNTERS; i++) {
        struct stress_key name;
        int64_t value = 0;
        key_make(first + i, &name);
        if (lilcache_get(cache, name.bytes, name.length, name.type, &value,
                         sizeof value) < 0) {
            board_violation(board, "counter %u is gone", i);
        }
        sum += value;
    }
    return sum;
}

static uint64_t sum_counts(const struct board *board, enum stress_count which) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < STRESS_ACTORS_MAX; i++) {
        sum += board->actors[i].counts[which];
    }
    return sum;
}

/* exact: nobody was killed between a call and its acknowledgement. */
void sum_finish(struct lilcache *cache, struct board *board, bool exact) {
    uint64_t incr = (uint64_t)sum_of(cache, board, STRESS_COUNTER_AT);
    uint64_t cas = (uint64_t)sum_of(cache, board, STRESS_CAS_AT);
    uint64_t incr_acked = sum_counts(board, COUNT_incr_acked);
    uint64_t incr_begun = sum_counts(board, COUNT_incr_begun);
    uint64_t cas_acked = sum_counts(board, COUNT_cas_acked);
    uint64_t cas_begun = sum_counts(board, COUNT_cas_begun);
    if (incr < incr_acked || incr > (exact ? incr_acked : incr_begun)) {
        board_violation(board,
                        "increments: %llu counted, %llu acknowledged, %llu begun",
                        (unsigned long long)incr, (unsigned long long)incr_acked,
                        (unsigned long long)incr_begun);
    }
    if (cas < cas_acked || cas > (exact ? cas_acked : cas_begun)) {
        board_violation(board, "cas: %llu counted, %llu acknowledged, %llu begun",
                        (unsigned long long)cas, (unsigned long long)cas_acked,
                        (unsigned long long)cas_begun);
    }
}

/* --- scan ------------------------------------------------------------------------- */

static bool scan_entries(struct actor *actor, int64_t bytes, uint32_t count,
                         uint8_t *seen) {
    int64_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint16_t length;
        uint32_t id;
        memcpy(&length, actor->out + at, sizeof length);
        if (at + 3 + length > bytes ||
            !key_parse(actor->out + at + 3, length, actor->out[at + 2], &id)) {
            board_violation(actor->board, "a scan returns a key nobody wrote");
            return false;
        }
        if (id < STRESS_KEYS) {
            seen[id] = 1;
        }
        at += 3 + length;
    }
    actor_count(actor, COUNT_scanned, count);
    return at == bytes;
}

static bool scan_walk(struct actor *actor, uint8_t *seen) {
    uint64_t cursor = 0;
    do {
        uint32_t count;
        int64_t bytes;
        actor->mine->doing = "scan";
        do {
            bytes = lilcache_scan(actor->cache, &cursor, actor->out, STRESS_VALUE_BYTES,
                                  &count);
        } while (actor_busy(actor, bytes));
        if (bytes == LILCACHE_BUSY) {
            return false;
        }
        if (bytes < 0 || !scan_entries(actor, bytes, count, seen)) {
            board_violation(actor->board, "scan returns %lld with %u keys",
                            (long long)bytes, count);
            return false;
        }
    } while (cursor != 0);
    return true;
}

/* In a strict phase every key that was there all the while must come up. */
void scan_all(struct actor *actor) {
    struct board *board = actor->board;
    uint64_t *acked = malloc(STRESS_KEYS * sizeof *acked);
    uint8_t *seen = calloc(STRESS_KEYS, 1);
    uint32_t owner;
    for (uint32_t k = 0; k < STRESS_KEYS; k++) {
        acked[k] = lc_load_acquire(&board->keys[k].acked);
    }
    if (scan_walk(actor, seen)) {
        actor_count(actor, COUNT_scans, 1);
        for (uint32_t k = 0; actor->phase->strict && k < STRESS_KEYS; k++) {
            if (key_is_owned(actor, k, &owner) && acked[k] != 0 &&
                !BOARD_ABSENT(acked[k]) &&
                lc_load_acquire(&board->keys[k].vanish) < BOARD_VERSION(acked[k]) &&
                !seen[k]) {
                read_lost(actor, k, BOARD_VERSION(acked[k]), "a scan");
            }
        }
    }
    free(seen);
    free(acked);
}
