/* What reading a key depends on.
 *
 * After a death thousands of keys must still have their values, and nearly all of them
 * are untouched. While a key is read in the scene's own bytes, the words of the segment
 * that the core loads are written down. As long as none of them has been stored into
 * since, reading the key again would load the same bytes and return the same value. A
 * key that has to be read has a memo of the last time: as long as the same bytes are
 * still, or again, where they were loaded, it would give what it gave then. */
#ifndef TRAIL_H
#define TRAIL_H

#include "deed.h"

/* Read every key and keep its trail; the segment's bytes are those of the scene. */
void trail_begin(void);
/* For each key, whether something that reading it depends on has been stored into.
 * Reads in between store hits only, which change no value. */
const bool *trail_changed(void);
/* Read key n, unless its memo tells; always with the same wanted value for the same key
 * of a scene. */
enum found trail_look(uint32_t n, const struct value *wanted);

#endif
