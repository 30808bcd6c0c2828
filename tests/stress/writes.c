/* Writes of owned and shared keys, and which answers are possible. */
#include <string.h>

#include "lc_atomic.h"
#include "lc_os.h"
#include "stress.h"

#define WRITE_MANY 8
#define WRITE_TTL_MAX_MS 40
#define WRITE_TTL_LONG_MS 3600000
#define WRITE_HEAD_BYTES 640 /* more than key and header of a record ever take here */

/* What the owner knows of its key. Eviction and clear can undo PRESENT where the phase
 * is not strict; nothing undoes ABSENT. */
enum write_state { STATE_UNKNOWN, STATE_ABSENT, STATE_PRESENT };

struct write_step {
    struct stress_key name;
    struct board_key *state;
    uint32_t key;
    uint32_t length;
    uint64_t version;
    int64_t ttl_ms;
};

static bool write_may_vanish(const struct actor *actor, uint32_t key) {
    return !actor->phase->strict || key / (2 * actor->actors) % 4 != 0;
}

static enum write_state write_known(const struct actor *actor, uint32_t key) {
    const struct board_key *state = &actor->board->keys[key];
    if (actor->unsure[key] || state->gone_ms != 0 ||
        (state->lost != 0 && state->lost == BOARD_VERSION(state->acked))) {
        return STATE_UNKNOWN;
    }
    return state->acked == 0 || BOARD_ABSENT(state->acked) ? STATE_ABSENT
                                                           : STATE_PRESENT;
}

/* The board learns of every write before it can have an effect. */
static void write_begin(struct actor *actor, struct write_step *step, bool vanishes) {
    step->state = &actor->board->keys[step->key];
    step->version = step->state->begun + 1;
    if (vanishes) {
        lc_store_release(&step->state->vanish, step->version);
    }
    lc_store_release(&step->state->begun, step->version);
}

static void write_done(struct actor *actor, const struct write_step *step,
                       bool absent) {
    uint64_t clears = lc_load_acquire(&actor->board->clears_begun);
    bool expires = step->ttl_ms > 0 && step->ttl_ms < WRITE_TTL_LONG_MS && !absent;
    lc_store_release(&step->state->gone_ms,
                     expires ? lc_os_now_ms() + (uint64_t)step->ttl_ms : 0);
    lc_store_release(&step->state->acked, BOARD_WORD(step->version, clears, absent));
    actor->unsure[step->key] = 0;
}

/* expected: what status must be if the key is known to be present, and if absent. */
static void write_judge(struct actor *actor, const struct write_step *step,
                        enum write_state known, int status, int if_present,
                        int if_absent, const char *verb) {
    bool good = status == if_present || status == if_absent;
    uint64_t acked = step->key < STRESS_KEYS ? actor->board->keys[step->key].acked : 0;
    if (status == LILCACHE_BUSY) { /* the phase ended meanwhile */
        return;
    }
    if (status == LILCACHE_NO_SPACE &&
        step->length + WRITE_HEAD_BYTES > actor->block_bytes) {
        actor_count(actor, COUNT_no_space, 1);
        return;
    }
    if (known == STATE_ABSENT) {
        good = status == if_absent;
    } else if (known == STATE_PRESENT && actor->phase->strict && good &&
               status != if_present) {
        read_lost(actor, step->key, BOARD_VERSION(acked), verb);
    }
    if (!good) {
        board_violation(actor->board,
                        "actor %u: %s of key %u (%s, length %u) returns %s", actor->id,
                        verb, step->key,
                        known == STATE_ABSENT    ? "absent"
                        : known == STATE_PRESENT ? "present"
                                                 : "unknown",
                        step->length, lilcache_status_name(status));
    }
}

static void write_prepare(struct actor *actor, struct write_step *step,
                          uint32_t writer) {
    value_make(actor->in, step->key, writer, step->version, step->length);
    actor_count(actor, COUNT_writes, 1);
    actor_count(actor, COUNT_large_writes, step->length >= 64u << 10);
}

