/* What the tests of the core share: caches, self-describing values, statistics and the
 * crash hook. */
#ifndef CACHETEST_H
#define CACHETEST_H

#include "lc_crash.h"
#include "lc_handle.h"
#include "lct.h"
#include "lilcache.h"

#define MIB (1024ULL * 1024)

/* --- randomness ------------------------------------------------------------------- */

struct ct_random {
    uint64_t state;
};

uint64_t ct_random(struct ct_random *random);
/* Below `limit`, which must not be 0. */
uint64_t ct_below(struct ct_random *random, uint64_t limit);
/* From `low` to `high`, both included, each order of magnitude alike. */
uint64_t ct_spread(struct ct_random *random, uint64_t low, uint64_t high);

/* --- caches ----------------------------------------------------------------------- */

/* A memfd segment with one shard. */
struct lilcache *ct_open(uint64_t size);
struct lilcache *ct_open_flags(uint64_t size, uint32_t flags);
/* A named one; flags as for lilcache_open. */
struct lilcache *ct_open_named(const char *name, uint64_t size, uint32_t flags);

uint64_t ct_stat(struct lilcache *cache, const char *name);
/* Every invariant holds. */
void ct_check(struct lilcache *cache);
/* ct_check, and no shard had to be rebuilt or emptied. */
void ct_check_unhurt(struct lilcache *cache);

/* The only shard, for tests of one module. */
struct lc_shard *ct_shard(struct lilcache *cache);

/* --- keys and values -------------------------------------------------------------- */

/* Key number n, 16 bytes. */
#define CT_KEY_BYTES 16
void ct_key(uint64_t n, char out[CT_KEY_BYTES + 1]);

/* A value is a function of its seed and length, so that any other byte shows. */
void ct_fill(void *to, size_t length, uint64_t seed);
bool ct_matches(const void *data, size_t length, uint64_t seed);

int ct_set(struct lilcache *cache, uint64_t n, uint64_t seed, size_t length);
int ct_set_ttl(struct lilcache *cache, uint64_t n, uint64_t seed, size_t length,
               int64_t ttl_ms);
int ct_delete(struct lilcache *cache, uint64_t n);

enum ct_outcome { CT_MISS = 0, CT_RIGHT = 1, CT_WRONG = 2 };
/* Get key n and compare with the value of this seed and length. */
enum ct_outcome ct_get(struct lilcache *cache, uint64_t n, uint64_t seed,
                       size_t length);

/* --- crash points ----------------------------------------------------------------- */

/* Do nothing (the hook's reset value), count points, or raise a signal at one of them.
 */
struct ct_crash {
    uint64_t count; /* points passed so far */
    uint64_t at;    /* raise when count reaches it; 0: never */
    int point;      /* count only these; LC_CRASH_POINT_COUNT: all */
    int signal;     /* SIGKILL or SIGSTOP */
};

extern struct ct_crash ct_crash;
void ct_crash_arm(uint64_t at, int point, int signal);
void ct_crash_disarm(void);
const char *ct_crash_name(int point);

#endif
