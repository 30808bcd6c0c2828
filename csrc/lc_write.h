/* The set of one key, for lc_many.c as well. */
#ifndef LC_WRITE_H
#define LC_WRITE_H

#include "lc_read.h"

struct lc_value {
    const void *bytes;
    uint64_t length;
    int type;
    int64_t ttl_ms;
};

/* How a write depends on what is there. */
struct lc_condition {
    enum lilcache_set_mode mode;
    bool stamped; /* cas */
    uint32_t stamp;
};

/* wait_ms: how long to wait for the lock. */
int lc_write_set(struct lc_segment *segment, const struct lc_key *key,
                 const struct lc_value *value, const struct lc_condition *condition,
                 uint32_t wait_ms);

#endif
