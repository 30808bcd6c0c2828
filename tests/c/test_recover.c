/* Damage beyond an interrupted step: the shard is rebuilt from its records, or emptied,
 * and whatever is in the segment, nobody crashes, hangs or gets a wrong value.
 *
 * Argument: the seed of the random damage. */
#include "cachetest.h"
#include "lc_block.h"
#include "lc_index.h"
#include "lc_read.h"

#define KEYS 400
#define WORK 150 /* operations in a damaged segment */

static struct ledger {
    struct lilcache *cache;
    struct ct_random random;
    struct {
        bool present;
        uint64_t seed;
        uint64_t length;
    } keys[KEYS];
} t;

static void put(uint32_t n, uint64_t length) {
    uint64_t seed = ct_random(&t.random);
    CHECK_EQ(ct_set(t.cache, n, seed, length), LILCACHE_OK);
    t.keys[n].present = true;
    t.keys[n].seed = seed;
    t.keys[n].length = length;
}

static void drop(uint32_t n) {
    ct_delete(t.cache, n);
    t.keys[n].present = false;
}

/* How many of the keys that ought to be there are. None that ought not to be may be. */
static uint32_t verify(void) {
    uint32_t found = 0;
    for (uint32_t n = 0; n < KEYS; n++) {
        enum ct_outcome outcome = ct_get(t.cache, n, t.keys[n].seed, t.keys[n].length);
        CHECK(outcome == CT_MISS || (outcome == CT_RIGHT && t.keys[n].present));
        found += outcome == CT_RIGHT;
    }
    return found;
}

static uint32_t expected(void) {
    uint32_t count = 0;
    for (uint32_t n = 0; n < KEYS; n++) {
        count += t.keys[n].present;
    }
    return count;
}

static void fresh(uint64_t size, uint32_t flags) {
    t.cache = ct_open_flags(size, flags);
    t.random.state = lct_number(99);
    for (uint32_t n = 0; n < KEYS; n++) {
        put(n, ct_spread(&t.random, 0, 1500));
    }
}

/* A process dies with the lock, so that the next one looks at the shard. */
static void die_inside(void) {
    pid_t child = fork();
    if (child == 0) {
        ct_crash_arm(1, LC_CRASH_lock_taken, SIGKILL);
        ct_delete(t.cache, KEYS + 1);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child);
}

static void damage_directories(void) {
    struct lc_shard *shard = ct_shard(t.cache);
    for (uint32_t g = 0; g < shard->group_count; g++) {
        shard->groups[g].gr_dir = UINT64_MAX;
    }
}

static void rebuild(void) {
    uint64_t before = ct_stat(t.cache, "rebuilt");
    damage_directories();
    die_inside();
    CHECK_EQ(ct_delete(t.cache, KEYS + 1), LILCACHE_MISS);
    CHECK_EQ(ct_stat(t.cache, "rebuilt"), before + 1);
    CHECK_EQ(ct_stat(t.cache, "emptied"), 0);
    ct_check(t.cache);
}

TEST(lost_directories_cost_nothing, 20) {
    fresh(4 * MIB, 0);
    rebuild();
    CHECK_EQ(verify(), KEYS);
    CHECK_EQ(ct_stat(t.cache, "repaired"), 0);
    lilcache_close(t.cache);
}

TEST(lost_pages_cost_nothing, 20) {
    fresh(4 * MIB, 0);
    struct lc_shard *shard = ct_shard(t.cache);
    for (uint32_t b = 0; b < shard->block_count; b++) {
        if (lc_word_state(shard->blocks[b].bl_word) == LC_BLOCK_INDEX) {
            memset(shard->heap + ((uint64_t)b << shard->block_shift), 0xA5,
                   1ULL << shard->block_shift);
        }
    }
    die_inside();
    CHECK_EQ(ct_delete(t.cache, KEYS + 1), LILCACHE_MISS);
    CHECK_EQ(ct_stat(t.cache, "rebuilt"), 1);
    ct_check(t.cache);
    CHECK_EQ(verify(), KEYS);
    lilcache_close(t.cache);
}

