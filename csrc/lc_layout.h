/* EVERY struct that lives in the segment.
 *
 *   0 +--------------------------------------------------------------+
 *     | shm_header: identity, hash key, geometry, ready word         |
 * 512 +--------------------------------------------------------------+
 *     | process rows, hd_row_count of hd_row_bytes                   |
 *     |   shm_row | pins: hd_row_pins words | counters, in stripes   |
 *     +--------------------------------------------------------------+  hd_shards_at
 *     | shard 0   shm_shard        lock, intent, epoch, counters     |
 *     |           shm_group[]      one per 128 KiB of shard          |
 *     |           shm_block[]      the block table                   |
 *     |           heap             blocks of 4 KiB to 2 MiB          |
 *     |             record blocks -> ...         <- index blocks     |
 *     +--------------------------------------------------------------+
 *     | shard 1 ...                                                  |
 *     +--------------------------------------------------------------+  hd_size
 *
 * A record block is a log: records one after the other up to bl_fill. Blocks in a row
 * may be opened as one run, whose records may cross block borders. An index block is
 * cut into pages of 512 bytes; its first pages hold the owner table.
 *
 * References are counts of bytes, units or blocks from the shard's heap; no pointers.
 * Only fixed-width integers and the mutex. Words that readers load without the lock are
 * marked [racy]; everything else is the lock holder's. */
#ifndef LC_LAYOUT_H
#define LC_LAYOUT_H

#include <pthread.h>
#include <stdint.h>

#include "lc_base.h"

#define LC_LAYOUT_VERSION 5
#define LC_MAGIC          0x006568636163696cULL /* "licache\0", little endian */
#define LC_READY          0x0079646165722d6cULL /* "l-ready\0" */

#define LC_SIZE_MIN      (1ULL << 20)
#define LC_SIZE_MAX      (64ULL << 30)
#define LC_BLOCK_MIN     4096ULL
#define LC_BLOCK_MAX     (2ULL << 20) /* one huge page */
#define LC_BLOCKS_WANTED 256          /* per shard: 16 records and more to a block */
#define LC_HEAP_ALIGN    4096
#define LC_SHARDS_MAX    64
#define LC_ROWS_MAX      256

/* --- header ----------------------------------------------------------------------- */

/* Written once by the creator before hd_ready, then constant but for the marked words.
 */
struct shm_header {
    uint64_t hd_magic;
    uint32_t hd_layout;
    uint32_t hd_fingerprint; /* sizes and compiler; see lc_segment.c */
    uint64_t hd_size;        /* bytes of the whole object */
    uint64_t hd_max_value;   /* bytes */
    uint64_t hd_hash_key[2]; /* random; see lc_hash.h */
    uint64_t hd_boot_id[2];  /* locks and clocks of another boot mean nothing */
    uint64_t hd_time_ns[2];  /* device, inode of the creator's time namespace */
    uint32_t hd_shard_count; /* power of two */
    uint32_t hd_row_count;
    uint32_t hd_row_bytes;
    uint32_t hd_row_pins;
    uint32_t hd_block_shift; /* log2 of the block's bytes */
    uint32_t hd_block_count; /* per shard */
    uint32_t hd_group_count; /* per shard, power of two */
    uint32_t hd_flags;       /* LILCACHE_CHECKSUMS, LILCACHE_FAVOR_BYTES */
    uint64_t hd_rows_at;     /* bytes from the segment's start, as the next two */
    uint64_t hd_shards_at;
    uint64_t hd_shard_bytes; /* distance of two shards */
    uint64_t hd_groups_at;   /* bytes from the shard's start, as the next two */
    uint64_t hd_blocks_at;
    uint64_t hd_heap_at;
    uint64_t hd_checksum; /* of everything above */
    uint64_t hd_ready;    /* [racy] LC_READY; the creator's last store */
    uint64_t hd_retired;  /* [racy] not 0: attach anew */
    uint64_t
        hd_pin_copies;   /* [racy] forks that copied pins to another row; atomic add */
    uint64_t hd_left[8]; /* PROCESS counters of rows given up; atomic adds */
    uint64_t hd_rows_used; /* [racy] no row from this number on was ever claimed [W3] */
};

#define LC_HEADER_BYTES 512
_Static_assert(sizeof(struct shm_header) <= LC_HEADER_BYTES,
               "header outgrew its place");

/* --- process rows ----------------------------------------------------------------- */

