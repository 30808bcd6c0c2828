/* Every bit of a segment flipped, one at a time and in bursts, and what becomes of
 * those who use it.
 *
 *   for each state, region, damage:  put the state's bytes back, and damage them
 *                                    fork: a round of all operations through the
 *                                    attachment that was there, and through a new one
 *                                    no signal, no hang, no wrong value, usable again
 *
 * In busy states another process writes all the while, and is killed before the victim
 * comes. Last, processes work while another one writes random bytes into the segment
 * as fast as it can. */
#include "damage.h"

#include <argp.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lc_fork.h"
#include "loads.h"

#define VICTIM_SECONDS 40
#define SLOW_US 8000000 /* an operation; it would wait for a lock 0.2 s at most */
#define SEEDS   16
#define PARTS   6 /* of a state, for several workers */
#define SHOWN   12

enum mode { FLIP, NOISE, ZEROS, ONES, SWAP, COPY, PAGE, MODES };
static const char *const mode_names[MODES] = {"bit",  "noise", "zeros", "ones",
                                              "swap", "copy",  "page"};

enum outcome {
    SAME,
    MISS,
    CORRUPT,
    REPAIRED,
    REBUILT,
    EMPTIED,
    REFUSED,
    BUSY,
    OUTCOMES
};
static const char *const outcome_names[OUTCOMES] = {
    "same", "miss", "corrupt", "repaired", "rebuilt", "emptied", "refused", "busy"};

struct tally {
    uint64_t flips, bursts;
    uint64_t outcomes[OUTCOMES];
    uint64_t signals, hangs, wrong, unusable;
};

/* Shared by the workers. */
static struct board {
    uint64_t next;
    uint64_t shown;
    uint64_t operations;
    uint64_t hostile_rounds, hostile_writes;
    uint64_t load_rounds, injected;
    struct tally tallies[2][REGIONS]; /* without, with checksums */
} *board;

static struct {
    int jobs;
    uint64_t seed;
    double seconds;
    uint64_t sample; /* damages of a region that is not swept; 0: all bits */
    double hostile;  /* seconds of each kind */
    uint64_t loads;  /* rounds with damage before loads, in a part of a state */
    const char *only;
    bool quick; /* fewer states swept */
} options = {.jobs = 1, .seed = 1, .sample = 60, .hostile = 2};

static double started;
static struct ct_random dice;
static struct met *met;
static struct met baseline[SEEDS];
static const struct state *state;
static struct map map;
static struct lilcache *cache;
static uint8_t *raw; /* the driver's own mapping */
static uint8_t *image;
static ino_t inode;
static char name[64];

static bool time_is_up(void) {
    return options.seconds > 0 && lct_seconds() - started > options.seconds;
}