static int write_set(struct actor *actor, const struct write_step *step, int mode) {
    int status;
    actor->mine->doing = mode == LILCACHE_SET   ? "set"
                         : mode == LILCACHE_ADD ? "add"
                                                : "replace";
    do {
        status = lilcache_set(actor->cache, step->name.bytes, step->name.length,
                              step->name.type, actor->in, step->length,
                              value_type(step->key, step->length), step->ttl_ms, mode);
    } while (actor_busy(actor, status));
    return status;
}

static int write_cas(struct actor *actor, const struct write_step *step,
                     uint32_t stamp) {
    int status;
    actor->mine->doing = "cas";
    do {
        status = lilcache_cas(actor->cache, step->name.bytes, step->name.length,
                              step->name.type, actor->in, step->length,
                              value_type(step->key, step->length), step->ttl_ms, stamp);
    } while (actor_busy(actor, status));
    if (status == LILCACHE_OK) {
        actor_count(actor, COUNT_cas_won, 1);
    } else if (status == LILCACHE_EXISTS) {
        actor_count(actor, COUNT_cas_lost, 1);
    }
    return status;
}

static int write_delete(struct actor *actor, const struct write_step *step) {
    int status;
    actor->mine->doing = "delete";
    do {
        status = lilcache_delete(actor->cache, step->name.bytes, step->name.length,
                                 step->name.type);
    } while (actor_busy(actor, status));
    actor_count(actor, COUNT_deletes, status == LILCACHE_OK);
    return status;
}

static int64_t write_pop(struct actor *actor, const struct write_step *step) {
    struct read_frame frame;
    int64_t result;
    read_begin(actor, step->key, &frame);
    do {
        actor->mine->doing = "pop";
        result = lilcache_pop(actor->cache, step->name.bytes, step->name.length,
                              step->name.type, actor->out, STRESS_VALUE_BYTES);
    } while (actor_busy(actor, result));
    if (result != LILCACHE_BUSY) {
        read_end(actor, step->key, &frame, result, actor->out, NULL);
    }
    actor_count(actor, COUNT_pops, result >= 0);
    return result;
}

static int write_touch(struct actor *actor, struct write_step *step) {
    int64_t ttl_ms = actor_chance(actor, 2) ? LILCACHE_TTL_NONE : WRITE_TTL_LONG_MS;
    int status;
    step->length = STRESS_VALUE_BYTES; /* what it copies may be as large as that */
    actor->mine->doing = "touch";
    do {
        status = lilcache_touch(actor->cache, step->name.bytes, step->name.length,
                                step->name.type, ttl_ms);
    } while (actor_busy(actor, status));
    actor_count(actor, COUNT_touches, status == LILCACHE_OK);
    return status;
}

/* The stamp of the key's present value; false on a miss. */
static bool write_stamp(struct actor *actor, const struct write_step *step,
                        uint32_t *stamp) {
    struct read_frame frame;
    actor->mine->doing = "gets";
    read_begin(actor, step->key, &frame);
    int64_t result =
        lilcache_gets(actor->cache, step->name.bytes, step->name.length,
                      step->name.type, actor->out, STRESS_VALUE_BYTES, stamp);
    read_end(actor, step->key, &frame, result, actor->out, stamp);
    return result >= 0;
}

/* --- owned keys ------------------------------------------------------------------- */

static void owned_set(struct actor *actor, struct write_step *step, int mode) {
    enum write_state known = write_known(actor, step->key);
    int if_present = mode == LILCACHE_ADD ? LILCACHE_EXISTS : LILCACHE_OK;
    int if_absent = mode == LILCACHE_REPLACE ? LILCACHE_MISS : LILCACHE_OK;
    step->length = value_pick_length(actor, step->key);
    step->ttl_ms = LILCACHE_TTL_NONE;
    if (actor_chance(actor, 16)) {
        step->ttl_ms = write_may_vanish(actor, step->key) && actor_chance(actor, 2)
                           ? 1 + actor_below(actor, WRITE_TTL_MAX_MS)
                           : WRITE_TTL_LONG_MS;
    }
    write_begin(actor, step,
                step->ttl_ms != LILCACHE_TTL_NONE && step->ttl_ms != WRITE_TTL_LONG_MS);
    write_prepare(actor, step, actor->id);
    int status = write_set(actor, step, mode);
    write_judge(actor, step, known, status, if_present, if_absent, actor->mine->doing);
    if (status == LILCACHE_OK) {
        write_done(actor, step, false);
        actor->recent[actor->recent_at++ % STRESS_RECENT] = step->key;
    }
}

