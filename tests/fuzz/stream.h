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
    bool checked;    /* all invariants, when the input asks for it and in the end */
};

/* Every input is checked, or a share of them, chosen by their bytes, when
 * FUZZ_CHECK_EVERY says so: a check takes as long as all operations of an input. */
struct input input_open(const uint8_t *data, size_t size);

uint8_t input_byte(struct input *in); /* 0 past the end */

/* Do the next operation; false at the end. `patch` (may be NULL) does damage. */
typedef void (*stream_patch)(struct model *m, struct input *in, uint32_t kind,
                             uint32_t where);
bool stream_step(struct model *m, struct input *in, stream_patch patch);

/* Drop all pins. */
void stream_end(struct model *m);

#endif
