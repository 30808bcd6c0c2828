/* A depth-first search over orders. A configuration is the set of operations done and
 * the value; one that failed before fails again. */
#include "history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS       (HISTORY_MAX / 64)
#define CONFIGS_MAX (1u << 18) /* a power of two */

struct set {
    uint64_t word[WORDS];
};

struct config {
    struct set done;
    int64_t value;
    uint64_t age; /* of the search that put it here */
};

static struct config *configs;
static uint64_t search_age;
static size_t configs_used;

struct search {
    const struct op *ops;
    size_t count;
    bool lossy;
};

static bool set_has(const struct set *set, size_t i) {
    return set->word[i / 64] >> (i % 64) & 1;
}

static void set_flip(struct set *set, size_t i) {
    set->word[i / 64] ^= 1ULL << (i % 64);
}

/* True when the configuration is new. */
static bool config_enter(const struct set *done, int64_t value) {
    uint64_t hash = (uint64_t)value * 0x9E3779B97F4A7C15ULL;
    for (size_t i = 0; i < WORDS; i++) {
        hash = (hash ^ done->word[i]) * 0xD6E8FEB86659FD93ULL;
        hash ^= hash >> 32;
    }
    for (size_t i = hash;; i++) {
        struct config *config = &configs[i & (CONFIGS_MAX - 1)];
        if (config->age != search_age) {
            if (++configs_used > CONFIGS_MAX / 2) {
                fprintf(stderr, "a history is too hard to check\n");
                exit(2);
            }
            *config = (struct config){*done, value, search_age};
            return true;
        }
        if (config->value == value && memcmp(&config->done, done, sizeof *done) == 0) {
            return false;
        }
    }
}

/* Whether the operation can give its result on this value, and what it leaves. */
static bool op_step(const struct op *op, bool lossy, int64_t value, int64_t *after) {
    bool present = value != ABSENT;
    bool maybe_absent = !present || lossy;
    *after = value;
    switch (op->verb) {
    case GET:
        *after = op->hit ? value : ABSENT;
        return op->hit ? present && value == op->got : maybe_absent;
    case SET:
        *after = op->put;
        return true;
    case ADD:
        *after = op->hit ? op->put : value;
        return op->hit ? maybe_absent : present;
    case REPLACE:
        *after = op->hit ? op->put : ABSENT;
        return op->hit ? present : maybe_absent;
    case DELETE:
        *after = ABSENT;
        return op->hit ? present : maybe_absent;
    case POP:
        *after = ABSENT;
        return op->hit ? present && value == op->got : maybe_absent;
    case INCR:
        *after = op->got;
        return (present && op->got == value + op->put) ||
               (maybe_absent && op->got == INITIAL);
    case CAS:
        if (op->exists) {
            return present && value != op->got;
        }
        *after = op->hit ? op->put : ABSENT;
        return op->hit ? present && value == op->got : maybe_absent;
    case CLEAR:
        *after = ABSENT;
        return true;
    }
    return false;
}

/* What a call without an answer may have done: each verb's success, whatever it got. */
static bool op_step_unanswered(const struct op *op, bool lossy, int64_t value,
                               int64_t *after) {
    bool present = value != ABSENT;
    switch (op->verb) {
    case GET:
        return false; /* nothing to see */
    case INCR:
        *after = present ? value + op->put : INITIAL;
        return true;
    case DELETE:
    case POP:
    case CLEAR:
        *after = ABSENT;
        return true;
    case CAS:
        *after = op->put;
        return present && value == op->got;
    case REPLACE:
        *after = op->put;
        return present;
    case ADD:
        *after = op->put;
        return !present || lossy;
    case SET:
        *after = op->put;
        return true;
    }
    return false;
}

static bool search_on(const struct search *search, struct set *done, int64_t value) {
    uint64_t first_end = NEVER;
    bool left = false;
    if (!config_enter(done, value)) {
        return false;
    }
    for (size_t i = 0; i < search->count; i++) {
        const struct op *op = &search->ops[i];
        if (!set_has(done, i) && op->end != NEVER) {
            left = true;
            first_end = op->end < first_end ? op->end : first_end;
        }
    }
    if (!left) {
        return true;
    }
    for (size_t i = 0; i < search->count; i++) {
        const struct op *op = &search->ops[i];
        int64_t after;
        if (set_has(done, i) || op->begin > first_end) {
            continue;
        }
        bool able = op->end == NEVER
                        ? op_step_unanswered(op, search->lossy, value, &after)
                        : op_step(op, search->lossy, value, &after);
        if (able) {
            set_flip(done, i);
            if (search_on(search, done, after)) {
                return true;
            }
            set_flip(done, i);
        }
    }
    return false;
}

bool history_linearizable(const struct op *ops, size_t count, bool lossy) {
    struct search search = {ops, count, lossy};
    struct set done = {{0}};
    if (!configs) {
        configs = calloc(CONFIGS_MAX, sizeof *configs);
    }
    if (!configs || count > HISTORY_MAX) {
        fprintf(stderr, "a history of %zu operations is too long\n", count);
        exit(2);
    }
    search_age++;
    configs_used = 0;
    return search_on(&search, &done, ABSENT);
}

void history_print(const struct op *ops, size_t count) {
    static const char *const names[] = {"get", "set",  "add", "replace", "delete",
                                        "pop", "incr", "cas", "clear"};
    uint64_t zero = count ? ops[0].begin : 0;
    for (size_t i = 0; i < count; i++) {
        const struct op *op = &ops[i];
        fprintf(stderr, "  %9" PRId64 " ", (int64_t)(op->begin - zero));
        if (op->end == NEVER) {
            fprintf(stderr, "    never");
        } else {
            fprintf(stderr, "%9" PRId64, (int64_t)(op->end - zero));
        }
        fprintf(stderr, "  worker %2d  %-7s put %" PRId64 " got %" PRId64 " %s\n",
                op->worker, names[op->verb], op->put, op->got,
                op->end == NEVER ? "no answer"
                : op->hit        ? "ok"
                : op->exists     ? "exists"
                                 : "miss");
    }
}
