/* A process killed before every store of every operation, in every scene; its successor
 * killed before every store of the recovery; and that one's successor, too.
 *
 *   for each k:  put the scene's bytes back
 *                fork; the child dies before its k-th store into the segment
 *                judge: the first operation of a survivor, all invariants, all values
 *                for each l: put the dead child's bytes back
 *                            fork; the recovery dies before its l-th store
 *                            judge
 *
 * The survivor who judges is this process, so whatever a judge finds wrong ends it. */
#include "kill.h"

#include <argp.h>
#include <sys/prctl.h>

#include "image.h"
#include "judge.h"
#include "scene.h"
#include "trail.h"

#define DENSE            150 /* stores of an operation, each of them died at */
#define RECOVERY_SAMPLE  12
#define LARGE_RECOVERY   400 /* stores */
#define LARGE_SAMPLE     100
#define PLACE_TRIES      5 /* waits and what is due by the clock vary between runs */
#define PROGRESS_SECONDS 20

struct options options = {.jobs = 1, .seed = 1, .stride = 1};
struct board *board;
struct where *where;
static double started;

/* How much is tried in one round. The first is as the options say; those that follow
 * take samples in scenes of other keys, sizes and values. */
static struct plan {
    uint64_t deep;
    uint64_t stride;
    uint64_t dense;
    uint64_t third_one_in; /* recoveries whose successor dies, too */
} plan;

static void make_plan(uint64_t round) {
    plan = round == 0 ? (struct plan){options.deep, options.stride, DENSE, 8}
                      : (struct plan){8, 8, 40, 2};
}

static struct ct_random dice;

/* Of one operation in one scene, in one round. */
static struct {
    bool place[HOOK_SITES]; /* somebody died there, and so did all his successors */
    bool large;             /* as did those in one rebuild */
} swept;

/* What this process remembers of the scene, put back with the scene's bytes, so that
 * every victim does what the first one did. */
static struct {
    uint32_t sweep_wanted;
    uint64_t sweep_after_ms;
    uint64_t claim_after_ms;
    struct lc_shard shards[LC_SHARDS_MAX];
} memory;

static void scene_remember(void) {
    const struct lc_segment *segment = w.cache->segment;
    memory.sweep_wanted = segment->sweep_wanted;
    memory.sweep_after_ms = segment->sweep_after_ms;
    memory.claim_after_ms = segment->claim_after_ms;
    memcpy(memory.shards, segment->shards,
           segment->shard_count * sizeof *segment->shards);
}

static void scene_return(void) {
    struct lc_segment *segment = w.cache->segment;
    segment->sweep_wanted = memory.sweep_wanted;
    segment->sweep_after_ms = memory.sweep_after_ms;
    segment->claim_after_ms = memory.claim_after_ms;
    memcpy(segment->shards, memory.shards,
           segment->shard_count * sizeof *segment->shards);
    image_restore();
}

bool enough(void) {
    if (options.seconds > 0) {
        return lct_seconds() - started > options.seconds;
    }
    return where->round > options.round &&
           (options.deaths == 0 || report_deaths() >= options.deaths);
}

bool victim_wait(pid_t child, int *status) {
    *status = victim_status(child);
    CHECK(hook_shared->died || WIFEXITED(*status));
    return !hook_shared->died;
}

/* --- sweeps ----------------------------------------------------------------------- */

/* The recovery, up to its k-th store. */
static bool recover_until(uint64_t k) {
    int status;
    pid_t child = victim_fork();
    if (child == 0) {
        char report[256];
        hook_arm(k);
        _exit(lilcache_check(w.cache, report, sizeof report));
    }
    bool completed = victim_wait(child, &status);
    CHECK(!completed || WEXITSTATUS(status) == 0);
    return completed;
}

/* How many of a recovery's stores are died at: all of them after the first death at
 * each place of an operation, samples when somebody has died at that place before, in
 * another turn of a loop. A rebuild stores thousands of times: all of that once in an
 * operation, and more samples. */
