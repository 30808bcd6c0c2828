/* Every bit of a segment flipped, one at a time and in bursts, and what becomes of
 * those who use it.
 *
 *   for each state, region, damage:  put the state's bytes back, and damage them
 *                                    fork: a round of all operations through the
 *                                    attachment that was there, and through a new one
 *                                    no signal, no hang, no wrong value, usable again
 *
 * In busy states two other processes write all the while: one is killed before the
 * victim comes, the other ends by itself and is judged as the victim is. Last,
 * processes work while another one writes random bytes into the segment as fast as it
 * can.
 *
 * The first round goes through the bits in turn; those after it are at random, over
 * states made anew. */
#include <argp.h>
#include <sys/prctl.h>

#include "driver.h"
#include "loads.h"

#define VICTIM_SECONDS 40
#define WARM           20 /* operations of each writer before the damage */
#define WRITES         60 /* and after it */
#define PARTS          6  /* of a state, for several workers */
#define RANDOM 400 /* damages of a region in a later round, where all are asked for */

static struct {
    int jobs;
    uint64_t seed;
    double seconds;
    uint64_t sample; /* damages of a region that is not swept; 0: all bits */
    double hostile;  /* seconds of each kind */
    uint64_t loads;  /* rounds with damage before loads, in a part of a state */
    const char *only;
    bool whole; /* every bit of the states marked so, whatever the time */
    bool quick; /* fewer states swept */
} options = {.jobs = 1, .seed = 1, .sample = 60, .hostile = 2};

static double started;
static uint64_t round_now;
static struct ct_random dice;
static struct met *met;
static struct met *writers_met[2];
struct met baseline[SEEDS];

/* With --whole the time begins when the first round is done. */
static bool time_is_up(void) {
    if (options.seconds == 0 || (options.whole && round_now == 0)) {
        return false;
    }
    double from = options.whole ? board->random_from : started;
    return lct_seconds() - from > options.seconds;
}

/* --- one damage --------------------------------------------------------------------
 */

static pid_t start_writer(uint64_t seed, struct met *of) {
    memset(of, 0, sizeof *of);
    pid_t writer = fork();
    if (writer == 0) {
        alarm(VICTIM_SECONDS);
        victim_write(cache, seed, of);
    }
    CHECK(writer > 0);
    return writer;
}

static uint64_t operations_of(const struct met *of) {
    return __atomic_load_n(&of->operations, __ATOMIC_RELAXED);
}

/* Until both writers have come so far, or that time is over. */
static void await_writers(uint64_t first, uint64_t second, double seconds) {
    double until = lct_seconds() + seconds;
    while ((operations_of(writers_met[0]) < first ||
            operations_of(writers_met[1]) < second) &&
           lct_seconds() < until) {
        usleep(30);
    }
}

static void damage_under_writers(const struct damage *damage) {
    pid_t writers[2];
    int statuses[2];
    for (int i = 0; i < 2; i++) {
        writers[i] = start_writer(damage->seed + 5 * (uint64_t)i, writers_met[i]);
    }
    await_writers(WARM, WARM, 10);
    apply(damage);
    await_writers(operations_of(writers_met[0]) + WRITES,
                  operations_of(writers_met[1]) + WRITES, 0.002);
    kill(writers[0], SIGKILL);
    CHECK(waitpid(writers[0], &statuses[0], 0) == writers[0]);
    __atomic_store_n(&writers_met[1]->stop, true, __ATOMIC_RELAXED);
    CHECK(waitpid(writers[1], &statuses[1], 0) == writers[1]);
    for (int i = 0; i < 2; i++) {
        board_judge_writer(damage, writers_met[i], statuses[i], i == 0);
    }
}

