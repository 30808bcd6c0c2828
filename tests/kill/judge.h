/* What a survivor finds after a death: all invariants, all values, all space. */
#ifndef JUDGE_H
#define JUDGE_H

#include "deed.h"

/* No victim, successor or judge takes longer: it hangs, and SIGALRM ends it. */
#define HANG_SECONDS 20
/* A process that dies by SIGALRM when it hangs. */
pid_t victim_fork(void);
/* Wait for it, and for children that it left behind. Fails if it hung. */
int victim_status(pid_t child);

struct figures {
    uint64_t repaired, rebuilt, emptied, processes, pins;
};

struct figures judge_figures(void);
/* The kernel found a shard's lock with a process that died. */
bool judge_lock_was_held(void);

/* What an undisturbed run of an operation does not evict, nobody's death may. To be
 * called after such a run. */
void judge_note_survivors(void);

/* Fails, as CHECK does, unless everything is as it must be after a death, or after the
 * operation completed; between so and so many repairs have been counted. */
void judge(const struct deed *deed, uint64_t k, bool completed, uint64_t repairs_least,
           uint64_t repairs_most, const struct figures *before);

#endif
