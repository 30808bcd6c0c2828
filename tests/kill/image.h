/* The segment's bytes, put back by the pieces that were written to.
 *
 *   image_begin ---> saved                      of the scene
 *   a victim dies -> image_keep ---> kept       to be died on again, many times
 *                    image_return: segment = kept
 *   image_restore: segment = saved */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>
#include <stdint.h>

void image_begin(uint8_t *segment);
/* One in so many that put bytes back compares the whole segment, and fails where a
 * store was not reported. image_compare: now, after image_restore. */
void image_restore(void);
void image_keep(void);
void image_return(void);
void image_compare(void);
/* A bit for each word of this chunk of the segment that was stored into since it was as
 * saved. */
uint64_t image_changed(uint32_t chunk);

/* Zeroed memory of the driver that no victim gets: what a fork does not copy, it does
 * not cost. Never given back. */
void *image_memory(size_t bytes);

#endif
