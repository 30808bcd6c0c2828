/* lilcache: one cache in shared memory for all processes of a program.
 *
 * What every function here has in common
 *   - It may be called by any thread of any attached process; nothing is locked on
 * return.
 *   - Reads (get, gets, ttl, get_many, pin) take no lock and never wait.
 *   - Writes take one shard lock and wait for it at most LILCACHE_SLICE_MS, then return
 *     LILCACHE_BUSY with nothing stored; the caller repeats until its own time is up.
 *     So signal handlers of the caller run between two slices. Values of 64 KiB and
 * more take the lock twice and wait up to 10 slices the second time.
 *   - After fork() the handle works in the child, which gets a process row of its own.
 *   - Keys are (bytes, length, key type); keys of different types never match.
 *   - Results below zero are codes of status.def. */
#ifndef LILCACHE_H
#define LILCACHE_H

#include <stddef.h>
#include <stdint.h>

enum lilcache_status {
#define X(name, code, class_, text) LILCACHE_##name = (code),
#include "status.def"
#undef X
};

enum lilcache_key_type {
    LILCACHE_KEY_BYTES = 0,
    LILCACHE_KEY_STR = 1,
    LILCACHE_KEY_INT = 2,
    LILCACHE_KEY_TUPLE = 3,
};

/* Value types are the caller's, 0 to 255, but for this one: eight bytes, little endian,
 * two's complement; what incr works on. */
#define LILCACHE_TYPE_INT64 1

#define LILCACHE_KEY_MAX  65535
#define LILCACHE_SLICE_MS 20

/* ttl arguments are milliseconds from now; these two are not durations. */
#define LILCACHE_TTL_NONE 0
#define LILCACHE_TTL_KEEP (-1)

enum lilcache_set_mode {
    LILCACHE_SET = 0,
    LILCACHE_ADD = 1,     /* only if the key is absent, else EXISTS */
    LILCACHE_REPLACE = 2, /* only if the key is present, else MISS */
};

enum lilcache_flag {
    LILCACHE_ANONYMOUS = 1, /* a memfd that only forked children share */
    LILCACHE_CHECKSUMS = 2, /* every record carries a checksum, verified by reads */
    LILCACHE_RECREATE = 4, /* retire a live segment of that name and create a new one */
    LILCACHE_ATTACH = 8,   /* never create: OS with ENOENT when there is none */
    LILCACHE_UNGUARDED = 16,   /* leave SIGBUS alone: docs/decisions/0006 */
    LILCACHE_FAVOR_BYTES = 32, /* evict for hit bytes, not hits: docs/decisions/0012 */
};

struct lilcache; /* this process's attachment to one segment */

struct lilcache_options {
    const char *name;    /* object name without directory, e.g. "lilcache-1000-x" */
    uint64_t size_bytes; /* of the whole object; at least 1 MiB */
    uint64_t
        max_value_bytes;    /* 0: a quarter of the segment up to 64 MiB, else 16 MiB */
    uint32_t max_processes; /* 0: 64 below 4 MiB, else 256 */
    uint32_t flags;         /* enum lilcache_flag */
    uint32_t cores;         /* upper bound of the number of shards; 0: as the machine */
    int64_t owner; /* uid to own a new object, and whose object is accepted; -1: only
                      the caller's */
    int64_t group; /* gid, who may then read and write; -1: nobody */
};

/* What went wrong in open, with the facts a message needs. */
struct lilcache_error {
    int32_t status;
    int32_t os_errno;
    uint64_t wanted_bytes;    /* that could not be reserved; 0: it was something else */
    uint64_t available_bytes; /* UINT64_MAX: not known */
    char step[64];            /* the failing step, e.g. "posix_fallocate" */
};

/* A value where it lies in the segment. */
struct lilcache_view {
    const void *data;
    uint64_t length;
    uint32_t value_type;
    uint32_t stamp;
    uint64_t pin; /* for unpin */
};

/* Packed result of reads: value type in the low 8 bits, length above, so that results
 * for short values are small numbers. */
#define LILCACHE_PACK(type, length) ((int64_t)((uint64_t)(length) << 8 | (type)))
#define LILCACHE_LENGTH(result)     ((uint64_t)(result) >> 8)
#define LILCACHE_VALUE_TYPE(result) ((uint32_t)(result) & 0xFFu)

/* --- segments --------------------------------------------------------------------- */

/* Create the segment or attach to a live one. Blocks at most 10 s for another creator.
 * OK, OS, MISMATCH, FOREIGN, NAMESPACE, NOT_READY, INVALID, TOO_MANY_PROCESSES, MEMORY.
 * A live segment of another size is attached; compare with lilcache_size(). */
