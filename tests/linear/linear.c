/* Several processes on a few keys; every call is written down with its begin and end,
 * and the history of every key is searched for an order that explains it.
 *
 *   a round:  fresh keys; all workers start together; each does its calls
 *             some rounds: one worker is killed in the middle of a step, or stopped
 *             there for a while
 *             the coordinator sorts the calls by key and checks each key by itself
 *
 * A clear appears in every key's history: what holds for each key is necessary, not
 * sufficient, for it to be one step. Odd rounds use a small segment that evicts and
 * lets entries expire, even ones a segment so large that a miss after a set is a
 * violation.
 *
 * Pauses at the crash points of the core, so that a call meets others half-way. */
#include <argp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include "calls.h"
#include "known.h"

#define FATE_ONE_IN 8   /* rounds in which a worker is killed or stopped */
#define FATE_POINTS 400 /* at most so many points of the core before it happens */
#define STOP_MS     2
#define ENOUGH      200000 /* operations, in which everything must have come about */
#define SLICE_MS    20000  /* a round that takes longer hangs */

static struct {
    uint64_t operations;
    double seconds;
    uint64_t seed;
} options = {.operations = 1000000, .seed = 1};

static struct ct_random dice;
static pid_t workers[WORKERS];
static uint64_t kills;
static uint64_t stops;

static void worker_start(int worker) {
    uint64_t round = shared->round; /* read here: the next one may begin meanwhile */
    pid_t parent = getpid();
    fflush(NULL);
    workers[worker] = fork();
    CHECK(workers[worker] >= 0);
    if (workers[worker] == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(LCT_FAILED);
        }
        calls_work(worker, round, options.seed);
    }
}

static bool all_ready(uint64_t round, int dead) {
    for (int i = 0; i < WORKERS; i++) {
        if (i != dead &&
            __atomic_load_n(&shared->ready[i], __ATOMIC_ACQUIRE) != round) {
            return false;
        }
    }
    return true;
}

static void fate_choose(void) {
    struct fate *fate = &shared->fate;
    *fate = (struct fate){0};
    if (ct_below(&dice, FATE_ONE_IN) == 0) {
        fate->worker = (int)ct_below(&dice, WORKERS);
        fate->after = ct_below(&dice, FATE_POINTS);
        fate->signal = ct_below(&dice, 2) ? SIGKILL : SIGSTOP;
    }
}

/* The worker that met its fate: wait for its death, or wake it after a while. Returns
 * who died, or -1. */
static int fate_meet(int whom, int signal_number) {
    int status;
    __atomic_store_n(&shared->fate.met, 0, __ATOMIC_SEQ_CST);
    CHECK(waitpid(workers[whom], &status, WUNTRACED) == workers[whom]);
    if (signal_number == SIGSTOP) {
        CHECK(WIFSTOPPED(status));
        lct_sleep_ms(STOP_MS);
        kill(workers[whom], SIGCONT);
        stops++;
        return -1;
    }
    CHECK(WIFSIGNALED(status));
    kills++;
    return whom;
}

/* Starts a round, waits for its end. Returns who was killed, or -1. */
static int round_run(uint64_t round) {
    int dead = -1;
    for (int i = 0; i < WORKERS; i++) {
        shared->logs[i].count = 0;
    }
    fate_choose();
    struct fate fate = shared->fate;
    __atomic_store_n(&shared->round, round, __ATOMIC_RELEASE);
    uint64_t until = calls_now() + SLICE_MS * 1000000ULL;
    while (!all_ready(round, dead)) {
        int status;
        if (__atomic_load_n(&shared->fate.met, __ATOMIC_SEQ_CST)) {
            dead = fate_meet(fate.worker, fate.signal);
        } else if (waitpid(-1, &status, WNOHANG) > 0) {
            if (!__atomic_load_n(&shared->fate.met, __ATOMIC_SEQ_CST)) {
                LCT_FAIL("round %llu: a worker ended with status %d",
                         (unsigned long long)round, status);
            }
            __atomic_store_n(&shared->fate.met, 0, __ATOMIC_SEQ_CST);
            dead = fate.worker;
            kills++;
        }
        if (calls_now() > until) {
            LCT_FAIL("round %llu hangs", (unsigned long long)round);
        }
        sched_yield();
    }
    return dead;
}

static int by_begin(const void *a, const void *b) {
    const struct op *left = a;
    const struct op *right = b;
    return left->begin < right->begin ? -1 : left->begin > right->begin;
}

