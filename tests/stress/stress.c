/* stress: many processes on few cores read and write one small segment, and every value
 * that comes back is checked.
 *
 *   churn    a few MiB: blocks recycle, the index grows and shrinks, now and then clear
 *   strict   far too large: nothing may be missing, sums must agree
 *   shards   several small shards, with checksums
 *
 * Prints one line of JSON and exits with 0 if nothing was wrong and enough happened. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lc_atomic.h"
#include "lc_os.h"
#include "lc_row.h"
#include "parent.h"

#define STATS_MAX 64
#define STRICT_BYTES (32ULL << 20)

static const char *const stress_count_name[] = {
#define X(name) #name,
#include "counts.def"
#undef X
};

/* Of the library's statistics, those that count and do not measure come first. */
enum stress_stat {
#define STAT_PROCESS(name) STAT_##name,
#define STAT_SHARD(name) STAT_##name,
#define STAT_GAUGE(name)
#define X(name, kind, help) STAT_##kind(name)
#include "stats.def"
#undef X
    STAT_COUNTERS
};

struct totals {
    uint64_t counts[COUNT_COUNT];
    uint64_t stats[STATS_MAX];
    uint64_t deaths[LC_CRASH_POINT_COUNT];
    uint64_t checks;
    uint64_t kills;
    uint64_t stops;
    uint64_t stops_outread;
    uint64_t lost;
    uint64_t strict_evictions;
    uint64_t violations;
    char message[640];
};

/* What must have happened in a million operations, after those that fill the segments:
 * a small part of what does happen. Names of counts.def and stats.def. Parks and moves are
 * counted but not demanded: eviction avoids pinned runs, and groups seldom have to move. */
static const struct {
    const char *name;
    uint32_t per_million;
    enum { ALWAYS, PROVOKED, KILLING, PROVOKED_KILLING } when;
} stress_demands[] = {
    {"recycles", 1500, ALWAYS},    {"relocations", 5000, ALWAYS},
    {"growths", 50, ALWAYS},       {"shrinks", 15, ALWAYS},
    {"pins", 3000, ALWAYS},        {"pin_outlived", 3000, ALWAYS},
    {"over_recycle", 500, ALWAYS}, {"over_relocation", 700, ALWAYS},
    {"over_growth", 80, ALWAYS},   {"over_shrink", 40, ALWAYS},
    {"large_writes", 70, ALWAYS},  {"version_checks", 30000, ALWAYS},
    {"scans", 5, ALWAYS},          {"locks", 200, ALWAYS},
    {"tokens", 90, ALWAYS},        {"incr_acked", 1000, ALWAYS},
    {"cas_acked", 200, ALWAYS},    {"retried", 30, PROVOKED},
    {"kills", 3, KILLING},         {"kills", 60, PROVOKED_KILLING},
    {"stops_outread", 1, KILLING}, {"repaired", 50, PROVOKED_KILLING},
};

#define STRESS_FILLING 300000
#define STRESS_LEAST 100000 /* operations; less is no stress */

static uint64_t *totals_find(struct totals *totals, const char *name) {
    for (int i = 0; i < COUNT_COUNT; i++) {
        if (strcmp(stress_count_name[i], name) == 0) {
            return &totals->counts[i];
        }
    }
    for (int i = 0; lilcache_stat_name(i); i++) {
        if (strcmp(lilcache_stat_name(i), name) == 0) {
            return &totals->stats[i];
        }
    }
    return strcmp(name, "kills") == 0 ? &totals->kills : &totals->stops_outread;
}

static void phase_complain(struct totals *totals, const struct phase *phase,
                           const char *message) {
    if (totals->violations++ == 0) {
        snprintf(totals->message, sizeof totals->message, "%s: %s", phase->name,
                 message);
    }
    fprintf(stderr, "%s: %s\n", phase->name, message);
}

/* The segment after the last worker: no damage, no pin, nothing that a sound recovery
 * would not have come to. */
