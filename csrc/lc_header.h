/* The header of a segment, and the name of its object. */
#ifndef LC_HEADER_H
#define LC_HEADER_H

#include "lc_geometry.h"
#include "lilcache.h"

/* The name of the object for a cache's name, in this layout and this PID namespace:
 * its length, LILCACHE_INVALID, or LILCACHE_OS with a negative errno in *failed. */
int lc_header_object_name(const char *name, char *out, size_t cap, int *failed);

/* Everything but the ready word. */
int lc_header_make(struct shm_header *header, const struct lc_geometry *g,
                   uint32_t flags, struct lilcache_error *error);

/* Of everything before it, which is written once. */
uint64_t lc_header_checksum(const struct shm_header *header);

/* Check every number of a copy of the header of an object of so many bytes [L1]. */
int lc_header_check(const struct shm_header *h, uint64_t size, struct lc_geometry *g,
                    struct lilcache_error *error);

/* Whether the object is a whole segment, and one that was retired. The caller holds its
 * creation byte, so nobody is writing it [L4]. A failure is neither: whoever took it
 * for "not ready" would replace a live segment. */
int lc_header_is_ready(int fd, uint64_t size, bool *ready, bool *retired,
                       struct lilcache_error *error);

/* Tell those who may work in it still. */
void lc_header_retire(int fd);

#endif
