/* Damage that knows the layout. A patch is eight bytes of the input: the verb, what
 * (kind), where (two bytes), how (one byte) and three bytes of argument. */
#ifndef PATCH_H
#define PATCH_H

#include "stream.h"

void patch_apply(struct model *m, struct input *in, uint32_t kind, uint32_t where);

/* A word of the header and what follows it: three bytes, how and two of argument. */
void patch_header(struct shm_header *header, struct input *in, uint32_t where);

#endif
