/* Prepared segments that inputs start from: untouched, growing, full, worn, in two
 * shards, left by a process that was killed inside. */
#ifndef STATES_H
#define STATES_H

#include "model.h"

struct state {
    struct arena arena;
    struct model model;
};

/* The states of this program, made in this order. */
void states_begin(void);
uint32_t states_count(void);
struct state *state_at(uint32_t number);
const char *state_name(uint32_t number);

#endif