static void *share(size_t bytes) {
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

/* --- the segment and its bytes -----------------------------------------------------
 */

static const char *object(void) {
    static char text[300] = "/";
    CHECK(lilcache_object_name(name, text + 1, sizeof text - 1) > 0);
    return text;
}

static void map_raw(void) {
    struct stat found;
    int fd = shm_open(object(), O_RDWR, 0);
    CHECK(fd >= 0 && fstat(fd, &found) == 0);
    if (raw) {
        munmap(raw, SEGMENT_BYTES);
    }
    raw = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(raw != MAP_FAILED);
    inode = found.st_ino;
    close(fd);
}

static void attach(void) {
    cache =
        ct_open_named(name, SEGMENT_BYTES, state->checksums ? LILCACHE_CHECKSUMS : 0);
    map_raw();
}

/* The name is ours no more: a victim has put another object in place of what looked
 * like nobody's. Begin anew with the same bytes. */
static void replace_object(void) {
    shm_unlink(object());
    for (uint32_t row = 0; row < cache->segment->row_count; row++) {
        struct shm_row *at = (struct shm_row *)(image + cache->segment->rows_at +
                                                row * cache->segment->row_bytes);
        if (at->rw_pid == (uint32_t)getpid()) {
            at->rw_state = LC_ROW_FREE; /* else each replacement would keep one */
        }
    }
    int fd = shm_open(object(), O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0 && write(fd, image, SEGMENT_BYTES) == (ssize_t)SEGMENT_BYTES);
    close(fd);
    struct lilcache *old = cache;
    *lc_fork_registry() = NULL;
    attach();
    CHECK_EQ(lilcache_created(cache), 0);
    memcpy(image, raw, SEGMENT_BYTES); /* with our row in it */
    (void)old; /* stays mapped: victims before us may have hurt what closing reads */
}

static void restore(void) {
    struct stat found;
    int fd = shm_open(object(), O_RDWR, 0);
    bool same = fd >= 0 && fstat(fd, &found) == 0 && found.st_ino == inode;
    if (fd >= 0) {
        close(fd);
    }
    if (!same) {
        replace_object();
    }
    memcpy(raw, image, SEGMENT_BYTES);
}

/* --- one damage --------------------------------------------------------------------
 */

struct damage {
    enum region region;
    enum mode mode;
    uint64_t at;   /* byte of the segment */
    uint32_t bits; /* the bit, or the length */
    uint64_t seed;
};

/* Damage of the mutex is damage of nothing else, and none else reaches it: what is
 * counted apart is what its words alone have done. */
static bool may_damage(const struct damage *damage, uint64_t at) {
    struct piece lock = map.pieces[LOCK][0];
    return (at >= lock.at && at < lock.at + lock.bytes) == (damage->region == LOCK);
}

static void put(const struct damage *damage, uint64_t at, const uint8_t *bytes,
                uint64_t length) {
    for (uint64_t i = 0; i < length; i++) {
        if (may_damage(damage, at + i)) {
            raw[at + i] = bytes[i];
        }
    }
}

static void apply(const struct damage *damage) {
    struct ct_random noise = {damage->seed};
    uint64_t length = lc_min64(damage->bits, SEGMENT_BYTES - damage->at);
    uint64_t at = damage->at;
    uint8_t bytes[4096];
    switch (damage->mode) {
    case FLIP:
        if (may_damage(damage, at)) {
            __atomic_fetch_xor(raw + at, (uint8_t)(1u << damage->bits),
                               __ATOMIC_SEQ_CST);
        }
        return;
    case ZEROS:
        memset(bytes, 0, length);
        break;
    case ONES:
        memset(bytes, 0xff, length);
        break;
    case SWAP:
        length = 16;
        at = at / 16 * 16;
        memcpy(bytes, raw + at + 8, 8);
        memcpy(bytes + 8, raw + at, 8);
        break;
    case COPY:
        memcpy(bytes, raw + ct_below(&noise, SEGMENT_BYTES - length) / 8 * 8, length);
        break;
    default:
        if (damage->mode == PAGE) {
            at = at / sizeof bytes * sizeof bytes;
            length = sizeof bytes;
        }
        for (uint64_t i = 0; i < length; i++) {
            bytes[i] = (uint8_t)ct_random(&noise);
        }
        break;
    }
    put(damage, at, bytes, length);
}

static pid_t start_writer(uint64_t seed, struct met *of) {
    memset(of, 0, sizeof *of);
    pid_t writer = fork();
    if (writer == 0) {
        alarm(VICTIM_SECONDS * 2);
        victim_write(cache, seed, of);
    }
    CHECK(writer > 0);
    double until = lct_seconds() + 10;
    while (__atomic_load_n(&of->operations, __ATOMIC_RELAXED) < 50 &&
           lct_seconds() < until) {
        lct_sleep_ms(0);
    }
    return writer;
}

static int stop_writer(pid_t writer) {
    int status;
    kill(writer, SIGKILL);
    CHECK(waitpid(writer, &status, 0) == writer);
    return WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL ? WTERMSIG(status)
           : WIFEXITED(status)                                ? SIGABRT
                                                              : 0;
}

/* one_in: not 0: damage before one load in so many. */
static int run_victim_of(uint64_t seed, uint64_t one_in) {
    int status;
    memset(met, 0, sizeof *met);
    pid_t child = fork();
    if (child == 0) {
        alarm(VICTIM_SECONDS);
        if (one_in > 0) {
            struct lc_segment *segment = cache->segment;
            struct piece lock = map.pieces[LOCK][0];
            loads_arm(segment->base, segment->size, segment->base + lock.at, lock.bytes,
                      one_in, seed);
        }
        victim_round(cache, name, seed & 1, seed % SEEDS, met);
        __atomic_fetch_add(&board->injected, loads_injected(), __ATOMIC_RELAXED);
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static int run_victim(uint64_t seed) { return run_victim_of(seed, 0); }

static enum outcome outcome_of(const struct met *base) {
    if (met->refused) {
        return REFUSED;
    }
    if (met->emptied > base->emptied) {
        return EMPTIED;
    }
    if (met->rebuilt > base->rebuilt) {
        return REBUILT;
    }
    if (met->busy > base->busy && !state->busy) {
        return BUSY;
    }
    if (met->corrupt > base->corrupt || met->other > base->other) {
        return CORRUPT;
    }
    if (met->misses > base->misses && !state->busy) {
        return MISS;
    }
    return met->repaired > 0 ? REPAIRED : SAME;
}

static void show(const struct damage *damage, const char *what) {
    if (__atomic_fetch_add(&board->shown, 1, __ATOMIC_SEQ_CST) < SHOWN) {
        fprintf(stderr,
                "%s %s, %s, %s at %llu (region's %llu), %u, seed %llu: %s; in %s, "
                "slowest %llu us; %s\n",
                damage->region == LOCK ? "MUTEX" : "VIOLATION", state->name,
                region_names[damage->region], mode_names[damage->mode],
                (unsigned long long)damage->at,
                (unsigned long long)(damage->at - map.pieces[damage->region][0].at),
                damage->bits, (unsigned long long)damage->seed, what, met->at,
                (unsigned long long)met->slowest_us, met->which);
    }
}

static void judge_writer(const struct damage *damage, struct tally *tally, int signal,
                         const struct met *writer) {
    if (signal) {
        tally->signals++;
        snprintf(met->at, sizeof met->at, "%s", writer->at);
        show(damage, strsignal(signal));
    }
    if (writer->wrong) {
        tally->wrong++;
        if (state->checksums) {
            memcpy(met->which, writer->which, sizeof met->which);
            show(damage, "wrong value, of the writer");
        }
    }
}

/* What became of a victim. usable: it has to have found the segment so in the end. */
static void judge(const struct damage *damage, struct tally *tally, int status,
                  bool usable) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
        tally->hangs++;
        show(damage, "hang");
    } else if (status != 0) {
        tally->signals++;
        show(damage, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit");
    } else if (met->slowest_us > SLOW_US) {
        tally->hangs++;
        show(damage, "too slow");
    } else if (usable && !met->usable) {
        tally->unusable++;
        show(damage, "not usable");
    }
    if (met->wrong) {
        tally->wrong++;
        if (state->checksums) {
            show(damage, "wrong value");
        }
    }
    __atomic_fetch_add(&tally->outcomes[outcome_of(&baseline[damage->seed % SEEDS])], 1,
                       __ATOMIC_SEQ_CST);
}

static void try_damage(const struct damage *damage) {
    struct tally *tally = &board->tallies[state->checksums][damage->region];
    static struct met *writer_met;
    pid_t writer = 0;
    if (!writer_met) {
        writer_met = share(sizeof *writer_met);
    }
    restore();
    if (state->busy) {
        writer = start_writer(damage->seed, writer_met);
    }
    apply(damage);
    if (writer) {
        lct_sleep_ms(1);
        int signal = stop_writer(writer);
        memset(met, 0, sizeof *met);
        judge_writer(damage, tally, signal, writer_met);
    }
    int status = run_victim(damage->seed);
    __atomic_fetch_add(damage->mode == FLIP ? &tally->flips : &tally->bursts, 1,
                       __ATOMIC_SEQ_CST);
    board->operations += met->operations;
    judge(damage, tally, status, true);
}

/* --- sweeps ------------------------------------------------------------------------
 */

static void sweep_bits(enum region region, uint64_t part, uint64_t round) {
    uint64_t bits = map.bytes[region] * 8;
    bool dense = region == HEADER || region == CONTROL || region == LOCK ||
                 region == INTENT || region == GROUPS;
    uint64_t stride = options.sample == 0 || (dense && state->thrice && !options.quick)
                          ? 1
                          : lc_max64(bits / options.sample, 1);
    for (uint64_t i = part; i * stride < bits && !time_is_up(); i += PARTS) {
        uint64_t bit = i * stride + (options.seed + round + i) % stride;
        if (bit < bits) {
            struct damage damage = {region, FLIP, map_byte(&map, region, bit / 8),
                                    (uint32_t)(bit % 8), i + part};
            try_damage(&damage);
        }
    }
}

static void sweep_bursts(enum region region) {
    uint64_t many = options.sample ? options.sample / PARTS / 2 + 1 : 400;
    for (uint64_t i = 0; i < many && map.bytes[region] > 0 && !time_is_up(); i++) {
        struct damage damage = {
            region, (enum mode)(1 + ct_below(&dice, MODES - 1)),
            map_byte(&map, region, ct_below(&dice, map.bytes[region])),
            2 + (uint32_t)ct_below(&dice, 63), ct_random(&dice)};
        try_damage(&damage);
    }
}

static void open_state(const struct state *wanted) {
    state = wanted;
    snprintf(name, sizeof name, "lct-%d-damage%d", (int)lct_group, (int)getpid());
    cache =
        ct_open_named(name, SEGMENT_BYTES, state->checksums ? LILCACHE_CHECKSUMS : 0);
    CHECK_EQ(lilcache_created(cache), 1);
    state->prepare(cache);
    map_raw();
    memcpy(image, raw, SEGMENT_BYTES);
    map_make(cache, &map);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        restore();
        CHECK_EQ(run_victim(seed), 0);
        if (!met->usable || met->wrong || met->refused || met->rebuilt ||
            met->emptied) {
            LCT_FAIL("%s, unhurt: %s", state->name, met->which);
        }
        baseline[seed] = *met;
    }
}

static void close_state(void) {
    restore();
    lilcache_close(cache);
    shm_unlink(object());
}

/* --- hostile writers ---------------------------------------------------------------
 */

enum hostility { BEHIND_THE_HEADER, EVERYWHERE, TOGGLES, HOSTILITIES };

static void write_noise(bool everywhere, uint64_t seed) {
    struct ct_random noise = {seed};
    struct piece lock = map.pieces[LOCK][0];
    for (;;) {
        uint64_t at = ct_below(&noise, SEGMENT_BYTES - 8);
        uint64_t word = ct_random(&noise);
        if (noise.state & 16) { /* where it hurts most */
            at = 4096 * 1 + at % (map.pieces[BLOCKS][0].at + map.bytes[BLOCKS] - 4096);
        }
        bool spared = at < LC_HEADER_BYTES && !everywhere;
        if (!spared && (at + 8 <= lock.at || at >= lock.at + lock.bytes)) {
            memcpy(raw + at, &word, 1 + (word >> 7) % 8);
            board->hostile_writes++;
        }
    }
}

/* Few words of the metadata, now right and now wrong, over and over: what is checked is
 * another by the time it is used, while all around it makes sense. */
static void write_toggles(uint64_t seed) {
    static const enum region regions[] = {CONTROL, INTENT, GROUPS, BLOCKS, INDEX, ROWS};
    struct ct_random noise = {seed};
    struct {
        uint64_t at, right, wrong;
    } words[12];
    uint64_t count = 1 + ct_below(&noise, sizeof words / sizeof *words);
    for (uint64_t i = 0; i < count; i++) {
        enum region region;
        do {
            region = regions[ct_below(&noise, sizeof regions / sizeof *regions)];
        } while (map.bytes[region] == 0);
        words[i].at =
            map_byte(&map, region, ct_below(&noise, map.bytes[region])) & ~7ULL;
        memcpy(&words[i].right, image + words[i].at, 8);
        uint64_t bits = ct_random(&noise) >> ct_below(&noise, 64);
        words[i].wrong = noise.state & 8 ? bits : words[i].right ^ bits;
    }
    for (;;) {
        for (uint64_t i = 0; i < count; i++) {
            uint64_t now = ct_random(&noise);
            uint64_t word = now & 16 ? words[i].right : words[i].wrong;
            __atomic_store_n((uint64_t *)(raw + words[i].at), word, __ATOMIC_RELAXED);
            if ((now >> 20) % 4096 == 0) {
                memcpy(&words[i].right, raw + words[i].at, 8);
            }
        }
        board->hostile_writes += count;
    }
}

static void judge_hostile(const struct damage *damage, int status) {
    struct tally *tally = &board->tallies[state->checksums][ANYWHERE];
    tally->bursts++;
    judge(damage, tally, status, false);
}

/* Damage between two loads of one word. */
static void damage_loads(uint64_t seed) {
    static const uint64_t rates[] = {10, 100, 1000, 10000, 40000};
    for (uint64_t i = 0; i < options.loads && !time_is_up(); i++) {
        uint64_t one_in = rates[i % (sizeof rates / sizeof *rates)];
        struct damage damage = {ANYWHERE, FLIP, 0, (uint32_t)one_in, seed + i};
        restore();
        int status = run_victim_of(damage.seed, one_in);
        board->load_rounds++;
        board->operations += met->operations;
        judge_hostile(&damage, status);
    }
}

static void hostile(enum hostility how, uint64_t seed) {
    double until = lct_seconds() + options.hostile;
    struct damage damage = {ANYWHERE, NOISE, 0, how, seed};
    while (lct_seconds() < until && !time_is_up()) {
        restore();
        pid_t writer = fork();
        if (writer == 0) {
            alarm(VICTIM_SECONDS * 2);
            if (how == TOGGLES) {
                write_toggles(++seed);
            }
            write_noise(how == EVERYWHERE, ++seed);
        }
        damage.seed = ++seed;
        int status = run_victim(seed);
        kill(writer, SIGKILL);
        CHECK(waitpid(writer, NULL, 0) == writer);
        board->hostile_rounds++;
        board->operations += met->operations;
        judge_hostile(&damage, status);
    }
}

/* --- workers -----------------------------------------------------------------------
 */

static void work(int number) {
    uint64_t open = UINT64_MAX;
    dice.state = options.seed * 77 + (uint64_t)number;
    for (;;) {
        uint64_t item = __atomic_fetch_add(&board->next, 1, __ATOMIC_SEQ_CST);
        uint64_t round = item / (state_count * PARTS);
        uint64_t index = item / PARTS % state_count;
        uint64_t part = item % PARTS;
        if (time_is_up() || (round > 0 && options.seconds == 0)) {
            break;
        }
        if (options.only && strcmp(states[index].name, options.only) != 0) {
            continue;
        }
        if (open != round * state_count + index) {
            if (open != UINT64_MAX) {
                close_state();
            }
            open_state(&states[index]);
            open = round * state_count + index;
        }
        for (int region = 0; region < ANYWHERE && options.loads == 0 && !time_is_up();
             region++) {
            sweep_bits((enum region)region, part, round);
            sweep_bursts((enum region)region);
        }
        if (!state->busy) {
            damage_loads(options.seed * 1000000 + round * 50000 + part * 8000);
        }
        if (part < HOSTILITIES && !state->busy) {
            hostile((enum hostility)part, options.seed * 100000 + round * 10000);
        }
    }
    if (open != UINT64_MAX) {
        close_state();
    }
    exit(0);
}

/* Signals and hangs by damage to a mutex's own words are counted apart: libc follows
 * them, whatever its user does. */
static uint64_t report(void) {
    uint64_t violations = 0;
    uint64_t apart = 0;
    for (int sums = 1; sums >= 0; sums--) {
        printf("%-10s %8s %8s", sums ? "checksums" : "without", "flips", "bursts");
        for (int o = 0; o < OUTCOMES; o++) {
            printf(" %8s", outcome_names[o]);
        }
        printf(" %8s %6s %6s %8s\n", "signals", "hangs", "wrong", "unusable");
        for (int region = 0; region < REGIONS; region++) {
            const struct tally *tally = &board->tallies[sums][region];
            printf("%-10s %8llu %8llu", region_names[region],
                   (unsigned long long)tally->flips, (unsigned long long)tally->bursts);
            for (int o = 0; o < OUTCOMES; o++) {
                printf(" %8llu", (unsigned long long)tally->outcomes[o]);
            }
            printf(" %8llu %6llu %6llu %8llu\n", (unsigned long long)tally->signals,
                   (unsigned long long)tally->hangs, (unsigned long long)tally->wrong,
                   (unsigned long long)tally->unusable);
            uint64_t ended = tally->signals + tally->hangs;
            apart += region == LOCK ? ended : 0;
            violations += (region == LOCK ? 0 : ended) + tally->unusable +
                          (sums ? tally->wrong : 0);
        }
    }
    printf("%llu signals and hangs by the mutex's own words\n",
           (unsigned long long)apart);
    return violations;
}

static int run(void) {
    pid_t workers[64];
    int failed = 0;
    board = share(sizeof *board);
    lct_group = getpid();
    for (int i = 0; i < options.jobs; i++) {
        fflush(stdout);
        workers[i] = fork();
        CHECK(workers[i] >= 0);
        if (workers[i] == 0) {
            met = share(sizeof *met);
            image = malloc(SEGMENT_BYTES);
            work(i);
        }
    }
    for (int i = 0; i < options.jobs; i++) {
        int status;
        CHECK(waitpid(workers[i], &status, 0) == workers[i]);
        failed |= status != 0;
    }
    lct_remove_segments(getpid());
    uint64_t violations = report();
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
        {"quick", 'q', NULL, 0, "no region swept densely", 0},
        {0}};
    struct argp parser = {.options = known, .parser = parse};
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    started = lct_seconds();
    return run();
}
