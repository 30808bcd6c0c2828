/* Operations and what they must answer. The model knows for every key the value it may
 * have: a hit must be that value, and a miss of what was not deleted must be paid for
 * by an eviction that the segment counted. In a damaged segment anything may be
 * missing, and every value must still be one that was stored under its key. */
#ifndef MODEL_H
#define MODEL_H

#include "arena.h"
#include "keys.h"

#define MODEL_PINS   8
#define MODEL_OUT    (512u << 10) /* bytes of room for results */
#define MODEL_OFFERS 8192

struct entry {
    bool present; /* no miss seen since it was stored */
    bool stamped; /* stamp is known */
    bool number;  /* an INT64 of this value */
    uint8_t type;
    uint16_t clears; /* before it was stored */
    uint32_t stamp;
    uint32_t slice;
    uint32_t length;
    int64_t value;
    uint64_t dies_at;
};

struct held {
    bool used;
    struct entry entry; /* as it was when it was pinned */
    struct lilcache_view view;
};

/* A value that was copied, and its version then. */
struct known {
    bool used;
    uint32_t n;
    struct entry entry;
    struct lilcache_version version;
};

/* A value given to a write, whatever became of it. */
struct offer {
    uint16_t n;
    bool number;
    uint32_t slice;
    uint32_t length;
    int64_t value;
};

struct model {
    struct lilcache *cache;
    struct lc_segment *segment;
    bool checksums;
    bool damaged;
    bool retired;
    uint64_t max_value;
    uint64_t block_bytes;
    uint16_t clears;
    uint16_t next_slice;
    uint32_t pinned;
    bool foreign_pins; /* of a dead process */
    uint64_t lost;
    uint64_t evicted; /* by the segment's count, when the state was saved */
    struct held pins[MODEL_PINS];
    struct known known;
    struct entry entries[KEYS];
    struct entry saved[KEYS];
    uint16_t touched[KEYS];
    uint32_t touched_count;
    bool is_touched[KEYS];
    uint16_t saved_clears;
    uint16_t saved_slice;
    struct offer *history; /* from when the state was made */
    uint32_t history_count;
};

/* --- shared by the files of the model --------------------------------------------- */

struct entry *model_entry(struct model *m, uint32_t n); /* to be changed */
bool model_alive(const struct model *m, const struct entry *e);
/* A read or a condition found the key, or not. */
void model_seen(struct model *m, uint32_t n, bool hit);
void model_check_value(struct model *m, uint32_t n, int64_t result, const void *data);
/* What the key is to become. */
struct entry model_next(struct model *m, uint64_t length, int64_t ttl);
/* It is about to be offered to the segment under this key. */
void model_offer(uint32_t n, const struct entry *next);
/* The input has offered enough. */
bool model_is_tired(void);
void model_store(struct model *m, uint32_t n, const struct entry *next);
/* A segment that was marked retired, by a call or by damage. */
bool model_retired(const struct model *m, int64_t status);
/* No operation need be looked at further: retired, or without room beside pins. */
bool model_refused(struct model *m, int64_t status, uint64_t record_bytes);
/* Limits are checked before anything else. */
bool model_too_much(const struct model *m, uint64_t length, int64_t ttl,
                    int64_t status);
bool model_has_pins(const struct model *m);
uint8_t *model_out(void);

/* --- states ----------------------------------------------------------------------- */

void model_begin(struct model *m, struct lilcache *cache);
/* Everything read once, so that what was evicted is known; then as it is now. */
void model_save(struct model *m);
void model_restore(struct model *m);
/* What keys that the input did not touch have, some of them. */
void model_sample(struct model *m, uint32_t first);

/* --- operations ------------------------------------------------------------------- */

void model_set(struct model *m, uint32_t n, uint64_t length, int64_t ttl, int mode);
void model_try_set(struct model *m, uint32_t n, uint64_t length);
void model_cas(struct model *m, uint32_t n, uint64_t length, int64_t ttl, bool current);
void model_get(struct model *m, uint32_t n, uint64_t cap);
/* What was copied by the last call is asked for, then this key is copied. */
void model_version(struct model *m, uint32_t n);
void model_ttl(struct model *m, uint32_t n);
void model_delete(struct model *m, uint32_t n, bool waits);
void model_pop(struct model *m, uint32_t n, uint64_t cap);
void model_touch(struct model *m, uint32_t n, int64_t ttl);
void model_incr(struct model *m, uint32_t n, int64_t delta, bool create, int64_t ttl);
void model_clear(struct model *m);
void model_pin(struct model *m, uint32_t n, uint32_t place);
void model_unpin(struct model *m, uint32_t place);
void model_get_many(struct model *m, uint32_t n, uint32_t count, uint64_t cap);
void model_set_many(struct model *m, uint32_t n, uint32_t count, uint64_t length,
                    int64_t ttl);
void model_delete_many(struct model *m, uint32_t n, uint32_t count);
void model_scan(struct model *m);
void model_retire(struct model *m);
/* Every invariant; in a damaged segment the answer may be no. */
bool model_check(struct model *m);
void model_misuse(struct model *m, uint32_t n, uint32_t which);
void model_facts(struct model *m);

#endif
