/* An object's bytes as a segment. */
#ifndef LC_MAPPING_H
#define LC_MAPPING_H

#include "lc_geometry.h"
#include "lc_handle.h"
#include "lilcache.h"

/* Reserve, map and write a new segment, ready last. The caller holds the creation byte.
 */
int lc_mapping_make(struct lc_segment *segment, const struct lilcache_options *options,
                    const struct lc_geometry *g, struct lilcache_error *error);

/* Map a ready segment. */
int lc_mapping_attach(struct lc_segment *segment, uint64_t size,
                      const struct lilcache_options *options,
                      struct lilcache_error *error);

#endif
