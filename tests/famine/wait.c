/* The wait for a lock whose system call fails: in every way, once, and from then on.
 * Then the lock is tried again and again instead of slept for: it is taken in the end,
 * also from a holder that dies, or the call says BUSY in time. */
#include "famine.h"
#include "lc_lock.h"

#include <time.h>

#define HELD_MS 12
#define SLOW_MS 1500 /* a call; it waits for LILCACHE_SLICE_MS */

enum holder { LEAVES, DIES, STAYS, HOLDERS };

static const int errors[] = {EINTR,  EAGAIN, ENOSYS, ETIMEDOUT,
                             EFAULT, EINVAL, EPERM,  ENOMEM};
static const char *const holder_names[HOLDERS] = {"leaves", "dies", "stays"};

static struct trial {
    enum holder holder;
    enum fail_mode mode;
    uint64_t k;
    int error;
} now;

static uint64_t *slowest_ms; /* shared by all trials */

static uint64_t clock_ms(void) {
    struct timespec time;
    CHECK(!clock_gettime(CLOCK_MONOTONIC, &time));
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static pid_t hold(struct lilcache *cache) {
    int ready[2];
    char x;
    CHECK(!pipe(ready));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct shm_shard *ctl = ct_shard(cache)->ctl;
        bool waited;
        CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
        CHECK(write(ready[1], "x", 1) == 1);
        lct_sleep_ms(now.holder == STAYS ? 30000 : HELD_MS);
        if (now.holder == LEAVES) {
            lc_lock_leave(ctl);
        }
        _exit(0);
    }
    CHECK(read(ready[0], &x, 1) == 1);
    close(ready[0]);
    close(ready[1]);
    return child;
}

static int set_once(struct lilcache *cache) {
    uint64_t began = clock_ms();
    int status = ct_set(cache, 500, 500, BYTES);
    uint64_t took = clock_ms() - began;
    *slowest_ms = lc_max64(*slowest_ms, took);
    CHECK(took < SLOW_MS);
    return status;
}

static void run(void *unused) {
    (void)unused;
    struct lilcache *cache = ct_open(MIB);
    int status;
    CHECK_EQ(ct_set(cache, 1, 1, BYTES), LILCACHE_OK);
    pid_t holder = hold(cache);
    fail_arm(now.mode, now.k, now.error);
    for (int tries = 0; (status = set_once(cache)) == LILCACHE_BUSY; tries++) {
        CHECK(tries < 400);
        if (now.holder == STAYS && tries == 1) {
            break;
        }
    }
    fail_disarm();
    CHECK_EQ(status, now.holder == STAYS ? LILCACHE_BUSY : LILCACHE_OK);
    if (now.holder == STAYS) {
        kill(holder, SIGKILL);
        CHECK(waitpid(holder, NULL, 0) == holder);
        CHECK_EQ(ct_set(cache, 500, 500, BYTES), LILCACHE_OK);
    } else {
        lct_join(holder);
    }
    CHECK(ct_get(cache, 1, 1, BYTES) == CT_RIGHT);
    CHECK(ct_get(cache, 500, 500, BYTES) == CT_RIGHT);
    CHECK_EQ(ct_stat(cache, "repaired"), now.holder != LEAVES);
    famine_works(cache);
    lilcache_close(cache);
}

void wait_all(bool thorough) {
    static const enum fail_mode modes[] = {FAIL_ONCE, FAIL_THRICE, FAIL_SINCE};
    uint64_t most = thorough ? 8 : 2;
    uint64_t trials = 0;
    uint64_t failed = 0;
    uint64_t injected = fail_shared->injected;
    slowest_ms = mmap(NULL, sizeof *slowest_ms, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(slowest_ms != MAP_FAILED);
    for (int holder = 0; holder < HOLDERS; holder++) {
        for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
            for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
                for (uint64_t k = 1; k <= most; k++) {
                    now = (struct trial){(enum holder)holder, modes[m], k, errors[e]};
                    snprintf(famine_where, sizeof famine_where,
                             "wait for a lock whose holder %s: call %llu, %s, mode %d",
                             holder_names[holder], (unsigned long long)k,
                             strerror(errors[e]), (int)modes[m]);
                    famine_trial(run, NULL);
                    trials++;
                    failed += fail_shared->failed;
                }
            }
        }
    }
    printf("wait: %llu trials, %llu waits failed, the lock was taken or BUSY in time, "
           "slowest call %llu ms\n",
           (unsigned long long)trials, (unsigned long long)failed,
           (unsigned long long)*slowest_ms);
    CHECK(failed >= trials / 2);
    fail_shared->injected = injected; /* those that were tried again are told above */
}