#define LC_ROW_COUNTERS    6 /* the PROCESS rows of stats.def */
#define LC_ROW_STRIPES_MAX 8
#define LC_ROW_FREE        0
#define LC_ROW_USED        1

/* Alive while its byte is locked (lc_row.c). Only the owner writes it; a sweeper that
 * holds the byte lock of a dead owner writes it too. Behind the pins lie the counters:
 * stripes of LC_ROW_COUNTERS words, in a line each, so that threads count apart. */
struct shm_row {
    uint64_t rw_state; /* [racy] LC_ROW_*; low half, claims so far in the high half */
    uint32_t rw_pid;   /* of the owner [W2] */
    uint32_t rw_pin_high;      /* [racy] pins at and above this index are 0 */
    uint64_t rw_pinned_blocks; /* [racy] blocks claimed by the pins; the quota's sum */
    uint64_t rw_start;         /* when the owner started; 0: unknown [W2] */
    uint64_t rw_pin[];         /* [racy] shard, block + 1; 0: none */
};

_Static_assert(sizeof(struct shm_row) == 32, "pins and stripes fill whole lines");
_Static_assert(LC_ROW_COUNTERS * 8 <= LC_CACHE_LINE, "one line per stripe");

#define LC_PIN_WORD(shard, block) ((uint64_t)(shard) << 32 | ((uint64_t)(block) + 1))

/* --- slots and buckets ------------------------------------------------------------ */

/*  63   62 61  60             33  32                    0
 * +----+------+------------------+-----------------------+
 * |live| hits |       tag        |  record, 8-byte units |   live = 1
 * |  0 | 0  1 |       tag        |  eviction stamp       |   ghost
 * +----+------+------------------+-----------------------+   empty: the word is 0
 *
 * The tag is 28 bits of the key's hash. Its high bits choose the home bucket, so a
 * group is rebuilt from its slots alone. Readers raise the hits by compare-and-swap,
 * nothing else in a slot is theirs [H1]; eviction lends some to small records. */
#define LC_SLOT_LIVE       (1ULL << 63)
#define LC_SLOT_HITS_SHIFT 61
#define LC_SLOT_HITS       (3ULL << LC_SLOT_HITS_SHIFT)
#define LC_SLOT_HIT        (1ULL << LC_SLOT_HITS_SHIFT)
#define LC_TAG_BITS        28
#define LC_TAG_SHIFT       33
#define LC_TAG_MASK        ((1ULL << LC_TAG_BITS) - 1)
#define LC_UNIT_MASK       ((1ULL << LC_TAG_SHIFT) - 1)
#define LC_UNIT_SHIFT      3 /* records are aligned to 8 bytes */

static inline uint64_t lc_slot_live(uint64_t tag, uint64_t unit, uint64_t hits) {
    return LC_SLOT_LIVE | hits << LC_SLOT_HITS_SHIFT | tag << LC_TAG_SHIFT | unit;
}

static inline uint64_t lc_slot_ghost(uint64_t tag, uint64_t stamp) {
    return LC_SLOT_HIT | tag << LC_TAG_SHIFT | (stamp & LC_UNIT_MASK);
}

static inline uint64_t lc_slot_tag(uint64_t slot) {
    return slot >> LC_TAG_SHIFT & LC_TAG_MASK;
}
static inline uint64_t lc_slot_unit(uint64_t slot) { return slot & LC_UNIT_MASK; }
static inline uint64_t lc_slot_offset(uint64_t slot) {
    return (slot & LC_UNIT_MASK) << LC_UNIT_SHIFT;
}
static inline uint64_t lc_slot_hits(uint64_t slot) {
    return slot >> LC_SLOT_HITS_SHIFT & 3;
}
/* Whether the slot has this tag, live or ghost; an empty one may have tag 0. */
static inline bool lc_slot_has_tag(uint64_t slot, uint64_t tag) {
    return ((slot ^ tag << LC_TAG_SHIFT) & LC_TAG_MASK << LC_TAG_SHIFT) == 0;
}
static inline bool lc_slot_is_live_with_tag(uint64_t slot, uint64_t tag) {
    return ((slot ^ lc_slot_live(tag, 0, 0)) &
            (LC_SLOT_LIVE | LC_TAG_MASK << LC_TAG_SHIFT)) == 0;
}
static inline bool lc_slot_is_live(uint64_t slot) { return (slot & LC_SLOT_LIVE) != 0; }
static inline bool lc_slot_is_ghost(uint64_t slot) {
    return slot != 0 && (slot & LC_SLOT_LIVE) == 0;
}

