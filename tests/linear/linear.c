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

#include "cachetest.h"
#include "history.h"
#include "known.h"

#define WORKERS      5
#define CALLS        120 /* of a worker in a round */
#define KEYS         12
#define FATE_ONE_IN  8   /* rounds in which a worker is killed or stopped */
#define FATE_POINTS  400 /* at most so many points of the core before it happens */
#define STOP_MS      2
#define LARGE        90000 /* a value that is copied between two lock sections */
#define PAUSE_ONE_IN 60
#define SLICE_MS     20000 /* a round that takes longer hangs */
#define COUNTERS     4     /* the first keys of a round are for incr */
#define FILLERS      3     /* in a segment that evicts: other entries, for each call */

static struct {
    uint64_t operations;
    double seconds;
    uint64_t seed;
} options = {.operations = 1000000, .seed = 1};

struct call {
    struct op op;
    uint32_t key; /* KEYS: all of them */
};

struct log {
    uint64_t count;
    struct call calls[CALLS * 4];
};

/* Shared by the coordinator and the workers. */
static struct shared {
    uint64_t round; /* workers run it; 0 ends */
    uint64_t ready[WORKERS];
    uint64_t torn;
    struct fate { /* of one worker in this round */
        int worker;
        int signal;     /* SIGKILL or SIGSTOP; 0: nobody's */
        uint64_t after; /* points of the core */
        uint32_t met;   /* about to raise the signal */
    } fate;
    struct log logs[WORKERS];
} *shared;

static struct lilcache *caches[2]; /* exact, lossy */
static struct lilcache *cache;
static uint8_t *buffer;
static struct ct_random dice;

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* --- values: a number, then bytes that follow from it ------------------------------
 */

static size_t value_length(int64_t number) {
    switch ((uint64_t)number * 0x9E3779B97F4A7C15ULL >> 59) {
    case 0:
        return LARGE;
    case 1:
    case 2:
    case 3:
        return 5000;
    default:
        return 40;
    }
}

static size_t value_make(int64_t number) {
    size_t length = value_length(number);
    memcpy(buffer, &number, 8);
    ct_fill(buffer + 8, length - 8, (uint64_t)number);
    return length;
}

/* A value that is not wholly one of ours is torn. */
static int64_t value_read(const uint8_t *data, int64_t result) {
    int64_t number;
    memcpy(&number, data, 8);
    if (LILCACHE_VALUE_TYPE(result) == LILCACHE_TYPE_INT64) {
        return number;
    }
    size_t length = LILCACHE_LENGTH(result);
    if (length != value_length(number) ||
        !ct_matches(data + 8, length - 8, (uint64_t)number)) {
        __atomic_fetch_add(&shared->torn, 1, __ATOMIC_SEQ_CST);
    }
    return number;
}

/* --- calls -------------------------------------------------------------------------
 */

static int me;

static void point_hook(enum lc_crash_point point) {
    struct fate *fate = &shared->fate;
    (void)point;
    if (fate->signal && fate->worker == me && fate->after-- == 0) {
        int signal_number = fate->signal;
        fate->signal = 0;
        __atomic_store_n(&fate->met, 1, __ATOMIC_SEQ_CST);
        raise(signal_number);
    }
    if (ct_below(&dice, PAUSE_ONE_IN) == 0) {
        sched_yield();
    }
}

static void key_name(uint64_t round, uint32_t key, char out[CT_KEY_BYTES + 1]) {
    ct_key(round * KEYS + key, out);
}

static struct call *call_begin(int worker, enum verb verb, uint32_t key) {
    struct log *log = &shared->logs[worker];
    struct call *call = &log->calls[log->count];
    *call =
        (struct call){.key = key, .op = {.verb = verb, .worker = worker, .end = NEVER}};
    return call;
}

/* The begin is stored last but for the count: a call that is counted is complete but
 * for its end. */
static void call_go(int worker, struct call *call) {
    call->op.begin = now();
    __atomic_store_n(&shared->logs[worker].count, shared->logs[worker].count + 1,
                     __ATOMIC_RELEASE);
}

