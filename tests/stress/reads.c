/* Reads, and what must be true of what they return. */
#include <stdio.h>
#include <string.h>

#include "lc_counter.h"
#include "lc_os.h"
#include "lc_row.h"
#include "stress.h"

#define READ_MANY       16
#define READ_LOST_TRIES 200

static const enum lc_shard_counter read_counter[] = {
    LC_SHARD_recycles, LC_SHARD_relocations, LC_SHARD_growths, LC_SHARD_shrinks,
    LC_SHARD_moves,    LC_SHARD_parks,       LC_SHARD_clears,
};
static const enum stress_count read_over[] = {
    COUNT_over_recycle, COUNT_over_relocation, COUNT_over_growth, COUNT_over_shrink,
    COUNT_over_move,    COUNT_over_park,       COUNT_over_clear,
};
#define READ_COUNTERS (sizeof read_counter / sizeof *read_counter)

_Static_assert(READ_COUNTERS == sizeof((struct read_frame *)0)->counters / 8,
               "one each");

static void read_sample(const struct actor *actor, uint64_t counters[READ_COUNTERS]) {
    const struct lc_segment *segment = actor->cache->segment;
    memset(counters, 0, READ_COUNTERS * sizeof *counters);
    for (uint32_t s = 0; s < segment->shard_count; s++) {
        for (size_t i = 0; i < READ_COUNTERS; i++) {
            counters[i] +=
                lc_load_acquire(&segment->shards[s].ctl->sh_counter[read_counter[i]]);
        }
    }
}

static uint64_t read_contended(struct actor *actor) {
    struct lc_segment *segment = actor->cache->segment;
    struct shm_row *row = lc_row_mine(segment);
    return row ? lc_row_sum(segment, row, LC_ROW_contended_misses) : 0;
}

bool key_is_owned(const struct actor *actor, uint32_t key, uint32_t *owner) {
    *owner = key % (2 * actor->actors);
    return key < STRESS_KEYS && *owner < actor->actors;
}

void read_begin(struct actor *actor, uint32_t key, struct read_frame *frame) {
    struct board *board = actor->board;
    frame->contended = read_contended(actor);
    frame->attempts = provoke_attempts();
    read_sample(actor, frame->counters);
    frame->clears = lc_load_acquire(&board->clears_acked);
    frame->now_ms = lc_os_now_ms();
    frame->acked = key < STRESS_KEYS ? lc_load_acquire(&board->keys[key].acked) : 0;
}

static void read_note_overlap(struct actor *actor, const struct read_frame *frame) {
    uint64_t now[READ_COUNTERS];
    read_sample(actor, now);
    for (size_t i = 0; i < READ_COUNTERS; i++) {
        if (now[i] != frame->counters[i]) {
            actor_count(actor, read_over[i], 1);
        }
    }
    if (provoke_attempts() > frame->attempts + 1) {
        actor_count(actor, COUNT_retried, 1);
    }
}

/* Evictions are counted after the slot is gone, so a reader may have to wait for it;
 * and not at all by who dies in between. */
static bool read_was_evicted(const struct actor *actor) {
    const uint64_t *counter = actor->cache->segment->shards[0].ctl->sh_counter;
    uint64_t lost = lc_load_acquire(&actor->board->lost);
    uint64_t deaths = lc_load_acquire(&actor->board->lives) - actor->options->processes;
    for (int tries = 0; tries < READ_LOST_TRIES; tries++) {
        if (lost <= lc_load_acquire(&counter[LC_SHARD_evictions]) +
                        lc_load_acquire(&counter[LC_SHARD_index_evictions]) + deaths) {
            return true;
        }
        lc_os_sleep_ms(1);
    }
    return false;
}

void read_lost(struct actor *actor, uint32_t key, uint64_t version, const char *how) {
    uint64_t *lost = &actor->board->keys[key].lost;
    if (__atomic_exchange_n(lost, version, __ATOMIC_SEQ_CST) == version) {
        return;
    }
    lc_add_relaxed(&actor->board->lost, 1);
    if (!read_was_evicted(actor)) {
        board_violation(actor->board,
                        "actor %u: %s finds no key %u, acknowledged in version %llu",
                        actor->id, how, key, (unsigned long long)version);
    }
}

static void read_missed(struct actor *actor, uint32_t key,
                        const struct read_frame *frame) {
    uint64_t version = BOARD_VERSION(frame->acked);
    uint32_t owner;
    actor_count(actor, COUNT_misses, 1);
    if (read_contended(actor) != frame->contended) {
        actor_count(actor, COUNT_contended, 1);
    } else if (actor->phase->strict && key_is_owned(actor, key, &owner) &&
               frame->acked != 0 && !BOARD_ABSENT(frame->acked) &&
               lc_load_acquire(&actor->board->keys[key].vanish) < version) {
        read_lost(actor, key, version, "a read");
    }
}