static uint64_t recovery_deaths(uint64_t stores, uint32_t place) {
    bool once_more = swept.place[place];
    bool large = stores > LARGE_RECOVERY;
    bool all = !once_more && (!large || !swept.large);
    swept.place[place] = true;
    swept.large |= large && all;
    uint64_t most = plan.deep   ? plan.deep
                    : all       ? stores
                    : once_more ? RECOVERY_SAMPLE
                                : LARGE_SAMPLE;
    return lc_min64(most, stores);
}

/* Someone died inside the lock, at this place. Let successors die at the recovery. */
static uint64_t sweep_recovery(const struct deed *deed, uint32_t place,
                               const struct figures *before) {
    char *end = where->text + strlen(where->text);
    size_t room = sizeof where->text - (size_t)(end - where->text);
    uint64_t deaths = 0;
    image_keep();
    CHECK(recover_until(0));
    uint64_t stores = hook_shared->count;
    uint64_t many = recovery_deaths(stores, place);
    for (uint64_t i = 1; i <= many && !enough(); i++) {
        uint64_t l = many < stores ? 1 + ct_below(&dice, stores) : i;
        bool third = ct_below(&dice, plan.third_one_in) == 0;
        uint64_t m = third ? 1 + ct_below(&dice, stores) : 0;
        snprintf(end, room, ", then at store %llu and %llu of the recovery",
                 (unsigned long long)l, (unsigned long long)m);
        image_return();
        deaths += !recover_until(l);
        if (third) {
            deaths += !recover_until(m);
        }
        judge(deed, l, false, 1, 3, before);
    }
    *end = 0;
    return deaths;
}

/* The status of an undisturbed run. */
static int run_through(const struct deed *deed) {
    int status;
    scene_return();
    pid_t child = victim_fork();
    if (child == 0) {
        hook_arm(0);
        int result = deed_run(deed);
        hook_disarm();
        _exit(-result);
    }
    CHECK(victim_wait(child, &status));
    return -WEXITSTATUS(status);
}

/* One death in the operation, at its k-th store or at a place, and those in its
 * recoveries. True: it completed. */
static bool die_once(const char *scene, const struct deed *deed, uint64_t k,
                     uintptr_t at, const struct figures *before, struct tally *tally) {
    int status;
    scene_return();
    snprintf(where->text, sizeof where->text,
             at ? "%s, %s: killed at place %llx" : "%s, %s: killed before store %llu",
             scene, deed->name, (unsigned long long)(at ? at : k));
    pid_t child = victim_fork();
    if (child == 0) {
        if (at) {
            hook_arm_place(at);
        } else {
            hook_arm(k);
        }
        deed_run(deed);
        hook_disarm();
        _exit(0);
    }
    bool completed = victim_wait(child, &status);
    bool held = judge_lock_was_held();
    tally->deaths += !completed;
    if (held) {
        tally->again += sweep_recovery(deed, hook_shared->last_site, before);
        image_return();
    }
    judge(deed, k, completed, held, held, before);
    return completed;
}

/* Places that the stride passed over; kills: of each place before this operation. */
static void sweep_places(const char *scene, const struct deed *deed,
                         const uint64_t *first, const uint64_t *kills,
                         const struct figures *before, struct tally *tally) {
    for (size_t i = 0; i < hook_shared->site_count && !enough(); i++) {
        if (first[i] && hook_shared->sites[i].kills == kills[i]) {
            die_once(scene, deed, first[i], hook_shared->sites[i].at, before, tally);
        }
    }
}

