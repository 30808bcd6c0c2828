/* Structs that live in the process: this process's view of a segment. The geometry is
 * copied and checked once at attach; the copies, not the segment's words, are believed.
 */
#ifndef LC_HANDLE_H
#define LC_HANDLE_H

#include <pthread.h>

#include "lc_hash.h"
#include "lc_layout.h"
#include "lc_os.h"

struct lc_segment;

/* What lc_run_length_locked said of records of the mean size. */
struct lc_run_memo {
    uint64_t mean;
    uint32_t blocks;
    bool uniform;
};

struct lc_shard {
    struct shm_shard *ctl;
    struct shm_group *groups;
    struct shm_block *blocks;
    uint8_t *heap;
    uint64_t heap_bytes;
    uint64_t record_max; /* bytes of the largest record that can be valid */
    uint32_t number;
    uint32_t block_count;
    uint32_t block_shift;
    uint32_t group_count;
    uint32_t group_shift;      /* 64 - log2(group_count) */
    uint32_t page_shift;       /* log2 of pages per block */
    uint32_t owner_pages;      /* pages of an index block taken by its owner table */
    uint32_t page_numbers;     /* pages in the shard; page numbers are below it */
    uint32_t run_waiting;      /* two blocks, in 1/65536 of the shard */
    uint32_t ghosts_per_group; /* ghosts that may make the index grow, for each group */
    bool checksums;
    bool favor_bytes; /* LILCACHE_FAVOR_BYTES */
    /* Under the lock: blocks [from, to) are being emptied for a run and not given out.
     */
    uint32_t held_from;
    uint32_t held_to;
    struct lc_run_memo run_memo;
    uint64_t upkept; /* index blocks and pages when nothing was to be done for them */
    struct lc_segment *segment;
};

/* One pinned block of this process. */
struct lc_local_pin {
    uint64_t word;   /* LC_PIN_WORD */
    uint32_t holds;  /* views and calls under way; 0: the place is free */
    uint32_t views;  /* those of them that a forked child inherits */
    uint32_t blocks; /* what it adds to rw_pinned_blocks */
};

/* Calls of the threads of one stripe: a line of their own, whatever lies before. */
struct lc_pace {
    uint64_t apart[7];
    uint64_t calls;
};

#define LC_LOST_LEFT 2 /* lost, and everybody has been told */

struct lc_segment {
    uint8_t *base;
    uint64_t size;
    uint64_t max_value;
    struct lc_hash_secret hash;
    struct shm_header *header;
    uint32_t shard_count;
    uint32_t row_count;
    uint32_t row_bytes;
    uint32_t row_pins;
    uint32_t row_stripes;
    uint32_t rows_seen;   /* relaxed: the most that hd_rows_used was; see lc_row.h */
    uint32_t stripe_mask; /* of the bytes between the first stripe and one's own */
    uint32_t row_counters_at; /* bytes from a row's start to its first stripe */
    uint64_t rows_at;
    struct lc_shard *shards;

    int fd;       /* the object; may be shared over fork, no lock is taken through it */
    int lock_fd;  /* own open file description; our row's byte is locked through it */
    int row;      /* our process row, or -1 */
    int spare_fd; /* between fork's prepare and its two ends: the child's description */
    int spare_row;
    int shared_fd;         /* the parent's description, whose row pins our views, too */
    bool child_shares_row; /* between fork's prepare and its two ends: there is no spare
                            */
    bool row_is_shared;    /* with a child: its pins stay until both have ended */
    uint64_t claimed;      /* rw_state we wrote at the claim */

    struct lc_os_id id;
    bool created;
    bool anonymous;
    char object_name[256];

    pthread_mutex_t pin_mutex; /* guards pins and the claim of a row */
    struct lc_local_pin *pins; /* row_pins entries */
    uint32_t pin_epoch;        /* tells tokens of pins that a fork has voided */
    uint32_t sweep_wanted;     /* relaxed: pins were in the way, perhaps of the dead */
    uint64_t sweep_after_ms;   /* relaxed: monotonic; rate of sweeps */
    uint64_t claim_after_ms;   /* monotonic; rate of attempts to get a row */
    uint32_t lost;             /* set in a signal handler: LC_LOST_*; see lc_guard.h */
    struct lc_pace pace[LC_ROW_STRIPES_MAX]; /* of the look whether the name is there */
    uint32_t references;     /* handles of this process; guarded by the registry */
    struct lc_segment *next; /* registry */
};

/* What lilcache_open hands out. Several may share one segment. */
struct lilcache {
    struct lc_segment *segment;
    bool created;
};

static inline struct shm_row *lc_row_at(const struct lc_segment *segment,
                                        uint32_t row) {
    return (struct shm_row *)(segment->base + segment->rows_at +
                              (uint64_t)row * segment->row_bytes);
}

/* Those of the row's counters that lie so many bytes behind the first stripe. */
static inline uint64_t *lc_row_counters(const struct lc_segment *segment,
                                        struct shm_row *row, uint32_t stripe_at) {
    return (uint64_t *)((uint8_t *)row + segment->row_counters_at + stripe_at);
}

static inline struct lc_shard *lc_shard_of(const struct lc_segment *segment,
                                           lc_hash64 h) {
    return &segment->shards[h & (segment->shard_count - 1)];
}

static inline uint32_t lc_group_of(const struct lc_shard *shard, lc_hash64 h) {
    return shard->group_count == 1 ? 0 : (uint32_t)(h >> shard->group_shift);
}

/* Bits 6 to 33: apart from the shard's (0 to 5) and from all that choose a group below
 * 2^30 groups. */
static inline uint64_t lc_tag_of(lc_hash64 h) { return h >> 6 & LC_TAG_MASK; }

#endif