/* Versions of owned keys: between acknowledged and begun, not expired, not cleared. */
static void read_check_version(struct actor *actor, uint32_t key,
                               const struct read_frame *frame, uint64_t version) {
    struct board_key *state = &actor->board->keys[key];
    uint64_t acked = BOARD_VERSION(frame->acked);
    uint64_t gone_ms = lc_load_acquire(&state->gone_ms);
    uint64_t begun = lc_load_acquire(&state->begun);
    const char *what = NULL;
    actor_count(actor, COUNT_version_checks, 1);
    if (version > begun) {
        what = "a version not yet written";
    } else if (version < acked || (version == acked && BOARD_ABSENT(frame->acked))) {
        what = "an older version than the acknowledged one";
    } else if (version < actor->seen[key]) {
        what = "an older version than it saw before";
    } else if (version == acked && frame->clears > BOARD_CLEARS(frame->acked)) {
        what = "a version that was cleared";
    } else if (version == acked && begun == acked && gone_ms &&
               frame->now_ms >= gone_ms) {
        /* begun was loaded last, so gone_ms is this version's. */
        what = "an expired version";
    }
    if (what) {
        board_violation(
            actor->board,
            "actor %u reads %s of key %u: %llu, acknowledged %llu, begun %llu, "
            "seen %llu",
            actor->id, what, key, (unsigned long long)version,
            (unsigned long long)acked, (unsigned long long)begun,
            (unsigned long long)actor->seen[key]);
    }
    actor->seen[key] = version;
}

/* One stamp, one version; only the owner's own order says which comes later. */
static void read_check_stamp(struct actor *actor, uint32_t key, uint64_t before,
                             uint64_t version, uint32_t stamp) {
    uint64_t *seen = &actor->seen_stamp[key];
    if (before == version && *seen != 0 && *seen != (uint64_t)stamp + 1) {
        board_violation(actor->board, "key %u: version %llu with stamps %llu and %u",
                        key, (unsigned long long)version,
                        (unsigned long long)(*seen - 1), stamp);
    }
    if (before != version && *seen == (uint64_t)stamp + 1) {
        board_violation(actor->board, "key %u: stamp %u for versions %llu and %llu",
                        key, stamp, (unsigned long long)before,
                        (unsigned long long)version);
    }
    *seen = (uint64_t)stamp + 1;
}

uint64_t read_end(struct actor *actor, uint32_t key, const struct read_frame *frame,
                  int64_t result, const void *bytes, const uint32_t *stamp) {
    struct value_facts facts;
    char why[160];
    uint32_t owner;
    actor_count(actor, COUNT_reads, 1);
    read_note_overlap(actor, frame);
    if (result == LILCACHE_MISS) {
        read_missed(actor, key, frame);
        return 0;
    }
    if (result < 0) {
        board_violation(actor->board, "a read of key %u returns %s", key,
                        lilcache_status_name((int)result));
        return 0;
    }
    actor_count(actor, COUNT_hits, 1);
    if (!value_check(key, bytes, result, &facts, why, sizeof why)) {
        board_violation(actor->board, "actor %u reads key %u: %s", actor->id, key, why);
        return 0;
    }
    if (facts.version == 0) {
        return 0;
    }
    if (key_is_owned(actor, key, &owner)) {
        uint64_t before = actor->seen[key];
        if (facts.writer != owner) {
            board_violation(actor->board, "key %u written by %u", key, facts.writer);
        }
        read_check_version(actor, key, frame, facts.version);
        if (stamp) {
            read_check_stamp(actor, key, before, facts.version, *stamp);
        } else if (before != facts.version) {
            actor->seen_stamp[key] = 0;
        }
    } else if (facts.writer >= actor->actors ||
               facts.version >
                   lc_load_acquire(&actor->board->actors[facts.writer].sequence)) {
        board_violation(actor->board, "shared key %u has version %llu of writer %u",
                        key, (unsigned long long)facts.version, facts.writer);
    }
    return facts.version;
}

void read_one(struct actor *actor, uint32_t key) {
    struct read_frame frame;
    struct stress_key name;
    uint32_t stamp;
    bool gets = actor_chance(actor, 2);
    key_make(key, &name);
    actor->mine->doing = "get";
    read_begin(actor, key, &frame);
    int64_t result =
        gets ? lilcache_gets(actor->cache, name.bytes, name.length, name.type,
                             actor->out, STRESS_VALUE_BYTES, &stamp)
             : lilcache_get(actor->cache, name.bytes, name.length, name.type,
                            actor->out, STRESS_VALUE_BYTES);
    read_end(actor, key, &frame, result, actor->out, gets ? &stamp : NULL);
}