static uint64_t round_check(uint64_t round) {
    static struct op ops[WORKERS * CALLS * 4];
    uint64_t operations = 0;
    bool lossy = round % 2 == 1;
    for (uint32_t key = 0; key < KEYS; key++) {
        size_t count = 0;
        for (int i = 0; i < WORKERS; i++) {
            for (uint64_t j = 0; j < shared->logs[i].count; j++) {
                const struct call *call = &shared->logs[i].calls[j];
                if (call->key == key || call->key == KEYS) {
                    ops[count++] = call->op;
                    operations += call->key == key || key == 0;
                }
            }
        }
        qsort(ops, count, sizeof *ops, by_begin);
        if (!history_linearizable(ops, count, lossy)) {
            fprintf(stderr,
                    "VIOLATION: seed %llu, round %llu, key %u, %s, %llu evicted\n",
                    (unsigned long long)options.seed, (unsigned long long)round, key,
                    lossy ? "entries may vanish" : "nothing may vanish",
                    (unsigned long long)ct_stat(caches[lossy], "evictions"));
            history_print(ops, count);
            _exit(1);
        }
    }
    if (shared->torn) {
        LCT_FAIL("VIOLATION: seed %llu, round %llu: %llu torn values",
                 (unsigned long long)options.seed, (unsigned long long)round,
                 (unsigned long long)shared->torn);
    }
    return operations;
}

/* The keys of the round are used no more; the exact segment must never fill. */
static void round_forget(uint64_t round) {
    for (uint32_t key = 0; key < KEYS; key++) {
        char name[CT_KEY_BYTES + 1];
        int status;
        calls_key(round, key, name);
        PATIENTLY(status, lilcache_delete(caches[round % 2], name, CT_KEY_BYTES,
                                          LILCACHE_KEY_STR));
    }
}

static struct lilcache *open_cache(uint64_t size) {
    struct lilcache_options wanted = {
        .name = "linear",
        .size_bytes = size,
        .flags = LILCACHE_ANONYMOUS,
        .cores = 2,
        .owner = -1,
        .group = -1,
    };
    struct lilcache *opened;
    CHECK_EQ(lilcache_open(&wanted, &opened, NULL), LILCACHE_OK);
    return opened;
}

static int run(void) {
    double started = lct_seconds();
    double said = started;
    uint64_t operations[2] = {0, 0};
    uint64_t round = 0;
    for (int i = 0; i < WORKERS; i++) {
        worker_start(i);
    }
    while (options.seconds > 0 ? lct_seconds() - started < options.seconds
                               : operations[0] + operations[1] < options.operations) {
        round++;
        int dead = round_run(round);
        operations[round % 2] += round_check(round);
        round_forget(round);
        if (dead >= 0) {
            worker_start(dead);
        }
        if (lct_seconds() - said > 10) {
            said = lct_seconds();
            printf("  %.0f s: %llu operations\n", said - started,
                   (unsigned long long)(operations[0] + operations[1]));
            fflush(stdout);
        }
    }
    __atomic_store_n(&shared->round, 0, __ATOMIC_RELEASE);
    for (int i = 0; i < WORKERS; i++) {
        CHECK(waitpid(workers[i], NULL, 0) == workers[i]);
    }
    ct_check_unhurt(caches[0]);
    ct_check_unhurt(caches[1]);
    CHECK_EQ(ct_stat(caches[0], "evictions"), 0);
    uint64_t evicted = ct_stat(caches[1], "evictions");
    uint64_t repaired = ct_stat(caches[0], "repaired") + ct_stat(caches[1], "repaired");
    printf("%llu operations where nothing may vanish, %llu where entries may "
           "(%llu evicted, %llu expired), %llu rounds, %llu workers killed, %llu "
           "stopped, %llu repaired: all linearizable, %.0f s\n",
           (unsigned long long)operations[0], (unsigned long long)operations[1],
           (unsigned long long)evicted,
           (unsigned long long)ct_stat(caches[1], "expirations"),
           (unsigned long long)round, (unsigned long long)kills,
           (unsigned long long)stops, (unsigned long long)repaired,
           lct_seconds() - started);
    printf("%llu reads through a pinned view, %llu copied for want of a pin; %llu of "
           "what was kept, %llu not any more; %llu calls without waiting done, %llu "
           "refused\n",
           (unsigned long long)shared->views, (unsigned long long)shared->unpinned,
           (unsigned long long)shared->current, (unsigned long long)shared->outdated,
           (unsigned long long)shared->tries, (unsigned long long)shared->busy);
    if (operations[0] + operations[1] >= ENOUGH) {
        CHECK(evicted > 0);
        CHECK(repaired > 0);
        CHECK(kills > 0);
        CHECK(stops > 0);
        CHECK(shared->views > 0);
        CHECK(shared->tries > 0);
        CHECK(shared->current > 0 && shared->outdated > 0);
        CHECK(shared->busy > 0);
    }
    return 0;
}

static error_t parse(int key, char *word, struct argp_state *state) {
    (void)state;
    switch (key) {
    case 'n':
        options.operations = strtoull(word, NULL, 10);
        break;
    case 't':
        options.seconds = strtod(word, NULL);
        break;
    case 's':
        options.seed = strtoull(word, NULL, 10);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv) {
    static const struct argp_option known[] = {
        {"operations", 'n', "N", 0, "go on for so many", 0},
        {"seconds", 't', "N", 0, "go on for so long instead", 0},
        {"seed", 's', "N", 0, "choices", 0},
        {0}};
    struct argp parser = {.options = known, .parser = parse};
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    lct_group = getpid();
    if (known_check() != 0) {
        return 1;
    }
    dice.state = options.seed;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    caches[0] = open_cache(64 * MIB);
    caches[1] = open_cache(1 * MIB);
    return run();
}
