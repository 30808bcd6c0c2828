/* What the files of the stress test share.
 *
 *   parent --fork--> worker 0 .. n-1, each with some actors (threads)
 *      |                 |
 *      +----- board -----+     shared memory beside the segment under test
 *
 * A key is owned by one actor, who alone writes it, or shared by all. Of an owned key
 * the board says what a read may find:
 *
 *   owner                             reader
 *   begun = v (vanish = v)            low = acked
 *   set(key, version v)               get(key) -> version x
 *   acked = v                         low <= x <= begun, never a miss in a strict phase
 *
 * Values carry key, writer and version and are checked to the last byte (value.c), so
 * that a torn, foreign or outdated one cannot pass. */
#ifndef STRESS_H
#define STRESS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lc_crash.h"
#include "lilcache.h"
#include "provoke.h"

#define STRESS_WORKERS_MAX 32
#define STRESS_THREADS_MAX 4
#define STRESS_ACTORS_MAX (STRESS_WORKERS_MAX * STRESS_THREADS_MAX)
#define STRESS_KEYS 65536u
#define STRESS_COUNTERS 8u /* ids from here on: incremented by all */
#define STRESS_COUNTER_AT STRESS_KEYS
#define STRESS_CAS_AT (STRESS_COUNTER_AT + STRESS_COUNTERS)
#define STRESS_LOCKS 4u
#define STRESS_LOCK_AT (STRESS_CAS_AT + STRESS_COUNTERS)
#define STRESS_TOKENS 64u
#define STRESS_TOKEN_AT (STRESS_LOCK_AT + STRESS_LOCKS)
#define STRESS_TOKEN_LOG 4096u
#define STRESS_KEY_BYTES 512
#define STRESS_VALUE_BYTES (384u << 10)
#define STRESS_PINS 12u
#define STRESS_PINS_STRICT 2u
#define STRESS_RECENT 256u

enum stress_count {
#define X(name) COUNT_##name,
#include "counts.def"
#undef X
    COUNT_COUNT
};

/* What the actors are up to; the parent turns it over as a phase goes on. */
enum stress_wave { WAVE_FEW, WAVE_MANY, WAVE_DELETE, WAVE_COUNT };

/* --- the board -------------------------------------------------------------------- */

struct board_key {
    uint64_t begun;   /* version of the owner's newest operation */
    uint64_t acked;   /* BOARD_WORD of the newest one that returned and had an effect */
    uint64_t vanish;  /* newest version that deletes, or sets with a ttl */
    uint64_t gone_ms; /* when the acked value is surely expired; 0: never */
    uint64_t lost;    /* newest version found missing in a strict phase */
};

/*  63        24 23         1   0
 * | version    | clears    | absent |  clears: begun when the operation returned */
#define BOARD_WORD(version, clears, absent) \
    ((uint64_t)(version) << 24 | ((uint64_t)(clears) & 0x7FFFFF) << 1 | (absent))
#define BOARD_VERSION(word) ((word) >> 24)
#define BOARD_CLEARS(word) ((word) >> 1 & 0x7FFFFF)
#define BOARD_ABSENT(word) (((word) & 1) != 0)

struct board_actor {
    uint64_t counts[COUNT_COUNT];
    uint64_t sequence; /* versions given to shared keys; stored before the write */
    const char *doing; /* the call under way; points to a literal */
} __attribute__((aligned(64)));

struct board {
    uint64_t stop;
    uint64_t wave;
    uint64_t clears_begun;
    uint64_t clears_acked;
    uint64_t lost;  /* acknowledged values found missing in a strict phase */
    uint64_t lives; /* of all workers together */
    uint64_t violations;
    uint64_t reporting; /* who sets it writes the message */
    char message[512];
    uint64_t died_at[STRESS_WORKERS_MAX]; /* crash point + 1 of a death by own hand */
    uint64_t stopped_at[STRESS_WORKERS_MAX]; /* crash point + 1 of a stop by own hand */
    uint64_t reached[LC_CRASH_POINT_COUNT];
    uint64_t deaths[LC_CRASH_POINT_COUNT];
    uint64_t lock_holder[STRESS_LOCKS];                  /* actor + 1 */
    uint64_t token_log[STRESS_TOKENS][STRESS_TOKEN_LOG]; /* versions popped */
    struct board_actor actors[STRESS_ACTORS_MAX];
    struct board_key keys[STRESS_KEYS];
};

