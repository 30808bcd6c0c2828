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

/* Count a get of this process. */
void lc_read_count(struct lc_segment *segment, int64_t result);

/* --- several at once -------------------------------------------------------------- */

/* The group's pages as they were, and the bucket to look into next. */
struct lc_walk {
    struct lc_group group;
    uint32_t at;
};

/* A get under way. */
struct lc_read {
    struct lc_key key; /* the caller's */
    struct lc_hit hit;
    struct lc_walk walk;
    struct shm_bucket *bucket; /* the first; may be NULL */
    bool begun;
};

/* Begin reads whose keys are made: each step for all of them, so that the processor
 * fetches what the next one looks at for many keys at a time. */
void lc_read_begin(struct lc_segment *segment, struct lc_read *reads, size_t count);

/* Copy the value, and count: packed result, MISS or TOO_LARGE. */
int64_t lc_read_finish(struct lc_segment *segment, struct lc_read *read, void *out,
                       size_t cap);

#endif
