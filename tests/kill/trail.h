/* What reading a key depends on.
 *
 * After a death thousands of keys must still have their values, and nearly all of them
 * are untouched. While a key is read in the scene's own bytes, the words of the segment
 * that the core loads are written down. As long as none of them has been stored into
 * since, reading the key again would load the same bytes and return the same value. */
#ifndef TRAIL_H
#define TRAIL_H

#include <stdbool.h>
#include <stdint.h>

/* Read every key and keep its trail; the segment's bytes are those of the scene. */
void trail_begin(void);
/* Nothing that reading key n depends on differs from the scene's bytes. */
bool trail_unchanged(uint32_t n);

#endif
