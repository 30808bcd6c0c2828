/* A process killed before the stores of the core as it is shipped: no hooks, no
 * instrumentation, optimised as for users.
 *
 *   the victim write-protects its mapping
 *   a store faults -> count it, die there, or: unprotect, single-step it, protect again
 *
 * So every instruction that stores into the segment is a place to die at, those of libc
 * and the lock too. Afterwards each operation is single-stepped by ptrace from start to
 * end. The segment is compared before each instruction that faults have caught, after
 * every so many others, and at the end: a difference is a store that the faults missed.
 * x86-64 only (EFLAGS.TF). */
#include <argp.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <ucontext.h>

#include "judge.h"
#include "scene.h"

#ifndef __x86_64__
#error "single-stepping a store is written for x86-64"
#endif

#define TRAP_FLAG     0x100
#define PLACES        8192     /* a power of two */
#define STEPS_MAX     20000000 /* instructions of an operation that does not hang */
#define COMPARE_EVERY 4096     /* instructions, among those that never store */
#define TRACE_SECONDS 300
#define WORKERS_MAX   64

static struct {
    uint64_t seed;
    uint64_t dense; /* stores of an operation, each of them died at */
    uint64_t stride;
    uint64_t far; /* the last store of three operations in four, or 0 */
    uint64_t least;
    uint64_t pairs;
    uint64_t trace; /* one operation in so many */
    uint64_t jobs;
    const char *only;
    bool trace_all;
} options = {.seed = 1, .stride = 1, .dense = 40, .trace = 20, .jobs = 1};

/* Shared by the driver, a worker and its victims. */
static struct shared {
    uint64_t count;
    uint64_t deaths;
    uint64_t died;
    uint64_t pairs;
    uint64_t traced; /* operations, from their first instruction to their last */
    uint64_t steps;
    char where[200];
    uint64_t places[PLACES]; /* instructions that stored into the segment */
} *shared;

static struct {
    uint64_t next; /* scene that no worker has taken */
    struct shared workers[WORKERS_MAX];
} *board;

static uint8_t *base;
static uint64_t die_at;
static struct ct_random dice;

static bool place_known(uint64_t at, bool add) {
    size_t i = (at * 0x9E3779B97F4A7C15ULL >> 40) & (PLACES - 1);
    while (shared->places[i] != at) {
        if (shared->places[i] == 0) {
            if (add) {
                shared->places[i] = at;
            }
            return false;
        }
        i = (i + 1) & (PLACES - 1);
    }
    return true;
}

static void protect(int access) {
    if (mprotect(base, SCENE_BYTES, access) != 0) {
        _exit(LCT_FAILED);
    }
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    ucontext_t *user = context;
    if ((uintptr_t)info->si_addr - (uintptr_t)base >= SCENE_BYTES) {
        signal(signal_number, SIG_DFL);
        return; /* a fault of the core itself */
    }
    place_known((uint64_t)user->uc_mcontext.gregs[REG_RIP], true);
    protect(PROT_READ | PROT_WRITE);
    if (++shared->count == die_at) {
        shared->died = 1;
        shared->deaths++;
        kill(getpid(), SIGKILL);
    }
    user->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    (void)info;
    ucontext_t *user = context;
    user->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    protect(PROT_READ);
}

/* Count stores, and die at the k-th; 0: none. */
static void arm(uint64_t k) {
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction step = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &step, NULL);
    shared->count = 0;
    shared->died = 0;
    die_at = k;
    protect(PROT_READ);
}

/* A neighbour is no victim. */
static void stand_aside(void) {
    die_at = 0;
    protect(PROT_READ | PROT_WRITE);
}

static void restore(void) { memcpy(base, w.saved, SCENE_BYTES); }