static void owned_cas(struct actor *actor, struct write_step *step) {
    enum write_state known = write_known(actor, step->key);
    uint32_t stamp;
    bool wrong = actor_chance(actor, 4);
    if (!write_stamp(actor, step, &stamp)) {
        return;
    }
    step->length = value_pick_length(actor, step->key);
    step->ttl_ms = LILCACHE_TTL_NONE;
    write_begin(actor, step, false);
    write_prepare(actor, step, actor->id);
    int status = write_cas(actor, step, stamp + (wrong ? 1000000 : 0));
    write_judge(actor, step, known, status, wrong ? LILCACHE_EXISTS : LILCACHE_OK,
                LILCACHE_MISS, "cas");
    if (status == LILCACHE_OK) {
        write_done(actor, step, false);
    }
}

static void owned_remove(struct actor *actor, struct write_step *step, bool pop) {
    enum write_state known = write_known(actor, step->key);
    step->ttl_ms = LILCACHE_TTL_NONE;
    write_begin(actor, step, true);
    int64_t result = pop ? write_pop(actor, step) : write_delete(actor, step);
    int status = result >= 0 ? LILCACHE_OK : (int)result;
    write_judge(actor, step, known, status, LILCACHE_OK, LILCACHE_MISS,
                pop ? "pop" : "delete");
    if (status == LILCACHE_OK || status == LILCACHE_MISS) {
        write_done(actor, step, true);
    }
}

/* Only ever makes a value live longer: its version stays, and so must gone_ms be void
 * before a reader can see the new expiry. */
static void owned_touch(struct actor *actor, struct write_step *step) {
    enum write_state known = write_known(actor, step->key);
    bool expires = actor->board->keys[step->key].gone_ms != 0;
    actor->unsure[step->key] |= expires;
    write_begin(actor, step, false); /* for a successor: acked alone says too little */
    lc_store_release(&step->state->gone_ms, 0);
    int status = write_touch(actor, step);
    write_judge(actor, step, known, status, LILCACHE_OK, LILCACHE_MISS, "touch");
}

void write_owned(struct actor *actor, uint32_t key) {
    struct write_step step = {.key = key};
    uint32_t dice = actor_below(actor, 100);
    uint64_t wave = lc_load_relaxed(&actor->board->wave);
    uint32_t removals = wave == WAVE_DELETE ? 60 : 10;
    key_make(key, &step.name);
    if (dice < removals) {
        if (write_may_vanish(actor, key)) {
            owned_remove(actor, &step, dice % 4 == 0);
        }
    } else if (dice < 80) {
        owned_set(actor, &step, LILCACHE_SET);
    } else if (dice < 85) {
        owned_set(actor, &step, LILCACHE_ADD);
    } else if (dice < 90) {
        owned_set(actor, &step, LILCACHE_REPLACE);
    } else if (dice < 96) {
        owned_cas(actor, &step);
    } else {
        owned_touch(actor, &step);
    }
}

/* A batch of distinct owned keys: every key of the owner is 2 * actors from its next.
 */
