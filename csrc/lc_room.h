/* How much room there is for a segment, and taking it. */
#ifndef LC_ROOM_H
#define LC_ROOM_H

#include "lc_base.h"

struct lc_room_refusal {
    const char *step;   /* what refused */
    uint64_t available; /* bytes it would have granted; UINT64_MAX: not known */
};

/* Give the object its size and every page of it memory, or fail with a negative errno
 * and leave it empty. */
int lc_room_reserve(int fd, uint64_t size, struct lc_room_refusal *why);

/* Bytes of the largest segment that the memory cgroups of this process leave room for;
 * UINT64_MAX: they do not limit it. */
uint64_t lc_room_left(void);

#endif
