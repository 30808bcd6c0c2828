/* A read and a write, interleaved in every way that takes two switches.
 *
 *   read  ....i          ....      the write's first j stores happen inside the read
 *   write      ....j         ....
 *
 *   read           ....i     ....  the write's stores from j on happen inside the read
 *   write ....j         ....
 *
 * For each scene, each write, each kind of read and some keys: all pairs of an access i
 * and a store j, or a sample of them. The read has to return what the key held before
 * or after the write, a miss only where there may be one; a view stays as it is; all
 * invariants hold afterwards. Whether the processor or the compiler keeps the order of
 * the accesses is not seen here. */
#include <argp.h>

#include "scene.h"
#include "survey.h"
#include "switch.h"

#define BUFFER       262144
#define KEYS_READ    3 /* of a scene, besides those with a role */
#define ITEM_SECONDS 120
#define CHURN_KEY    (KEYS_MAX + 1000)
#define ALL          UINT64_MAX
#define READ_STEPS   32768 /* no read takes that many; a checksum is of 100,000 bytes */
#define CHECK_ONE_IN 4
#define VERIFY_ONE_IN 64

static struct {
    int jobs;
    uint64_t seed;
    double seconds;
    uint64_t budget; /* pairs of each item */
    uint64_t least;
    const char *only;
} options = {.jobs = 1, .seed = 1, .budget = 100};

struct board {
    uint64_t schedules;
    uint64_t exhausted; /* items of which all pairs were tried */
    uint64_t items;
    uint64_t retried; /* reads that took more accesses than alone */
};
static struct board *board;
static char *where; /* of this worker */
static double started;
static struct ct_random dice;

/* --- writes ----------------------------------------------------------------------- */

/* Besides the deeds: many writes in a row, that turn blocks or pages over. */
struct program {
    const char *name;
    void (*run)(void);
    bool removes; /* the scene's keys may be gone afterwards */
};

static const struct deed *deed; /* NULL: program */
static const struct program *program;

static void run_deed(void) { deed_run(deed); }

static void churn(uint32_t count, size_t length) {
    for (uint32_t i = 0; i < count; i++) {
        ct_set(w.cache, CHURN_KEY + i, i, length);
    }
}

static void program_churn(void) { churn(60, 1500); }
static void program_turn(void) { churn(300, 3000); }
static void program_crumbs(void) { churn(200, 4); }
/* Groups grow and shrink again, perhaps to the pages that they had. */
static void program_there_and_back(void) {
    churn(120, 4);
    for (uint32_t i = 0; i < 120; i++) {
        ct_delete(w.cache, CHURN_KEY + i);
    }
    for (uint32_t i = 0; i < 20; i++) { /* one group shrinks in each */
        ct_delete(w.cache, KEY_ABSENT);
    }
}

static void program_large(void) { churn(5, 100000); }

static void program_drop(void) {
    for (uint32_t n = KEY_FREE + w.used / 2; n < KEY_FREE + w.used; n++) {
        ct_delete(w.cache, n);
    }
}

static void program_clear(void) {
    lilcache_clear(w.cache);
    churn(100, 1500);
}

static const struct program programs[] = {
    {"churn", program_churn, false},
    {"turn over", program_turn, false},
    {"crumbs", program_crumbs, false},
    {"there and back", program_there_and_back, false},
    {"large ones", program_large, false},
    {"drop", program_drop, true},
    {"clear", program_clear, true},
};
#define PROGRAMS (sizeof programs / sizeof *programs)

static bool writes(const struct deed *some) {
    switch (some->verb) {
    case V_GET:
    case V_GETS:
    case V_VERSION:
    case V_TTL:
    case V_GET_MANY:
    case V_SCAN:
    case V_STATS:
    case V_PIN:
    case V_PIN_KEPT:
    case V_FORK:
    case V_RAW_FORK:
        return false;
    default:
        return true;
    }
}

static struct value value_after(uint32_t n) {
    return deed ? deed_result(deed, n, &w.keys[n]) : w.keys[n];
}

/* --- reads ------------------------------------------------------------------------ */

static struct {
    uint32_t key;
    char name[CT_KEY_BYTES + 1];
    int64_t result;
    int64_t ttl;
    uint8_t buffer[BUFFER];
    struct lilcache_view view;
    struct lilcache_version version; /* of what the scene has */
    bool late;                       /* the read began when the write was over */
} r;

