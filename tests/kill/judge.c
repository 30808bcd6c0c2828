#include "judge.h"

#include <linux/futex.h>

#include "lc_row.h"

#define USE_EVERY 64 /* judges who go on to use the segment for a while */

pid_t victim_fork(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(HANG_SECONDS);
    }
    return child;
}

int victim_status(pid_t child) {
    int status;
    alarm(2 * HANG_SECONDS); /* for a child that it left behind, too */
    CHECK(waitpid(child, &status, 0) == child);
    while (waitpid(-1, NULL, 0) > 0) { /* that child comes to us */
    }
    alarm(0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        LCT_FAIL("it hung");
    }
    return status;
}

void judge_note_survivors(void) {
    for (uint32_t n = 0; n < KEY_FREE + w.used; n++) {
        w.keys[n].must = false;
    }
    for (uint32_t n = 0; n < KEY_FREE + w.used; n++) {
        w.keys[n].must = !w.rebuilding && verify_look(n, &w.keys[n]) == FOUND_IT;
    }
}

static uint64_t figure(const uint64_t *values, int count, const char *name) {
    for (int i = 0; i < count; i++) {
        if (strcmp(lilcache_stat_name(i), name) == 0) {
            return values[i];
        }
    }
    LCT_FAIL("no statistic %s", name);
}

bool judge_lock_was_held(void) {
    const struct lc_segment *segment = w.cache->segment;
    bool held = false;
    for (uint32_t i = 0; i < segment->shard_count; i++) {
        const pthread_mutex_t *mutex = &segment->shards[i].ctl->sh_mutex;
        held |= ((uint32_t)mutex->__data.__lock & FUTEX_OWNER_DIED) != 0;
    }
    return held;
}

struct figures judge_figures(void) {
    uint64_t values[128];
    int count = lilcache_stats(w.cache, values, 128);
    return (struct figures){
        .repaired = figure(values, count, "repaired"),
        .rebuilt = figure(values, count, "rebuilt"),
        .emptied = figure(values, count, "emptied"),
        .processes = figure(values, count, "processes"),
        .pins = figure(values, count, "pins"),
    };
}

/* In a full segment a set may evict, and before a rebuild reads miss. */
static void begin(const struct deed *deed, uint64_t k, bool completed) {
    first_operation(deed, w.rebuilding ? 1 : w.evicting ? 1 + k % 2 : k, completed);
}

void judge(const struct deed *deed, uint64_t k, bool completed, uint64_t repairs_least,
           uint64_t repairs_most, const struct figures *before) {
    static uint64_t judged;
    alarm(HANG_SECONDS);
    begin(deed, k, completed);
    ct_check(w.cache);
    struct figures after = judge_figures();
    if (w.rebuilding) {
        CHECK(w.emptying || after.emptied == 0);
    } else {
        CHECK(after.repaired >= before->repaired + lc_max64(repairs_least, w.repairs));
        CHECK(after.repaired <= before->repaired + repairs_most + w.repairs);
        CHECK_EQ(after.rebuilt, 0);
        CHECK_EQ(after.emptied, 0);
    }
    verify_keys(deed, completed);
    lc_row_sweep(w.cache->segment);
    after = judge_figures();
    CHECK_EQ(after.processes, 1);
    CHECK_EQ(after.pins, w.pins);
    if (judged++ % USE_EVERY == 0) {
        verify_use();
        CHECK(w.rebuilding || w.pins || ct_stat(w.cache, "parked_blocks") == 0);
    }
    alarm(0);
}