static void sweep(const char *scene, const struct deed *deed, struct tally *tally) {
    uint64_t places[HOOK_SITES] = {0};
    uint64_t first[HOOK_SITES] = {0};
    bool completed = false;
    hook_forget();
    memset(&swept, 0, sizeof swept);
    snprintf(where->text, sizeof where->text, "%s, %s", scene, deed->name);
    int status = run_through(deed);
    tally->status = status;
    if (!deed_succeeds(deed, status)) {
        if (!deed_may_fail(deed, status)) {
            LCT_FAIL("%s, %s: %s", scene, deed->name, lilcache_status_text(status));
        }
        return;
    }
    tally->ran = true;
    tally->stores = hook_shared->count;
    for (size_t i = 0; i < hook_shared->site_count; i++) {
        first[i] = hook_shared->sites[i].first;
    }
    judge_note_survivors();
    report_places_before(places);
    scene_return();
    struct figures before = judge_figures();
    for (uint64_t k = 1; !completed && !enough();
         k += k < plan.dense ? 1 : 1 + ct_below(&dice, 2 * plan.stride - 1)) {
        completed = die_once(scene, deed, k, 0, &before, tally);
    }
    for (int i = 0; i < PLACE_TRIES; i++) {
        sweep_places(scene, deed, first, places, &before, tally);
    }
    scene_return();
    image_compare();
    report_places(places, first, tally);
}

/* --- workers ---------------------------------------------------------------------- */

static bool scene_wanted(const struct scene *scene) {
    return !options.only || strstr(scene->name, options.only) != NULL;
}

static void work_on(uint64_t item, uint64_t round) {
    static const struct scene *open;
    static uint64_t open_round;
    struct tally *tally = &board->tallies[item];
    make_plan(round);
    if (item < life_count) {
        if (!options.only || strcmp(options.only, "life") == 0) {
            snprintf(tally->scene, sizeof tally->scene, "life");
            snprintf(tally->deed, sizeof tally->deed, "%s", life_name(item));
            tally->ran = true;
            bool sample = plan.deep > 0 || options.seconds > 0;
            life_sweep(item, sample ? 1 : 0, &dice, tally);
        }
        return;
    }
    const struct scene *scene = &scenes[(item - life_count) / deed_count];
    const struct deed *deed = &deeds[(item - life_count) % deed_count];
    if (!scene_wanted(scene)) {
        return;
    }
    if (open != scene || open_round != round) {
        if (open) {
            scene_close();
        }
        hook_seed(options.seed * 1000003 + round * 1009 + (uint64_t)(scene - scenes));
        snprintf(where->text, sizeof where->text, "preparing %s", scene->name);
        scene_seed = 1 + round * options.seed;
        scene_open(scene);
        hook_watch(w.cache->segment->base, SCENE_BYTES);
        image_begin(w.cache->segment->base);
        free(w.saved); /* so that no fork copies it */
        w.saved = NULL;
        trail_begin();
        scene_remember();
        scene_return();
        open = scene;
        open_round = round;
    }
    snprintf(tally->scene, sizeof tally->scene, "%s", scene->name);
    snprintf(tally->deed, sizeof tally->deed, "%s", deed->name);
    if (w.keys[KEY_OLD].present || deed_wants_nothing(deed)) {
        sweep(scene->name, deed, tally);
    } else {
        tally->status = LILCACHE_MISS;
    }
}

static void work(int number) {
    verify_changed = trail_changed;
    verify_look = trail_look;
    deed_neighbour = hook_disarm;
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    dice.state = options.seed * 31 + (uint64_t)number;
    for (;;) {
        uint64_t item = __atomic_fetch_add(&board->next, 1, __ATOMIC_SEQ_CST);
        uint64_t round = item / board->items;
        where->round = round;
        if (enough()) {
            exit(0);
        }
        work_on(item % board->items, round);
    }
}

static void *share(size_t bytes) {
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static void say_progress(void) {
    static double said;
    static uint64_t before;
    double now = lct_seconds();
    if (said == 0 || now - said >= PROGRESS_SECONDS) {
        uint64_t deaths = report_deaths();
        if (said != 0) {
            printf("%5.0f s: %llu processes killed, %.0f a second\n", now - started,
                   (unsigned long long)deaths,
                   (double)(deaths - before) / (now - said));
            fflush(stdout);
        }
        said = now;
        before = deaths;
    }
}

/* The workers' exit codes, summed up. */
static bool wait_for(const pid_t *workers, const struct where *places) {
    bool failed = false;
    int left = options.jobs;
    while (left > 0) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        CHECK(ended >= 0);
        for (int i = 0; i < options.jobs; i++) {
            if (ended != workers[i]) {
                continue;
            }
            left--;
            lct_remove_segments(ended); /* of one that found a violation */
            if (status != 0) {
                fprintf(stderr, "VIOLATION (status %d, seed %llu, round %llu) %s\n",
                        status, (unsigned long long)options.seed,
                        (unsigned long long)places[i].round, places[i].text);
                failed = true;
            }
        }
        if (ended == 0) {
            say_progress();
            lct_sleep_ms(20);
        }
    }
    return failed;
}

