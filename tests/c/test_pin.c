/* lc_pin.c: a pinned value stays as it is whatever happens to its key, and its blocks
 * come back when the last pin is dropped or its holder is dead. */
#include "cachetest.h"
#include "lc_pin.h"
#include "lc_record.h"
#include "lc_row.h"

#define LENGTH 3000

static int64_t pin(struct lilcache *cache, uint64_t n, struct lilcache_view *view) {
    char key[CT_KEY_BYTES + 1];
    ct_key(n, key);
    return lilcache_pin(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, view);
}

/* Sets key n and pins it. */
static struct lilcache_view pinned(struct lilcache *cache, uint64_t n, size_t length) {
    struct lilcache_view view;
    CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
    CHECK_EQ(pin(cache, n, &view), LILCACHE_PACK(7, length));
    CHECK_EQ(view.length, length);
    CHECK_EQ(view.value_type, 7);
    CHECK(ct_matches(view.data, length, n));
    return view;
}

/* Writes `times` times what the segment holds. */
static void churn(struct lilcache *cache, int times) {
    static uint64_t n = 1000000;
    uint64_t bytes = (uint64_t)times * lilcache_size(cache);
    struct ct_random random = {n};
    for (uint64_t done = 0; done < bytes;) {
        size_t length = ct_spread(&random, 1, 20000);
        CHECK_EQ(ct_set(cache, n, n, length), LILCACHE_OK);
        n++;
        done += length + 40;
    }
}

/* Blocks come back with the next writes; sweeps run at most every 100 ms. */
static void churn_until_unparked(struct lilcache *cache) {
    double until = lct_seconds() + 5;
    while (ct_stat(cache, "parked_blocks") > 0 || ct_stat(cache, "pins") > 0) {
        CHECK(lct_seconds() < until);
        churn(cache, 1);
        lct_sleep_ms(20);
    }
}

enum fate { OVERWRITE, DELETE, CLEAR, EVICT, FATES };

static void suffer(size_t length, enum fate fate) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lilcache_view view = pinned(cache, 1, length);
    if (fate == OVERWRITE) {
        for (uint64_t i = 2; i < 500; i++) {
            CHECK_EQ(ct_set(cache, 1, i, length), LILCACHE_OK);
        }
        CHECK(ct_get(cache, 1, 499, length) == CT_RIGHT);
    } else if (fate == DELETE) {
        CHECK_EQ(ct_delete(cache, 1), LILCACHE_OK);
        CHECK(ct_get(cache, 1, 1, length) == CT_MISS);
    } else if (fate == CLEAR) {
        CHECK_EQ(lilcache_clear(cache), LILCACHE_OK);
        CHECK(ct_get(cache, 1, 1, length) == CT_MISS);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(ct_matches(view.data, length, 1));
        churn(cache, 1);
        ct_check_unhurt(cache);
    }
    CHECK(ct_matches(view.data, length, 1));
    CHECK_EQ(ct_stat(cache, "pins"), 1);
    lilcache_unpin(cache, view.pin);
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    churn_until_unparked(cache);
    CHECK_EQ(lc_pin_blocks(cache->segment), 0);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(a_small_pinned_value_outlives_its_key, 30) {
    for (int fate = 0; fate < FATES; fate++) {
        suffer(LENGTH, (enum fate)fate);
    }
}

TEST(a_pinned_run_of_many_blocks_outlives_its_key, 30) {
    for (int fate = 0; fate < FATES; fate++) {
        suffer(100000, (enum fate)fate);
    }
}

/* Pinned runs are passed over as victims, so only one that becomes pinned while it is
 * being evicted is parked. Pins a value in such a run; returns its key. */
static uint64_t pin_in_victim(struct lilcache *cache, struct lilcache_view *view) {
    const struct lc_shard *shard = ct_shard(cache);
    for (uint64_t last = 0; last < 100000; last++) {
        CHECK_EQ(ct_set(cache, last, last, 100), LILCACHE_OK);
        uint64_t head = shard->ctl->sh_victim;
        if (head == LC_NO_BLOCK) {
            continue;
        }
        const uint8_t *run = shard->heap + (head << shard->block_shift);
        for (uint64_t n = last; n-- > 0;) {
            if (pin(cache, n, view) < 0) {
                continue;
            }
            const uint8_t *at = view->data;
            if (at >= run + shard->ctl->sh_victim_at &&
                at < run + shard->blocks[head].bl_fill) {
                return n;
            }
            lilcache_unpin(cache, view->pin);
        }
    }
    LCT_FAIL("no victim was ever half evicted");
}

