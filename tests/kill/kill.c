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

#define DENSE        150 /* stores of an operation, each of them died at */
#define THIRD_ONE_IN 8
#define PLACE_TRIES  5 /* waits and what is due by the clock vary from run to run */

struct options options = {.jobs = 1, .seed = 1, .stride = 1};
struct board *board;
struct where *where;
static double started;
static struct ct_random dice;

/* What this process remembers of the scene, put back with the scene's bytes, so that
 * every victim does what the first one did. */
static struct {
    uint32_t sweep_wanted;
    uint64_t sweep_after_ms;
    uint64_t claim_after_ms;
} memory;

static void scene_remember(void) {
    const struct lc_segment *segment = w.cache->segment;
    memory.sweep_wanted = segment->sweep_wanted;
    memory.sweep_after_ms = segment->sweep_after_ms;
    memory.claim_after_ms = segment->claim_after_ms;
}

static void scene_return(void) {
    struct lc_segment *segment = w.cache->segment;
    segment->sweep_wanted = memory.sweep_wanted;
    segment->sweep_after_ms = memory.sweep_after_ms;
    segment->claim_after_ms = memory.claim_after_ms;
    image_restore();
}

bool time_is_up(void) {
    return options.seconds > 0 && lct_seconds() - started > options.seconds;
}

bool victim_wait(pid_t child, int *status) {
    CHECK(child > 0 && waitpid(child, status, 0) == child);
    while (waitpid(-1, NULL, 0) > 0) { /* a child it left behind comes to us */
    }
    CHECK(hook_shared->died || WIFEXITED(*status));
    return !hook_shared->died;
}

/* --- sweeps ----------------------------------------------------------------------- */

/* The recovery, up to its k-th store. */
static bool recover_until(uint64_t k) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        char report[256];
        hook_arm(k);
        _exit(lilcache_check(w.cache, report, sizeof report));
    }
    bool completed = victim_wait(child, &status);
    CHECK(!completed || WEXITSTATUS(status) == 0);
    return completed;
}

