/* A process stopped inside the lock: readers do not notice, writers are told in time,
 * and whether it goes on or dies, all is well afterwards. */
#include "cachetest.h"

#define KEYS        3000u
#define VALUE_BYTES 200u

enum ending { GOES_ON, DIES };

static uint64_t read_all(struct lilcache *cache) {
    uint64_t found = 0;
    for (uint64_t n = 0; n < KEYS; n++) {
        enum ct_outcome outcome = ct_get(cache, n, n, VALUE_BYTES);
        CHECK(outcome != CT_WRONG);
        found += outcome == CT_RIGHT;
    }
    return found;
}

/* A process that sets new keys until it comes to the point. */
static pid_t stop_at(struct lilcache *cache, int point, size_t length) {
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        ct_crash_arm(1, point, SIGSTOP);
        for (uint64_t n = 100000; ct_crash.count == 0; n++) {
            CHECK(n < 300000);
            ct_set(cache, n, n, length);
            ct_get(cache, n, n, length); /* survivors to relocate */
        }
        _exit(0);
    }
    CHECK(waitpid(child, &status, WUNTRACED) == child);
    CHECK(WIFSTOPPED(status));
    return child;
}

static void check_writer_is_told(struct lilcache *cache) {
    double started = lct_seconds();
    CHECK_EQ(ct_set(cache, 1, 1, VALUE_BYTES), LILCACHE_BUSY);
    double took = (lct_seconds() - started) * 1000;
    /* A generous allowance for a busy machine. */
    CHECK(took >= LILCACHE_SLICE_MS && took < LILCACHE_SLICE_MS + 500);
    CHECK_EQ(ct_delete(cache, 1), LILCACHE_BUSY);
    CHECK_EQ(lilcache_clear(cache), LILCACHE_BUSY);
    started = lct_seconds();
    for (int i = 0; i < 1000; i++) { /* these do not even wait for a slice */
        CHECK_EQ(lilcache_try_set(cache, "key", 3, LILCACHE_KEY_STR, "value", 5, 0,
                                  LILCACHE_TTL_NONE, LILCACHE_SET),
                 LILCACHE_BUSY);
        CHECK_EQ(lilcache_try_delete(cache, "key", 3, LILCACHE_KEY_STR), LILCACHE_BUSY);
        int64_t sum = 0;
        CHECK_EQ(lilcache_try_incr(cache, "key", 3, LILCACHE_KEY_STR, 1, &sum,
                                   LILCACHE_TTL_NONE, &sum),
                 LILCACHE_BUSY);
    }
    CHECK(lct_seconds() - started < 3000 * LILCACHE_SLICE_MS / 1000.0 / 2);
}

static void end(struct lilcache *cache, pid_t child, enum ending ending) {
    if (ending == GOES_ON) {
        CHECK_EQ(kill(child, SIGCONT), 0);
        lct_join(child);
    } else {
        CHECK_EQ(kill(child, SIGKILL), 0);
        CHECK(waitpid(child, NULL, 0) == child);
    }
    CHECK_EQ(ct_set(cache, KEYS, 1, VALUE_BYTES), LILCACHE_OK);
    CHECK_EQ(ct_stat(cache, "repaired"), ending == DIES);
    ct_check_unhurt(cache);
}

/* Nothing is evicted: every key is there. */
static void with_room(int point, enum ending ending) {
    struct lilcache *cache = ct_open(64 * MIB);
    for (uint64_t n = 0; n < KEYS; n++) {
        CHECK_EQ(ct_set(cache, n, n, VALUE_BYTES), LILCACHE_OK);
    }
    pid_t child = stop_at(cache, point, 100);
    double started = lct_seconds();
    for (int round = 0; round < 20; round++) {
        CHECK_EQ(read_all(cache), KEYS);
    }
    CHECK(lct_seconds() - started < 2.0 * LCT_SLOWER);
    check_writer_is_told(cache);
    CHECK_EQ(read_all(cache), KEYS);
    CHECK_EQ(ct_stat(cache, "contended_misses"), 0);
    end(cache, child, ending);
    CHECK_EQ(read_all(cache), KEYS);
    lilcache_close(cache);
}