TEST(a_run_pinned_while_it_is_evicted_is_parked_and_reused, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lilcache_view view;
    uint64_t n = pin_in_victim(cache, &view);
    const struct lc_shard *shard = ct_shard(cache);
    const uint8_t *data = view.data;
    const struct shm_block *block =
        &shard->blocks[lc_block_of(shard, (uint64_t)(data - shard->heap))];
    uint64_t generation = block->bl_generation;
    for (int i = 0; i < 5; i++) {
        churn(cache, 1);
        CHECK(ct_matches(data, 100, n));
        CHECK_EQ(ct_stat(cache, "parks"), 1);
        CHECK(ct_stat(cache, "parked_blocks") > 0);
        CHECK_EQ(block->bl_generation, generation); /* [Z2] */
        ct_check_unhurt(cache);
    }
    lilcache_unpin(cache, view.pin);
    churn_until_unparked(cache);
    CHECK(block->bl_generation > generation);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(a_run_parked_for_a_process_that_dies_is_reused, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    pid_t child = fork();
    if (child == 0) {
        struct lilcache_view view;
        pin_in_victim(cache, &view);
        churn(cache, 1);
        CHECK(ct_stat(cache, "parked_blocks") > 0);
        raise(SIGKILL);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(ct_stat(cache, "parked_blocks") > 0);
    churn_until_unparked(cache);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(views_of_one_block_share_a_pin, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lilcache_view views[40];
    for (uint64_t n = 0; n < 40; n++) { /* more views than there are places */
        views[n] = pinned(cache, 7, 100);
    }
    CHECK(ct_stat(cache, "pins") <= 3);
    CHECK_EQ(ct_set(cache, 7, 8, 100), LILCACHE_OK);
    for (int i = 0; i < 39; i++) {
        lilcache_unpin(cache, views[i].pin);
    }
    CHECK(ct_stat(cache, "pins") >= 1);
    churn(cache, 3);
    CHECK(ct_matches(views[39].data, 100, 7));
    lilcache_unpin(cache, views[39].pin);
    churn_until_unparked(cache);
    lilcache_close(cache);
}

TEST(pins_of_a_killed_process_are_reclaimed, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    for (int round = 0; round < 10; round++) {
        pid_t child = fork();
        if (child == 0) {
            pinned(cache, 1, LENGTH);
            pinned(cache, 2, 100000);
            raise(SIGKILL);
        }
        CHECK(waitpid(child, NULL, 0) == child);
        CHECK_EQ(ct_stat(cache, "pins"), 2);
        churn(cache, 2);
        churn_until_unparked(cache);
    }
    CHECK_EQ(lc_pin_blocks(cache->segment), 0);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(half_of_the_blocks_may_be_pinned, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    uint64_t quota = ct_stat(cache, "blocks") / 2;
    struct lilcache_view views[16];
    struct lilcache_view none;
    int count = 0;
    int64_t result = 0;
    while (count < 16) {
        CHECK_EQ(ct_set(cache, 50 + count, 50 + count, 60000), LILCACHE_OK);
        result = pin(cache, 50 + count, &views[count]);
        if (result < 0) {
            break;
        }
        count++;
    }
    CHECK_EQ(result, LILCACHE_NO_PIN);
    CHECK(count >= 4);
    CHECK(ct_stat(cache, "view_copies") > 0);
    CHECK(lc_pin_blocks(cache->segment) <= quota);
    churn(cache, 3); /* sets find room in the other half */
    for (int i = 0; i < count; i++) {
        CHECK(ct_matches(views[i].data, 60000, 50 + (uint64_t)i));
    }
    CHECK_EQ(pin(cache, 99, &none), LILCACHE_MISS);
    for (int i = 0; i < count; i++) {
        lilcache_unpin(cache, views[i].pin);
    }
    churn_until_unparked(cache);
    none = pinned(cache, 99, 60000);
    lilcache_unpin(cache, none.pin);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(stale_tokens_are_ignored, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lilcache_view first = pinned(cache, 1, LENGTH);
    lilcache_unpin(cache, first.pin);
    lilcache_unpin(cache, first.pin);
    struct lilcache_view view = pinned(cache, 2, LENGTH);
    static const uint64_t wild[] = {5,        11,         12,         84,
                                    1u << 31, 1ULL << 32, 1ULL << 63, UINT64_MAX};
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        lilcache_unpin(cache, wild[i]);
    }
    CHECK_EQ(ct_stat(cache, "pins"), 1);
    /* A child without pins: the tokens of its parent's first pin mean nothing in it. */
    lilcache_unpin(cache, view.pin);
    pid_t child = fork();
    if (child == 0) {
        struct lilcache_view own = pinned(cache, 3, LENGTH);
        CHECK(own.pin != view.pin);
        lilcache_unpin(cache, view.pin);
        CHECK_EQ(ct_stat(cache, "pins"), 1);
        lilcache_unpin(cache, own.pin);
        CHECK_EQ(ct_stat(cache, "pins"), 0);
        _exit(0);
    }
    lct_join(child);
    lilcache_close(cache);
}

/* Pins that lie all over the segment leave no place for a large value: that it is asked
 * for again and again costs others no more than a slice of eviction does. */
TEST(what_cannot_be_placed_evicts_next_to_nothing, 30) {
    struct lilcache *cache = ct_open(1 * MIB);
    struct lilcache_view views[11];
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        views[i] = pinned(cache, n, 300);
        for (uint64_t until = n + 240; ++n < until;) {
            CHECK_EQ(ct_set(cache, n, n, 300), LILCACHE_OK);
        }
    }
    for (; ct_stat(cache, "evictions") == 0; n++) {
        CHECK_EQ(ct_set(cache, n, n, 300), LILCACHE_OK);
    }
    uint64_t evictions = ct_stat(cache, "evictions");
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(ct_set(cache, UINT32_MAX, 1, 200000), LILCACHE_NO_SPACE);
    }
    CHECK(ct_stat(cache, "evictions") - evictions < 64);
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        lilcache_unpin(cache, views[i].pin);
    }
    CHECK_EQ(ct_set(cache, UINT32_MAX, 1, 200000), LILCACHE_OK);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