/* A head whose word makes no sense: its own records are lost and no others. */
TEST(damaged_block_words, 20) {
    static const uint64_t words[] = {
        0,
        UINT64_MAX,
        0x0F00000100000000,
        0x0200FFFF00000000,
        0x0000000300000000,
        0x0400000200000000,
        0x0500000100000000,
        0x0200000000000000,
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        fresh(1 * MIB, 0);
        struct lc_shard *shard = ct_shard(t.cache);
        shard->blocks[7].bl_word = words[i];
        die_inside();
        CHECK_EQ(ct_delete(t.cache, KEYS + 1), LILCACHE_MISS);
        ct_check(t.cache);
        CHECK_EQ(ct_stat(t.cache, "emptied"), 0);
        CHECK(verify() > KEYS * 3 / 4);
        lilcache_close(t.cache);
    }
}

/* What cannot be walked over is found through the index, so that no slot points into a
 * run that has come free. */
TEST(a_run_with_a_damaged_record_is_evicted_with_all_its_slots, 20) {
    fresh(1 * MIB, 0);
    struct lc_shard *shard = ct_shard(t.cache);
    uint64_t freed = shard->blocks[3].bl_generation;
    memset(shard->heap + (3ULL << shard->block_shift), 0xFF, 16);
    for (uint32_t i = 0; shard->blocks[3].bl_generation == freed; i++) {
        CHECK(i < 5000);
        CHECK_EQ(ct_set(t.cache, KEYS + i, i, 3000), LILCACHE_OK);
    }
    ct_check(t.cache);
    verify();
    CHECK_EQ(ct_stat(t.cache, "rebuilt"), 0);
    lilcache_close(t.cache);
}

/* Nobody writes over a view, not even where the table of blocks was damaged. */
TEST(a_pinned_block_with_a_damaged_word_is_parked, 20) {
    struct lilcache_view view;
    char key[CT_KEY_BYTES + 1];
    fresh(1 * MIB, 0);
    struct lc_shard *shard = ct_shard(t.cache);
    ct_key(KEYS - 1, key);
    CHECK(lilcache_pin(t.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view) >= 0);
    uint64_t at = (uint64_t)((const uint8_t *)view.data - shard->heap);
    uint32_t b = (uint32_t)(at >> shard->block_shift);
    CHECK(lc_word_state(shard->blocks[b].bl_word) != LC_BLOCK_CONT);
    uint64_t generation = shard->blocks[b].bl_generation;
    uint64_t other = shard->blocks[b ? 0 : 9].bl_generation;
    shard->blocks[b].bl_word = UINT64_MAX;
    shard->blocks[b ? 0 : 9].bl_word = UINT64_MAX;
    die_inside();
    CHECK_EQ(ct_delete(t.cache, KEYS + 1), LILCACHE_MISS);
    CHECK_EQ(lc_word_state(shard->blocks[b].bl_word), LC_BLOCK_PARKED);
    CHECK_EQ(shard->blocks[b].bl_generation, generation);
    CHECK(shard->blocks[b ? 0 : 9].bl_generation > other); /* nobody pinned this one */
    for (uint32_t i = 0; i < 1000; i++) {
        put((uint32_t)ct_below(&t.random, KEYS - 1), 3000);
    }
    CHECK(ct_matches(view.data, t.keys[KEYS - 1].length, t.keys[KEYS - 1].seed));
    lilcache_unpin(t.cache, view.pin);
    ct_check(t.cache);
    lilcache_close(t.cache);
}

TEST(damaged_record_costs_its_run, 20) {
    fresh(1 * MIB, 0);
    struct lc_shard *shard = ct_shard(t.cache);
    memset(shard->heap + (3ULL << shard->block_shift), 0xFF, 64);
    rebuild();
    CHECK(verify() > KEYS * 8 / 10);
    CHECK(verify() < KEYS);
    for (uint32_t i = 0; i < 3000; i++) { /* the run can be evicted like any other */
        put((uint32_t)ct_below(&t.random, KEYS), 5000);
    }
    ct_check(t.cache);
    lilcache_close(t.cache);
}