/* The first one is reported; all are counted; the phase ends. */
void board_violation(struct board *board, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- a phase ---------------------------------------------------------------------- */

struct phase {
    const char *name;
    uint64_t size_bytes;
    uint64_t max_value; /* 0: the library's default */
    uint32_t shards;
    uint32_t flags;
    bool strict; /* the segment is large enough for everything: a miss is an error */
    double seconds;
};

struct options {
    uint64_t seed;
    double seconds;
    uint32_t processes;
    uint32_t threads;
    uint64_t size_bytes;
    bool kill;
};

/* --- an actor --------------------------------------------------------------------- */

struct held_pin {
    struct lilcache_view view;
    int64_t result;
    uint32_t key;
    uint64_t version;
};

struct actor {
    struct board *board;
    struct board_actor *mine;
    struct lilcache *cache;
    const struct phase *phase;
    const struct options *options;
    uint32_t id;
    uint32_t actors;
    uint32_t block_bytes;
    uint64_t random;
    uint64_t *seen;       /* per key: highest version read */
    uint64_t *seen_stamp; /* per key: stamp of that version + 1, or 0 */
    uint8_t *unsure;      /* per key: a predecessor died while it wrote */
    uint8_t *out;         /* what reads return */
    uint8_t *in;          /* what writes store */
    struct held_pin held[STRESS_PINS];
    uint32_t held_count;
    uint32_t recent_at;
    uint32_t recent[STRESS_RECENT]; /* keys set last; some lie in what goes next */
};

static inline void actor_count(struct actor *actor, enum stress_count which,
                               uint64_t delta) {
    uint64_t *count = &actor->mine->counts[which];
    __atomic_store_n(count, *count + delta, __ATOMIC_RELAXED);
}

uint64_t actor_random(struct actor *actor);
uint32_t actor_below(struct actor *actor, uint32_t limit);
bool actor_chance(struct actor *actor, uint32_t one_in);

bool actor_stopped(const struct actor *actor);
/* True: the call found the lock held and is to be repeated. Counts it, and reads a
 * little meanwhile; false once the phase is over. */
bool actor_busy(struct actor *actor, int64_t status);

/* The child's main: run its actors until the board says stop. */
void worker_run(struct board *board, struct lilcache *cache, const struct phase *phase,
                const struct options *options, uint32_t worker, uint32_t life)
    __attribute__((noreturn));

/* --- values and keys -------------------------------------------------------------- */

struct stress_key {
    uint32_t length;
    int type;
    uint8_t bytes[STRESS_KEY_BYTES];
};

struct value_facts {
    uint64_t version; /* 0: too short to say */
    uint32_t writer;
};

uint64_t value_mix(uint64_t x);
void key_make(uint32_t id, struct stress_key *out);
bool key_parse(const uint8_t *bytes, uint32_t length, int type, uint32_t *id);
int value_type(uint32_t key, uint32_t length);
void value_make(uint8_t *out, uint32_t key, uint32_t writer, uint64_t version,
                uint32_t length);
/* False: not a value of that key; `why` says what is wrong. */
bool value_check(uint32_t key, const void *bytes, int64_t result,
                 struct value_facts *facts, char *why, size_t cap);
uint32_t value_pick_length(struct actor *actor, uint32_t key);

/* --- operations ------------------------------------------------------------------- */

/* What is known before a read, and the segment's counters. */
struct read_frame {
    uint64_t acked;
    uint64_t clears;
    uint64_t now_ms;
    uint64_t contended;
    uint64_t attempts;
    uint64_t counters[7];
};

void read_begin(struct actor *actor, uint32_t key, struct read_frame *frame);
/* stamp: NULL when the read did not ask for it. Version of the value, 0 unknown. */
uint64_t read_end(struct actor *actor, uint32_t key, const struct read_frame *frame,
                  int64_t result, const void *bytes, const uint32_t *stamp);
/* An acknowledged value is not there, in a strict phase. It must be one that the core
 * says it evicted, and none should have been. */
void read_lost(struct actor *actor, uint32_t key, uint64_t version, const char *how);
void read_one(struct actor *actor, uint32_t key);
void read_many(struct actor *actor);
void read_ttl(struct actor *actor, uint32_t key);
void pin_one(struct actor *actor, uint32_t key);
void pin_check_all(struct actor *actor);
void pin_drop(struct actor *actor, uint32_t index);
void scan_all(struct actor *actor);

uint32_t key_any(struct actor *actor);
uint32_t key_owned(struct actor *actor);
uint32_t key_shared(struct actor *actor);
bool key_is_owned(const struct actor *actor, uint32_t key, uint32_t *owner);

void write_owned(struct actor *actor, uint32_t key);
void write_shared(struct actor *actor, uint32_t key);
void write_many(struct actor *actor);
void write_clear(struct actor *actor);

void sum_prepare(struct lilcache *cache, struct board *board);
void sum_step(struct actor *actor);
void sum_inherit(struct actor *actor);
void sum_finish(struct lilcache *cache, struct board *board, bool exact);

#endif
