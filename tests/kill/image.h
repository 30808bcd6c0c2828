/* The segment's bytes, put back by the pages that were written to.
 *
 *   image_begin ---> saved                      of the scene
 *   a victim dies -> image_keep ---> kept       to be died on again, many times
 *                    image_return: segment = kept
 *   image_restore: segment = saved */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>
#include <stdint.h>

void image_begin(uint8_t *segment);
void image_restore(void);
void image_keep(void);
void image_return(void);
/* These words of the segment, `to` not included, are as saved. */
bool image_same(uint32_t from, uint32_t to);

#endif
