/* What became of those who met damage, counted and judged. */
#include "driver.h"

#define SHOWN 12

static const char *const outcome_names[OUTCOMES] = {"same",     "miss",    "corrupt",
                                                    "repaired", "rebuilt", "emptied",
                                                    "refused",  "other",   "busy"};

struct board *board;

void *share(size_t bytes) {
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

/* --- what may be answered ----------------------------------------------------------
 */

/* Of operations. BUSY only where the lock's own words are damaged, or somebody else
 * may have it. */
static bool may_answer(int status, bool locked) {
    switch (status) {
    case LILCACHE_MISS:
    case LILCACHE_EXISTS:
    case LILCACHE_NO_PIN:
    case LILCACHE_NO_SPACE:
    case LILCACHE_NOT_INTEGER: /* a record's type, where there is no checksum */
    case LILCACHE_OVERFLOW:    /* and a number */
    case LILCACHE_TOO_LARGE:   /* a record's length */
    case LILCACHE_CORRUPT:
    case LILCACHE_RETIRED:
        return true;
    case LILCACHE_BUSY:
        return locked;
    default:
        return false;
    }
}

/* Of attaching anew: what a header of other words looks like. */
static bool may_refuse(int status) {
    switch (status) {
    case LILCACHE_MISMATCH:
    case LILCACHE_NAMESPACE:
    case LILCACHE_CORRUPT:
    case LILCACHE_TOO_MANY_PROCESSES:
        return true;
    default:
        return false;
    }
}

static uint64_t count_of(const struct met *met, int status) {
    return met->statuses[-status];
}

static uint64_t count_others(const struct met *met) {
    uint64_t count = 0;
    for (int code = 1; code < STATUSES; code++) {
        bool counted = code == -LILCACHE_MISS || code == -LILCACHE_EXISTS ||
                       code == -LILCACHE_CORRUPT || code == -LILCACHE_BUSY;
        count += counted ? 0 : met->statuses[code];
    }
    return count;
}

static enum outcome outcome_of(const struct met *met, const struct met *base) {
    if (met->refused) {
        return REFUSED;
    }
    if (met->emptied > base->emptied) {
        return EMPTIED;
    }
    if (met->rebuilt > base->rebuilt) {
        return REBUILT;
    }
    if (count_of(met, LILCACHE_BUSY) > 0) {
        return BUSY;
    }
    if (count_of(met, LILCACHE_CORRUPT) > count_of(base, LILCACHE_CORRUPT) ||
        met->violated > base->violated) {
        return CORRUPT;
    }
    if (count_others(met) > count_others(base)) {
        return OTHER;
    }
    if (count_of(met, LILCACHE_MISS) > count_of(base, LILCACHE_MISS) && !state->busy) {
        return MISS;
    }
    return met->repaired > 0 ? REPAIRED : SAME;
}

/* --- judging -----------------------------------------------------------------------
 */

static void show(const struct damage *damage, const struct met *met, const char *what) {
    if (__atomic_fetch_add(&board->shown, 1, __ATOMIC_SEQ_CST) < SHOWN) {
        fprintf(stderr,
                "%s %s, %s, %s at %llu (region's %llu), %u, seed %llu: %s; in %s, "
                "slowest %s, %llu us; %s\n",
                damage->region == LOCK ? "MUTEX" : "VIOLATION", state->name,
                region_names[damage->region], mode_names[damage->mode],
                (unsigned long long)damage->at,
                (unsigned long long)(damage->at - map->pieces[damage->region][0].at),
                damage->bits, (unsigned long long)damage->seed, what, met->at,
                met->slowest, (unsigned long long)met->slowest_us, met->which);
    }
}

static struct tally *tally_of(const struct damage *damage) {
    return &board->tallies[state->checksums][damage->region];
}

static void add(uint64_t *count, uint64_t more) {
    __atomic_fetch_add(count, more, __ATOMIC_SEQ_CST);
}

/* What holds for whoever calls operations. */
static void judge_answers(const struct damage *damage, const struct met *met,
                          bool locked) {
    struct tally *tally = tally_of(damage);
    bool astray = met->refused && !may_refuse(met->refused);
    for (int code = 1; code < STATUSES; code++) {
        add(&board->statuses[code], met->statuses[code]);
        astray |= met->statuses[code] > 0 && !may_answer(-code, locked);
    }
    add(&board->refusals[-met->refused], met->refused != 0);
    if (astray) {
        char text[100];
        int length =
            snprintf(text, sizeof text, "answers: open %d, operations", met->refused);
        for (int code = 1; code < STATUSES && length < (int)sizeof text - 8; code++) {
            if (met->statuses[code] > 0 && !may_answer(-code, locked)) {
                length +=
                    snprintf(text + length, sizeof text - (size_t)length, " %d", -code);
            }
        }
        add(&tally->astray, 1);
        show(damage, met, text);
    }
    if (met->wrong) {
        add(&tally->wrong, 1);
        if (state->checksums) {
            show(damage, met, "wrong value");
        }
    }
    if (met->slowest_us > board->slowest_us) { /* of two at once one may be lost */
        board->slowest_us = met->slowest_us;
        snprintf(board->slowest, sizeof board->slowest, "%s, in %s, %s", met->slowest,
                 state->name, region_names[damage->region]);
    }
    add(&board->operations, met->operations);
}

/* Whether it ended as it had to, in time. */
static bool judge_end(const struct damage *damage, const struct met *met, int status,
                      int expected) {
    struct tally *tally = tally_of(damage);
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (signal == SIGALRM) {
        add(&tally->hangs, 1);
        show(damage, met, "hang");
    } else if (signal != expected || (signal == 0 && status != 0)) {
        add(&tally->signals, 1);
        show(damage, met, signal ? strsignal(signal) : "exit");
    } else if (met->slowest_us > SLOW_US) {
        add(&tally->hangs, 1);
        show(damage, met, "too slow");
    } else {
        return true;
    }
    return false;
}

void board_judge_writer(const struct damage *damage, const struct met *met, int status,
                        bool killed) {
    judge_end(damage, met, status, killed ? SIGKILL : 0);
    judge_answers(damage, met, true);
}

void board_judge(const struct damage *damage, const struct met *met, int status,
                 bool usable) {
    struct tally *tally = tally_of(damage);
    if (judge_end(damage, met, status, 0) && usable && !met->usable) {
        add(&tally->unusable, 1);
        show(damage, met, "not usable");
    }
    judge_answers(damage, met, damage->region == LOCK);
    add(&tally->outcomes[outcome_of(met, &baseline[damage->seed % SEEDS])], 1);
    add(damage->mode == FLIP && damage->region != ANYWHERE ? &tally->flips
                                                           : &tally->bursts,
        1);
}

void board_flipped(const struct damage *damage) {
    __atomic_fetch_or(&board->flipped[state - states][damage->at],
                      (uint8_t)(1u << damage->bits), __ATOMIC_RELAXED);
}

/* --- report ------------------------------------------------------------------------
 */

/* Signals and hangs by damage to a mutex's own words are counted apart: libc takes it
 * as what they say, and a word that names nobody is waited for. */
static uint64_t report_outcomes(void) {
    uint64_t violations = 0;
    uint64_t apart = 0;
    for (int sums = 1; sums >= 0; sums--) {
        printf("%-10s %8s %8s", sums ? "checksums" : "without", "flips", "bursts");
        for (int o = 0; o < OUTCOMES; o++) {
            printf(" %8s", outcome_names[o]);
        }
        printf(" %8s %6s %6s %8s %6s\n", "signals", "hangs", "wrong", "unusable",
               "astray");
        for (int region = 0; region < REGIONS; region++) {
            const struct tally *tally = &board->tallies[sums][region];
            printf("%-10s %8llu %8llu", region_names[region],
                   (unsigned long long)tally->flips, (unsigned long long)tally->bursts);
            for (int o = 0; o < OUTCOMES; o++) {
                printf(" %8llu", (unsigned long long)tally->outcomes[o]);
            }
            printf(
                " %8llu %6llu %6llu %8llu %6llu\n", (unsigned long long)tally->signals,
                (unsigned long long)tally->hangs, (unsigned long long)tally->wrong,
                (unsigned long long)tally->unusable, (unsigned long long)tally->astray);
            uint64_t ended = tally->signals + tally->hangs;
            apart += region == LOCK ? ended : 0;
            violations += (region == LOCK ? 0 : ended) + tally->unusable +
                          tally->astray + (sums ? tally->wrong : 0);
        }
    }
    printf("%llu signals and hangs by the mutex's own words\n",
           (unsigned long long)apart);
    return violations;
}

static void report_statuses(const char *what, const uint64_t *statuses) {
    printf("%s:", what);
    for (int code = 1; code < STATUSES; code++) {
        if (statuses[code] > 0) {
            printf(" %s %llu", lilcache_status_name(-code),
                   (unsigned long long)statuses[code]);
        }
    }
    printf("\n");
}

static uint64_t bits_flipped(size_t index, enum region region) {
    const struct map *of = &prepared[index].map;
    uint64_t bits = 0;
    for (uint32_t i = 0; i < of->count[region]; i++) {
        for (uint64_t b = 0; b < of->pieces[region][i].bytes; b++) {
            bits += (uint64_t)__builtin_popcount(
                board->flipped[index][of->pieces[region][i].at + b]);
        }
    }
    return bits;
}

/* Different bits of the first round, of how many there are. Returns 1 if one of those
 * that have to be is missing. */
static uint64_t report_bits(const char *only, bool whole) {
    bool missing = false;
    for (size_t i = 0; i < state_count; i++) {
        uint64_t done = 0;
        uint64_t all = 0;
        if (!prepared[i].is_made || (only && strcmp(only, states[i].name) != 0)) {
            continue;
        }
        printf("bits flipped, %s:", states[i].name);
        for (int region = 0; region < ANYWHERE; region++) {
            uint64_t some = bits_flipped(i, (enum region)region);
            uint64_t bits = prepared[i].map.bytes[region] * 8;
            printf(" %s %llu of %llu,", region_names[region], (unsigned long long)some,
                   (unsigned long long)bits);
            done += some;
            all += bits;
        }
        printf(" in all %llu of %llu bits\n", (unsigned long long)done,
               (unsigned long long)all);
        missing |= whole && states[i].whole && done != all;
    }
    if (missing) {
        fprintf(stderr, "VIOLATION: not every bit was flipped\n");
    }
    return missing;
}

uint64_t board_report(const char *only, bool whole) {
    uint64_t violations = report_outcomes();
    report_statuses("answers of operations", board->statuses);
    report_statuses("opens refused", board->refusals);
    violations += report_bits(only, whole);
    printf("slowest operation, without waiting for a processor: %llu ms (%s), limit "
           "%d ms\n",
           (unsigned long long)board->slowest_us / 1000, board->slowest,
           SLOW_US / 1000);
    return violations;
}
