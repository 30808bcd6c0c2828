/* States of a segment that is then damaged: at rest, full, and as a process leaves it
 * that dies in the middle of something. */
#include <sys/prctl.h>

#include "damage.h"
#include "lc_block.h"
#include "lc_evict.h"

#define OTHERS     2000 /* keys that only fill */
#define OTHER_KEYS 1200

static int set_other(struct lilcache *cache, uint64_t i, uint64_t least) {
    uint64_t n = OTHERS + i % OTHER_KEYS;
    return ct_set(cache, n, n, least + i * 7919 % 2000);
}

static void prepare_idle(struct lilcache *cache) { victim_fill(cache, KEYS); }

static void prepare_full(struct lilcache *cache) {
    victim_fill(cache, KEYS);
    for (uint64_t i = 0; i < 1500; i++) {
        CHECK_EQ(set_other(cache, i, 100), LILCACHE_OK);
    }
    victim_fill(cache, KEYS);
}

static void wait_for_death(pid_t child) {
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* A writer that dies when it comes to that point of the core. */
static void die_at(struct lilcache *cache, enum lc_crash_point point, uint64_t least) {
    pid_t child = fork();
    if (child == 0) {
        ct_crash_arm(1, (int)point, SIGKILL);
        for (uint64_t i = 0; i < 20000; i++) {
            set_other(cache, i, least);
        }
        _exit(0);
    }
    wait_for_death(child);
}

#define DYING(name, prepare, point, least)                                             \
    static void prepare_##name(struct lilcache *cache) {                               \
        prepare(cache);                                                                \
        die_at(cache, LC_CRASH_##point, least);                                        \
    }

DYING(armed, prepare_idle, slot_intent_armed, 100)
DYING(stored, prepare_full, slot_stored, 100)
DYING(built, prepare_idle, group_built, 0)
DYING(switched, prepare_idle, group_switched, 0)
DYING(copied, prepare_full, evict_record_copied, 100)
DYING(freeing, prepare_full, evict_generation_bumped, 100)
DYING(opening, prepare_full, run_continued, 100)
DYING(taken, prepare_idle, index_block_taken, 0)
DYING(reserved, prepare_full, large_reserved, 70000)

/* A run that was evicted under the view of a process that is dead by now: the view was
 * taken when the run had been chosen already. */
static void prepare_parked(struct lilcache *cache) {
    prepare_full(cache);
    pid_t child = fork();
    if (child == 0) {
        char key[CT_KEY_BYTES + 1];
        struct lilcache_view view;
        struct lc_shard *shard = ct_shard(cache);
        ct_key(1, key);
        CHECK(lilcache_pin(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view) >= 0);
        uint64_t offset = (uint64_t)((const uint8_t *)view.data - shard->heap);
        uint32_t head = lc_block_head_locked(shard, lc_block_of(shard, offset));
        lc_run_seal_locked(shard, head);
        shard->ctl->sh_victim_at = 0;
        shard->ctl->sh_victim_mode = LC_VICTIM_DROP;
        shard->ctl->sh_victim = head;
        for (uint64_t i = 0; i < 5000 && ct_stat(cache, "parked_blocks") == 0; i++) {
            set_other(cache, i, 100);
        }
        CHECK(ct_stat(cache, "parked_blocks") > 0);
        raise(SIGKILL);
    }
    wait_for_death(child);
}

/* Recovery, interrupted itself. */
static void prepare_recovering(struct lilcache *cache) {
    prepare_armed(cache);
    pid_t child = fork();
    if (child == 0) {
        ct_crash_arm(1, LC_CRASH_recover_slot_done, SIGKILL);
        ct_delete(cache, OTHERS);
        _exit(0);
    }
    wait_for_death(child);
}

const struct state states[] = {
    {"idle", prepare_idle, true, false, true, true},
    {"idle, no checksums", prepare_idle, false, false, true, false},
    {"full", prepare_full, true, false, false, false},
    {"intent armed", prepare_armed, true, false, true, false},
    {"slot stored", prepare_stored, true, false, true, false},
    {"group built", prepare_built, true, false, false, false},
    {"group switched", prepare_switched, true, false, false, false},
    {"record copied", prepare_copied, true, false, false, false},
    {"run being freed", prepare_freeing, true, false, false, false},
    {"run being opened", prepare_opening, true, false, false, false},
    {"index block taken", prepare_taken, true, false, false, false},
    {"large value reserved", prepare_reserved, true, false, false, false},
    {"parked", prepare_parked, true, false, false, false},
    {"recovering", prepare_recovering, true, false, false, false},
    {"busy", prepare_full, true, true, false, true},
    {"busy, no checksums", prepare_full, false, true, false, false},
};
const size_t state_count = sizeof states / sizeof *states;