void write_many(struct actor *actor) {
    struct write_step steps[WRITE_MANY];
    uint8_t names[WRITE_MANY * STRESS_KEY_BYTES];
    uint8_t types[WRITE_MANY];
    uint8_t value_types[WRITE_MANY];
    uint32_t name_lengths[WRITE_MANY];
    uint64_t value_lengths[WRITE_MANY];
    int64_t results[WRITE_MANY];
    uint32_t name_at[WRITE_MANY + 1] = {0};
    uint32_t value_at[WRITE_MANY + 1] = {0};
    uint32_t key = key_owned(actor);
    uint32_t done = 0;
    for (uint32_t i = 0; i < WRITE_MANY; i++) {
        struct write_step *step = &steps[i];
        *step = (struct write_step){.key = key};
        step->length = 1 + actor_below(actor, 200);
        key_make(key, &step->name);
        write_begin(actor, step, false);
        value_make(actor->in + value_at[i], key, actor->id, step->version,
                   step->length);
        memcpy(names + name_at[i], step->name.bytes, step->name.length);
        name_lengths[i] = step->name.length;
        value_lengths[i] = step->length;
        types[i] = (uint8_t)step->name.type;
        value_types[i] = (uint8_t)value_type(key, step->length);
        name_at[i + 1] = name_at[i] + step->name.length;
        value_at[i + 1] = value_at[i] + step->length;
        key += 2 * actor->actors;
        key = key < STRESS_KEYS ? key : actor->id;
    }
    actor_count(actor, COUNT_writes, WRITE_MANY);
    while (done < WRITE_MANY) {
        actor->mine->doing = "set_many";
        lilcache_set_many(actor->cache, WRITE_MANY - done, names + name_at[done],
                          name_lengths + done, types + done, actor->in + value_at[done],
                          value_lengths + done, value_types + done, LILCACHE_TTL_NONE,
                          results + done);
        while (done < WRITE_MANY && results[done] == LILCACHE_OK) {
            write_done(actor, &steps[done], false);
            done++;
        }
        if (done < WRITE_MANY && !actor_busy(actor, results[done])) {
            write_judge(actor, &steps[done], STATE_UNKNOWN, (int)results[done],
                        LILCACHE_OK, LILCACHE_OK, "set_many");
            break;
        }
    }
}

/* --- shared keys ------------------------------------------------------------------ */

void write_shared(struct actor *actor, uint32_t key) {
    struct write_step step = {.key = key, .length = value_pick_length(actor, key)};
    uint32_t dice = actor_below(actor, 100);
    int status = LILCACHE_OK;
    int other = LILCACHE_OK;
    uint32_t stamp;
    key_make(key, &step.name);
    step.version = actor->mine->sequence + 1;
    step.ttl_ms = actor_chance(actor, 16) ? 1 + actor_below(actor, WRITE_TTL_MAX_MS)
                                          : LILCACHE_TTL_NONE;
    lc_store_release(&actor->mine->sequence, step.version);
    write_prepare(actor, &step, actor->id);
    if (lc_load_relaxed(&actor->board->wave) == WAVE_DELETE && dice < 60) {
        dice = 80;
    }
    if (dice < 50) {
        status = write_set(actor, &step, LILCACHE_SET);
    } else if (dice < 60) {
        status = write_set(actor, &step, LILCACHE_ADD);
        other = LILCACHE_EXISTS;
    } else if (dice < 70) {
        status = write_set(actor, &step, LILCACHE_REPLACE);
        other = LILCACHE_MISS;
    } else if (dice < 80) {
        if (write_stamp(actor, &step, &stamp)) {
            status = write_cas(actor, &step, stamp);
            other = status == LILCACHE_EXISTS ? LILCACHE_EXISTS : LILCACHE_MISS;
        }
    } else if (dice < 90) {
        status = write_delete(actor, &step);
        other = LILCACHE_MISS;
    } else if (dice < 95) {
        status = write_pop(actor, &step) == LILCACHE_MISS ? LILCACHE_MISS : LILCACHE_OK;
        other = LILCACHE_MISS;
    } else {
        status = write_touch(actor, &step);
        other = LILCACHE_MISS;
    }
    write_judge(actor, &step, STATE_UNKNOWN, status, LILCACHE_OK, other,
                actor->mine->doing);
}

/* One actor alone clears, so that the board can count. */
void write_clear(struct actor *actor) {
    struct board *board = actor->board;
    uint64_t number = board->clears_begun + 1;
    int status;
    lc_store_release(&board->clears_begun, number);
    actor->mine->doing = "clear";
    do {
        status = lilcache_clear(actor->cache);
    } while (actor_busy(actor, status));
    if (status == LILCACHE_OK) {
        lc_store_release(&board->clears_acked, number);
    } else if (status != LILCACHE_BUSY) {
        board_violation(board, "clear returns %s", lilcache_status_name(status));
    }
}
