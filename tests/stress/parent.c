/* The parent's loop: a tick a millisecond, in which it reaps, kills, stops, lets go,
 * turns the waves over and checks the segment, all the while the workers work. A worker
 * that ends otherwise than by order, or makes no progress, is a violation. */
#include "parent.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lc_atomic.h"
#include "lc_os.h"

#define PARENT_TICK_MS 1
#define PARENT_CHECK_MS 200
#define PARENT_WAVE 100000 /* operations of all actors together */
#define PARENT_KILL_MS 40
#define PARENT_STOP_MS 150
#define PARENT_STOP_MIN_MS 15
#define PARENT_PACE 25000 /* operations a second that are enough */
#define PARENT_PATIENCE 3 /* times the phase's length, on top of it */
#define PARENT_STALL_MS 20000 /* without an operation, or a read beside a stop */

static uint32_t parent_below(struct parent *parent, uint32_t limit) {
    parent->random += 0x9E3779B97F4A7C15ULL;
    return (uint32_t)((value_mix(parent->random) >> 32) * limit >> 32);
}

static uint64_t parent_sum(const struct parent *parent, enum stress_count which,
                           uint32_t worker, bool others) {
    uint32_t threads = parent->options->threads;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < parent->options->processes * threads; i++) {
        if ((i / threads == worker) != others) {
            sum += lc_load_relaxed(&parent->board->actors[i].counts[which]);
        }
    }
    return sum;
}

static void parent_fork(struct parent *parent, uint32_t worker) {
    struct worker_slot *slot = &parent->slots[worker];
    uint32_t life = slot->life + 1;
    *slot = (struct worker_slot){.life = life, .progress_ms = lc_os_monotonic_ms()};
    lc_store_release(&parent->board->died_at[worker], 0);
    lc_add_relaxed(&parent->board->lives, 1);
    slot->pid = fork();
    if (slot->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody else would ever tell us to stop */
        if (getppid() != parent->pid) {
            _exit(1);
        }
        worker_run(parent->board, parent->cache, parent->phase, parent->options, worker,
                   life);
    }
    if (slot->pid < 0) {
        slot->pid = 0;
        board_violation(parent->board, "fork: %s", strerror(errno));
    }
}

static void parent_doing(const struct parent *parent, uint32_t worker, char *out,
                         size_t cap) {
    uint32_t threads = parent->options->threads;
    size_t at = 0;
    for (uint32_t t = 0; t < threads && at < cap; t++) {
        const char *doing = parent->board->actors[worker * threads + t].doing;
        at += (size_t)snprintf(out + at, cap - at, "%s%s", t ? ", " : "",
                               doing ? doing : "nothing");
    }
}

static void parent_note_stop(struct parent *parent, uint32_t worker) {
    struct worker_slot *slot = &parent->slots[worker];
    slot->stopped = true;
    slot->stopped_ms = lc_os_monotonic_ms();
    slot->resume_ms = slot->stopped_ms + PARENT_STOP_MIN_MS +
                      (parent_below(parent, 8) ? 0 : parent_below(parent, 150));
    slot->reads_then = parent_sum(parent, COUNT_reads, worker, true);
    parent->stops++;
}

static void parent_note_end(struct parent *parent, uint32_t worker, int status) {
    struct worker_slot *slot = &parent->slots[worker];
    char doing[128];
    bool ended = lc_load_acquire(&parent->board->stop) != 0;
    bool by_will =
        slot->killed || lc_load_acquire(&parent->board->died_at[worker]) != 0;
    slot->pid = 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && by_will) {
        parent->kills++;
        if (!ended) {
            parent_fork(parent, worker);
        }
        return;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || !ended) {
        parent_doing(parent, worker, doing, sizeof doing);
        board_violation(parent->board, "worker %u ended with wait status %x in %s",
                        worker, status, doing);
    }
}

static void parent_reap(struct parent *parent) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        for (uint32_t w = 0; w < parent->options->processes; w++) {
            if (parent->slots[w].pid != pid) {
                continue;
            }
            if (WIFSTOPPED(status)) {
                parent_note_stop(parent, w);
            } else {
                parent_note_end(parent, w, status);
            }
            break;
        }
    }
}

/* A stopped worker may hold the lock; the others must go on reading, and prove it
 * before it is let go. */
static void parent_resume(struct parent *parent, uint32_t worker, bool all) {
    struct worker_slot *slot = &parent->slots[worker];
    uint64_t now = lc_os_monotonic_ms();
    uint64_t reads = parent_sum(parent, COUNT_reads, worker, true);
    bool alone = parent->options->processes == 1;
    if (!all && now < slot->resume_ms) {
        return;
    }
    if (reads > slot->reads_then) {
        parent->stops_outread++;
    } else if (!all && !alone) {
        if (now - slot->stopped_ms > PARENT_STALL_MS) {
            uint64_t point = lc_load_acquire(&parent->board->stopped_at[worker]);
            board_violation(
                parent->board,
                "nobody reads while worker %u is stopped, last at point %llu", worker,
                (unsigned long long)point);
        }
        return;
    }
    slot->stopped = false;
    slot->progress_ms = now;
    kill(slot->pid, SIGCONT);
}