void read_many(struct actor *actor) {
    struct read_frame frames[READ_MANY];
    uint32_t keys[READ_MANY];
    uint32_t lengths[READ_MANY];
    uint8_t types[READ_MANY];
    int64_t results[READ_MANY];
    uint8_t names[READ_MANY * STRESS_KEY_BYTES];
    uint32_t at = 0;
    const uint8_t *from = actor->out;
    for (int i = 0; i < READ_MANY; i++) {
        struct stress_key name;
        keys[i] = key_any(actor);
        key_make(keys[i], &name);
        memcpy(names + at, name.bytes, name.length);
        lengths[i] = name.length;
        types[i] = (uint8_t)name.type;
        at += name.length;
        read_begin(actor, keys[i], &frames[i]);
    }
    actor->mine->doing = "get_many";
    lilcache_get_many(actor->cache, READ_MANY, names, lengths, types, actor->out,
                      STRESS_VALUE_BYTES, results);
    for (int i = 0; i < READ_MANY; i++) {
        if (results[i] == LILCACHE_TOO_LARGE) { /* the values before it took the room */
            continue;
        }
        /* Retries of one key cannot be told from the probes of the others. */
        frames[i].attempts = UINT64_MAX - 1;
        read_end(actor, keys[i], &frames[i], results[i], from, NULL);
        from += results[i] >= 0 ? LILCACHE_LENGTH(results[i]) : 0;
    }
}

void read_ttl(struct actor *actor, uint32_t key) {
    struct stress_key name;
    int64_t ttl_ms = 0;
    key_make(key, &name);
    actor->mine->doing = "ttl";
    int status =
        lilcache_ttl(actor->cache, name.bytes, name.length, name.type, &ttl_ms);
    if (status == LILCACHE_OK ? ttl_ms == 0 || ttl_ms < -1 || ttl_ms > 3600000
                              : status != LILCACHE_MISS) {
        board_violation(actor->board, "ttl of key %u: %s, %lld ms", key,
                        lilcache_status_name(status), (long long)ttl_ms);
    }
}

/* --- pins ------------------------------------------------------------------------- */

void pin_one(struct actor *actor, uint32_t key) {
    struct read_frame frame;
    struct stress_key name;
    struct lilcache_view view;
    key_make(key, &name);
    /* In a strict phase few: pinned runs are room that the live records lack. */
    uint32_t most = actor->phase->strict ? STRESS_PINS_STRICT : STRESS_PINS;
    if (actor->held_count == most) {
        pin_drop(actor, actor_below(actor, most));
    }
    actor->mine->doing = "pin";
    read_begin(actor, key, &frame);
    int64_t result =
        lilcache_pin(actor->cache, name.bytes, name.length, name.type, &view);
    if (result == LILCACHE_NO_PIN) {
        actor_count(actor, COUNT_no_pins, 1);
        return;
    }
    if (result < 0) {
        read_end(actor, key, &frame, result, NULL, NULL);
        return;
    }
    if (view.length != LILCACHE_LENGTH(result) ||
        view.value_type != LILCACHE_VALUE_TYPE(result)) {
        board_violation(actor->board, "the view of key %u is not what pin returned",
                        key);
    }
    uint64_t version = read_end(actor, key, &frame, result, view.data, &view.stamp);
    actor->held[actor->held_count++] = (struct held_pin){view, result, key, version};
    actor_count(actor, COUNT_pins, 1);
}

static void pin_check(struct actor *actor, const struct held_pin *pin) {
    struct value_facts facts;
    char why[160];
    bool good =
        value_check(pin->key, pin->view.data, pin->result, &facts, why, sizeof why);
    actor_count(actor, COUNT_pin_checks, 1);
    if (!good || facts.version != pin->version) {
        board_violation(actor->board, "pinned value of key %u changed: %s", pin->key,
                        good ? "another version" : why);
    }
    uint32_t owner;
    if (key_is_owned(actor, pin->key, &owner) && pin->version &&
        BOARD_VERSION(lc_load_acquire(&actor->board->keys[pin->key].acked)) >
            pin->version) {
        actor_count(actor, COUNT_pin_outlived, 1);
    }
}

void pin_check_all(struct actor *actor) {
    for (uint32_t i = 0; i < actor->held_count; i++) {
        pin_check(actor, &actor->held[i]);
    }
}

void pin_drop(struct actor *actor, uint32_t index) {
    pin_check(actor, &actor->held[index]);
    actor->mine->doing = "unpin";
    lilcache_unpin(actor->cache, actor->held[index].view.pin);
    actor->held[index] = actor->held[--actor->held_count];
}