static void call_end(struct call *call, int64_t result) {
    call->op.hit = result >= 0;
    call->op.exists = result == LILCACHE_EXISTS;
    if (result < 0 && result != LILCACHE_MISS && result != LILCACHE_EXISTS) {
        LCT_FAIL("verb %d answered %s", call->op.verb,
                 lilcache_status_name((int)result));
    }
    __atomic_store_n(&call->op.end, now(), __ATOMIC_RELEASE);
}

/* Repeat a call while the lock is busy: nothing has been done then. */
#define PATIENTLY(result, expression)                                                  \
    do {                                                                               \
        (result) = (expression);                                                       \
    } while ((result) == LILCACHE_BUSY)

static void do_read(int worker, uint32_t key, const char *name) {
    struct call *call = call_begin(worker, GET, key);
    struct lilcache_view view;
    call_go(worker, call);
    if (ct_below(&dice, 3) == 0) {
        int64_t result =
            lilcache_pin(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, &view);
        if (result != LILCACHE_NO_PIN) {
            if (result >= 0) {
                call->op.got = value_read(view.data, result);
            }
            call_end(call, result);
            if (result >= 0) {
                sched_yield();
                if (value_read(view.data, result) != call->op.got) {
                    __atomic_fetch_add(&shared->torn, 1, __ATOMIC_SEQ_CST);
                }
                lilcache_unpin(cache, view.pin);
            }
            return;
        }
    }
    int64_t result =
        lilcache_get(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, buffer, LARGE);
    if (result >= 0) {
        call->op.got = value_read(buffer, result);
    }
    call_end(call, result);
}

static void do_cas(int worker, uint32_t key, const char *name, int64_t number) {
    uint32_t stamp;
    struct call *call = call_begin(worker, GET, key);
    call_go(worker, call);
    int64_t result = lilcache_gets(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, buffer,
                                   LARGE, &stamp);
    if (result >= 0) {
        call->op.got = value_read(buffer, result);
    }
    call_end(call, result);
    if (result < 0) {
        return;
    }
    int64_t version = call->op.got;
    if (ct_below(&dice, 2) == 0) {
        sched_yield();
    }
    call = call_begin(worker, CAS, key);
    call->op.put = number;
    call->op.got = version;
    size_t length = value_make(number);
    call_go(worker, call);
    PATIENTLY(result, lilcache_cas(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, buffer,
                                   length, 7, LILCACHE_TTL_NONE, stamp));
    call_end(call, result);
}

static void do_store(int worker, uint32_t key, const char *name, int64_t number,
                     enum verb verb, bool lossy) {
    static const int modes[] = {
        [SET] = LILCACHE_SET, [ADD] = LILCACHE_ADD, [REPLACE] = LILCACHE_REPLACE};
    int64_t result;
    struct call *call = call_begin(worker, verb, key);
    call->op.put = number;
    size_t length = value_make(number);
    int64_t ttl = lossy && ct_below(&dice, 4) == 0 ? 1 : LILCACHE_TTL_NONE;
    call_go(worker, call);
    PATIENTLY(result, lilcache_set(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, buffer,
                                   length, 7, ttl, modes[verb]));
    call_end(call, result);
}

static void do_remove(int worker, uint32_t key, const char *name, enum verb verb) {
    int64_t result;
    struct call *call = call_begin(worker, verb, key);
    call_go(worker, call);
    if (verb == POP) {
        PATIENTLY(result, lilcache_pop(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR,
                                       buffer, LARGE));
        if (result >= 0) {
            call->op.got = value_read(buffer, result);
        }
    } else {
        PATIENTLY(result, lilcache_delete(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR));
    }
    call_end(call, result);
}

static void do_incr(int worker, uint32_t key, const char *name) {
    static const int64_t initial = INITIAL;
    int64_t result;
    struct call *call = call_begin(worker, INCR, key);
    call->op.put = 1 + (int64_t)ct_below(&dice, 3);
    call_go(worker, call);
    PATIENTLY(result,
              lilcache_incr(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, call->op.put,
                            &initial, LILCACHE_TTL_NONE, &call->op.got));
    call_end(call, result);
}

/* A clear that found a shard busy may have cleared the others: each attempt by itself,
 * and those that gave up may have happened or not. */