/* Whatever is there when the process stops stays readable. */
static void while_evicting(int point, enum ending ending) {
    struct lilcache *cache = ct_open(1 * MIB);
    for (uint64_t n = 0; n < 40000; n++) {
        CHECK_EQ(ct_set(cache, n % (2 * KEYS), n % (2 * KEYS), VALUE_BYTES),
                 LILCACHE_OK);
        ct_get(cache, n % 97, n % 97, VALUE_BYTES);
    }
    for (uint64_t n = 0; n < KEYS / 2; n++) {
        CHECK_EQ(ct_set(cache, n, n, VALUE_BYTES), LILCACHE_OK);
    }
    pid_t child = stop_at(cache, point, VALUE_BYTES);
    uint64_t first = read_all(cache);
    CHECK(first > 100);
    for (int round = 0; round < 20; round++) {
        CHECK_EQ(read_all(cache), first);
    }
    check_writer_is_told(cache);
    CHECK_EQ(read_all(cache), first);
    CHECK_EQ(ct_stat(cache, "contended_misses"), 0);
    end(cache, child, ending);
    lilcache_close(cache);
}

static void both(void (*stop)(int point, enum ending ending), int point) {
    stop(point, GOES_ON);
    stop(point, DIES);
}

TEST(with_the_lock, 30) { both(with_room, LC_CRASH_lock_taken); }
TEST(with_half_a_record, 30) { both(with_room, LC_CRASH_record_header_written); }
TEST(with_a_record_filled, 30) { both(with_room, LC_CRASH_record_filled); }
TEST(before_publishing, 30) { both(with_room, LC_CRASH_slot_intent_armed); }
TEST(with_overflow_raised, 30) { both(with_room, LC_CRASH_slot_overflow_raised); }
TEST(after_publishing, 30) { both(with_room, LC_CRASH_slot_stored); }
TEST(with_a_page_taken, 30) { both(with_room, LC_CRASH_group_page_taken); }
TEST(with_a_group_built, 30) { both(with_room, LC_CRASH_group_built); }
TEST(with_a_group_switched, 30) { both(with_room, LC_CRASH_group_switched); }
TEST(with_changes_bumped, 30) { both(with_room, LC_CRASH_group_changes_bumped); }
TEST(with_old_pages_freed, 30) { both(with_room, LC_CRASH_group_old_pages_freed); }
TEST(with_a_run_opened, 30) { both(with_room, LC_CRASH_run_opened); }
TEST(with_an_index_block_taken, 30) { both(with_room, LC_CRASH_index_block_taken); }
TEST(with_a_survivor_copied, 30) { both(while_evicting, LC_CRASH_evict_record_copied); }
TEST(with_a_record_unlinked, 30) {
    both(while_evicting, LC_CRASH_evict_record_unlinked);
}
TEST(with_a_run_unlinked, 30) { both(while_evicting, LC_CRASH_evict_run_unlinked); }
TEST(with_generations_bumped, 30) {
    both(while_evicting, LC_CRASH_evict_generation_bumped);
}
TEST(with_a_run_freed, 30) { both(while_evicting, LC_CRASH_evict_run_freed); }

/* The copy of a large value happens outside the lock: nobody waits for a process that
 * stops there, and its key keeps the old value meanwhile. */
static void while_copying(enum ending ending) {
    struct lilcache *cache = ct_open(64 * MIB);
    int status;
    CHECK_EQ(ct_set(cache, 1, 1, 500000), LILCACHE_OK);
    pid_t child = fork();
    if (child == 0) {
        ct_crash_arm(1, LC_CRASH_large_copied, SIGSTOP);
        CHECK_EQ(ct_set(cache, 1, 2, 700000), LILCACHE_OK);
        _exit(0);
    }
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    CHECK_EQ(ct_get(cache, 1, 1, 500000), CT_RIGHT);
    for (uint64_t n = 2; n < 200; n++) { /* turns the segment over several times */
        CHECK_EQ(ct_set(cache, n, n, 800000), LILCACHE_OK);
        CHECK_EQ(ct_get(cache, n, n, 800000), CT_RIGHT);
    }
    if (ending == GOES_ON) {
        CHECK_EQ(kill(child, SIGCONT), 0);
        lct_join(child);
        CHECK_EQ(ct_get(cache, 1, 2, 700000), CT_RIGHT);
    } else {
        CHECK_EQ(kill(child, SIGKILL), 0);
        CHECK(waitpid(child, NULL, 0) == child);
        CHECK(ct_get(cache, 1, 1, 500000) != CT_WRONG);
    }
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(outside_the_lock_while_copying, 30) {
    while_copying(GOES_ON);
    while_copying(DIES);
}

static uint8_t *guarded; /* one page, not to be read yet */

static void stop_and_open(int signal) {
    (void)signal;
    raise(SIGSTOP);
    mprotect(guarded, 4096, PROT_READ | PROT_WRITE);
}

/* Stopped at the first byte of the copy: whatever the others need meanwhile, the place
 * stays its own, so that it cannot write over their values. */
TEST(the_place_of_a_large_value_stays_until_it_is_copied, 30) {
    struct lilcache *cache = ct_open(4 * MIB);
    char key[CT_KEY_BYTES + 1];
    size_t length = 200000;
    int status;
    ct_key(1, key);
    guarded =
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(guarded != MAP_FAILED);
    ct_fill(guarded, length, 2);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, stop_and_open);
        CHECK_EQ(mprotect(guarded, 4096, PROT_NONE), 0);
        CHECK_EQ(lilcache_set(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, guarded,
                              length, 7, LILCACHE_TTL_NONE, LILCACHE_SET),
                 LILCACHE_OK);
        _exit(0);
    }
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    for (uint64_t n = 2; n < 3000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 4000), LILCACHE_OK);
    }
    CHECK_EQ(kill(child, SIGCONT), 0);
    lct_join(child);
    for (uint64_t n = 2; n < 3000; n++) {
        CHECK(ct_get(cache, n, n, 4000) != CT_WRONG);
    }
    CHECK_EQ(ct_get(cache, 1, 2, length), CT_RIGHT);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

