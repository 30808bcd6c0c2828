#include "scene.h"

#include "lc_index.h"

#define VIEWS 8

uint64_t scene_seed = 1;

static void put(uint32_t n, uint64_t length, int64_t ttl) {
    uint64_t seed = ct_random(&w.random) | 1;
    CHECK(n < KEYS_MAX);
    CHECK_EQ(ct_set_ttl(w.cache, world_key(n), seed, length, ttl), LILCACHE_OK);
    w.keys[n] = (struct value){.present = true, .seed = seed, .length = length};
}

static void put_next(uint64_t length) {
    put(KEY_FREE + w.used++, length, LILCACHE_TTL_NONE);
}

static void put_roles(void) {
    char key[CT_KEY_BYTES + 1];
    int64_t number = 41;
    put(KEY_OLD, 300, LILCACHE_TTL_NONE);
    put(KEY_TIMED, 300, FOREVER);
    ct_key(KEY_COUNT, key);
    CHECK_EQ(lilcache_incr(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, 0, &number, 0,
                           &number),
             LILCACHE_OK);
    w.keys[KEY_COUNT] =
        (struct value){.present = true, .number = true, .seed = 41, .length = 8};
}

static void put_roles_and(uint32_t count) {
    put_roles();
    for (uint32_t i = 0; i < count; i++) {
        put_next(ct_below(&w.random, 1000));
    }
}

static void put_roles_again(void) {
    for (uint32_t n = KEY_OLD; n <= KEY_TIMED; n++) {
        if (look(n, &w.keys[n]) != FOUND_IT) {
            put_roles();
            return;
        }
    }
}

/* Read everything, so that records have hits and it is no bulk load; and know what was
 * evicted, which is final. */
static void read_all(void) {
    for (uint32_t n = 0; n < KEY_FREE + w.used; n++) {
        if (look(n, &w.keys[n]) == FOUND_NOTHING) {
            w.keys[n] = (struct value){0};
        }
    }
}

static void scene_begin_flags(bool evicting, uint32_t flags) {
    w.cache = ct_open_flags(SCENE_BYTES, flags);
    w.saved = malloc(SCENE_BYTES);
    w.random.state = scene_seed;
    w.evicting = evicting;
}

static void scene_begin(bool evicting) { scene_begin_flags(evicting, 0); }

static void save(void) { memcpy(w.saved, w.cache->segment->base, SCENE_BYTES); }
static void restore(void) { memcpy(w.cache->segment->base, w.saved, SCENE_BYTES); }

/* Do `step`, at most `limit` times, until its next call would change the statistic by
 * at least `least`, and stop just before. */
static bool come_before(const char *statistic, uint64_t least, void (*step)(void),
                        int limit) {
    for (int i = 0; i < limit; i++) {
        struct world world = w;
        uint64_t before = ct_stat(w.cache, statistic);
        save();
        step();
        if (ct_stat(w.cache, statistic) >= before + least) {
            w = world;
            restore();
            return true;
        }
    }
    return false;
}

static void go_on_until(const char *statistic, uint64_t least, void (*step)(void)) {
    if (!come_before(statistic, least, step, 20000)) {
        LCT_FAIL("%s never changed by %llu", statistic, (unsigned long long)least);
    }
}

static void scene_untouched(void) { scene_begin(false); }

static void scene_nearly_empty(void) {
    scene_begin(false);
    put_roles();
}

static void scene_checksums(void) {
    scene_begin_flags(false, LILCACHE_CHECKSUMS);
    put_roles_and(40);
}

static void step_crumb(void) { put_next(4); }

static void step_set_new(void) { ct_set(w.cache, KEY_NEW, 1, 200); }

static void scene_growing_index(void) {
    scene_begin(false);
    put_roles();
    for (int i = 0; i < 400; i++) {
        step_crumb();
    }
    /* The group that grows next must be that of the operation's key. */
    for (int i = 0; i < 1000; i++) {
        uint64_t before = ct_stat(w.cache, "growths");
        save();
        step_set_new();
        bool grown = ct_stat(w.cache, "growths") > before;
        restore();
        if (grown) {
            break;
        }
        CHECK(i < 999);
        step_crumb();
    }
}

static void step_delete(void) {
    uint32_t n = KEY_FREE + --w.used;
    CHECK_EQ(ct_delete(w.cache, n), LILCACHE_OK);
    w.keys[n] = (struct value){0};
}