static void read_get(void) {
    r.result =
        lilcache_get(w.cache, r.name, CT_KEY_BYTES, LILCACHE_KEY_STR, r.buffer, BUFFER);
}

/* All three are begun before the first one is finished. */
static void read_many(void) {
    static const uint32_t lengths[] = {CT_KEY_BYTES, CT_KEY_BYTES, CT_KEY_BYTES};
    static const uint8_t types[] = {LILCACHE_KEY_STR, LILCACHE_KEY_STR,
                                    LILCACHE_KEY_STR};
    char names[3 * CT_KEY_BYTES + 1];
    int64_t results[3];
    memcpy(names, r.name, CT_KEY_BYTES);
    ct_key(world_key(KEY_ABSENT), names + CT_KEY_BYTES);
    ct_key(world_key(KEY_FREE), names + 2 * CT_KEY_BYTES);
    lilcache_get_many(w.cache, 3, names, lengths, types, r.buffer, BUFFER, results);
    r.result = results[0];
}

static void read_pin(void) {
    r.result = lilcache_pin(w.cache, r.name, CT_KEY_BYTES, LILCACHE_KEY_STR, &r.view);
}

static void read_ttl(void) {
    r.result = lilcache_ttl(w.cache, r.name, CT_KEY_BYTES, LILCACHE_KEY_STR, &r.ttl);
}

static void read_version(void) { r.result = lilcache_is_current(w.cache, &r.version); }

struct reading {
    const char *name;
    void (*run)(void);
};

static const struct reading readings[] = {
    {"get", read_get}, {"get many", read_many},   {"pin", read_pin},
    {"ttl", read_ttl}, {"version", read_version},
};
#define READINGS (sizeof readings / sizeof *readings)

static bool holds(const uint8_t *data, const struct value *wanted) {
    int64_t number;
    if (!wanted->present || LILCACHE_LENGTH(r.result) != wanted->length ||
        LILCACHE_VALUE_TYPE(r.result) != (wanted->number ? LILCACHE_TYPE_INT64 : 7)) {
        return false;
    }
    memcpy(&number, data, wanted->number ? 8 : 0);
    return wanted->number ? number == (int64_t)wanted->seed
                          : ct_matches(data, wanted->length, wanted->seed);
}

/* What of the small records makes room for a large value is for their hits to decide,
 * which a read raises meanwhile. */
static bool hits_decide(const struct reading *reading) {
    return w.evicting && deed && deed->length >= LC_VALUE_ALIGN_FROM &&
           reading->run != read_ttl;
}

/* The key is there all the time. A pin that is held changes which run goes next, and
 * after many pinned ones a pinned one goes, too. */
static bool stays(const struct reading *reading) {
    bool evicts = w.evicting || program;
    return survey_outlives(r.key) && !(program && program->removes) &&
           !(reading->run == read_pin && evicts) && !hits_decide(reading);
}

/* In a full segment the value that is being replaced may be evicted before. */
static bool may_miss(const struct reading *reading, const struct value *before,
                     const struct value *after) {
    bool replaced = deed && w.evicting && r.key == deed->key;
    return replaced || !before->present || !after->present || !stays(reading);
}

/* What the read returned is the truth of some moment. */
static void check_read(const struct reading *reading) {
    const struct value *before = &w.keys[r.key];
    struct value after = value_after(r.key);
    if (reading->run == read_version) {
        CHECK(r.result == LILCACHE_MISS ||
              (r.result == LILCACHE_OK && before->present));
        /* Nothing happens any more: what is current now is what a get finds. */
        CHECK(r.result == LILCACHE_MISS || !r.late || look(r.key, before) == FOUND_IT);
    } else if (r.result == LILCACHE_MISS) {
        CHECK(may_miss(reading, before, &after));
    } else if (reading->run == read_ttl) {
        CHECK_EQ(r.result, LILCACHE_OK);
        CHECK(before->present || after.present);
        CHECK(r.ttl == -1 || (r.ttl > 0 && r.ttl <= FOREVER));
    } else if (reading->run != read_pin || r.result != LILCACHE_NO_PIN) {
        const uint8_t *data = reading->run == read_pin ? r.view.data : r.buffer;
        CHECK(r.result >= 0);
        CHECK(holds(data, before) || holds(data, &after));
    }
}

/* --- schedules -------------------------------------------------------------------- */

static struct call reader;
static struct call writer;

