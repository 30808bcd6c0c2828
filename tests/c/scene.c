#include "scene.h"

static void put(uint32_t n, uint64_t length, int64_t ttl) {
    uint64_t seed = ct_random(&w.random) | 1;
    CHECK(n < KEYS_MAX);
    CHECK_EQ(ct_set_ttl(w.cache, n, seed, length, ttl), LILCACHE_OK);
    w.keys[n] = (struct value){.present = true, .seed = seed, .length = length};
}

static void put_next(uint64_t length) {
    put(KEY_FREE + w.used++, length, LILCACHE_TTL_NONE);
}

static void put_roles(void) {
    char key[CT_KEY_BYTES + 1];
    int64_t number = 41;
    put(KEY_OLD, 300, LILCACHE_TTL_NONE);
    ct_key(KEY_COUNT, key);
    CHECK_EQ(lilcache_incr(w.cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, 0, &number, 0,
                           &number),
             LILCACHE_OK);
    w.keys[KEY_COUNT] =
        (struct value){.present = true, .number = true, .seed = 41, .length = 8};
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

static void scene_begin(bool evicting) {
    w.cache = ct_open(SCENE_BYTES);
    w.saved = malloc(SCENE_BYTES);
    w.random.state = 1;
    w.evicting = evicting;
}

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
    if (look(KEY_OLD, &w.keys[KEY_OLD]) != FOUND_IT ||
        look(KEY_COUNT, &w.keys[KEY_COUNT]) != FOUND_IT) {
        put_roles();
    }
    if (w.used % 50 == 0) {
        read_all();
    }
}

static void scene_full(void) {
    scene_begin(true);
    put_roles();
    for (int i = 0; i < 1500; i++) {
        step_mixed();
    }
    go_on_until("relocations", 4, step_mixed);
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
    lct_sleep_ms(5);
    for (uint32_t n = KEY_FREE; n < KEY_FREE + w.used; n += 2) {
        w.keys[n] = (struct value){0};
    }
}

const struct scene scenes[] = {
    {"untouched", scene_untouched},         {"nearly empty", scene_nearly_empty},
    {"growing index", scene_growing_index}, {"shrinking index", scene_shrinking_index},
    {"moving index", scene_moving_index},   {"full", scene_full},
    {"full of runs", scene_full_of_runs},   {"expired", scene_expired},
};
const size_t scene_count = sizeof scenes / sizeof *scenes;

void scene_open(const struct scene *scene) {
    memset(&w, 0, sizeof w);
    scene->prepare();
    read_all();
    save();
}

void scene_close(void) {
    free(w.saved);
    lilcache_close(w.cache);
}