/* The status of an undisturbed run. */
static int run_through(const struct deed *deed) {
    restore();
    pid_t child = victim_fork();
    if (child == 0) {
        arm(0);
        _exit(-deed_run(deed));
    }
    int status = victim_status(child);
    CHECK(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

/* --- single-stepping -------------------------------------------------------------- */

/* Of an operation: where it is, and the bytes up to which all stores are known. */
static struct {
    const struct deed *deed;
    uint64_t at;
    uint64_t compared_at;
    uint8_t bytes[SCENE_BYTES];
} stepped;

static void no_store_since(void) {
    if (memcmp(stepped.bytes, base, SCENE_BYTES) != 0) {
        LCT_FAIL("%s: an instruction from %llx on, before %llx, stores and was not "
                 "caught",
                 stepped.deed->name, (unsigned long long)stepped.compared_at,
                 (unsigned long long)stepped.at);
    }
    stepped.compared_at = stepped.at;
}

/* False: it has ended. */
static bool step_once(pid_t child) {
    int status;
    CHECK(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFSTOPPED(status)) {
        CHECK(WSTOPSIG(status) == SIGTRAP);
        stepped.at = (uint64_t)ptrace(PTRACE_PEEKUSER, child,
                                      offsetof(struct user_regs_struct, rip), NULL);
        return true;
    }
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return false;
}

static void stop_here(void) { raise(SIGSTOP); }

/* The whole operation, an instruction at a time. */
static void trace(const struct deed *deed) {
    uint64_t steps = 0;
    int status;
    if (deed->verb == V_FORK || deed->verb == V_RAW_FORK ||
        deed->verb == V_SET_WAITING) {
        return; /* its child stores at the same time */
    }
    /* Its memory as it is now decides which of its loops libc takes for a copy. */
    CHECK(deed_succeeds(deed, run_through(deed)));
    restore();
    alarm(TRACE_SECONDS);
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        deed_ready = stop_here;
        deed_run(deed);
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    CHECK(ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL) == 0);
    memcpy(stepped.bytes, base, SCENE_BYTES);
    stepped.deed = deed;
    bool stored = false;
    while (step_once(child)) {
        bool storing = place_known(stepped.at, false);
        if (++steps == STEPS_MAX) {
            LCT_FAIL("%s takes more than %d instructions", deed->name, STEPS_MAX);
        }
        if (stored) {
            memcpy(stepped.bytes, base, SCENE_BYTES);
            stepped.compared_at = stepped.at;
        } else if (storing || steps % COMPARE_EVERY == 0) {
            no_store_since();
        }
        stored = storing;
    }
    no_store_since();
    alarm(0);
    shared->steps += steps;
    shared->traced++;
}

/* How many stores further on the next one dies. The later a store, the longer it takes
 * to get there, and the likelier it is one of many alike, of records that are copied.
 */
static uint64_t next_after(uint64_t k) {
    uint64_t stride = lc_max64(options.stride, k / 4);
    return k < options.dense ? 1 : 1 + ct_below(&dice, 2 * stride - 1);
}

/* False: there was nothing to do. */
static bool sweep(const struct scene *scene, const struct deed *deed) {
    bool completed = false;
    snprintf(shared->where, sizeof shared->where, "%s, %s", scene->name, deed->name);
    int answer = run_through(deed);
    if (!deed_succeeds(deed, answer)) {
        if (!deed_may_fail(deed, answer)) {
            LCT_FAIL("%s, %s: %s", scene->name, deed->name,
                     lilcache_status_text(answer));
        }
        return false;
    }
    judge_note_survivors();
    restore();
    struct figures before = judge_figures();
    bool whole = options.far == 0 || ct_below(&dice, 4) == 0;
    uint64_t last = whole ? UINT64_MAX : options.far;
    for (uint64_t k = 1; !completed && k <= last; k += next_after(k)) {
        restore();
        snprintf(shared->where, sizeof shared->where,
                 "%s, %s: killed before store %llu", scene->name, deed->name,
                 (unsigned long long)k);
        pid_t child = victim_fork();
        if (child == 0) {
            arm(k);
            deed_run(deed);
            _exit(0);
        }
        int status = victim_status(child);
        completed = !shared->died;
        bool fell = completed && (!WIFEXITED(status) || WEXITSTATUS(status) != 0);
        bool held = judge_lock_was_held();
        CHECK(!fell);
        judge(deed, k, completed, held, held, &before);
    }
    return true;
}

static error_t parse(int key, char *word, struct argp_state *state) {
    (void)state;
    switch (key) {
    case 's':
        options.seed = strtoull(word, NULL, 10);
        break;
    case 'x':
        options.stride = lc_max64(strtoull(word, NULL, 10), 1);
        break;
    case 'l':
        options.least = strtoull(word, NULL, 10);
        break;
    case 'd':
        options.dense = strtoull(word, NULL, 10);
        break;
    case 'f':
        options.far = strtoull(word, NULL, 10);
        break;
    case 't':
        options.trace = lc_max64(strtoull(word, NULL, 10), 1);
        break;
    case 'j':
        options.jobs = lc_max64(lc_min64(strtoull(word, NULL, 10), WORKERS_MAX), 1);
        break;
    case 'p':
        options.pairs = strtoull(word, NULL, 10);
        break;
    case 'o':
        options.only = word;
        break;
    case 'a':
        options.trace_all = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* String instructions would fault once for each byte; ask libc for vector stores. */
static void without_string_instructions(char **argv) {
    static const char *const wish = "glibc.cpu.x86_rep_movsb_threshold=1000000000:"
                                    "glibc.cpu.x86_rep_stosb_threshold=1000000000";
    const char *now = getenv("GLIBC_TUNABLES");
    if (!now || strcmp(now, wish) != 0) {
        setenv("GLIBC_TUNABLES", wish, 1);
        execv("/proc/self/exe", argv);
    }
}

/* Its choices are its own, whichever worker it falls to. */
static void sweep_scene(size_t number) {
    const struct scene *scene = &scenes[number];
    uint64_t deaths = shared->deaths;
    dice.state = options.seed * 1009 + number;
    snprintf(shared->where, sizeof shared->where, "preparing %s", scene->name);
    scene_open(scene);
    base = w.cache->segment->base;
    for (size_t i = 0; i < deed_count; i++) {
        const struct deed *deed = &deeds[i];
        if (!(w.keys[KEY_OLD].present || deed_wants_nothing(deed)) ||
            !sweep(scene, deed)) {
            continue;
        }
        shared->pairs++;
        if (ct_below(&dice, options.trace) == 0 || options.trace_all) {
            snprintf(shared->where, sizeof shared->where, "%s, %s: single-stepped",
                     scene->name, deed->name);
            trace(deed);
        }
    }
    printf("%-16s %7llu processes killed\n", scene->name,
           (unsigned long long)(shared->deaths - deaths));
    fflush(stdout);
    restore();
    scene_close();
}

static void work(void) {
    lct_group = getpid();
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    deed_neighbour = stand_aside;
    for (;;) {
        uint64_t number = __atomic_fetch_add(&board->next, 1, __ATOMIC_SEQ_CST);
        if (number >= scene_count) {
            return;
        }
        if (!options.only || strstr(scenes[number].name, options.only)) {
            sweep_scene(number);
        }
    }
}

/* The sums of all workers, and the places that any of them came by. */
static void add_up(void) {
    shared = &board->workers[0];
    for (uint64_t i = 1; i < options.jobs; i++) {
        const struct shared *other = &board->workers[i];
        shared->deaths += other->deaths;
        shared->pairs += other->pairs;
        shared->traced += other->traced;
        shared->steps += other->steps;
        for (size_t j = 0; j < PLACES; j++) {
            if (other->places[j] != 0) {
                place_known(other->places[j], true);
            }
        }
    }
}

/* False: something was violated, or too little was done. */
static bool report(double started) {
    add_up();
    size_t places = 0;
    for (size_t i = 0; i < PLACES; i++) {
        places += shared->places[i] != 0;
    }
    printf("%llu processes killed in %llu operations in their scenes, at %zu storing "
           "instructions; %llu operations single-stepped whole, %llu instructions; "
           "nothing lost, nothing missed, %.0f s\n",
           (unsigned long long)shared->deaths, (unsigned long long)shared->pairs,
           places, (unsigned long long)shared->traced,
           (unsigned long long)shared->steps, lct_seconds() - started);
    if (shared->deaths < options.least || shared->pairs < options.pairs) {
        fprintf(stderr, "fewer than %llu deaths or %llu operations\n",
                (unsigned long long)options.least, (unsigned long long)options.pairs);
        return false;
    }
    return true;
}

int main(int argc, char **argv) {
    static const struct argp_option known[] = {
        {"seed", 's', "N", 0, "choices", 0},
        {"dense", 'd', "N", 0, "of each operation the first N stores", 0},
        {"stride", 'x', "N", 0,
         "of long operations one store in N, late ones less often", 0},
        {"far", 'f', "N", 0, "of three operations in four none behind store N", 0},
        {"trace", 't', "N", 0, "single-step one operation in N", 0},
        {"trace-all", 'a', NULL, 0, "single-step every operation in every scene", 0},
        {"jobs", 'j', "N", 0, "processes that sweep scenes at once", 0},
        {"least", 'l', "N", 0, "deaths that must happen", 0},
        {"pairs", 'p', "N", 0, "operations in their scenes to be tried, at least", 0},
        {"only", 'o', "SCENE", 0, "only scenes whose name contains this", 0},
        {0}};
    struct argp parser = {.options = known, .parser = parse};
    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    without_string_instructions(argv);
    double started = lct_seconds();
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    pid_t workers[WORKERS_MAX];
    for (uint64_t i = 0; i < options.jobs; i++) {
        workers[i] = fork();
        CHECK(workers[i] >= 0);
        if (workers[i] == 0) {
            shared = &board->workers[i];
            work();
            exit(0);
        }
    }
    bool failed = false;
    for (uint64_t i = 0; i < options.jobs; i++) {
        int status;
        CHECK(waitpid(workers[i], &status, 0) == workers[i]);
        lct_remove_segments(workers[i]); /* of one that found a violation */
        if (status != 0) {
            fprintf(stderr, "VIOLATION (status %d): %s\n", status,
                    board->workers[i].where);
            failed = true;
        }
    }
    return failed || !report(started);
}