int lilcache_open(const struct lilcache_options *options, struct lilcache **out,
                  struct lilcache_error *error);

/* Give up the attachment. Every pin taken through it must have been dropped and no call
 * may be under way. The segment stays. */
void lilcache_close(struct lilcache *cache);

/* Have the kernel put the part of the segment at that offset into one huge page, which
 * costs fewer misses of the TLB and fewer page faults in every process; the values stay
 * as they are. at: a multiple of lilcache_huge_page(), with as many bytes behind it.
 * Takes milliseconds, and no lock: others may work meanwhile, and wait where they meet
 * that part. OK; OS: errno EAGAIN when it is worth another try, EINVAL when the kernel
 * is older than 6.1 or told to give none, ENOMEM or EBUSY when it has none; RETIRED;
 * INVALID. */
int lilcache_collapse(struct lilcache *cache, uint64_t at);
uint64_t lilcache_huge_page(void); /* bytes */

/* Remove the segment's name and mark it retired, so that every process attaches anew.
 * OK; FOREIGN, OS (both with errno), NOT_READY (10 s): it stays as it is. */
int lilcache_retire(struct lilcache *cache);

/* Bytes of the largest segment for which the memory cgroups of this process leave room;
 * UINT64_MAX: they set no limit. The kernel would not refuse a larger one but kill. */
uint64_t lilcache_memory_left(void);

/* 1 when this call created the segment, 0 when it attached. */
int lilcache_created(const struct lilcache *cache);
uint64_t lilcache_size(const struct lilcache *cache);
uint64_t lilcache_max_value(const struct lilcache *cache);

/* The mapping, for address checks; length through lilcache_size(). */
const void *lilcache_base(const struct lilcache *cache);

/* Permission bits of the object, as fstat reports them now; negative: OS. */
int lilcache_mode(const struct lilcache *cache);

/* The object name that open would use: name plus a suffix for layout, compiler, libc
 * and PID namespace. Writes at most cap bytes with the terminator; returns its length.
 */
int lilcache_object_name(const char *name, char *out, size_t cap);

/* --- reads ------------------------------------------------------------------------ */

/* Copy the value to out (cap bytes). Packed result, MISS, TOO_LARGE, KEY_SIZE, RETIRED.
 * Bytes of out past the value are undefined, also after a miss; after TOO_LARGE it
 * begins with the bytes that the value took, a uint64_t, if that fits. */
int64_t lilcache_get(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, void *out, size_t cap);

/* get, and the record's stamp, the version that cas compares. */
int64_t lilcache_gets(struct lilcache *cache, const void *key, size_t key_length,
                      int key_type, void *out, size_t cap, uint32_t *stamp);

/* What a value was when it was copied, for who keeps something made of it. Of this
 * attachment only; its fields are the core's. */
struct lilcache_version {
    uint64_t slot; /* 0: of nothing, never current */
    uint64_t word;
    uint64_t dir;
    uint64_t changes;
    uint64_t generation;
    uint64_t expiry;
    uint32_t shard;
    uint32_t group;
    uint32_t block;
    uint32_t epoch;
};

/* get, and the value's version. */
int64_t lilcache_get_version(struct lilcache *cache, const void *key, size_t key_length,
                             int key_type, void *out, size_t cap,
                             struct lilcache_version *version);

/* OK: a get of the key would return that very value now, and counts as one. MISS: it
 * may not, ask it. RETIRED. A relocated value is another one. */
int lilcache_is_current(struct lilcache *cache, const struct lilcache_version *version);

/* Remaining milliseconds to *ttl_ms, -1 for ever. OK or MISS. */
int lilcache_ttl(struct lilcache *cache, const void *key, size_t key_length,
                 int key_type, int64_t *ttl_ms);

/* Claim the block of the value and describe it; the bytes stay as they are until unpin.
 * Packed result, MISS, NO_PIN (then copy it with get), KEY_SIZE, RETIRED.
 * A forked child holds every pin of its parent too and drops its own. */
int64_t lilcache_pin(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, struct lilcache_view *view);
void lilcache_unpin(struct lilcache *cache, uint64_t pin);

/* --- writes ----------------------------------------------------------------------- */

/* Store a value; replaces value and ttl. OK, EXISTS or MISS (by mode), BUSY, KEY_SIZE,
 * VALUE_SIZE, TTL, NO_SPACE, RETIRED. */
int lilcache_set(struct lilcache *cache, const void *key, size_t key_length,
                 int key_type, const void *value, size_t value_length, int value_type,
                 int64_t ttl_ms, int mode);