/* What is gone stays gone: overwritten, deleted, expired, cleared, never published. */
/* Counts that leave no room, and no owner who died: the write itself sees to it. */
TEST(miscounted_pages_leave_room, 20) {
    t.cache = ct_open(1 * MIB);
    ct_shard(t.cache)->ctl->sh_index_blocks = 100;
    CHECK_EQ(ct_set(t.cache, 1, 1, 100), LILCACHE_OK);
    CHECK_EQ(ct_get(t.cache, 1, 1, 100), CT_RIGHT);
    ct_check(t.cache);
    CHECK_EQ(ct_stat(t.cache, "repaired"), 1);
    lilcache_close(t.cache);
}

/* Its key is another now, of another group or shard: it must not be linked. */
TEST(damaged_record_is_not_rebuilt, 20) {
    fresh(4 * MIB, LILCACHE_CHECKSUMS);
    struct lc_shard *shard = ct_shard(t.cache);
    uint32_t b = 0;
    while (lc_word_state(shard->blocks[b].bl_word) != LC_BLOCK_OPEN) {
        b = lc_block_next_locked(shard, b);
    }
    shard->heap[((uint64_t)b << shard->block_shift) + sizeof(struct shm_record)] ^= 1;
    rebuild();
    CHECK_EQ(verify(), KEYS - 1);
    lilcache_close(t.cache);
}

TEST(nothing_comes_back, 20) {
    fresh(4 * MIB, 0);
    for (uint32_t n = 0; n < 100; n++) {
        put(n, 100 + n);
        drop(100 + n);
        CHECK_EQ(ct_set_ttl(t.cache, 200 + n, 1, 100, 1), LILCACHE_OK);
        t.keys[200 + n].present = false;
    }
    lct_sleep_ms(5);
    rebuild();
    CHECK_EQ(verify(), KEYS - 200);
    CHECK_EQ(lilcache_clear(t.cache), LILCACHE_OK);
    for (uint32_t n = 0; n < KEYS; n++) {
        t.keys[n].present = false;
    }
    put(5, 77);
    rebuild();
    CHECK_EQ(verify(), 1);
    lilcache_close(t.cache);
}

/* Two records of one key, neither marked dead: the later write counts, whichever lies
 * first. */
TEST(the_later_of_two_records_counts, 20) {
    for (int order = 0; order < 2; order++) {
        fresh(4 * MIB, 0);
        struct lc_shard *shard = ct_shard(t.cache);
        char key[CT_KEY_BYTES + 1];
        struct lc_key made;
        struct lc_found found;
        ct_key(3, key);
        CHECK_EQ(
            lc_key_make(t.cache->segment, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &made),
            LILCACHE_OK);
        CHECK(lc_index_find_locked(shard, made.hash, key, CT_KEY_BYTES,
                                   LILCACHE_KEY_STR, &found, NULL));
        struct shm_record *old = lc_record_at(shard, found.record.offset);
        put(3, 1200);
        old->rc_flags &= (uint16_t)~LC_RECORD_DEAD;
        if (order == 1) { /* as if the other one had been written later */
            struct lc_found now;
            CHECK(lc_index_find_locked(shard, made.hash, key, CT_KEY_BYTES,
                                       LILCACHE_KEY_STR, &now, NULL));
            old->rc_stamp = now.record.stamp + 1;
        }
        rebuild();
        enum ct_outcome outcome = ct_get(t.cache, 3, t.keys[3].seed, t.keys[3].length);
        CHECK_EQ(outcome, order == 0 ? CT_RIGHT : CT_WRONG);
        t.keys[3].present = false;
        drop(3);
        CHECK_EQ(verify(), KEYS - 1);
        lilcache_close(t.cache);
    }
}

/* Killed between the record and its slot: a later rebuild does not take it for a value.
 */
