#include "states.h"

#include <sys/wait.h>

#include "lc_crash.h"

#define STATES_MAX 32

struct recipe {
    const char *name;
    void (*make)(struct model *m);
    uint64_t max_value; /* 0: a quarter of the segment */
    uint32_t flags;
    uint32_t cores;
};

static struct state *states[STATES_MAX];
static uint64_t random_state; /* of the hash key: each state has its own, always */

int __wrap_lc_os_random(void *out, size_t length);
int __wrap_lc_os_random(void *out, size_t length) {
    struct ct_random random = {++random_state};
    for (size_t i = 0; i < length; i++) {
        ((uint8_t *)out)[i] = (uint8_t)ct_random(&random);
    }
    return 0;
}

/* --- recipes ---------------------------------------------------------------------- */

static void make_untouched(struct model *m) { (void)m; }

static void make_few(struct model *m) {
    for (uint32_t n = 0; n < 24; n++) {
        if (n % 6 == 5) {
            model_incr(m, n, 0, true, 0);
        } else {
            model_set(m, n, n * n, n % 4 == 3 ? 1000 : 0, LILCACHE_SET);
        }
    }
    model_set(m, KEY_MEDIUM, 5000, 0, LILCACHE_SET);
}

static void add_crumbs(struct model *m, uint32_t from, uint32_t to) {
    for (uint32_t n = from; n < to; n++) {
        model_set(m, n, n % 32, 0, LILCACHE_SET);
    }
}

static void make_crumbs(struct model *m) { add_crumbs(m, 64, 420); }

static void make_shrunk(struct model *m) {
    make_crumbs(m);
    for (uint32_t n = 64; n < 400; n++) {
        model_delete(m, n, true);
    }
}

static void make_full(struct model *m) {
    for (uint32_t i = 0; i < 600; i++) {
        uint32_t n = i * 17 % 200;
        model_set(m, n, 100 + i * 977 % 14000, 0, LILCACHE_SET);
        model_get(m, i * 5 % 200, MODEL_OUT);
        model_get(m, i * 3 % 50, MODEL_OUT);
    }
}

/* Most of the heap is dead: a check has little to add up. */
static void make_worn(struct model *m) {
    for (uint32_t i = 0; i < 1200; i++) {
        model_set(m, i % 8 ? 100 + i % 4 : i / 8 % 40,
                  50 + i * 331 % (i % 8 ? 2500 : 500), 0, LILCACHE_SET);
        model_get(m, i % 40, MODEL_OUT);
    }
}

static void make_runs(struct model *m) {
    for (uint32_t i = 0; i < 14; i++) {
        model_set(m, i % 10, 65536 + i * 13001 % 150000, 0, LILCACHE_SET);
        model_get(m, i % 3, MODEL_OUT);
    }
}

static void make_cleared(struct model *m) {
    make_full(m);
    model_clear(m);
    make_few(m);
}

static void make_expiring(struct model *m) {
    for (uint32_t i = 0; i < 300; i++) {
        model_set(m, i, 2600, 1000 + i % 2 * 1000000, LILCACHE_SET);
    }
    arena_now_ms += 999;
}

/* --- and those that a dead process has left --------------------------------------- */

/* In a process of its own, killed at the n-th passing of a named point. */
static void die(struct model *m, int point, uint64_t at,
                void (*operation)(struct lilcache *cache)) {
    int status;
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0) {
        ct_crash_arm(at, point, SIGKILL);
        operation(m->cache);
        _exit(1);
    }
    MUST_EQ(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        FINDING("nobody died at %s", ct_crash_name(point));
    }
    m->evicted--; /* a record may have gone that was not counted any more */
}

#define VICTIM 300 /* the key of the operation */

static void operation_set(struct lilcache *cache) {
    struct key key = key_of(VICTIM);
    lilcache_set(cache, key.bytes, key.length, key.type, value_of(1), 900, 7, 0,
                 LILCACHE_SET);
}

static void operation_set_large(struct lilcache *cache) {
    struct key key = key_of(VICTIM);
    lilcache_set(cache, key.bytes, key.length, key.type, value_of(1), 90000, 7, 0,
                 LILCACHE_SET);
}

static void operation_fill(struct lilcache *cache) {
    for (uint32_t n = VICTIM; n < KEY_LONG; n++) {
        struct key key = key_of(n);
        struct entry next = {.slice = n, .length = 40};
        model_offer(n, &next);
        lilcache_set(cache, key.bytes, key.length, key.type, value_of(n), 40, 7, 0,
                     LILCACHE_SET);
    }
}

/* Values that the parent's model has not seen stored, but a reader may find. */
static void expect(struct model *m, uint32_t n, uint32_t slice, uint32_t length) {
    struct entry next = {.present = true,
                         .type = 7,
                         .clears = m->clears,
                         .slice = slice,
                         .length = length,
                         .dies_at = UINT64_MAX};
    model_offer(n, &next);
    model_store(m, n, &next);
}

