/* The shared object behind a segment, through descriptors that the program may have
 * closed or given to other files behind our back: daemonizers close them all. */
#ifndef LC_OBJECT_H
#define LC_OBJECT_H

#include "lc_handle.h"

/* Whether fd still is the object that segment->id names. */
bool lc_object_is(const struct lc_segment *segment, int fd);

/* A new open file description of the object, or a negative errno. */
int lc_object_reopen(const struct lc_segment *segment);

/* Close fd unless by now it is another file's. */
void lc_object_close(const struct lc_segment *segment, int fd);

#endif