#define LC_BUCKET_SLOTS 7

struct shm_bucket {
    uint64_t bk_slot[LC_BUCKET_SLOTS]; /* [racy] */
    uint64_t
        bk_overflow; /* [racy] 8 counters of 8 bits, one per class (low 3 bits of the
                        tag): live slots of the class that passed this bucket by */
};

_Static_assert(sizeof(struct shm_bucket) == LC_CACHE_LINE, "one line per bucket");

/* --- index groups ----------------------------------------------------------------- */

#define LC_PAGE_BYTES      512
#define LC_PAGE_SHIFT      9
#define LC_PAGE_LINES      8
#define LC_GROUP_PAGES_MAX 128
#define LC_GROUP_SHARE     (128u << 10) /* bytes of shard per group */

/* A group's first page begins with the numbers of its other pages, 16 to a line;
 * buckets follow. gr_dir: first page's number + 1 in the low half, page count in the
 * high half. */
struct shm_group {
    uint64_t gr_dir;     /* [racy] 0: no page yet */
    uint64_t gr_changes; /* [racy] bumped after gr_dir changed, before old pages are
                            reused */
    uint64_t gr_counts; /* [racy] live slots in the low half, ghosts in the high half */
    uint64_t gr_spare;
};

/* --- blocks ----------------------------------------------------------------------- */

enum lc_block_state {
    LC_BLOCK_FREE = 0,
    LC_BLOCK_OPEN = 1, /* records are appended */
    LC_BLOCK_SEALED = 2,
    LC_BLOCK_PARKED = 3, /* nothing points into it, but a pin holds its bytes */
    LC_BLOCK_INDEX = 4,
    LC_BLOCK_CONT = 5, /* inside a run; the length field is the distance to its head */
};

enum lc_queue { LC_SMALL = 0, LC_MAIN = 1, LC_QUEUES = 2 };

/* bl_word:  63..60 queue   59..56 state   55..32 length in blocks   31..0 epoch */
struct shm_block {
    uint64_t bl_generation; /* [racy] bumped before the block's bytes may be reused */
    uint64_t bl_word;       /* [racy] one store per change of state */
    uint64_t bl_fill;       /* bytes of the run in use; index blocks: pages in use */
    uint64_t bl_live; /* [racy] hint: live bytes / 8 in the low half, records above */
    uint64_t bl_sequence; /* when the run was opened; the queue's order */
    uint64_t bl_expires;  /* hint: ms when the last record expires, UINT64_MAX never */
};

_Static_assert(sizeof(struct shm_block) == 48,
               "48 bytes never straddle lines at 0 and 8");

static inline uint64_t lc_block_word(enum lc_block_state state, enum lc_queue queue,
                                     uint32_t length, uint32_t epoch) {
    return (uint64_t)queue << 60 | (uint64_t)state << 56 | (uint64_t)length << 32 |
           epoch;
}
static inline enum lc_block_state lc_word_state(uint64_t word) {
    return (enum lc_block_state)(word >> 56 & 15);
}
static inline enum lc_queue lc_word_queue(uint64_t word) {
    return (word >> 60 & 15) == LC_MAIN ? LC_MAIN : LC_SMALL;
}
static inline uint32_t lc_word_length(uint64_t word) {
    return (uint32_t)(word >> 32) & 0xFFFFFF;
}
static inline uint32_t lc_word_epoch(uint64_t word) { return (uint32_t)word; }

/* --- shards ----------------------------------------------------------------------- */

enum lc_intent_kind {
    LC_INTENT_NONE = 0,
    LC_INTENT_SLOT = 1,  /* one slot changes; counts and live bytes follow */
    LC_INTENT_GROUP = 2, /* a group is rebuilt elsewhere */
};

enum lc_phase { /* of a recovery that takes many such steps */
                LC_PHASE_NONE = 0,
                LC_PHASE_REBUILD = 1, /* the shard is being rebuilt from its blocks */
                LC_PHASE_EMPTY = 2,   /* the shard is being emptied */
};

/* What the lock holder is in the middle of. Its successor finishes or drops it, by
 * values and never by increments, so that a recovery can be repeated. */
