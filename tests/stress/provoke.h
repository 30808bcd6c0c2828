/* Making races likely; provoke.c says how. */
#ifndef PROVOKE_H
#define PROVOKE_H

#include <stdbool.h>
#include <stdint.h>

struct board;

/* Whether this build has the points at all; else the rest does nothing. */
bool provoke_built(void);

/* In the worker, before its threads. die: end or stop at a point now and then. */
void provoke_start(struct board *board, uint32_t worker, bool die);
/* In each thread; nothing happens in threads that never called it. */
void provoke_thread(uint64_t seed);

/* Probes begun by this thread's reads so far. */
uint64_t provoke_attempts(void);

/* For racy_read.c. */
void provoke_read_step(void);
void provoke_read_copy(void);
void provoke_read_probe(void);

#endif