/* Store only if the record's stamp is still `stamp`: OK, EXISTS, MISS, as set. */
int lilcache_cas(struct lilcache *cache, const void *key, size_t key_length,
                 int key_type, const void *value, size_t value_length, int value_type,
                 int64_t ttl_ms, uint32_t stamp);

/* OK or MISS, BUSY. */
int lilcache_delete(struct lilcache *cache, const void *key, size_t key_length,
                    int key_type);

/* The same without waiting, for callers that must not block: BUSY, also for a value
 * that is too long to be copied under the lock, means that nothing was done. */
int lilcache_try_set(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, const void *value, size_t value_length,
                     int value_type, int64_t ttl_ms, int mode);
int lilcache_try_delete(struct lilcache *cache, const void *key, size_t key_length,
                        int key_type);

/* get and delete in one step. TOO_LARGE deletes nothing. */
int64_t lilcache_pop(struct lilcache *cache, const void *key, size_t key_length,
                     int key_type, void *out, size_t cap);

/* Change the ttl and keep value and stamp. LILCACHE_TTL_NONE: for ever. OK, MISS, BUSY.
 */
int lilcache_touch(struct lilcache *cache, const void *key, size_t key_length,
                   int key_type, int64_t ttl_ms);

/* Add delta to an INT64 value, atomically over all processes; keeps the ttl. A missing
 * key is set to *initial with ttl_ms, or MISS when initial is NULL. The new value goes
 * to *result. OK, MISS, NOT_INTEGER, OVERFLOW, BUSY, NO_SPACE. */
int lilcache_incr(struct lilcache *cache, const void *key, size_t key_length,
                  int key_type, int64_t delta, const int64_t *initial, int64_t ttl_ms,
                  int64_t *result);

/* The same without waiting: BUSY means that nothing was done. */
int lilcache_try_incr(struct lilcache *cache, const void *key, size_t key_length,
                      int key_type, int64_t delta, const int64_t *initial,
                      int64_t ttl_ms, int64_t *result);

/* Forget everything, shard by shard. BUSY: some shards are cleared; repeat. */
int lilcache_clear(struct lilcache *cache);

/* --- many at once ----------------------------------------------------------------- */

/* keys: all keys one after the other; key_lengths and key_types: count entries each.
 * Each result is what the single call would return. */

/* Values go one after the other to out; a value that finds no room left is TOO_LARGE.
 * Returns the number of hits. */
int64_t lilcache_get_many(struct lilcache *cache, size_t count, const void *keys,
                          const uint32_t *key_lengths, const uint8_t *key_types,
                          void *out, size_t cap, int64_t *results);

/* values likewise one after the other. Stops at the first BUSY: results of that and the
 * later ones are BUSY. Returns the number stored. */
int64_t lilcache_set_many(struct lilcache *cache, size_t count, const void *keys,
                          const uint32_t *key_lengths, const uint8_t *key_types,
                          const void *values, const uint64_t *value_lengths,
                          const uint8_t *value_types, int64_t ttl_ms, int64_t *results);
int64_t lilcache_delete_many(struct lilcache *cache, size_t count, const void *keys,
                             const uint32_t *key_lengths, const uint8_t *key_types,
                             int64_t *results);

/* One step of a walk over all keys. *cursor 0 starts, 0 afterwards means done. Writes
 * entries of { uint16 length, uint8 key type, key bytes } to out, their number to
 * *count, and returns the bytes used. A key present during the whole walk is returned
 * at least once. cap must be at least LILCACHE_SCAN_MIN; TOO_LARGE when even that is
 * too little for keys of one tag: repeat with more. BUSY as a write. */
#define LILCACHE_SCAN_MIN 262144
int64_t lilcache_scan(struct lilcache *cache, uint64_t *cursor, void *out, size_t cap,
                      uint32_t *count);

/* --- looking inside --------------------------------------------------------------- */

/* Values of stats.def, in its order, at most count of them; returns how many there are.
 */
int lilcache_stats(struct lilcache *cache, uint64_t *out, int count);
const char *lilcache_stat_name(int index); /* NULL past the end */
const char *lilcache_stat_help(int index);
const char *lilcache_status_name(int status);
const char *lilcache_status_text(int status);

/* Check every invariant of docs/invariants.md under the locks; writes the first
 * violation to report. 0: all hold; 1: violated; BUSY. */
int lilcache_check(struct lilcache *cache, char *report, size_t cap);

/* The row number of this process, for logs; negative code when it has none. */
int lilcache_process_row(struct lilcache *cache);

#endif