TEST(unfinished_records_stay_out, 60) {
    static const int points[] = {
        LC_CRASH_record_header_written, LC_CRASH_record_filled,
        LC_CRASH_slot_intent_armed,     LC_CRASH_large_reserved,
        LC_CRASH_large_copied,
    };
    static const uint64_t lengths[] = {0, 10, 3000, 100000};
    for (size_t p = 0; p < sizeof points / sizeof *points; p++) {
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            fresh(4 * MIB, 0);
            pid_t child = fork();
            if (child == 0) {
                ct_crash_arm(1, points[p], SIGKILL);
                ct_set(t.cache, 3, 12345, lengths[l]);
                _exit(0);
            }
            int status;
            CHECK(waitpid(child, &status, 0) == child);
            CHECK_EQ(ct_delete(t.cache, KEYS + 1), LILCACHE_MISS);
            if (WIFSIGNALED(status)) {
                rebuild();
                CHECK_EQ(verify(), KEYS);
            }
            lilcache_close(t.cache);
        }
    }
}

/* A set whose condition failed after its large value was copied left a complete record.
 */
TEST(refused_large_records_stay_out, 20) {
    fresh(4 * MIB, 0);
    int status;
    pid_t child = fork();
    if (child == 0) {
        char key[CT_KEY_BYTES + 1];
        void *value = calloc(1, 200000);
        ct_key(KEYS + 5, key);
        ct_crash_arm(1, LC_CRASH_large_copied, SIGSTOP);
        CHECK_EQ(lilcache_set(t.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, value,
                              200000, 0, 0, LILCACHE_ADD),
                 LILCACHE_EXISTS);
        _exit(0);
    }
    CHECK(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status));
    CHECK_EQ(ct_set(t.cache, KEYS + 5, 1, 100), LILCACHE_OK);
    kill(child, SIGCONT);
    lct_join(child);
    rebuild();
    CHECK_EQ(ct_get(t.cache, KEYS + 5, 1, 100), CT_RIGHT);
    CHECK_EQ(ct_delete(t.cache, KEYS + 5), LILCACHE_OK);
    rebuild();
    CHECK_EQ(ct_get(t.cache, KEYS + 5, 1, 100), CT_MISS);
    lilcache_close(t.cache);
}

TEST(ttl_type_and_stamp_survive, 20) {
    struct lilcache *cache = t.cache = ct_open(1 * MIB);
    int64_t number = 41;
    int64_t ttl;
    uint32_t stamp;
    uint32_t again;
    char out[64];
    CHECK_EQ(
        lilcache_set(cache, "k", 1, LILCACHE_KEY_TUPLE, "value", 5, 77, 5000000, 0), 0);
    CHECK_EQ(lilcache_touch(cache, "k", 1, LILCACHE_KEY_TUPLE, 9000000), 0);
    CHECK_EQ(lilcache_incr(cache, "n", 1, LILCACHE_KEY_STR, 0, &number, 0, &number), 0);
    CHECK_EQ(lilcache_incr(cache, "n", 1, LILCACHE_KEY_STR, 1, NULL, 0, &number), 0);
    CHECK(lilcache_gets(cache, "k", 1, LILCACHE_KEY_TUPLE, out, sizeof out, &stamp) >=
          0);
    rebuild();
    CHECK(lilcache_gets(cache, "k", 1, LILCACHE_KEY_TUPLE, out, sizeof out, &again) >=
          0);
    CHECK_EQ(stamp, again);
    CHECK_EQ(lilcache_ttl(cache, "k", 1, LILCACHE_KEY_TUPLE, &ttl), 0);
    CHECK(ttl > 8000000 && ttl <= 9000000);
    CHECK_EQ(lilcache_incr(cache, "n", 1, LILCACHE_KEY_STR, 1, NULL, 0, &number), 0);
    CHECK_EQ(number, 43);
    lilcache_close(cache);
}

/* Rebuilds in between random work in a segment that evicts. */
TEST(rebuilt_again_and_again, 60) {
    fresh(1 * MIB, 0);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 300; i++) {
            uint32_t n = (uint32_t)ct_below(&t.random, KEYS);
            if (ct_below(&t.random, 4) == 0) {
                drop(n);
            } else {
                put(n, ct_below(&t.random, i % 30 == 0 ? 80000 : 6000));
                ct_get(t.cache, n / 4, t.keys[n / 4].seed, t.keys[n / 4].length);
            }
        }
        rebuild();
        verify();
    }
    CHECK(ct_stat(t.cache, "evictions") > 1000);
    lilcache_close(t.cache);
}