/* To the end; what it waits for is the other's to finish. */
static void finish(struct call *call, struct call *other) {
    while (call_go(call, ALL) != CALL_DONE) {
        CHECK_EQ(call->state, CALL_BLOCKED);
        call_go(other, other->accesses + 1);
    }
}

static void schedule(const struct reading *reading, bool writer_first, uint64_t i,
                     uint64_t j) {
    static uint64_t verified;
    bool pinned = false;
    switch_restore();
    call_begin(&reader, reading->run, false);
    call_begin(&writer, deed ? run_deed : program->run, true);
    if (writer_first) {
        r.late = call_go(&writer, j) == CALL_DONE;
        call_go(&reader, i);
        finish(&writer, &reader);
        finish(&reader, &writer);
    } else {
        call_go(&reader, i);
        r.late = call_go(&writer, j) == CALL_DONE && i == 0;
        finish(&reader, &writer);
    }
    CHECK(reader.accesses < READ_STEPS);
    check_read(reading);
    pinned = reading->run == read_pin && r.result >= 0;
    finish(&writer, &reader);
    if (pinned) {
        check_read(reading); /* the view is as it was */
        lilcache_unpin(w.cache, r.view.pin);
    }
    struct value after = value_after(r.key);
    if (stays(reading)) {
        CHECK_EQ(look(r.key, &after), after.present ? FOUND_IT : FOUND_NOTHING);
    }
    if (verified++ % CHECK_ONE_IN == 0) {
        ct_check_unhurt(w.cache);
    }
    if (deed && verified % VERIFY_ONE_IN == 0) {
        verify_keys(deed, true);
    }
}

static bool time_is_up(void) {
    return options.seconds > 0 && lct_seconds() - started > options.seconds;
}