static void make_dead_before_slot(struct model *m) {
    make_few(m);
    die(m, LC_CRASH_slot_intent_armed, 1, operation_set);
}

static void make_dead_after_slot(struct model *m) {
    make_few(m);
    die(m, LC_CRASH_slot_stored, 1, operation_set);
    expect(m, VICTIM, 1, 900);
}

static void expect_filled(struct model *m) {
    for (uint32_t n = VICTIM; n < KEY_LONG; n++) {
        struct key key = key_of(n);
        if (lilcache_get(m->cache, key.bytes, key.length, key.type, model_out(),
                         MODEL_OUT) >= 0) {
            expect(m, n, n, 40);
        }
    }
}

static void make_dead_growing(struct model *m) {
    add_crumbs(m, 64, VICTIM);
    die(m, LC_CRASH_group_switched, 2, operation_fill);
    expect_filled(m);
}

static void make_dead_built(struct model *m) {
    add_crumbs(m, 64, VICTIM);
    die(m, LC_CRASH_group_built, 3, operation_fill);
    expect_filled(m);
}

static void make_dead_evicting(struct model *m) {
    make_full(m);
    die(m, LC_CRASH_evict_record_unlinked, 3, operation_set_large);
}

static void make_dead_freeing(struct model *m) {
    make_runs(m);
    die(m, LC_CRASH_evict_generation_bumped, 5, operation_set_large);
}

static void make_dead_pinning(struct model *m) {
    make_few(m);
    die(m, LC_CRASH_large_copied, 1, operation_set_large);
    m->foreign_pins = true;
}

/* --- all of them ------------------------------------------------------------------ */

static const struct recipe recipes[] = {
    {"untouched", make_untouched, 0, 0, 1},
    {"few", make_few, 0, 0, 1},
    {"few, checksums", make_few, 0, LILCACHE_CHECKSUMS, 1},
    {"crumbs", make_crumbs, 0, 0, 1},
    {"shrunk, checksums", make_shrunk, 0, LILCACHE_CHECKSUMS, 1},
    {"full", make_full, 0, 0, 1},
    {"worn, checksums", make_worn, 0, LILCACHE_CHECKSUMS, 1},
    {"runs", make_runs, 0, 0, 1},
    {"two shards, checksums", make_worn, 64 << 10, LILCACHE_CHECKSUMS, 2},
    {"cleared", make_cleared, 0, 0, 1},
    {"expiring", make_expiring, 0, 0, 1},
    {"dead before the slot, checksums", make_dead_before_slot, 0, LILCACHE_CHECKSUMS,
     1},
    {"dead after the slot, checksums", make_dead_after_slot, 0, LILCACHE_CHECKSUMS, 1},
    {"dead growing, checksums", make_dead_growing, 0, LILCACHE_CHECKSUMS, 1},
    {"dead with a group built", make_dead_built, 0, 0, 1},
    {"dead evicting", make_dead_evicting, 0, 0, 1},
    {"dead freeing", make_dead_freeing, 0, 0, 1},
    {"dead with a pin, checksums", make_dead_pinning, 0, LILCACHE_CHECKSUMS, 1},
};
#define RECIPES (sizeof recipes / sizeof *recipes)

static struct lilcache *open_for(const struct recipe *recipe) {
    struct lilcache_options options = {
        .name = "fuzz",
        .size_bytes = MIB,
        .max_value_bytes = recipe->max_value,
        .max_processes = 8,
        .flags = recipe->flags | LILCACHE_ANONYMOUS,
        .cores = recipe->cores,
        .owner = -1,
        .group = -1,
    };
    struct lilcache_error error;
    struct lilcache *cache = NULL;
    if (lilcache_open(&options, &cache, &error) != LILCACHE_OK) {
        FINDING("open: %s, errno %d", error.step, error.os_errno);
    }
    return cache;
}

void states_begin(void) {
    keys_begin();
    for (uint32_t i = 0; i < RECIPES; i++) {
        struct state *state = calloc(1, sizeof *state);
        MUST(state != NULL);
        states[i] = state;
        random_state = 1000 * i;
        arena_now_ms = ARENA_TIME_ZERO;
        struct lilcache *cache = open_for(&recipes[i]);
        model_begin(&state->model, cache);
        recipes[i].make(&state->model);
        model_save(&state->model);
        arena_save(&state->arena, cache);
    }
}

uint32_t states_count(void) { return RECIPES; }
struct state *state_at(uint32_t number) { return states[number % RECIPES]; }
const char *state_name(uint32_t number) { return recipes[number % RECIPES].name; }
