/* States of a segment in which the same operation does something else: untouched,
 * growing, shrinking, full. */
#ifndef SCENE_H
#define SCENE_H

#include "deed.h"

#define SCENE_BYTES (1 * MIB)

struct scene {
    const char *name;
    void (*prepare)(void);
};

extern const struct scene scenes[];
extern const size_t scene_count;

/* Of all the sizes and values in a scene. */
extern uint64_t scene_seed;

/* Bring the world into this state; its bytes are in w.saved afterwards. */
void scene_open(const struct scene *scene);
void scene_close(void);

#endif