/* one_in: not 0: damage before one load in so many. */
static int run_victim_of(uint64_t seed, bool locked, uint64_t one_in) {
    int status;
    memset(met, 0, sizeof *met);
    pid_t child = fork();
    if (child == 0) {
        alarm(VICTIM_SECONDS);
        if (one_in > 0) {
            struct lc_segment *segment = cache->segment;
            struct piece lock = map->pieces[LOCK][0];
            loads_arm(segment->base, segment->size, segment->base + lock.at, lock.bytes,
                      one_in, seed);
        }
        victim_round(cache, name, seed & 1, locked, seed % SEEDS, met);
        __atomic_fetch_add(&board->injected, loads_injected(), __ATOMIC_RELAXED);
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static void try_damage(const struct damage *damage) {
    segment_restore();
    if (state->busy) {
        damage_under_writers(damage);
    } else {
        apply(damage);
    }
    int status = run_victim_of(damage->seed, damage->region == LOCK, 0);
    board_judge(damage, met, status, true);
}

/* --- sweeps ------------------------------------------------------------------------
 */

static bool is_swept(enum region region) {
    bool dense = region == HEADER || region == CONTROL || region == LOCK ||
                 region == INTENT || region == GROUPS;
    return options.sample == 0 || (options.whole && state->whole) ||
           (dense && state->dense && !options.quick);
}

static void flip(enum region region, uint64_t bit, uint64_t seed) {
    struct damage damage = {region, FLIP, map_byte(map, region, bit / 8),
                            (uint32_t)(bit % 8), seed};
    try_damage(&damage);
    if (round_now == 0) {
        board_flipped(&damage);
    }
}

static void sweep_bits(enum region region, uint64_t part) {
    uint64_t bits = map->bytes[region] * 8;
    uint64_t stride =
        is_swept(region) ? 1 : lc_max64(bits / lc_max64(options.sample, 1), 1);
    for (uint64_t i = part; i * stride < bits && !time_is_up(); i += PARTS) {
        uint64_t bit = i * stride + (options.seed + i) % stride;
        if (bit < bits) {
            flip(region, bit, i + part);
        }
    }
}

static void random_bits(enum region region) {
    uint64_t bits = map->bytes[region] * 8;
    uint64_t many = (options.sample ? options.sample : RANDOM) / PARTS + 1;
    for (uint64_t i = 0; i < many && bits > 0 && !time_is_up(); i++) {
        flip(region, ct_below(&dice, bits), ct_random(&dice));
    }
}

static void sweep_bursts(enum region region) {
    uint64_t most =
        region == LOCK ? RANDOM / 8 : RANDOM; /* a lost lock costs seconds */
    uint64_t many = options.sample ? options.sample / PARTS / 2 + 1 : most;
    for (uint64_t i = 0; i < many && map->bytes[region] > 0 && !time_is_up(); i++) {
        struct damage damage = {
            region, (enum mode)(1 + ct_below(&dice, MODES - 1)),
            map_byte(map, region, ct_below(&dice, map->bytes[region])),
            2 + (uint32_t)ct_below(&dice, 63), ct_random(&dice)};
        try_damage(&damage);
    }
}

static void open_state(const struct state *wanted) {
    static struct prepared anew;
    struct prepared *from = &prepared[wanted - states];
    if (round_now > 0) {
        from = &anew;
        segment_prepare(wanted, from);
    }
    segment_open(wanted, from);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        segment_restore();
        CHECK_EQ(run_victim_of(seed, false, 0), 0);
        if (!met->usable || met->wrong || met->refused || met->rebuilt ||
            met->emptied) {
            LCT_FAIL("%s, unhurt: %s", state->name, met->which);
        }
        baseline[seed] = *met;
    }
}

/* --- hostile writers ---------------------------------------------------------------
 */

/* Damage between two loads of one word. */
static void damage_loads(uint64_t seed) {
    static const uint64_t rates[] = {10, 100, 1000, 10000, 40000};
    for (uint64_t i = 0; i < options.loads && !time_is_up(); i++) {
        uint64_t one_in = rates[i % (sizeof rates / sizeof *rates)];
        struct damage damage = {ANYWHERE, FLIP, 0, (uint32_t)one_in, seed + i};
        segment_restore();
        int status = run_victim_of(damage.seed, false, one_in);
        board->load_rounds++;
        board_judge(&damage, met, status, false);
    }
}

static void hostile(enum hostility how, uint64_t seed) {
    double until = lct_seconds() + options.hostile;
    struct damage damage = {ANYWHERE, NOISE, 0, how, seed};
    victim_beside_writer = true;
    while (lct_seconds() < until && !time_is_up()) {
        segment_restore();
        pid_t writer = fork();
        if (writer == 0) {
            alarm(VICTIM_SECONDS * 2);
            write_hostile(how, seed + 1);
        }
        damage.seed = seed += 2;
        int status = run_victim_of(seed, false, 0);
        kill(writer, SIGKILL);
        CHECK(waitpid(writer, NULL, 0) == writer);
        board->hostile_rounds++;
        board_judge(&damage, met, status, false);
    }
    victim_beside_writer = false;
}

/* --- workers -----------------------------------------------------------------------
 */

static bool is_wanted(size_t index) {
    return !options.only || strcmp(states[index].name, options.only) == 0;
}

static void sweep(uint64_t part) {
    for (int region = 0; region < ANYWHERE && options.loads == 0 && !time_is_up();
         region++) {
        if (round_now == 0) {
            sweep_bits((enum region)region, part);
        } else {
            random_bits((enum region)region);
        }
        sweep_bursts((enum region)region);
    }
    if (!state->busy) {
        damage_loads(options.seed * 1000000 + round_now * 50000 + part * 8000);
    }
    if (part < HOSTILITIES && !state->busy) {
        hostile((enum hostility)part, options.seed * 100000 + round_now * 10000);
    }
}

static void work(int number) {
    uint64_t open = UINT64_MAX;
    dice.state = options.seed * 77 + (uint64_t)number;
    for (;;) {
        uint64_t item = __atomic_fetch_add(&board->next, 1, __ATOMIC_SEQ_CST);
        uint64_t index = item / PARTS % state_count;
        round_now = item / (state_count * PARTS);
        if (round_now > 0 && board->random_from == 0) {
            board->random_from = lct_seconds();
        }
        if (time_is_up() || (round_now > 0 && options.seconds == 0)) {
            break;
        }
        if (!is_wanted(index)) {
            continue;
        }
        if (open != round_now * state_count + index) {
            if (open != UINT64_MAX) {
                segment_close();
            }
            open_state(&states[index]);
            open = round_now * state_count + index;
        }
        sweep(item % PARTS);
    }
    if (open != UINT64_MAX) {
        segment_close();
    }
    exit(0);
}

static int run(void) {
    pid_t workers[64];
    int failed = 0;
    board = share(sizeof *board);
    prepared = share(sizeof *prepared * STATES_MAX);
    CHECK(state_count <= STATES_MAX);
    driver = getpid();
    for (size_t i = 0; i < state_count; i++) {
        if (is_wanted(i)) {
            segment_prepare(&states[i], &prepared[i]);
        }
    }
    for (int i = 0; i < options.jobs; i++) {
        fflush(stdout);
        workers[i] = fork();
        CHECK(workers[i] >= 0);
        if (workers[i] == 0) {
            prctl(PR_SET_TIMERSLACK, 1000); /* short waits for the writers */
            met = share(sizeof *met);
            writers_met[0] = share(sizeof *met);
            writers_met[1] = share(sizeof *met);
            work(i);
        }
    }
    for (int i = 0; i < options.jobs; i++) {
        int status;
        CHECK(waitpid(workers[i], &status, 0) == workers[i]);
        failed |= status != 0;
    }
    lct_remove_segments(driver);
    uint64_t violations = board_report(options.only, options.whole);
    uint64_t flips = 0;
    for (int region = 0; region < REGIONS; region++) {
        flips += board->tallies[0][region].flips + board->tallies[1][region].flips;
    }
    printf("%llu bits flipped, %llu operations, %llu rounds under a hostile writer, "
           "%llu with %llu words damaged before loads, %llu violations, %.0f s\n",
           (unsigned long long)flips, (unsigned long long)board->operations,
           (unsigned long long)board->hostile_rounds,
           (unsigned long long)board->load_rounds, (unsigned long long)board->injected,
           (unsigned long long)violations, lct_seconds() - started);
    return failed || violations > 0;
}

static error_t parse(int key, char *word, struct argp_state *unused) {
    (void)unused;
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
    case 'n':
        options.sample = strtoull(word, NULL, 10);
        break;
    case 'h':
        options.hostile = strtod(word, NULL);
        break;
    case 'l':
        options.loads = strtoull(word, NULL, 10);
        break;
    case 'o':
        options.only = word;
        break;
    case 'w':
        options.whole = true;
        break;
    case 'q':
        options.quick = true;
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
        {"sample", 'n', "N", 0, "bits of a region in a state; 0: all", 0},
        {"hostile", 'h', "N", 0, "seconds of hostile writing, three times in a state",
         0},
        {"loads", 'l', "N", 0, "rounds with damage before loads, nothing else swept",
         0},
        {"only", 'o', "STATE", 0, "only this one", 0},
        {"whole", 'w', NULL, 0,
         "first, beyond these seconds, every bit of an idle and of a busy state", 0},
        {"quick", 'q', NULL, 0, "no region swept densely", 0},
        {0}};
    struct argp parser = {.options = known, .parser = parse};
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    started = lct_seconds();
    return run();
}
