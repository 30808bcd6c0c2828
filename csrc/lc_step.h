/* What all writes do under the lock, one step after the other. */
#ifndef LC_STEP_H
#define LC_STEP_H

#include "lc_read.h"

/* What a write found of its key, and where the new record goes. */
struct lc_spot {
    struct lc_found found;
    struct lc_place ghost;
    bool linked;  /* a slot points to a record of this key */
    bool visible; /* and a reader would see it */
    uint64_t at;  /* room for the new record */
};

/* Before the lock: the segment is there, and this is a key. OK, KEY_SIZE, INVALID, or
 * what lc_segment_alive tells. */
int lc_step_begin(struct lilcache *cache, const void *bytes, size_t length, int type,
                  struct lc_key *key);

/* Lock and upkeep. OK: the lock is held. BUSY, CORRUPT: not held. */
int lc_step_enter(struct lc_shard *shard, uint32_t wait_ms);

/* The same for a write to this key, whose part of the index may be damaged. */
int lc_step_enter_for(struct lc_shard *shard, const struct lc_key *key,
                      uint32_t wait_ms);

/* Leave, and see to what was in the way: pins of the dead, or a shard that is mistaken
 * about its own space, for which nobody else would come. */
void lc_step_leave(struct lc_shard *shard, int status);

/* Fill all of spot but `at`. */
void lc_step_look_locked(const struct lc_shard *shard, const struct lc_key *key,
                         struct lc_spot *spot);

/* Whether the record matches its checksum; a mismatch is counted. value: a copy of what
 * it holds, or NULL. */
bool lc_step_verify_locked(const struct lc_shard *shard, const struct lc_key *key,
                           const struct lc_record *record, const void *value);

/* Room for `bytes`, and the key looked up after everything that could have moved it.
 * OK or NO_SPACE. */
int lc_step_room_locked(struct lc_shard *shard, const struct lc_key *key,
                        uint64_t bytes, struct lc_spot *spot);

/* Point the key's slot to the record: the commit. OK or NO_SPACE. */
int lc_step_publish_locked(struct lc_shard *shard, const struct lc_key *key,
                           const struct lc_spot *spot, const struct lc_record *record);

/* The same for what was set, counted. */
int lc_step_commit_locked(struct lc_shard *shard, const struct lc_key *key,
                          const struct lc_spot *spot, const struct lc_record *record);

/* Unlink what was looked up; OK if a reader would have seen it, else MISS. */
int lc_step_unlink_locked(struct lc_shard *shard, const struct lc_spot *spot);

#endif
