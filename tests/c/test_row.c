/* lc_row.c: rows of the dead are taken, rows of the living never, counters outlive
 * both. */
#include "cachetest.h"
#include "lc_counter.h"
#include "lc_row.h"

#define ROUNDS 200

static int try_open(const char *name, uint32_t rows, struct lilcache **out) {
    struct lilcache_options options = {
        .name = name,
        .size_bytes = 1 * MIB,
        .max_processes = rows,
        .cores = 1,
        .owner = -1,
        .group = -1,
    };
    struct lilcache_error error;
    return lilcache_open(&options, out, &error);
}

static struct lilcache *open_rows(const char *name, uint32_t rows) {
    struct lilcache *cache = NULL;
    CHECK_EQ(try_open(name, rows, &cache), LILCACHE_OK);
    return cache;
}

static struct shm_row *row_of(struct lilcache *cache, int row) {
    return lc_row_at(cache->segment, (uint32_t)row);
}

/* A slice may be too short on a loaded machine: BUSY means repeat. */
static void store(struct lilcache *cache, uint64_t n) {
    int status;
    while ((status = ct_set(cache, n, n, 100)) == LILCACHE_BUSY) {
    }
    CHECK_EQ(status, LILCACHE_OK);
}

static void kill_and_wait(pid_t child) {
    kill(child, SIGKILL);
    CHECK(waitpid(child, NULL, 0) == child);
}