static void scene_shrinking_index(void) {
    scene_begin(false);
    put_roles();
    for (int i = 0; i < 1500; i++) {
        step_crumb();
    }
    for (int i = 0; i < 1000; i++) {
        step_delete();
    }
    go_on_until("shrinks", 1, step_delete);
}

/* Whether a group has to move depends on the hash key, which each segment draws anew.
 */
static void scene_moving_index(void) {
    struct world blank = w;
    bool found = false;
    for (int i = 0; i < 30 && !found; i++) {
        w = blank;
        scene_begin(false);
        put_roles();
        for (int n = 0; n < 1900; n++) {
            step_crumb();
        }
        found = come_before("moves", 1, step_delete, 1900);
        if (!found) {
            free(w.saved);
            lilcache_close(w.cache);
        }
    }
    CHECK(found);
}

static void step_mixed(void) {
    if (w.used == KEYS_MAX - KEY_FREE) {
        w.used = 0; /* overwrite */
    }
    put_next(ct_below(&w.random, 2000));
    put_roles_again();
    if (w.used % 50 == 0) {
        read_all();
    }
}

static void scene_full_flags(uint32_t flags) {
    scene_begin_flags(true, flags);
    put_roles();
    for (int i = 0; i < 1500; i++) {
        step_mixed();
    }
    go_on_until("relocations", 4, step_mixed);
}

static void scene_full(void) { scene_full_flags(0); }

/* The operations' new key was evicted without having been read, not long ago: its ghost
 * says that it is wanted after all. Where size counts, one so small goes to main. */
static void scene_ghost(void) {
    scene_full_flags(LILCACHE_FAVOR_BYTES);
    step_set_new();
    for (int i = 0;; i++) {
        uint64_t before = ct_stat(w.cache, "ghost_hits");
        save();
        bool gone = ct_get(w.cache, KEY_NEW, 1, 200) == CT_MISS;
        step_set_new();
        bool haunted = gone && ct_stat(w.cache, "ghost_hits") > before;
        if (haunted || !gone) { /* gone without a ghost: once more */
            restore();
        }
        if (haunted) {
            break;
        }
        CHECK(i < 20000);
        w.used = w.used == KEYS_MAX - KEY_FREE ? 0 : w.used;
        put_next(ct_below(&w.random, 2000));
        look(KEY_OLD, &w.keys[KEY_OLD]); /* a bulk load leaves no ghosts */
    }
    put_roles_again();
}

static void step_large(void) {
    put(KEY_FREE + (uint32_t)ct_below(&w.random, 40),
        70000 + ct_below(&w.random, 150000), LILCACHE_TTL_NONE);
}

static void scene_full_of_runs(void) {
    scene_begin(true);
    put_roles();
    w.used = 40;
    for (int i = 0; i < 30; i++) {
        step_large();
    }
    read_all();
    put_roles();
}

static void scene_expired(void) {
    scene_begin(true);
    put_roles();
    w.used = 1200;
    for (uint32_t n = KEY_FREE; n < KEY_FREE + w.used; n++) {
        put(n, 800, 1 + n % 2 * FOREVER);
    }
    put_roles();
    put(KEY_ABSENT, 100, 1);
    lct_sleep_ms(5);
    w.keys[KEY_ABSENT] = (struct value){0};
    for (uint32_t n = KEY_FREE; n < KEY_FREE + w.used; n += 2) {
        w.keys[n] = (struct value){0};
    }
}

static void pin_new(struct lilcache_view *views) {
    char key[CT_KEY_BYTES + 1];
    for (uint32_t i = 0; i < VIEWS; i++) {
        put(KEY_FREE + i, 1000, LILCACHE_TTL_NONE);
        ct_key(KEY_FREE + i, key);
        CHECK(lilcache_pin(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &views[i]) >=
              0);
    }
    w.pins = ct_stat(w.cache, "pins"); /* one for all views of a block */
}

/* Views that are held all the time, in runs that should go: without regard to sizes, or
 * small records, hardly any of which are there beside large ones, would stay. */
static void scene_pinned(void) {
    struct lilcache_view views[VIEWS];
    scene_full_flags(LILCACHE_FAVOR_BYTES);
    pin_new(views);
    put_roles(); /* before: small sets walk on where a large one leaves off */
    go_on_until("parks", 1, step_large);
}

/* As many views as there may be: whichever run is in line is pinned. They lie where
 * they leave room for a large value between them. */