/* A rebuild that is killed is begun again, by whoever comes next. */
TEST(killed_while_rebuilding, 120) {
    uint8_t *damaged = malloc(MIB);
    uint64_t kills = 0;
    bool completed = false;
    fresh(1 * MIB, 0);
    for (uint32_t n = 0; n < 50; n++) {
        drop(n);
        put(50 + n, 500);
    }
    damage_directories();
    die_inside();
    memcpy(damaged, t.cache->segment->base, MIB);
    for (uint64_t k = 1; !completed; k += k < 60 ? 1 : 29) {
        int status;
        memcpy(t.cache->segment->base, damaged, MIB);
        for (int deaths = 0; deaths < 2; deaths++) {
            pid_t child = fork();
            if (child == 0) {
                ct_crash_arm(k, LC_CRASH_POINT_COUNT, SIGKILL);
                lilcache_check(t.cache, NULL, 0);
                _exit(0);
            }
            CHECK(waitpid(child, &status, 0) == child);
            completed = WIFEXITED(status);
            kills += WIFSIGNALED(status);
        }
        ct_check(t.cache);
        CHECK_EQ(verify(), expected());
        CHECK_EQ(ct_stat(t.cache, "emptied"), 0);
    }
    printf("  %llu processes killed\n", (unsigned long long)kills);
    free(damaged);
    lilcache_close(t.cache);
}

/* An emptying that was begun and not ended. */
TEST(emptied_as_a_last_resort, 20) {
    struct lilcache_view view;
    char key[CT_KEY_BYTES + 1];
    fresh(1 * MIB, 0);
    put(1, 900);
    ct_key(1, key);
    CHECK(lilcache_pin(t.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view) >= 0);
    ct_shard(t.cache)->ctl->sh_intent.in_phase = LC_PHASE_EMPTY;
    die_inside();
    CHECK_EQ(ct_delete(t.cache, KEYS + 1), LILCACHE_MISS);
    CHECK_EQ(ct_stat(t.cache, "emptied"), 1);
    ct_check(t.cache);
    CHECK_EQ(verify(), 0);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t n = (uint32_t)ct_below(&t.random, KEYS);
        put(n, 1000);
        CHECK_EQ(ct_get(t.cache, n, t.keys[n].seed, 1000), CT_RIGHT);
    }
    CHECK(ct_matches(view.data, view.length, 0) == false);
    lilcache_unpin(t.cache, view.pin);
    ct_check(t.cache);
    lilcache_close(t.cache);
}

/* --- random damage ---------------------------------------------------------------- */

/* Anything but the header, which is believed once and copied, and the mutexes. */
static uint8_t *any_place(struct lc_shard *shard) {
    struct lc_segment *segment = t.cache->segment;
    uint64_t at;
    switch (ct_below(&t.random, 6)) {
    case 0:
        return (uint8_t *)&shard->groups[ct_below(&t.random, shard->group_count)] +
               8 * ct_below(&t.random, 4);
    case 1:
        return (uint8_t *)&shard->blocks[ct_below(&t.random, shard->block_count)] +
               8 * ct_below(&t.random, 6);
    case 2:
        at = offsetof(struct shm_shard, sh_epoch);
        at += 8 * ct_below(&t.random, (sizeof(struct shm_shard) - at) / 8);
        return (uint8_t *)shard->ctl + at;
    case 3:
        return segment->base + segment->rows_at +
               8 * ct_below(&t.random, segment->row_count * segment->row_bytes / 8);
    case 4: { /* index pages lie at the end */
        uint64_t from = shard->heap_bytes - 4 * (1ULL << shard->block_shift);
        return shard->heap + from +
               8 * ct_below(&t.random, (shard->heap_bytes - from) / 8);
    }
    default:
        return shard->heap + 8 * ct_below(&t.random, shard->heap_bytes / 8);
    }
}

static void damage(struct lc_shard *shard) {
    uint8_t *place = any_place(shard);
    uint64_t word;
    memcpy(&word, place, 8);
    switch (ct_below(&t.random, 5)) {
    case 0:
        word ^= 1ULL << ct_below(&t.random, 64);
        break;
    case 1:
        word = ct_random(&t.random);
        break;
    case 2:
        word = 0;
        break;
    case 3:
        word = UINT64_MAX;
        break;
    default:
        word += ct_below(&t.random, 5) - 2;
        break;
    }
    memcpy(place, &word, 8);
}

