/* The parent of the workers: starts them, torments them, counts them off. */
#ifndef PARENT_H
#define PARENT_H

#include <sys/types.h>

#include "stress.h"

struct worker_slot {
    pid_t pid; /* 0: gone */
    uint32_t life;
    bool killed; /* by us */
    bool stopped;
    uint64_t stopped_ms; /* since when */
    uint64_t resume_ms;  /* not before */
    uint64_t reads_then; /* of the others, when it stopped */
    uint64_t progress;   /* operations when last looked */
    uint64_t progress_ms;
};

struct parent {
    pid_t pid;
    struct board *board;
    struct lilcache *cache;
    const struct phase *phase;
    const struct options *options;
    struct worker_slot slots[STRESS_WORKERS_MAX];
    uint64_t random;
    uint64_t kill_ms; /* next ones */
    uint64_t stop_ms;
    uint64_t check_ms;
    uint64_t wave_ends; /* in operations */
    uint64_t checks;    /* lilcache_check calls that found everything in order */
    uint64_t kills;
    uint64_t stops;
    uint64_t stops_outread; /* stops during which others went on reading */
};

/* Run the workers until the phase's time is up or something is wrong. All are gone when
 * it returns. */
void parent_run(struct parent *parent);

/* Check the segment under its locks; BUSY when a stopped worker holds one. */
int parent_check(struct parent *parent);

#endif
