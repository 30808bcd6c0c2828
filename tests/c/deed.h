/* Operations whose death is tested, the keys they work on, and what must be found after
 * each. */
#ifndef DEED_H
#define DEED_H

#include "cachetest.h"

#define KEYS_MAX 2048
#define FOREVER  1000000 /* ms */

/* Keys with a role; the scenes' own keys begin at KEY_FREE. */
enum {
    KEY_OLD,
    KEY_COUNT,
    KEY_TIMED, /* with a ttl */
    KEY_NEW,
    KEY_SPARE,
    KEY_ABSENT, /* or expired */
    KEY_MANY,
    KEY_FREE = 32
};

struct value {
    bool present;
    bool number;
    bool must;     /* of a scene that evicts: this one is not evicted */
    uint64_t seed; /* the integer of a number */
    uint64_t length;
};

#define MANY       4 /* keys of a deed that goes over several */
#define SHARDS_MAX 2

/* The segment under test and what has been committed to it. */
struct world {
    struct lilcache *cache;
    uint8_t *saved;
    struct value keys[KEYS_MAX];
    uint64_t names[KEYS_MAX]; /* key n is ct_key's number so much; 0: number n */
    uint32_t used;            /* keys from KEY_FREE on */
    bool evicting;            /* a key may be missing */
    bool rebuilding;          /* the index is damaged: it is made anew */
    uint64_t repairs;         /* that a dead process has left to be done */
    uint64_t pins;            /* held by this process */
    bool emptying;            /* nothing can be saved: all keys may be missing */
    struct ct_random random;
};

extern struct world w;

/* The number by which ct_key makes key n of the world. */
uint64_t world_key(uint32_t n);
/* The hash of ct_key's key of this number, and its shard's number. */
uint64_t world_hash(uint64_t number);
uint32_t world_shard(uint32_t n);

enum verb {
    V_SET,
    V_SET_TTL,
    V_SET_WAITING, /* for a neighbour that holds the lock */
    V_TRY_SET,
    V_ADD,
    V_REPLACE,
    V_CAS,
    V_DELETE,
    V_TRY_DELETE,
    V_POP,
    V_INCR,
    V_TOUCH,
    V_CLEAR,
    V_SET_MANY,
    V_DELETE_MANY,
    V_GET,
    V_GETS,
    V_VERSION,
    V_TTL,
    V_GET_MANY,
    V_SCAN,
    V_STATS,
    V_PIN,
    V_PIN_KEPT,
    V_FORK,
    V_RAW_FORK,
};

struct deed {
    const char *name;
    enum verb verb;
    uint32_t key;
    uint64_t length;
};

extern const struct deed deeds[];
extern const size_t deed_count;
/* The first so many write, and pass named points of csrc/crash.def. */
#define DEEDS_WITH_POINTS 14

/* Called by a neighbour that a deed starts, before it touches the segment. */
extern void (*deed_neighbour)(void);

/* Called by deed_run when key and value are there, before it calls the core. */
extern void (*deed_ready)(void);

/* Perform it; the status it returned. */
int deed_run(const struct deed *deed);
/* The deed did what it is for, so that its death is worth a try. */
bool deed_succeeds(const struct deed *deed, int status);
/* It did not, for a reason that the scene explains. */
bool deed_may_fail(const struct deed *deed, int status);
/* It succeeds in a cache that was never used. */
bool deed_wants_nothing(const struct deed *deed);

/* What key n holds after the deed, when it held `before`. */
struct value deed_result(const struct deed *deed, uint32_t n,
                         const struct value *before);

enum found { FOUND_NOTHING, FOUND_IT, FOUND_OTHER };

/* Get key n and compare. */
enum found look(uint32_t n, const struct value *wanted);

/* Fails unless every key has its value: as before the deed or as after it where it was
 * at work; only the latter when it completed. */
void verify_keys(const struct deed *deed, bool completed);

/* Of each key, whether reading it may give something else than it gave in the scene.
 * NULL: read every key. */
extern const bool *(*verify_changed)(void);
/* Instead of look(), for keys that the deed does not touch. */
extern enum found (*verify_look)(uint32_t n, const struct value *wanted);

/* Use the segment for a while: what was left inconsistent comes out. */
void verify_use(void);

/* What any process may do first, when it comes to a lock whose owner died. */
void first_operation(const struct deed *deed, uint64_t k, bool completed);

#endif