static void phase_check_end(struct parent *parent, struct totals *totals) {
    const struct phase *phase = parent->phase;
    static const char *const must_be_zero[] = {"pins", "rebuilt", "emptied",
                                               "corrupt_reads"};
    struct totals end = {0};
    char message[160];
    lc_row_sweep(parent->cache->segment);
    lilcache_stats(parent->cache, end.stats, STATS_MAX);
    for (size_t i = 0; i < sizeof must_be_zero / sizeof *must_be_zero; i++) {
        uint64_t value = *totals_find(&end, must_be_zero[i]);
        if (value != 0) {
            snprintf(message, sizeof message, "%s is %llu at the end", must_be_zero[i],
                     (unsigned long long)value);
            phase_complain(totals, phase, message);
        }
    }
    for (int i = 0; i < STAT_COUNTERS; i++) {
        totals->stats[i] += end.stats[i];
    }
    if (phase->strict) { /* the segment is as oversized as the phase believes */
        totals->strict_evictions += end.stats[STAT_evictions];
        if (*totals_find(&end, "live_bytes") * 2 > phase->size_bytes) {
            phase_complain(totals, phase, "more than half of the segment is live");
        }
    }
    if (parent_check(parent) == LILCACHE_BUSY) {
        phase_complain(totals, phase, "a lock is held with nobody left");
    }
    if (phase->strict) {
        sum_finish(parent->cache, parent->board, !parent->options->kill);
    }
}

static void phase_add(const struct parent *parent, struct totals *totals) {
    const struct board *board = parent->board;
    for (int i = 0; i < COUNT_COUNT; i++) {
        for (uint32_t a = 0; a < STRESS_ACTORS_MAX; a++) {
            totals->counts[i] += board->actors[a].counts[i];
        }
    }
    for (int i = 0; i < LC_CRASH_POINT_COUNT; i++) {
        totals->deaths[i] += board->deaths[i];
    }
    totals->lost += board->lost;
    totals->checks += parent->checks;
    totals->kills += parent->kills;
    totals->stops += parent->stops;
    totals->stops_outread += parent->stops_outread;
}

static void phase_run(const struct phase *phase, const struct options *options,
                      struct totals *totals) {
    struct lilcache_options wanted = {
        .name = "stress",
        .size_bytes = phase->size_bytes,
        .max_value_bytes = phase->max_value,
        .flags = LILCACHE_ANONYMOUS | phase->flags,
        .cores = phase->shards,
        .owner = -1,
        .group = -1,
    };
    struct lilcache_error error;
    struct parent *parent = calloc(1, sizeof *parent);
    struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!parent || board == MAP_FAILED) {
        phase_complain(totals, phase, "out of memory");
        free(parent);
        return;
    }
    *parent = (struct parent){
        .pid = getpid(),
        .board = board,
        .phase = phase,
        .options = options,
    };
    parent->random = value_mix(options->seed ^ phase->size_bytes);
    if (lilcache_open(&wanted, &parent->cache, &error) != LILCACHE_OK) {
        phase_complain(totals, phase, error.step);
    } else {
        if (phase->strict) {
            sum_prepare(parent->cache, board);
        }
        parent_run(parent);
        phase_check_end(parent, totals);
        phase_add(parent, totals);
        if (board->violations) {
            phase_complain(totals, phase, board->message);
        }
        lilcache_close(parent->cache);
    }
    munmap(board, sizeof *board);
    free(parent);
}

static bool stress_enough(struct totals *totals, const struct options *options) {
    uint64_t operations = totals->counts[COUNT_operations];
    bool enough = operations >= STRESS_LEAST;
    if (!enough) {
        fprintf(stderr, "no more than %llu operations\n",
                (unsigned long long)operations);
    }
    operations -= lc_min64(operations, STRESS_FILLING);
    for (size_t i = 0; i < sizeof stress_demands / sizeof *stress_demands; i++) {
        uint64_t reached = *totals_find(totals, stress_demands[i].name);
        uint64_t wanted = stress_demands[i].per_million * operations / 1000000;
        bool provoked = (stress_demands[i].when & PROVOKED) != 0;
        bool killing = (stress_demands[i].when & KILLING) != 0;
        if ((provoked && !provoke_built()) || (killing && !options->kill)) {
            continue;
        }
        if (reached < wanted) {
            fprintf(stderr, "not enough %s: %llu of %llu\n", stress_demands[i].name,
                    (unsigned long long)reached, (unsigned long long)wanted);
            enough = false;
        }
    }
    return enough;
}

static void stress_print_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
    putchar('"');
}

