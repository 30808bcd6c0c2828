/* Damage just before a load; see loads.c. */
#ifndef LOADS_H
#define LOADS_H

#include <stddef.h>
#include <stdint.h>

/* From now on, one load in `one_in` of this segment, but for the spared bytes. */
void loads_arm(void *base, uint64_t size, const void *spared, uint64_t spared_bytes,
               uint64_t one_in, uint64_t seed);
/* Words damaged by this process so far. */
uint64_t loads_injected(void);

#endif