enum meanwhile { CHANGED, REMOVED, CLEARED };

/* A child that stores a large value and stops when it has copied it; what happens
 * meanwhile counts. Its status. */
static int after_copying(struct lilcache *cache, enum lilcache_set_mode mode, bool cas,
                         enum meanwhile meanwhile) {
    char key[CT_KEY_BYTES + 1];
    uint8_t *value = malloc(200000);
    uint32_t stamp = 0;
    int status;
    ct_key(1, key);
    ct_fill(value, 200000, 5);
    pid_t child = fork();
    if (child == 0) {
        char old[8];
        lilcache_gets(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, old, 8, &stamp);
        ct_crash_arm(1, LC_CRASH_large_copied, SIGSTOP);
        status = cas ? lilcache_cas(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                                    200000, 7, LILCACHE_TTL_NONE, stamp)
                     : lilcache_set(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                                    200000, 7, LILCACHE_TTL_NONE, (int)mode);
        _exit(-status);
    }
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    if (meanwhile == CHANGED) {
        CHECK_EQ(ct_set(cache, 1, 3, 6), LILCACHE_OK);
    } else if (meanwhile == REMOVED) {
        CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
    } else {
        CHECK_EQ(lilcache_clear(cache), LILCACHE_OK);
    }
    CHECK_EQ(kill(child, SIGCONT), 0);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    free(value);
    return -WEXITSTATUS(status);
}

TEST(conditions_are_looked_at_again_after_a_large_copy, 30) {
    struct lilcache *cache = ct_open(4 * MIB);
    CHECK_EQ(after_copying(cache, LILCACHE_ADD, false, CHANGED), LILCACHE_EXISTS);
    CHECK_EQ(ct_get(cache, 1, 3, 6), CT_RIGHT);
    CHECK_EQ(after_copying(cache, LILCACHE_SET, true, CHANGED), LILCACHE_EXISTS);
    CHECK_EQ(ct_get(cache, 1, 3, 6), CT_RIGHT);
    CHECK_EQ(after_copying(cache, LILCACHE_REPLACE, false, REMOVED), LILCACHE_MISS);
    CHECK_EQ(ct_get(cache, 1, 3, 6), CT_MISS);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* The clear comes first, then the set: its value is there. */
TEST(a_large_value_outlives_a_clear_before_its_publication, 30) {
    struct lilcache *cache = ct_open(4 * MIB);
    CHECK_EQ(after_copying(cache, LILCACHE_SET, false, CLEARED), LILCACHE_OK);
    CHECK_EQ(ct_get(cache, 1, 5, 200000), CT_RIGHT);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* A reader that waits in the try-lock of its last resort would hang here. */
TEST(gets_of_absent_keys_do_not_wait, 30) {
    struct lilcache *cache = ct_open(64 * MIB);
    pid_t child = stop_at(cache, LC_CRASH_lock_taken, 100);
    double started = lct_seconds();
    for (uint64_t n = 0; n < 20000; n++) {
        CHECK_EQ(ct_get(cache, n, n, 100), CT_MISS);
    }
    CHECK(lct_seconds() - started < 2.0 * LCT_SLOWER);
    end(cache, child, GOES_ON);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