static int run(void) {
    struct where *places = share(sizeof *places * WORKERS_MAX);
    pid_t workers[WORKERS_MAX];
    board = share(sizeof *board);
    board->items = life_count + scene_count * deed_count;
    CHECK(board->items <= ITEMS_MAX);
    board->next = options.round * board->items;
    for (int i = 0; i < options.jobs; i++) {
        board->workers[i] = share(sizeof *board->workers[i]);
    }
    for (int i = 0; i < options.jobs; i++) {
        fflush(stdout);
        workers[i] = fork();
        CHECK(workers[i] >= 0);
        if (workers[i] == 0) {
            hook_shared = board->workers[i];
            where = &places[i];
            lct_group = getpid();
            work(i);
        }
    }
    bool failed = wait_for(workers, places);
    uint64_t deaths = report_deaths();
    if (!report_table(options.table)) {
        failed = true;
    }
    if (options.sites && !report_sites(options.sites)) {
        fprintf(stderr, "cannot write %s\n", options.sites);
        failed = true;
    }
    if (deaths < lc_max64(options.least, options.deaths)) {
        fprintf(stderr, "fewer deaths than %llu\n",
                (unsigned long long)lc_max64(options.least, options.deaths));
        failed = true;
    }
    double seconds = lct_seconds() - started;
    printf("%llu processes killed, %s, %.0f s, %.0f a second\n",
           (unsigned long long)deaths, failed ? "VIOLATED" : "nothing lost", seconds,
           (double)deaths / seconds);
    return failed;
}

static error_t parse(int key, char *word, struct argp_state *state) {
    (void)state;
    switch (key) {
    case 'j':
        options.jobs = (int)lc_min64(strtoull(word, NULL, 10), WORKERS_MAX);
        break;
    case 's':
        options.seed = strtoull(word, NULL, 10);
        break;
    case 't':
        options.seconds = strtod(word, NULL);
        break;
    case 'd':
        options.deep = strtoull(word, NULL, 10);
        break;
    case 'x':
        options.stride = lc_max64(strtoull(word, NULL, 10), 1);
        break;
    case 'l':
        options.least = strtoull(word, NULL, 10);
        break;
    case 'p':
        options.pairs = strtoull(word, NULL, 10);
        break;
    case 'n':
        options.deaths = strtoull(word, NULL, 10);
        break;
    case 'r':
        options.round = strtoull(word, NULL, 10);
        break;
    case 'b':
        options.table = word;
        break;
    case 'f':
        options.sites = word;
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
        {"jobs", 'j', "N", 0, "processes that sweep at once", 0},
        {"seed", 's', "N", 0, "hash keys and choices", 0},
        {"seconds", 't', "N", 0, "rounds until then, instead of one", 0},
        {"deaths", 'n', "N", 0, "rounds until so many, and at least one", 0},
        {"round", 'r', "N", 0, "begin with this round: to repeat a violation", 0},
        {"table", 'b', "FILE", 0, "write what happened in each operation", 0},
        {"deep", 'd', "N", 0, "deaths in each recovery at most", 0},
        {"stride", 'x', "N", 0, "of long operations one store in N", 0},
        {"least", 'l', "N", 0, "deaths that must happen", 0},
        {"pairs", 'p', "N", 0, "operations in their scenes to be tried, at least", 0},
        {"sites", 'f', "FILE", 0, "write the places died at", 0},
        {"only", 'o', "SCENE", 0, "only this scene, or life", 0},
        {0}};
    struct argp parser = {.options = known, .parser = parse};
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    started = lct_seconds();
    return run();
}