static void parent_torment(struct parent *parent, uint64_t now) {
    uint32_t worker = parent_below(parent, parent->options->processes);
    struct worker_slot *slot = &parent->slots[worker];
    if (slot->pid == 0) {
        return;
    }
    if (now >= parent->kill_ms) {
        slot->killed = true;
        kill(slot->pid, SIGKILL);
        parent->kill_ms = now + parent_below(parent, 2 * PARENT_KILL_MS);
    } else if (now >= parent->stop_ms && !slot->stopped) {
        kill(slot->pid, SIGSTOP);
        parent->stop_ms = now + parent_below(parent, 2 * PARENT_STOP_MS);
    }
}

static void parent_watch(struct parent *parent, uint64_t now) {
    for (uint32_t w = 0; w < parent->options->processes; w++) {
        struct worker_slot *slot = &parent->slots[w];
        uint64_t operations = parent_sum(parent, COUNT_operations, w, false);
        if (slot->pid == 0 || slot->stopped) {
            continue;
        }
        if (operations != slot->progress) {
            slot->progress = operations;
            slot->progress_ms = now;
        } else if (now - slot->progress_ms > PARENT_STALL_MS) {
            char doing[128];
            parent_doing(parent, w, doing, sizeof doing);
            board_violation(parent->board, "worker %u makes no progress in %s", w,
                            doing);
        }
    }
}

int parent_check(struct parent *parent) {
    char report[256] = "";
    int status = lilcache_check(parent->cache, report, sizeof report);
    if (status == LILCACHE_OK) {
        parent->checks++;
    } else if (status != LILCACHE_BUSY) {
        board_violation(parent->board, "check: %s: %s",
                        status > 0 ? "violated" : lilcache_status_name(status), report);
    }
    return status;
}

static void parent_tick(struct parent *parent, uint64_t now) {
    for (uint32_t w = 0; w < parent->options->processes; w++) {
        if (parent->slots[w].pid && parent->slots[w].stopped) {
            parent_resume(parent, w, false);
        }
    }
    if (parent->options->kill) {
        parent_torment(parent, now);
    }
    if (parent_sum(parent, COUNT_operations, UINT32_MAX, true) >= parent->wave_ends) {
        lc_store_relaxed(&parent->board->wave,
                         (lc_load_relaxed(&parent->board->wave) + 1) % WAVE_COUNT);
        parent->wave_ends += PARENT_WAVE / 2 + parent_below(parent, PARENT_WAVE);
    }
    if (now >= parent->check_ms) {
        parent_check(parent);
        parent_watch(parent, now);
        parent->check_ms = now + PARENT_CHECK_MS;
    }
}

/* Everybody is told to stop; who does not is killed and reported. */
static void parent_end(struct parent *parent) {
    uint64_t until = lc_os_monotonic_ms() + PARENT_STALL_MS;
    bool alive = true;
    lc_store_release(&parent->board->stop, 1);
    while (alive) {
        bool late = lc_os_monotonic_ms() > until;
        alive = false;
        parent_reap(parent);
        for (uint32_t w = 0; w < parent->options->processes; w++) {
            struct worker_slot *slot = &parent->slots[w];
            if (slot->pid == 0) {
                continue;
            }
            alive = true;
            if (slot->stopped) {
                parent_resume(parent, w, true);
            }
            if (late && !slot->killed) {
                char doing[128];
                parent_doing(parent, w, doing, sizeof doing);
                board_violation(parent->board, "worker %u does not end, in %s", w,
                                doing);
                slot->killed = true;
                kill(slot->pid, SIGKILL);
            }
        }
        lc_os_sleep_ms(PARENT_TICK_MS);
    }
}

/* On a busy machine a phase may take longer, so that enough happens. */
static bool parent_goes_on(const struct parent *parent, uint64_t now, uint64_t until) {
    uint64_t extra = (uint64_t)(parent->phase->seconds * 1000) * PARENT_PATIENCE;
    double wanted = parent->phase->seconds * PARENT_PACE;
    double reached = (double)parent_sum(parent, COUNT_operations, UINT32_MAX, true);
    return now < until || (reached < wanted && now < until + extra);
}

void parent_run(struct parent *parent) {
    uint64_t now = lc_os_monotonic_ms();
    uint64_t until = now + (uint64_t)(parent->phase->seconds * 1000);
    parent->kill_ms = now + PARENT_KILL_MS;
    parent->stop_ms = now + PARENT_STOP_MS;
    parent->wave_ends = PARENT_WAVE;
    parent->check_ms = now + PARENT_CHECK_MS;
    for (uint32_t w = 0; w < parent->options->processes; w++) {
        parent_fork(parent, w);
    }
    while (!lc_load_acquire(&parent->board->stop) &&
           parent_goes_on(parent, now, until)) {
        lc_os_sleep_ms(PARENT_TICK_MS);
        now = lc_os_monotonic_ms();
        parent_reap(parent);
        parent_tick(parent, now);
    }
    parent_end(parent);
}