/* One reading of one key against the current write, whose stores are counted. */
static void sweep(const char *scene, const struct reading *reading, uint64_t stores) {
    uint64_t accesses = survey_read(reading->run);
    if (reading->run == read_pin && r.result >= 0) {
        lilcache_unpin(w.cache, r.view.pin);
    }
    uint64_t pairs = 2 * (accesses + 1) * (stores + 1);
    uint64_t many = lc_min64(pairs, options.budget);
    for (uint64_t t = 0; t < many && !time_is_up(); t++) {
        uint64_t pair = many == pairs ? t : ct_below(&dice, pairs);
        bool writer_first = pair & 1;
        uint64_t i = pair / 2 % (accesses + 1);
        uint64_t j = pair / 2 / (accesses + 1);
        if (many < pairs && ct_below(&dice, 3) == 0) {
            i = survey_read_store(&dice, accesses);
        }
        switch (many < pairs ? ct_below(&dice, 6) : 5) {
        case 0:
            j = writer_first ? 0 : stores; /* the whole write inside the read */
            break;
        case 1:
        case 2:
        case 3:
            j = survey_store(&dice, stores);
            break;
        default:
            break;
        }
        snprintf(where, 200, "%s, %s of key %u at access %llu, %s at store %llu%s",
                 scene, reading->name, r.key, (unsigned long long)i,
                 deed ? deed->name : program->name, (unsigned long long)j,
                 writer_first ? ", which began first" : "");
        schedule(reading, writer_first, i, j);
        __atomic_fetch_add(&board->retried, reader.accesses > accesses,
                           __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&board->schedules, many, __ATOMIC_RELAXED);
    __atomic_fetch_add(&board->exhausted, many == pairs, __ATOMIC_RELAXED);
    __atomic_fetch_add(&board->items, 1, __ATOMIC_RELAXED);
}

static void sweep_write(const char *scene) {
    uint64_t stores = survey_write(deed ? run_deed : program->run, value_after);
    uint32_t keys[KEYS_READ + 4] = {deed ? deed->key : KEY_TIMED, KEY_OLD};
    uint32_t count = keys[0] == KEY_OLD ? 1 : 2;
    uint32_t moved = survey_moved(&dice);
    if (moved < KEYS_MAX) {
        keys[count++] = moved;
    }
    uint32_t lost = survey_lost(&dice);
    if (lost < KEYS_MAX) {
        keys[count++] = lost;
    }
    for (int tries = 0; tries < 100 && count < KEYS_READ + 2; tries++) {
        uint32_t n = KEY_FREE + (uint32_t)ct_below(&dice, w.used + 1);
        if (w.keys[n].present) {
            keys[count++] = n;
        }
    }
    for (uint32_t k = 0; k < count; k++) {
        r.key = keys[k];
        ct_key(world_key(r.key), r.name);
        switch_restore();
        (void)lilcache_get_version(w.cache, r.name, CT_KEY_BYTES, LILCACHE_KEY_STR,
                                   r.buffer, BUFFER, &r.version);
        for (size_t i = 0; i < READINGS && !time_is_up(); i++) {
            sweep(scene, &readings[i], stores);
        }
    }
}

static void sweep_scene(const struct scene *scene, int part) {
    size_t number = 0;
    snprintf(where, 200, "preparing %s", scene->name);
    scene_open(scene);
    /* A read and a write of one key meet in one shard. */
    if (!w.rebuilding && w.cache->segment->shard_count == 1) {
        switch_watch(w.cache->segment->base);
        memcpy(w.cache->segment->base, w.saved, SCENE_BYTES);
        switch_save();
        for (size_t d = 0; d < deed_count + PROGRAMS; d++) {
            deed = d < deed_count ? &deeds[d] : NULL;
            program = deed ? NULL : &programs[d - deed_count];
            bool able =
                !deed ||
                (writes(deed) && (w.keys[KEY_OLD].present || deed_wants_nothing(deed)));
            if (able && number++ % (uint64_t)options.jobs == (uint64_t)part) {
                alarm(ITEM_SECONDS);
                sweep_write(scene->name);
            }
        }
        switch_watch(NULL);
    }
    scene_close();
}

/* --- workers ---------------------------------------------------------------------- */

static void work(int part) {
    for (uint64_t round = 0;; round++) {
        dice.state = options.seed * 1000003 + round * 64 + (uint64_t)part;
        for (size_t i = 0; i < scene_count; i++) {
            if (time_is_up() || (round > 0 && options.seconds == 0)) {
                exit(0);
            }
            if (!options.only || strstr(scenes[i].name, options.only)) {
                switch_seed(options.seed * 31 + round * 1009 + i);
                sweep_scene(&scenes[i], part);
            }
        }
    }
}

static void *share(size_t bytes) {
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static int run(void) {
    char (*places)[200] = share(sizeof *places * 64);
    pid_t workers[64];
    int failed = 0;
    board = share(sizeof *board);
    for (int i = 0; i < options.jobs; i++) {
        fflush(stdout);
        workers[i] = fork();
        CHECK(workers[i] >= 0);
        if (workers[i] == 0) {
            where = places[i];
            work(i);
        }
    }
    for (int i = 0; i < options.jobs; i++) {
        int status;
        CHECK(waitpid(workers[i], &status, 0) == workers[i]);
        if (status != 0) {
            fprintf(stderr, "VIOLATION (status %d, seed %llu) %s\n", status,
                    (unsigned long long)options.seed, places[i]);
            failed = 1;
        }
    }
    printf("%llu schedules of %llu pairs of a read and a write, %llu pairs in full, "
           "%llu reads retried, %s, %.0f s\n",
           (unsigned long long)board->schedules, (unsigned long long)board->items,
           (unsigned long long)board->exhausted, (unsigned long long)board->retried,
           failed ? "VIOLATED" : "all explained", lct_seconds() - started);
    if (!failed && board->schedules < options.least) {
        fprintf(stderr, "fewer than %llu\n", (unsigned long long)options.least);
        failed = 1;
    }
    return failed;
}

static error_t parse(int key, char *word, struct argp_state *state) {
    (void)state;
    switch (key) {
    case 'j':
        options.jobs = (int)lc_clamp64(strtoull(word, NULL, 10), 1, 64);
        break;
    case 's':
        options.seed = strtoull(word, NULL, 10);
        break;
    case 't':
        options.seconds = strtod(word, NULL);
        break;
    case 'b':
        options.budget = lc_max64(strtoull(word, NULL, 10), 1);
        break;
    case 'l':
        options.least = strtoull(word, NULL, 10);
        break;
    case 'o':
        options.only = word;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv) {
    static const struct argp_option known[] = {
        {"jobs", 'j', "N", 0, "processes that work at once", 0},
        {"seed", 's', "N", 0, "hash keys and choices", 0},
        {"seconds", 't', "N", 0, "rounds until then, instead of one", 0},
        {"budget", 'b', "N", 0, "schedules of each pair of a read and a write", 0},
        {"least", 'l', "N", 0, "schedules that must have been tried", 0},
        {"only", 'o', "SCENE", 0, "only this scene", 0},
        {0}};
    struct argp parser = {.options = known, .parser = parse};
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    started = lct_seconds();
    return run();
}