struct shm_intent {
    uint64_t in_kind; /* enum lc_intent_kind; armed by a release store, the last one */
    uint64_t in_group;
    uint64_t in_slot_at; /* byte of the slot in the heap */
    uint64_t in_old;
    uint64_t in_new;
    uint64_t in_counts[2];    /* gr_counts before, after */
    uint64_t in_from_block;   /* head of the run in_old points into, or LC_NO_BLOCK */
    uint64_t in_from_live[2]; /* its bl_live before, after */
    uint64_t in_to_block;
    uint64_t in_to_live[2];
    uint64_t in_phase; /* enum lc_phase */
    uint64_t in_spare[2];
};

_Static_assert(sizeof(struct shm_intent) == 128, "two lines");

#define LC_NO_BLOCK       UINT32_MAX
#define LC_OPEN_RUNS      2  /* open runs per queue: the fuller one takes what fits */
#define LC_SHARD_COUNTERS 16 /* the SHARD rows of stats.def */

struct shm_shard {
    /* the lock's own lines */
    pthread_mutex_t sh_mutex;
    uint8_t sh_lock_pad[128 - sizeof(pthread_mutex_t)];

    /* readers load this line */
    uint64_t sh_epoch; /* [racy] low 32 bits; older blocks are invisible */
    uint64_t sh_epoch_pad[7];

    struct shm_intent sh_intent;

    uint64_t sh_stamp;       /* write number; low 32 bits go into records */
    uint64_t sh_sequence;    /* runs opened */
    uint64_t sh_ghost_clock; /* bytes evicted into ghosts, in 64-byte steps */
    uint32_t sh_open[LC_QUEUES][LC_OPEN_RUNS]; /* heads, or LC_NO_BLOCK */
    uint32_t sh_victim;      /* head of the run being evicted, or LC_NO_BLOCK */
    uint32_t sh_victim_mode; /* enum lc_victim_mode */
    uint64_t sh_victim_at;   /* byte in the run where the next slice starts */

    /* hints, recomputed by recovery */
    uint32_t sh_free_blocks;
    uint32_t sh_index_blocks;
    uint32_t sh_index_pages; /* in use */
    uint32_t sh_parked_blocks;
    uint32_t sh_index_hint; /* no index block above it has a free page */
    uint32_t sh_index_low;  /* no index block below it */
    uint32_t sh_bulk; /* records are written, but hardly any are read (lc_victim.c) */
    uint32_t sh_shrink_hint;  /* a group worth shrinking + 1 */
    uint32_t sh_mean_bytes;   /* moving average of record sizes */
    uint32_t sh_spread_bytes; /* and of their distance from it */

    uint64_t sh_cold_bytes;    /* appended to small since the shard was last empty, or
                                  UINT64_MAX once something was evicted */
    uint64_t sh_evicted_bytes; /* moving average of the sizes of records that main
                                  evicted, in 1/1024 bytes; 0: none yet */

    /* the first, of sets, in a line that a set looks into anyway */
    uint64_t sh_counter[LC_SHARD_COUNTERS];

    uint64_t sh_window_gets; /* all gets and sets when sh_bulk was last worked out */
    uint64_t sh_window_sets;
};

#define LC_SHARD_BYTES 1024
_Static_assert(sizeof(struct shm_shard) <= LC_SHARD_BYTES, "shard outgrew its place");
_Static_assert(sizeof(pthread_mutex_t) <= 128, "mutex outgrew its lines");

/* --- records ---------------------------------------------------------------------- */

/*  0       2       4            8        12
 *  +-------+-------+------------+--------+  then, if it expires: 4 bytes of padding and
 *  | key   | flags | value      | stamp  |  the 8-byte expiry; then the key; then the
 *  | length|       | length     |        |  value, 64-byte aligned from 64 KiB up;
 *  +-------+-------+------------+--------+  with checksums, 8 bytes at the next
 *                                           multiple of 8
 *
 * Constant after publication, but for the expiry word and LC_RECORD_DEAD. */
struct shm_record {
    uint16_t rc_key_length;
    uint16_t rc_flags; /* [racy] */
    uint32_t rc_value_length;
    uint32_t rc_stamp;
};

_Static_assert(sizeof(struct shm_record) == 12, "record header");

#define LC_RECORD_KEY_TYPE         0x0003u
#define LC_RECORD_EXPIRES          0x0004u
#define LC_RECORD_CHECKSUM         0x0008u
#define LC_RECORD_ALIGNED          0x0010u
#define LC_RECORD_DEAD             0x0020u /* hint for a rebuild: unlinked on purpose */
#define LC_RECORD_VALUE_TYPE_SHIFT 8
#define LC_VALUE_ALIGN_FROM        (64u << 10)
#define LC_VALUE_ALIGN             64u

#endif