static void scene_mostly_pinned(void) {
    char key[CT_KEY_BYTES + 1];
    struct lilcache_view view;
    scene_full_flags(LILCACHE_FAVOR_BYTES);
    for (uint32_t n = KEY_FREE; n < KEY_FREE + w.used; n++) {
        ct_key(n, key);
        lilcache_pin(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, &view);
    }
    w.pins = ct_stat(w.cache, "pins");
    ct_shard(w.cache)->ctl->sh_victim = LC_NO_BLOCK;
}

/* Runs that a view held while they were evicted, and has let go of. */
static void scene_parked(void) {
    struct lilcache_view views[VIEWS];
    scene_full_flags(LILCACHE_FAVOR_BYTES);
    pin_new(views);
    for (int i = 0; ct_stat(w.cache, "parked_blocks") < 2; i++) {
        CHECK(i < 20000);
        step_large();
    }
    put_roles();
    for (uint32_t i = 0; i < VIEWS; i++) {
        lilcache_unpin(w.cache, views[i].pin);
    }
    w.pins = 0;
}

/* Records that are a run each, and wanted: they stay in place. */
static void step_wanted_large(void) {
    step_large();
    for (uint32_t n = KEY_FREE; n < KEY_FREE + 40; n++) {
        look(n, &w.keys[n]);
        look(n, &w.keys[n]);
    }
}

static void scene_full_of_wanted(void) {
    scene_begin(true);
    put_roles();
    w.used = 40;
    for (int i = 0; i < 30; i++) {
        step_wanted_large();
    }
    go_on_until("relocations", 1, step_wanted_large);
    put_roles();
}

/* The next choice of a victim finds that much has been written since the last one. */
static void scene_choosing(void) {
    scene_full();
    struct shm_shard *ctl = ct_shard(w.cache)->ctl;
    ctl->sh_victim = LC_NO_BLOCK;
    ctl->sh_window_sets -= lc_min64(ctl->sh_window_sets, 100000);
}

/* And here, that a process left and took its counts away for a moment. */
static void scene_choosing_anew(void) {
    scene_choosing();
    ct_shard(w.cache)->ctl->sh_window_sets = UINT64_MAX;
}

static void scene_cleared(void) {
    scene_full();
    CHECK_EQ(lilcache_clear(w.cache), LILCACHE_OK);
    memset(w.keys, 0, sizeof w.keys);
    put_roles();
}

/* Keys of one home bucket, however many pages their group has, and others of the group:
 * the operations' new key finds no place, and somebody must go for it. */
#define CROWD      175
#define BYSTANDERS 70
#define HOME_BITS  9

static void name_crowd(void) {
    struct lc_shard *shard = ct_shard(w.cache);
    uint64_t home = world_hash(1 << 16);
    uint32_t group = lc_group_of(shard, home);
    uint64_t bucket = lc_tag_of(home) >> (LC_TAG_BITS - HOME_BITS);
    uint32_t crowd = 0;
    uint32_t others = 0;
    for (uint64_t number = 1 << 16; crowd <= CROWD || others < BYSTANDERS; number++) {
        uint64_t hash = world_hash(number);
        bool same = lc_tag_of(hash) >> (LC_TAG_BITS - HOME_BITS) == bucket;
        if (lc_group_of(shard, hash) != group) {
            continue;
        }
        if (same && crowd <= CROWD) {
            w.names[crowd == CROWD ? KEY_NEW : KEY_FREE + BYSTANDERS + crowd] = number;
            crowd++;
        } else if (!same && others < BYSTANDERS) {
            w.names[KEY_FREE + others++] = number;
        }
    }
}

static void scene_one_bucket(void) {
    scene_begin(true);
    name_crowd();
    put_roles();
    for (int i = 0; i < BYSTANDERS + CROWD; i++) {
        step_crumb();
    }
    CHECK(ct_stat(w.cache, "index_evictions") > 0);
}

/* What goes over several keys goes from one shard to the other. */
static bool crosses(uint32_t first) {
    bool seen[2] = {false, false};
    for (uint32_t i = 0; i < MANY; i++) {
        seen[world_shard(first + i)] = true;
    }
    return seen[0] && seen[1];
}