/* Everything that was ever to be stored under a key. */
static struct {
    uint32_t n;
    uint64_t seed;
    uint64_t length;
} offers[KEYS + WORK];
static uint32_t offered;

static void offer(uint32_t n) {
    CHECK(offered < KEYS + WORK);
    offers[offered].n = n;
    offers[offered].seed = t.keys[n].seed;
    offers[offered++].length = t.keys[n].length;
}

static bool was_offered(uint32_t n, const void *value, uint64_t length) {
    for (uint32_t i = 0; i < offered; i++) {
        if (offers[i].n == n && offers[i].length == length &&
            ct_matches(value, length, offers[i].seed)) {
            return true;
        }
    }
    return false;
}

static void work_on(void) {
    static uint8_t out[LILCACHE_SCAN_MIN];
    char report[256];
    for (int i = 0; i < WORK; i++) {
        uint32_t n = (uint32_t)ct_below(&t.random, KEYS);
        uint64_t cursor = ct_random(&t.random) >> 20;
        uint32_t count;
        struct lilcache_view view;
        char key[CT_KEY_BYTES + 1];
        ct_key(n, key);
        switch (ct_below(&t.random, 8)) {
        case 0:
            ct_delete(t.cache, n);
            t.keys[n].present = false;
            break;
        case 1:
            lilcache_scan(t.cache, &cursor, out, sizeof out, &count);
            break;
        case 2:
            if (lilcache_pin(t.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view) >=
                0) {
                lilcache_unpin(t.cache, view.pin);
            }
            break;
        case 3:
            lilcache_touch(t.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, 1000000);
            break;
        default:
            t.keys[n].length = ct_spread(&t.random, 0, i % 40 == 0 ? 70000 : 3000);
            t.keys[n].seed = ct_random(&t.random);
            t.keys[n].present = true;
            offer(n);
            ct_set(t.cache, n, t.keys[n].seed, t.keys[n].length);
            break;
        }
        if (i == WORK / 2) {
            die_inside();
        }
    }
    lilcache_check(t.cache, report, sizeof report);
}

/* With checksums a wrong value would need a collision of 64 bits. An old value of the
 * key is possible where metadata was damaged. */
static void look_at_bytes(void) {
    for (uint32_t n = 0; n < KEYS; n++) {
        static uint8_t out[MIB];
        char key[CT_KEY_BYTES + 1];
        ct_key(n, key);
        int64_t result =
            lilcache_get(t.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, out, sizeof out);
        CHECK(result >= 0 || result == LILCACHE_MISS);
        if (result >= 0) {
            CHECK_EQ(LILCACHE_VALUE_TYPE(result), 7);
            CHECK(was_offered(n, out, LILCACHE_LENGTH(result)));
        }
    }
}

TEST(random_damage_hurts_nobody, 200) {
    uint64_t seed = lct_number(1);
    uint64_t rounds = lct_has_argument ? 1 : 500;
    uint64_t outcomes[3] = {0};
    for (uint64_t round = 0; round < rounds; round++, seed++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            fresh(1 * MIB, LILCACHE_CHECKSUMS);
            t.random.state = seed;
            for (uint32_t n = 0; n < KEYS; n++) {
                offer(n);
            }
            for (uint64_t i = 1 + ct_below(&t.random, 20); i > 0; i--) {
                damage(ct_shard(t.cache));
            }
            look_at_bytes();
            work_on();
            look_at_bytes();
            _exit(ct_stat(t.cache, "emptied")   ? 2
                  : ct_stat(t.cache, "rebuilt") ? 1
                                                : 0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) > 2) {
            LCT_FAIL("seed %llu: %s", (unsigned long long)seed,
                     WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "see above");
        }
        outcomes[WEXITSTATUS(status)]++;
    }
    printf("  %llu repaired, %llu rebuilt, %llu emptied\n",
           (unsigned long long)outcomes[0], (unsigned long long)outcomes[1],
           (unsigned long long)outcomes[2]);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
