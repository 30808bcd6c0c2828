/* What the parts of the driver share: options, board, the segment under damage. */
#ifndef DRIVER_H
#define DRIVER_H

#include "damage.h"

enum mode { FLIP, NOISE, ZEROS, ONES, SWAP, COPY, PAGE, MODES };
extern const char *const mode_names[MODES];

struct damage {
    enum region region;
    enum mode mode;
    uint64_t at;   /* byte of the segment */
    uint32_t bits; /* the bit, or the length */
    uint64_t seed;
};

/* --- the board, shared by the workers ----------------------------------------------
 */

enum outcome {
    SAME,
    MISS,
    CORRUPT,
    REPAIRED,
    REBUILT,
    EMPTIED,
    REFUSED,
    OTHER,
    BUSY,
    OUTCOMES
};

struct tally {
    uint64_t flips, bursts;
    uint64_t outcomes[OUTCOMES];
    uint64_t signals, hangs, wrong, unusable, astray;
};

#define STATES_MAX 16

struct board {
    uint64_t next;
    uint64_t shown;
    double random_from; /* when a worker was through with the first round */
    uint64_t operations;
    uint64_t hostile_rounds, hostile_writes;
    uint64_t load_rounds, injected;
    uint64_t slowest_us;
    char slowest[96];
    uint64_t statuses[STATUSES];                /* of operations */
    uint64_t refusals[STATUSES];                /* of opens */
    struct tally tallies[2][REGIONS];           /* without, with checksums */
    uint8_t flipped[STATES_MAX][SEGMENT_BYTES]; /* bits that were, in the first round */
};

extern struct board *board;

void *share(size_t bytes);

/* A process that was killed, or ended so; usable: it has to have found the segment so
 * in the end. */
void board_judge(const struct damage *damage, const struct met *met, int status,
                 bool usable);
/* The same of one that wrote meanwhile. killed: as it had to be. */
void board_judge_writer(const struct damage *damage, const struct met *met, int status,
                        bool killed);
void board_flipped(const struct damage *damage);
/* Prints the tables; returns the number of violations. whole: each bit of the states
 * marked so has to have been flipped. */
uint64_t board_report(const char *only, bool whole);

/* --- the segment -------------------------------------------------------------------
 */

#define SEEDS 16

struct prepared {
    _Alignas(64) uint8_t image[SEGMENT_BYTES];
    struct map map;
    bool is_made;
};

/* Of each state; the workers of the first round damage the same bytes. Shared, so that
 * forks need not copy it. */
extern struct prepared *prepared;

extern const struct state *state; /* the one that is open */
extern const struct map *map;
extern struct lilcache *cache;
extern uint8_t *raw; /* the driver's own mapping */
extern const uint8_t *image;
extern char name[64];
extern pid_t driver; /* its objects are removed by this number */
extern struct met baseline[SEEDS];

/* Bring a segment into that state and keep its bytes. */
void segment_prepare(const struct state *wanted, struct prepared *to);
/* Attach to an object of those bytes. */
void segment_open(const struct state *wanted, const struct prepared *from);
/* Put the state's bytes back. */
void segment_restore(void);
void segment_close(void);

/* --- damage ------------------------------------------------------------------------
 */

/* Damage of the mutex is damage of nothing else, and none else reaches it: what is
 * counted apart is what its words alone have done. */
bool may_damage(const struct damage *damage, uint64_t at);
void apply(const struct damage *damage);

enum hostility { BEHIND_THE_HEADER, EVERYWHERE, TOGGLES, HOSTILITIES };
/* Write until killed. */
void write_hostile(enum hostility how, uint64_t seed) __attribute__((noreturn));

#endif