static void scene_two_shards(void) {
    struct lilcache_options options = {
        .name = "test",
        .size_bytes = SCENE_BYTES,
        .max_value_bytes = 64 << 10,
        .flags = LILCACHE_ANONYMOUS,
        .cores = 2,
        .owner = -1,
        .group = -1,
    };
    struct lilcache_error error;
    for (int i = 0; i == 0 || !crosses(KEY_FREE) || !crosses(KEY_MANY); i++) {
        if (i > 0) {
            lilcache_close(w.cache); /* the hash key decides */
        }
        CHECK(i < 100);
        CHECK_EQ(lilcache_open(&options, &w.cache, &error), LILCACHE_OK);
        CHECK_EQ(w.cache->segment->shard_count, 2);
    }
    w.saved = malloc(SCENE_BYTES);
    w.random.state = scene_seed;
    put_roles_and(60);
}

/* A process that dies inside the lock. */
static void die_inside(void) {
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(&ct_shard(w.cache)->ctl->sh_mutex);
        raise(SIGKILL);
    }
    CHECK(waitpid(child, NULL, 0) == child);
}

/* Keys of a damaged group are not found before the index is made anew: most operations
 * would have nothing to do. */
static uint32_t group_of_no_role(void) {
    static const uint32_t roles[] = {KEY_OLD, KEY_COUNT, KEY_TIMED};
    struct lc_shard *shard = ct_shard(w.cache);
    for (uint32_t group = 0; group < shard->group_count; group++) {
        bool taken = false;
        for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
            lc_hash64 hash = world_hash(world_key(roles[i]));
            taken |= lc_group_of(shard, hash) == group;
        }
        if (!taken) {
            return group;
        }
    }
    LCT_FAIL("every group has a key with a role");
}

static void scene_damaged_index(void) {
    scene_begin(false);
    put_roles_and(60);
    read_all();
    ct_shard(w.cache)->groups[group_of_no_role()].gr_dir = UINT64_MAX - 1;
    w.rebuilding = true;
    die_inside();
}

/* Block words that make no sense, too. */
static void scene_damaged_table(void) {
    scene_damaged_index();
    struct lc_shard *shard = ct_shard(w.cache);
    for (uint32_t b = 1; b < 4; b++) {
        shard->blocks[b].bl_word = UINT64_MAX;
    }
    w.evicting = true;
}

/* A dead process has left an intent that makes no sense. */
static void scene_damaged_intent(void) {
    scene_begin(false);
    put_roles_and(60);
    struct shm_intent *intent = &ct_shard(w.cache)->ctl->sh_intent;
    intent->in_slot_at = UINT64_MAX;
    intent->in_group = UINT64_MAX;
    intent->in_kind = LC_INTENT_SLOT;
    w.repairs = 1;
    die_inside();
}

static void scene_damaged_group_intent(void) {
    scene_damaged_intent();
    ct_shard(w.cache)->ctl->sh_intent.in_kind = LC_INTENT_GROUP;
}

static void scene_emptying(void) {
    scene_damaged_table();
    ct_shard(w.cache)->ctl->sh_intent.in_phase = LC_PHASE_EMPTY;
    w.emptying = true;
}

const struct scene scenes[] = {
    {"untouched", scene_untouched},
    {"nearly empty", scene_nearly_empty},
    {"growing index", scene_growing_index},
    {"shrinking index", scene_shrinking_index},
    {"moving index", scene_moving_index},
    {"full", scene_full},
    {"full of runs", scene_full_of_runs},
    {"full of wanted", scene_full_of_wanted},
    {"pinned", scene_pinned},
    {"choosing", scene_choosing},
    {"choosing anew", scene_choosing_anew},
    {"expired", scene_expired},
    {"parked", scene_parked},
    {"mostly pinned", scene_mostly_pinned},
    {"cleared", scene_cleared},
    {"damaged index", scene_damaged_index},
    {"damaged table", scene_damaged_table},
    {"emptying", scene_emptying},
    {"checksums", scene_checksums},
    {"ghost", scene_ghost},
    {"one bucket", scene_one_bucket},
    {"two shards", scene_two_shards},
    {"intent, slot", scene_damaged_intent},
    {"intent, group", scene_damaged_group_intent},
};
const size_t scene_count = sizeof scenes / sizeof *scenes;

void scene_open(const struct scene *scene) {
    memset(&w, 0, sizeof w);
    scene->prepare();
    if (!w.rebuilding) {
        read_all();
    }
    save();
}

void scene_close(void) {
    free(w.saved);
    lilcache_close(w.cache);
}
