/* Reads without the lock. */
#ifndef LC_READ_H
#define LC_READ_H

#include "lc_index.h"
#include "lilcache.h"

struct lc_key {
    const void *bytes;
    uint32_t length;
    uint32_t type;
    lc_hash64 hash;
};

/* What a racy probe found, and what it must be checked against. */
struct lc_hit {
    struct lc_record record;
    uint64_t *slot;
    uint64_t word;
    uint64_t dir;
    uint64_t changes;
    uint64_t generation;
    uint64_t epoch;
    const struct lc_shard *shard;
    const struct shm_group *group; /* NULL: found under the lock */
    uint32_t block;
    uint64_t before; /* the clock before the key was looked for; 0: not looked at */
    uint64_t now;    /* and when it was judged; 0: the record does not expire */
};

enum lc_verdict { LC_HIT, LC_ABSENT, LC_RETRY };

/* OK, KEY_SIZE or INVALID. */
int lc_key_make(const struct lc_segment *segment, const void *key, size_t length,
                int type, struct lc_key *out);

/* Copy the value: packed result, MISS or TOO_LARGE. *hit is what was found. */
int64_t lc_read_copy(struct lc_segment *segment, const struct lc_key *key, void *out,
                     size_t cap, struct lc_hit *hit);

/* Count a get of this process. */
void lc_read_count(struct lc_segment *segment, int64_t result);

#endif
