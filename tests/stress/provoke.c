/* Makes races likely: the hook that the core calls inside its steps, and the pauses
 * that racy_read.c puts into its reads. Without LC_CRASH_POINTS all of it does nothing.
 *
 * A process that dies by its own hand does so at a point it has chosen: rarely reached
 * points are chosen more often, so that a phase dies at nearly all of them. */
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "lc_atomic.h"
#include "provoke.h"
#include "stress.h"

#ifdef LC_CRASH_POINTS

/* One pause in so many points; one of so many pauses sleeps instead of yielding. */
#define PROVOKE_PAUSE_WRITE 48
#define PROVOKE_PAUSE_READ 96
#define PROVOKE_SLEEP 24
#define PROVOKE_SLEEP_MAX_NS 60000
/* One pause in so many, and one copy in so many, outlasts the block that is read. */
#define PROVOKE_LONG 192
#define PROVOKE_LONG_COPY 192
#define PROVOKE_LONG_MAX_NS 30000000
/* One time in so many at which a point is reached, in the beginning. */
#define PROVOKE_DIE 60
#define PROVOKE_STOP 4000

void (*lc_crash_hook)(enum lc_crash_point point);

static struct board *provoke_board;
static uint32_t provoke_worker;
static bool provoke_die;
static __thread uint64_t provoke_random;
static __thread uint64_t provoke_probes;

static uint32_t provoke_below(uint64_t limit) {
    provoke_random += 0x9E3779B97F4A7C15ULL;
    return (uint32_t)((value_mix(provoke_random) >> 32) * limit >> 32);
}

static void provoke_sleep(uint32_t max_ns) {
    struct timespec nap = {0, (long)provoke_below(max_ns)};
    nanosleep(&nap, NULL);
}

static void provoke_pause(void) {
    if (provoke_below(PROVOKE_SLEEP) == 0) {
        provoke_sleep(PROVOKE_SLEEP_MAX_NS);
    } else {
        sched_yield();
    }
}

static void provoke_point(enum lc_crash_point point) {
    struct board *board = provoke_board;
    if (provoke_die && provoke_random != 0) {
        uint64_t reached =
            __atomic_fetch_add(&board->reached[point], 1, __ATOMIC_RELAXED);
        if (provoke_below(PROVOKE_DIE + reached / 4) == 0) {
            lc_store_release(&board->died_at[provoke_worker], point + 1);
            lc_add_relaxed(&board->deaths[point], 1);
            kill(getpid(), SIGKILL);
        }
        if (provoke_below(PROVOKE_STOP + reached * 4) == 0) {
            lc_store_release(&board->stopped_at[provoke_worker], point + 1);
            kill(getpid(), SIGSTOP);
        }
    }
    if (provoke_random != 0 && provoke_below(PROVOKE_PAUSE_WRITE) == 0) {
        provoke_pause();
    }
}

void provoke_read_step(void) {
    if (provoke_random == 0 || provoke_below(PROVOKE_PAUSE_READ) != 0) {
        return;
    }
    if (provoke_below(PROVOKE_LONG) == 0) {
        provoke_sleep(PROVOKE_LONG_MAX_NS);
    } else {
        provoke_pause();
    }
}

void provoke_read_copy(void) {
    if (provoke_random != 0 && provoke_below(PROVOKE_LONG_COPY) == 0) {
        provoke_sleep(PROVOKE_LONG_MAX_NS);
    }
}

void provoke_read_probe(void) { provoke_probes++; }

bool provoke_built(void) { return true; }

void provoke_start(struct board *board, uint32_t worker, bool die) {
    provoke_board = board;
    provoke_worker = worker;
    provoke_die = die;
    lc_crash_hook = provoke_point;
}

void provoke_thread(uint64_t seed) { provoke_random = value_mix(seed) | 1; }
uint64_t provoke_attempts(void) { return provoke_probes; }

#else

bool provoke_built(void) { return false; }
void provoke_start(struct board *board, uint32_t worker, bool die) {
    (void)board;
    (void)worker;
    (void)die;
}
void provoke_thread(uint64_t seed) { (void)seed; }
uint64_t provoke_attempts(void) { return 0; }

#endif