/* Someone died inside the lock. Let successors die at the recovery. */
static uint64_t sweep_recovery(const struct deed *deed, const struct figures *before) {
    char *end = where->text + strlen(where->text);
    size_t room = sizeof where->text - (size_t)(end - where->text);
    uint64_t deaths = 0;
    image_keep();
    CHECK(recover_until(0));
    uint64_t stores = hook_shared->count;
    uint64_t many = options.deep ? lc_min64(options.deep, stores) : stores;
    for (uint64_t i = 1; i <= many && !time_is_up(); i++) {
        uint64_t l = options.deep ? 1 + ct_below(&dice, stores) : i;
        bool third = ct_below(&dice, THIRD_ONE_IN) == 0;
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

static bool runs_through(const struct deed *deed) {
    int status;
    scene_return();
    pid_t child = fork();
    if (child == 0) {
        hook_arm(0);
        int result = deed_run(deed);
        hook_disarm();
        _exit(result == LILCACHE_OK || deed->key == KEY_ABSENT ? 0 : 1);
    }
    CHECK(victim_wait(child, &status));
    return WEXITSTATUS(status) == 0;
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
    pid_t child = fork();
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
    bool held = !completed && hook_shared->holding;
    tally->deaths += !completed;
    if (held) {
        tally->again += sweep_recovery(deed, before);
        image_return();
    }
    judge(deed, k, completed, held, held, before);
    return completed;
}

/* Places that the stride passed over; kills: of each place before this operation. */
static void sweep_places(const char *scene, const struct deed *deed,
                         const uint64_t *first, const uint64_t *kills,
                         const struct figures *before, struct tally *tally) {
    for (size_t i = 0; i < HOOK_SITES && !time_is_up(); i++) {
        if (first[i] && hook_shared->sites[i].kills == kills[i]) {
            die_once(scene, deed, first[i], hook_shared->sites[i].at, before, tally);
        }
    }
}

static void sweep(const char *scene, const struct deed *deed, struct tally *tally) {
    uint64_t places[HOOK_SITES];
    uint64_t first[HOOK_SITES];
    bool completed = false;
    hook_forget();
    if (!runs_through(deed)) {
        CHECK(w.evicting); /* the key it needs was evicted in between */
        return;
    }
    tally->stores = hook_shared->count;
    for (size_t i = 0; i < HOOK_SITES; i++) {
        first[i] = hook_shared->sites[i].first;
    }
    judge_note_survivors();
    report_places_before(places);
    scene_return();
    struct figures before = judge_figures();
    for (uint64_t k = 1; !completed && !time_is_up();
         k += k < DENSE ? 1 : 1 + ct_below(&dice, 2 * options.stride - 1)) {
        completed = die_once(scene, deed, k, 0, &before, tally);
    }
    for (int i = 0; i < PLACE_TRIES; i++) {
        sweep_places(scene, deed, first, places, &before, tally);
    }
    scene_return();
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
    if (item < life_count) {
        if (!options.only || strcmp(options.only, "life") == 0) {
            snprintf(tally->scene, sizeof tally->scene, "life");
            snprintf(tally->deed, sizeof tally->deed, "%s", life_name(item));
            life_sweep(item, tally);
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
        scene_open(scene);
        hook_watch(w.cache->segment->base, SCENE_BYTES);
        image_begin(w.cache->segment->base);
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
    }
}

static void work(int number) {
    verify_unchanged = trail_unchanged;
    deed_neighbour = hook_disarm;
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    dice.state = options.seed * 31 + (uint64_t)number;
    for (;;) {
        uint64_t item = __atomic_fetch_add(&board->next, 1, __ATOMIC_SEQ_CST);
        uint64_t round = item / board->items;
        if (time_is_up() || (round > 0 && options.seconds == 0)) {
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

static int run(void) {
    struct hook_shared *shared[64];
    struct where *places = share(sizeof *places * 64);
    pid_t workers[64];
    int failed = 0;
    board = share(sizeof *board);
    board->items = life_count + scene_count * deed_count;
    CHECK(board->items <= ITEMS_MAX);
    for (int i = 0; i < options.jobs; i++) {
        shared[i] = share(sizeof *shared[i]);
        fflush(stdout);
        workers[i] = fork();
        CHECK(workers[i] >= 0);
        if (workers[i] == 0) {
            hook_shared = shared[i];
            where = &places[i];
            lct_group = getpid();
            work(i);
        }
    }
    for (int i = 0; i < options.jobs; i++) {
        int status;
        CHECK(waitpid(workers[i], &status, 0) == workers[i]);
        lct_remove_segments(workers[i]); /* of one that found a violation */
        if (status != 0) {
            fprintf(stderr, "VIOLATION (status %d, seed %llu) %s\n", status,
                    (unsigned long long)options.seed, places[i].text);
            failed = 1;
        }
    }
    uint64_t deaths = 0;
    for (int i = 0; i < options.jobs; i++) {
        deaths += shared[i]->kills;
    }
    bool everywhere = report_print();
    if (!everywhere && options.seconds == 0) {
        fprintf(stderr, "an operation stored at a place where nobody died\n");
        failed = 1;
    }
    printf("%llu processes killed, %s, %.0f s\n", (unsigned long long)deaths,
           failed ? "VIOLATED" : "nothing lost", lct_seconds() - started);
    if (options.sites && !report_sites(options.sites, shared, options.jobs)) {
        fprintf(stderr, "cannot write %s\n", options.sites);
        failed = 1;
    }
    if (deaths < options.least) {
        fprintf(stderr, "fewer deaths than %llu\n", (unsigned long long)options.least);
        failed = 1;
    }
    return failed;
}

static error_t parse(int key, char *word, struct argp_state *state) {
    (void)state;
    switch (key) {
    case 'j':
        options.jobs = (int)lc_min64(strtoull(word, NULL, 10), 64);
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
        {"deep", 'd', "N", 0, "deaths in each recovery, instead of all", 0},
        {"stride", 'x', "N", 0, "of long operations one store in N", 0},
        {"least", 'l', "N", 0, "deaths that must happen", 0},
        {"sites", 'f', "FILE", 0, "write the places died at", 0},
        {"only", 'o', "SCENE", 0, "only this scene, or life", 0},
        {0}};
    struct argp parser = {.options = known, .parser = parse};
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    started = lct_seconds();
    return run();
}