static void stress_print(const struct totals *totals, const struct options *options,
                         bool enough) {
    static const char *const crash_name[] = {
#define X(name) #name,
#include "crash.def"
#undef X
    };
    printf("{\"ok\": %s, \"seed\": %llu, \"enough\": %s, \"violations\": %llu, ",
           enough && totals->violations == 0 ? "true" : "false",
           (unsigned long long)options->seed, enough ? "true" : "false",
           (unsigned long long)totals->violations);
    printf("\"message\": ");
    stress_print_string(totals->message);
    printf(
        ", \"provoked\": %s, \"kills\": %llu, \"stops\": %llu, "
        "\"stops_outread\": %llu, "
        "\"checks\": %llu, \"lost\": %llu, \"strict_evictions\": %llu, \"counts\": {",
        provoke_built() ? "true" : "false", (unsigned long long)totals->kills,
        (unsigned long long)totals->stops, (unsigned long long)totals->stops_outread,
        (unsigned long long)totals->checks, (unsigned long long)totals->lost,
        (unsigned long long)totals->strict_evictions);
    for (int i = 0; i < COUNT_COUNT; i++) {
        printf("%s\"%s\": %llu", i ? ", " : "", stress_count_name[i],
               (unsigned long long)totals->counts[i]);
    }
    printf("}, \"stats\": {");
    for (int i = 0; i < STAT_COUNTERS; i++) {
        printf("%s\"%s\": %llu", i ? ", " : "", lilcache_stat_name(i),
               (unsigned long long)totals->stats[i]);
    }
    printf("}, \"deaths\": {");
    for (int i = 0; i < LC_CRASH_POINT_COUNT; i++) {
        printf("%s\"%s\": %llu", i ? ", " : "", crash_name[i],
               (unsigned long long)totals->deaths[i]);
    }
    printf("}}\n");
}

static void stress_usage(const char *program) {
    fprintf(stderr,
            "usage: %s [--seconds N] [--processes N] [--threads N] [--seed N]\n"
            "       [--size-mb N] [--kill]\n",
            program);
    exit(2);
}

static void stress_options(int argc, char **argv, struct options *options) {
    static const struct option known[] = {
        {"seconds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'r'},
        {"processes", required_argument, NULL, 'p'},
        {"threads", required_argument, NULL, 't'},
        {"size-mb", required_argument, NULL, 'm'},
        {"kill", no_argument, NULL, 'k'},
        {NULL, 0, NULL, 0},
    };
    int which;
    while ((which = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (which) {
        case 's':
            options->seconds = atof(optarg);
            break;
        case 'r':
            options->seed = strtoull(optarg, NULL, 0);
            break;
        case 'p':
            options->processes = (uint32_t)atoi(optarg);
            break;
        case 't':
            options->threads = (uint32_t)atoi(optarg);
            break;
        case 'm':
            options->size_bytes = (uint64_t)atoi(optarg) << 20;
            break;
        case 'k':
            options->kill = true;
            break;
        default:
            stress_usage(argv[0]);
        }
    }
    if (options->seconds <= 0 || options->processes < 1 || options->threads < 1 ||
        options->processes > STRESS_WORKERS_MAX ||
        options->threads > STRESS_THREADS_MAX || options->size_bytes == 0 ||
        options->size_bytes > 32ULL << 20) {
        stress_usage(argv[0]);
    }
}

int main(int argc, char **argv) {
    struct options options = {
        .seconds = 20,
        .processes = 8,
        .threads = 1,
        .size_bytes = 4ULL << 20,
        .seed = value_mix((uint64_t)time(NULL) ^ (uint64_t)getpid() << 32) >> 32,
    };
    static struct totals totals;
    stress_options(argc, argv, &options);
    fprintf(stderr, "seed %llu\n", (unsigned long long)options.seed);
    const struct phase phases[] = {
        {.name = "churn",
         .size_bytes = options.size_bytes,
         .shards = 1,
         .seconds = options.seconds * 0.45},
        {.name = "strict",
         .size_bytes = STRICT_BYTES,
         .shards = 1,
         .strict = true,
         .seconds = options.seconds * 0.3},
        {.name = "shards",
         .size_bytes = 8ULL << 20,
         .max_value = 512u << 10,
         .shards = 4,
         .flags = LILCACHE_CHECKSUMS,
         .seconds = options.seconds * 0.25},
    };
    for (size_t i = 0; i < sizeof phases / sizeof *phases && totals.violations == 0;
         i++) {
        phase_run(&phases[i], &options, &totals);
    }
    bool enough = stress_enough(&totals, &options);
    stress_print(&totals, &options, enough);
    return enough && totals.violations == 0 ? 0 : 1;
}