static void do_clear(int worker) {
    for (;;) {
        struct call *call = call_begin(worker, CLEAR, KEYS);
        call_go(worker, call);
        int result = lilcache_clear(cache);
        if (result != LILCACHE_BUSY) {
            call_end(call, result);
            return;
        }
        if (shared->logs[worker].count > CALLS * 3) {
            return;
        }
    }
}

static void do_fillers(void) {
    for (int i = 0; i < FILLERS; i++) {
        uint64_t n = 1ULL << 40 | ct_below(&dice, 3000);
        ct_set(cache, n, n, ct_spread(&dice, 10, 3000));
    }
}

static void one_call(int worker, uint64_t round, uint64_t serial) {
    bool lossy = round % 2 == 1;
    uint32_t key = (uint32_t)ct_below(&dice, KEYS);
    char name[CT_KEY_BYTES + 1];
    /* Unique in the round, and never a number that incr makes. */
    int64_t number = (int64_t)((serial * WORKERS + (uint64_t)worker + 1) << 20);
    key_name(round, key, name);
    if (lossy) {
        do_fillers();
    }
    if (ct_below(&dice, 400) == 0) {
        do_clear(worker);
    } else if (key < COUNTERS) {
        switch (ct_below(&dice, 8)) {
        case 0:
            do_remove(worker, key, name, DELETE);
            break;
        case 1:
        case 2:
            do_read(worker, key, name);
            break;
        default:
            do_incr(worker, key, name);
        }
    } else {
        switch (ct_below(&dice, 10)) {
        case 0:
            do_remove(worker, key, name, DELETE);
            break;
        case 1:
            do_remove(worker, key, name, POP);
            break;
        case 2:
            do_store(worker, key, name, number, ADD, lossy);
            break;
        case 3:
            do_store(worker, key, name, number, REPLACE, lossy);
            break;
        case 4:
        case 5:
            do_store(worker, key, name, number, SET, lossy);
            break;
        case 6:
            do_cas(worker, key, name, number);
            break;
        default:
            do_read(worker, key, name);
        }
    }
}

static void work(int worker, uint64_t from_round) {
    dice.state = options.seed * 977 + from_round * 31 + (uint64_t)worker;
    lc_crash_hook = point_hook;
    me = worker;
    for (uint64_t last = from_round;;) {
        uint64_t round;
        while ((round = __atomic_load_n(&shared->round, __ATOMIC_ACQUIRE)) == last) {
            sched_yield();
        }
        if (round == 0) {
            _exit(0);
        }
        last = round;
        cache = caches[round % 2];
        for (uint64_t i = 0; i < CALLS; i++) {
            one_call(worker, round, i);
        }
        __atomic_store_n(&shared->ready[worker], round, __ATOMIC_RELEASE);
    }
}

/* --- the coordinator ---------------------------------------------------------------
 */

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
        work(worker, round);
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
    uint64_t until = now() + SLICE_MS * 1000000ULL;
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
        if (now() > until) {
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
            fprintf(stderr, "VIOLATION: seed %llu, round %llu, key %u, %s\n",
                    (unsigned long long)options.seed, (unsigned long long)round, key,
                    lossy ? "entries may vanish" : "nothing may vanish");
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
        key_name(round, key, name);
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
    printf("%llu operations where nothing may vanish, %llu where entries may "
           "(%llu evicted, %llu expired), %llu rounds, %llu workers killed, %llu "
           "stopped, %llu repaired: all linearizable, %.0f s\n",
           (unsigned long long)operations[0], (unsigned long long)operations[1],
           (unsigned long long)ct_stat(caches[1], "evictions"),
           (unsigned long long)ct_stat(caches[1], "expirations"),
           (unsigned long long)round, (unsigned long long)kills,
           (unsigned long long)stops,
           (unsigned long long)(ct_stat(caches[0], "repaired") +
                                ct_stat(caches[1], "repaired")),
           lct_seconds() - started);
    CHECK(ct_stat(caches[1], "evictions") > 0);
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
    buffer = malloc(LARGE);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(buffer && shared != MAP_FAILED);
    caches[0] = open_cache(64 * MIB);
    caches[1] = open_cache(1 * MIB);
    return run();
}
