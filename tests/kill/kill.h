/* What the parts of the driver share. */
#ifndef KILL_H
#define KILL_H

#include "deed.h"
#include "hooks.h"

#define ITEMS_MAX   1024
#define WORKERS_MAX 64

struct options {
    int jobs;
    uint64_t seed;
    double seconds;    /* go on until then; 0: one round */
    uint64_t deaths;   /* go on until there were so many, but at least one round; 0 */
    uint64_t round;    /* the first one */
    uint64_t deep;     /* deaths in each recovery at most; 0: see recovery_deaths */
    uint64_t stride;   /* after the first stores of an operation, one in so many */
    uint64_t least;    /* deaths that must have happened */
    uint64_t pairs;    /* operations in their scenes that must have been tried */
    const char *sites; /* file for the places died at */
    const char *table; /* file for what happened in each operation in each scene */
    const char *only;  /* scenes whose name contains this */
};

/* One operation in one scene, summed up over rounds. */
struct tally {
    char scene[24];
    char deed[32];
    bool ran;        /* it did what it is for in some round */
    int status;      /* of the last undisturbed run */
    uint64_t stores; /* of that run */
    uint64_t deaths; /* in the operation */
    uint64_t again;  /* in the recovery, and in the recovery after that */
    uint64_t passed; /* distinct places that an undisturbed run stores at */
    uint64_t places; /* those of them died at */
    uint64_t missed; /* rounds in which these were not the same */
};

/* Shared by the workers. */
struct board {
    uint64_t next; /* item to be taken */
    uint64_t items;
    struct tally tallies[ITEMS_MAX];
    struct hook_shared *workers[WORKERS_MAX];
};

/* Where a worker is, for the message about its failure. */
struct where {
    uint64_t round;
    char text[200];
};

extern struct options options;
extern struct board *board;
extern struct where *where;

/* Wait for a victim. True when it completed instead of dying. */
bool victim_wait(pid_t child, int *status);

/* Time is up, or enough have died. */
bool enough(void);

/* Creating, attaching to, replacing and leaving a segment. */
extern const size_t life_count;
const char *life_name(size_t i);
/* most: deaths of each next opener; 0: at each of its steps. */
void life_sweep(size_t i, uint64_t most, struct ct_random *dice, struct tally *tally);

/* Writes tallies, and prints their sum: false when an operation passed a place and
 * nobody died there, or when too few were tried. */
bool report_table(const char *path);
/* Writes the places of all workers. */
bool report_sites(const char *path);
/* So many have died in all workers. */
uint64_t report_deaths(void);
void report_places_before(uint64_t *before);
/* first: of each place, its first store in an undisturbed run. */
void report_places(const uint64_t *before, const uint64_t *first, struct tally *tally);

#endif
