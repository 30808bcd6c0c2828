/* A process stopped inside the lock: readers do not notice, writers are told in time. */
#include "cachetest.h"

#define KEYS 3000u
#define VALUE_BYTES 200u

/* Any other value would have to be somebody's. Missing is allowed where the stopped
 * process evicts. */
static uint64_t read_all(struct lilcache *cache) {
    uint64_t found = 0;
    for (uint64_t n = 0; n < KEYS; n++) {
        enum ct_outcome outcome = ct_get(cache, n, n, VALUE_BYTES);
        CHECK(outcome != CT_WRONG);
        found += outcome == CT_RIGHT;
    }
    return found;
}

static pid_t stop_at(struct lilcache *cache, int point, uint64_t first, size_t length) {
    int status;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        ct_crash_arm(1, point, SIGSTOP);
        for (uint64_t n = first; n < first + 200000; n++) {
            ct_get(cache, n % 97, n % 97, VALUE_BYTES); /* somebody reads: no bulk load */
            ct_set(cache, n, n, length);
        }
        _exit(LCT_FAILED); /* never came to the point */
    }
    CHECK(waitpid(child, &status, WUNTRACED) == child);
    CHECK(WIFSTOPPED(status));
    return child;
}

static void check_writer_is_told(struct lilcache *cache) {
    double started = lct_seconds();
    CHECK_EQ(ct_set(cache, 1, 1, VALUE_BYTES), LILCACHE_BUSY);
    CHECK_EQ(ct_delete(cache, 1), LILCACHE_BUSY);
    /* Two slices, and a generous allowance for a busy machine. */
    CHECK(lct_seconds() - started < 2.0);
}

/* In a segment with room nothing is evicted, so every key must be there. */
static void stop_with_room(int point) {
    struct lilcache *cache = ct_open(64 * MIB);
    for (uint64_t n = 0; n < KEYS; n++) {
        CHECK_EQ(ct_set(cache, n, n, VALUE_BYTES), LILCACHE_OK);
    }
    pid_t child = stop_at(cache, point, KEYS, 100);
    for (int round = 0; round < 20; round++) {
        CHECK_EQ(read_all(cache), KEYS);
    }
    check_writer_is_told(cache);
    CHECK_EQ(ct_stat(cache, "contended_misses"), 0);
    CHECK_EQ(kill(child, SIGKILL), 0); /* a stopped owner that dies is repaired */
    CHECK(waitpid(child, NULL, 0) == child);
    CHECK_EQ(ct_set(cache, 1, 1, VALUE_BYTES), LILCACHE_OK);
    CHECK_EQ(ct_stat(cache, "repaired"), 1);
    CHECK_EQ(read_all(cache), KEYS);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* In a full segment whatever is there when the process stops stays readable. */
static void stop_while_evicting(int point) {
    struct lilcache *cache = ct_open(1 * MIB);
    uint64_t first;
    for (uint64_t n = 0; n < 40000; n++) {
        CHECK_EQ(ct_set(cache, n % (2 * KEYS), n % (2 * KEYS), VALUE_BYTES), LILCACHE_OK);
        ct_get(cache, n % 97, n % 97, VALUE_BYTES); /* survivors to relocate */
    }
    pid_t child = stop_at(cache, point, 100000, VALUE_BYTES);
    first = read_all(cache);
    CHECK(first > 100);
    for (int round = 0; round < 20; round++) {
        CHECK_EQ(read_all(cache), first);
    }
    check_writer_is_told(cache);
    CHECK_EQ(ct_stat(cache, "contended_misses"), 0);
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK(waitpid(child, NULL, 0) == child);
    CHECK_EQ(ct_set(cache, 1, 1, VALUE_BYTES), LILCACHE_OK);
    CHECK_EQ(ct_stat(cache, "repaired"), 1);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(stopped_with_the_lock, 20) { stop_with_room(LC_CRASH_lock_taken); }
TEST(stopped_before_publishing, 20) { stop_with_room(LC_CRASH_slot_intent_armed); }
TEST(stopped_after_publishing, 20) { stop_with_room(LC_CRASH_slot_stored); }
TEST(stopped_with_a_group_built, 20) { stop_with_room(LC_CRASH_group_built); }
TEST(stopped_with_a_group_switched, 20) { stop_with_room(LC_CRASH_group_switched); }
TEST(stopped_with_old_pages_freed, 20) {
    stop_with_room(LC_CRASH_group_old_pages_freed);
}
TEST(stopped_with_a_survivor_copied, 20) {
    stop_while_evicting(LC_CRASH_evict_record_copied);
}
TEST(stopped_with_a_record_unlinked, 20) {
    stop_while_evicting(LC_CRASH_evict_record_unlinked);
}
TEST(stopped_with_a_run_unlinked, 20) {
    stop_while_evicting(LC_CRASH_evict_run_unlinked);
}
TEST(stopped_with_generations_bumped, 20) {
    stop_while_evicting(LC_CRASH_evict_generation_bumped);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