/* Dies as a process that was killed while it used the cache. */
static void attach_and_die(const char *name, uint32_t rows, uint64_t n) {
    pid_t child = fork();
    if (child == 0) {
        struct lilcache *cache = open_rows(name, rows);
        CHECK(lilcache_process_row(cache) >= 0);
        store(cache, n);
        CHECK(ct_get(cache, n, n, 100) == CT_RIGHT);
        CHECK(ct_get(cache, n + 1000000, 0, 0) == CT_MISS);
        raise(SIGKILL);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Opens, tells its row, and stays. */
static pid_t attach_and_stay(const char *name, uint32_t rows, int *row) {
    int says[2];
    CHECK(pipe(says) == 0);
    pid_t child = fork();
    if (child == 0) {
        struct lilcache *cache = open_rows(name, rows);
        int mine = lilcache_process_row(cache);
        CHECK(ct_get(cache, 5000, 0, 0) == CT_MISS);
        CHECK(write(says[1], &mine, sizeof mine) == sizeof mine);
        for (;;) {
            pause();
        }
    }
    close(says[1]);
    CHECK(read(says[0], row, sizeof *row) == sizeof *row);
    close(says[0]);
    return child;
}

TEST(rows_of_the_dead_are_taken_and_their_counters_stay, 30) {
    const char *name = lct_name("dead");
    for (uint64_t n = 0; n < ROUNDS; n++) {
        attach_and_die(name, 3, n);
    }
    struct lilcache *cache = open_rows(name, 3);
    CHECK_EQ(ct_stat(cache, "sets"), ROUNDS);
    CHECK_EQ(ct_stat(cache, "hits"), ROUNDS);
    CHECK_EQ(ct_stat(cache, "misses"), ROUNDS);
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    CHECK_EQ(ct_stat(cache, "hits"), ROUNDS);
    CHECK_EQ(ct_stat(cache, "misses"), ROUNDS);
    CHECK(ct_get(cache, ROUNDS - 1, ROUNDS - 1, 100) == CT_RIGHT);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* [W3] */
static void check_unused(struct lilcache *cache) {
    static const uint8_t zeros[4096];
    for (uint32_t i = lc_rows_used(cache->segment); i < cache->segment->row_count;
         i++) {
        CHECK(cache->segment->row_bytes <= sizeof zeros);
        CHECK(!memcmp(row_of(cache, (int)i), zeros, cache->segment->row_bytes));
    }
}

TEST(rows_that_nobody_ever_claimed_are_known, 30) {
    const char *name = lct_name("used");
    struct lilcache *cache = open_rows(name, 5);
    CHECK_EQ(lc_rows_used(cache->segment), 1);
    int rows[2];
    pid_t first = attach_and_stay(name, 5, &rows[0]);
    pid_t second = attach_and_stay(name, 5, &rows[1]);
    CHECK_EQ(lc_rows_used(cache->segment), 3);
    kill_and_wait(first);
    kill_and_wait(second);
    lc_row_sweep(cache->segment);
    attach_and_die(name, 5, 1); /* in a row that was used before */
    CHECK_EQ(lc_rows_used(cache->segment), 3);
    check_unused(cache);
    CHECK_EQ(ct_stat(cache, "misses"), 3);
    cache->segment->header->hd_rows_used = 0; /* damage, this and the next */
    CHECK_EQ(lc_rows_used(cache->segment), 3);
    cache->segment->header->hd_rows_used = UINT64_MAX;
    CHECK_EQ(lc_rows_used(cache->segment), 5);
    CHECK_EQ(ct_stat(cache, "misses"), 3);
    lilcache_close(cache);
}

/* All of it: a word left in a row would pin somebody else's block for ever. */
TEST(rows_of_the_dead_are_wiped, 30) {
    const char *name = lct_name("wiped");
    struct lilcache *cache = open_rows(name, 2);
    char key[CT_KEY_BYTES + 1];
    int mine = lilcache_process_row(cache);
    ct_key(1, key);
    store(cache, 1);
    pid_t child = fork();
    if (child == 0) {
        struct lilcache_view view;
        CHECK(lilcache_pin(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view) >= 0);
        raise(SIGKILL);
    }
    CHECK(waitpid(child, NULL, 0) == child);
    struct shm_row *row = row_of(cache, 1 - mine);
    CHECK_EQ((uint32_t)row->rw_state, LC_ROW_USED);
    CHECK(row->rw_pin[0] != 0);
    CHECK_EQ(row->rw_pin_high, 1);
    CHECK(row->rw_pinned_blocks > 0);
    lc_row_sweep(cache->segment);
    CHECK_EQ((uint32_t)row->rw_state, LC_ROW_FREE);
    for (uint32_t i = 0; i < cache->segment->row_pins; i++) {
        CHECK_EQ(row->rw_pin[i], 0);
    }
    CHECK_EQ(row->rw_pin_high, 0);
    CHECK_EQ(row->rw_pinned_blocks, 0);
    for (uint32_t i = 0; i < LC_ROW_COUNTERS; i++) {
        CHECK_EQ(lc_row_sum(cache->segment, row, (enum lc_row_counter)i), 0);
    }
    lilcache_close(cache);
}

TEST(forked_children_that_die_leave_no_row_taken, 30) {
    struct lilcache *cache = open_rows(lct_name("forked"), 2);
    int mine = lilcache_process_row(cache);
    for (uint64_t n = 0; n < ROUNDS; n++) {
        pid_t child = fork();
        if (child == 0) {
            CHECK_EQ(lilcache_process_row(cache), 1 - mine);
            CHECK_EQ(row_of(cache, 1 - mine)->rw_pid, getpid());
            CHECK(ct_get(cache, n, 0, 0) == CT_MISS);
            raise(SIGKILL);
        }
        CHECK(waitpid(child, NULL, 0) == child);
    }
    CHECK_EQ(lilcache_process_row(cache), mine);
    CHECK_EQ(row_of(cache, mine)->rw_pid, getpid());
    CHECK_EQ(ct_stat(cache, "misses"), ROUNDS);
    lilcache_close(cache);
}

static void *miss_and_leave(void *cache) {
    CHECK(ct_get(cache, 1, 0, 0) == CT_MISS);
    return NULL;
}

static void miss_in_threads(struct lilcache *cache, uint32_t count) {
    pthread_t thread;
    for (uint32_t i = 0; i < count; i++) {
        CHECK(!pthread_create(&thread, NULL, miss_and_leave, cache));
        CHECK(!pthread_join(thread, NULL));
    }
}

/* One behind the other they take one stripe after the other, so none is left out. */
TEST(threads_count_in_stripes_of_their_own, 30) {
    struct lilcache *cache = ct_open(64 << 20);
    struct lc_segment *segment = cache->segment;
    CHECK(segment->row_stripes > 1);
    miss_in_threads(cache, segment->row_stripes);
    struct shm_row *row = lc_row_mine(segment);
    for (uint32_t stripe = 0; stripe < segment->row_stripes; stripe++) {
        uint32_t at = stripe * LC_CACHE_LINE;
        CHECK_EQ(lc_row_counters(segment, row, at)[LC_ROW_misses], 1);
    }
    CHECK_EQ(ct_stat(cache, "misses"), segment->row_stripes);
    lilcache_close(cache);
}

TEST(what_threads_counted_outlives_their_process, 30) {
    const char *name = lct_name("threads");
    struct lilcache *cache = ct_open_named(name, 64 << 20, 0);
    uint32_t stripes = cache->segment->row_stripes;
    pid_t child = fork();
    if (child == 0) {
        miss_in_threads(cache, stripes);
        raise(SIGKILL);
    }
    CHECK(waitpid(child, NULL, 0) == child);
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    CHECK_EQ(ct_stat(cache, "misses"), stripes);
    lilcache_close(cache);
}

TEST(rows_of_the_living_are_never_taken, 30) {
    const char *name = lct_name("living");
    int rows[2];
    pid_t stays[2];
    uint64_t states[2];
    for (int i = 0; i < 2; i++) {
        stays[i] = attach_and_stay(name, 4, &rows[i]);
    }
    CHECK(rows[0] != rows[1]);
    kill(stays[1], SIGSTOP); /* a stopped process is a living one */
    struct lilcache *cache = open_rows(name, 4);
    for (int i = 0; i < 2; i++) {
        states[i] = row_of(cache, rows[i])->rw_state;
    }
    for (uint64_t n = 0; n < 50; n++) {
        attach_and_die(name, 4, n);
        lc_row_sweep(cache->segment);
        CHECK_EQ(ct_stat(cache, "processes"), 3);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(row_of(cache, rows[i])->rw_pid, stays[i]);
        CHECK_EQ(row_of(cache, rows[i])->rw_state, states[i]);
        CHECK_EQ(lc_row_sum(cache->segment, row_of(cache, rows[i]), LC_ROW_misses), 1);
    }
    kill_and_wait(stays[0]);
    kill_and_wait(stays[1]);
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    CHECK_EQ(ct_stat(cache, "misses"), 52);
    lilcache_close(cache);
}

TEST(too_many_processes_until_one_dies, 30) {
    const char *name = lct_name("many");
    struct lilcache *cache = NULL;
    int rows[3];
    pid_t stays[3];
    for (int i = 0; i < 3; i++) {
        stays[i] = attach_and_stay(name, 3, &rows[i]);
    }
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(try_open(name, 3, &cache), LILCACHE_TOO_MANY_PROCESSES);
        CHECK(cache == NULL);
    }
    kill_and_wait(stays[1]);
    cache = open_rows(name, 3);
    CHECK_EQ(lilcache_process_row(cache), rows[1]);
    lilcache_close(cache);
    /* A closed handle gave its row back. */
    cache = open_rows(name, 3);
    CHECK_EQ(lilcache_process_row(cache), rows[1]);
    lilcache_close(cache);
    kill_and_wait(stays[0]);
    kill_and_wait(stays[2]);
}

TEST(a_child_for_whom_no_row_is_left_does_without, 30) {
    struct lilcache *cache = open_rows(lct_name("without"), 1);
    CHECK_EQ(ct_set(cache, 1, 1, 100), LILCACHE_OK);
    pid_t child = fork();
    if (child == 0) {
        char key[CT_KEY_BYTES + 1];
        struct lilcache_view view;
        ct_key(1, key);
        CHECK_EQ(lilcache_process_row(cache), LILCACHE_TOO_MANY_PROCESSES);
        CHECK(ct_get(cache, 1, 1, 100) == CT_RIGHT);
        CHECK_EQ(lilcache_pin(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view),
                 LILCACHE_NO_PIN);
        CHECK_EQ(ct_set(cache, 2, 2, 100000), LILCACHE_OK);
        CHECK(ct_get(cache, 2, 2, 100000) == CT_RIGHT);
        CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
        lilcache_close(cache);
        _exit(0);
    }
    lct_join(child);
    CHECK_EQ(row_of(cache, 0)->rw_pid, getpid());
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    CHECK(ct_get(cache, 1, 1, 100) == CT_MISS);
    CHECK(ct_get(cache, 2, 2, 100000) == CT_RIGHT);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

/* The child may not hold the description through which the parent's byte is locked. */
static void dead_parent(const char *name, bool child_calls) {
    int says[2];
    struct {
        int row;
        pid_t child;
    } told;
    CHECK(pipe(says) == 0);
    pid_t parent = fork();
    if (parent == 0) {
        struct lilcache *cache = open_rows(name, 2);
        int row = lilcache_process_row(cache);
        pid_t child = fork();
        if (child == 0) {
            if (child_calls) {
                CHECK(lilcache_process_row(cache) >= 0);
            }
            told.row = row;
            told.child = getpid();
            CHECK(write(says[1], &told, sizeof told) == sizeof told);
        }
        for (;;) {
            pause();
        }
    }
    CHECK(read(says[0], &told, sizeof told) == sizeof told);
    kill_and_wait(parent);
    CHECK_EQ(kill(told.child, 0), 0);
    struct lilcache *cache = open_rows(name, 2);
    /* The first pass of a claim prefers a row that nobody had. */
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), child_calls ? 2 : 1);
    if (child_calls) {
        CHECK_EQ(lilcache_process_row(cache), told.row);
    }
    lilcache_close(cache);
    close(says[0]);
    close(says[1]);
}

TEST(a_dead_parent_is_noticed_while_its_child_lives, 30) {
    dead_parent(lct_name("parent"), true);
    dead_parent(lct_name("silent"), false);
}

/* Claimers that die, claimers that leave and a sweeper; all hold one row at most. */
TEST(claims_beside_sweeps_find_the_free_row, 30) {
    const char *name = lct_name("beside");
    pid_t busy[3];
    struct lilcache *cache = open_rows(name, 8);
    lilcache_close(cache);
    for (int b = 0; b < 3; b++) {
        busy[b] = fork();
        if (busy[b] == 0 && b == 0) {
            cache = open_rows(name, 8);
            for (;;) {
                lc_row_sweep(cache->segment);
            }
        }
        if (busy[b] == 0) {
            for (uint64_t n = 0; n < 150; n++) {
                if (b == 1) {
                    attach_and_die(name, 8, n);
                } else {
                    cache = open_rows(name, 8);
                    CHECK(ct_get(cache, n + 1000000, 0, 0) == CT_MISS);
                    lilcache_close(cache);
                }
            }
            _exit(0);
        }
    }
    lct_join(busy[1]);
    lct_join(busy[2]);
    kill_and_wait(busy[0]);
    cache = open_rows(name, 8);
    lc_row_sweep(cache->segment);
    CHECK_EQ(ct_stat(cache, "processes"), 1);
    CHECK_EQ(ct_stat(cache, "misses"), 300);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
