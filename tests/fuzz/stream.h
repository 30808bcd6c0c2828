/* An input read as operations of four bytes each: verb, key, length, everything else.
 */
#ifndef STREAM_H
#define STREAM_H

#include "model.h"

struct input {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t checks; /* and scans, which are slow, so far */
    uint64_t bytes;  /* of long values so far */
};

uint8_t input_byte(struct input *in); /* 0 past the end */

/* Do the next operation; false at the end. `patch` (may be NULL) does damage. */
typedef void (*stream_patch)(struct model *m, struct input *in, uint32_t kind,
                             uint32_t where);
bool stream_step(struct model *m, struct input *in, stream_patch patch);

/* Whether all invariants are to be checked in the end: always, or in a share of the
 * inputs, chosen by their bytes, when FUZZ_CHECK_EVERY says so. The check takes longer
 * than all operations of an input together. */
bool stream_is_checked(const uint8_t *data, size_t size);

/* Drop all pins. */
void stream_end(struct model *m);

#endif
