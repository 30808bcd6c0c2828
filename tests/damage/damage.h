/* What the parts of the driver share. */
#ifndef DAMAGE_H
#define DAMAGE_H

#include "cachetest.h"

#define SEGMENT_BYTES (1 * MIB)
#define KEYS          160
#define COUNTER       KEYS /* the key of a number */
#define FRESH         (KEYS + 1)
#define COUNTER_FROM  1000
#define COUNTER_TO    1000000

/* --- what is damaged ---------------------------------------------------------------
 */

enum region {
    HEADER,
    ROWS,
    CONTROL,
    LOCK, /* the mutex's own words, counted apart */
    INTENT,
    GROUPS,
    BLOCKS,
    INDEX,
    RECORDS,
    ANYWHERE, /* hostile writers */
    REGIONS
};

extern const char *const region_names[REGIONS];

struct piece {
    uint64_t at; /* byte of the segment */
    uint64_t bytes;
};

#define PIECES_MAX 4096

struct map {
    struct piece pieces[REGIONS][PIECES_MAX];
    uint32_t count[REGIONS];
    uint64_t bytes[REGIONS];
};

/* Where everything is, in this segment as it is now. all_rows: not only the process
 * rows in use and the first few. */
void map_make(struct lilcache *cache, bool all_rows, struct map *map);
/* Byte number n of a region. */
uint64_t map_byte(const struct map *map, enum region region, uint64_t n);

/* --- states ------------------------------------------------------------------------
 */

struct state {
    const char *name;
    void (*prepare)(struct lilcache *cache);
    bool checksums;
    bool busy;  /* another process writes meanwhile */
    bool dense; /* every bit of it in the gate: header, control, intent, groups */
    bool whole; /* every bit of every region, all process rows, in a campaign */
};

extern const struct state states[];
extern const size_t state_count;

/* --- victims -----------------------------------------------------------------------
 */

/* Of the process, in an operation, without the time in which it waited for a processor.
 * The lock timeout of the promise, and half a second for what the kernel does on a
 * loaded machine. An operation of the core waits for a lock 0.22 s at most. */
#define SLOW_US 1500000

#define STATUSES 48 /* codes of status.def, sign turned */

/* What one victim met; in memory that the driver sees. */
struct met {
    uint64_t wrong;
    char which[120];             /* the first wrong value */
    uint64_t statuses[STATUSES]; /* of operations */
    int refused;                 /* of attaching anew, when it was no success */
    uint64_t violated;           /* checks that said so */
    bool usable;
    bool ended;
    uint64_t operations;
    uint64_t slowest_us;
    char slowest[48];
    uint64_t repaired, rebuilt, emptied; /* as the statistics say afterwards */
    char at[48];                         /* the operation under way */
    bool stop;                           /* a writer ends after this operation */
};

/* Store value number `seed` under key n; what is read must be one of those. */
int victim_set(struct lilcache *cache, uint64_t n, uint64_t seed, int64_t ttl_ms);
void victim_fill(struct lilcache *cache, uint64_t keys);

/* Another process writes all the time, also between the check of a value in its place
 * and the first look at it: what is seen of it then says nothing. */
extern bool victim_beside_writer;

/* Operations of every kind; then attach anew, or first. locked: a lock that stays taken
 * is what the damage may come to; else the shard has to be usable. */
void victim_round(struct lilcache *cache, const char *name, bool anew_first,
                  bool locked, uint64_t seed, struct met *met);
/* At full speed until it is to stop, or killed. */
void victim_write(struct lilcache *cache, uint64_t seed, struct met *met)
    __attribute__((noreturn));

#endif
