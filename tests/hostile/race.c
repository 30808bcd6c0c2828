/* race [--rounds N] [--seconds N] [--seed N]
 *
 * 64 processes open one name at the same moment. Most of them die on the way, before a
 * store or system call chosen at random, some after a rest of a creator that had died
 * before. Whoever is left shares exactly one segment, and it is in order. */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "cachetest.h"
#include "hooks.h"

#define OPENERS   64
#define SURVIVORS 8   /* of each round, at least */
#define STEPS     900 /* places to die at on the way through creation, about */
#define WAIT_MS   20000

enum phase { MEET, WRITE, READ, PHASES };

struct opener {
    uint64_t identity; /* of the segment it got */
    uint64_t wait_us;
    int32_t created;
    int32_t done; /* phases */
};

struct shared {
    struct opener openers[OPENERS];
};

static struct shared *shared;
static int gates[PHASES + 1][2]; /* pipes; closing the write end lets all pass */

static void pass(enum phase gate) {
    char byte;
    close(gates[gate][1]);
    CHECK(read(gates[gate][0], &byte, 1) == 0);
}

static void opener_run(const char *name, uint32_t number, uint64_t die_at,
                       uint64_t seed) {
    struct opener *me = &shared->openers[number];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    hook_shared = calloc(1, sizeof *hook_shared);
    CHECK(hook_shared != NULL);
    hook_seed(seed);
    hook_watch_mmap();
    for (int gate = MEET + 1; gate < PHASES; gate++) {
        close(gates[gate][1]); /* the parent's copy alone keeps it shut */
    }
    pass(MEET);
    double started = lct_seconds();
    if (die_at) {
        hook_arm(die_at);
    }
    struct lilcache *cache = ct_open_named(name, MIB, 0);
    hook_disarm();
    me->wait_us = (uint64_t)((lct_seconds() - started) * 1e6);
    me->identity = cache->segment->hash.key[0];
    me->created = lilcache_created(cache);
    __atomic_store_n(&me->done, 1, __ATOMIC_RELEASE);
    pass(WRITE);
    int status;
    while ((status = ct_set(cache, number, number + 1, 300)) == LILCACHE_BUSY) {
    }
    CHECK_EQ(status, LILCACHE_OK);
    __atomic_store_n(&me->done, 2, __ATOMIC_RELEASE);
    pass(READ);
    for (uint32_t other = 0; other < OPENERS; other++) {
        bool wrote = __atomic_load_n(&shared->openers[other].done, __ATOMIC_ACQUIRE);
        CHECK_EQ(ct_get(cache, other, other + 1, 300), wrote ? CT_RIGHT : CT_MISS);
    }
    _exit(0);
}

/* Until every process has died or come through `phase`; returns how many have. */
static uint32_t wait_for(pid_t children[OPENERS], int phase) {
    double until = lct_seconds() + WAIT_MS / 1e3;
    for (;;) {
        uint32_t through = 0;
        uint32_t pending = 0;
        for (uint32_t i = 0; i < OPENERS; i++) {
            int status;
            if (children[i] && waitpid(children[i], &status, WNOHANG) > 0) {
                children[i] = 0;
                bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
                CHECK(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
            }
            int done = __atomic_load_n(&shared->openers[i].done, __ATOMIC_ACQUIRE);
            through += done >= phase;
            pending += children[i] && done < phase;
        }
        if (!pending) {
            return through;
        }
        if (lct_seconds() > until) {
            LCT_FAIL("%u processes hang", pending);
        }
        usleep(300);
    }
}

static uint32_t objects_named(const char *name) {
    uint32_t count = 0;
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        count += strncmp(entry->d_name, name, strlen(name)) == 0;
    }
    closedir(dir);
    return count;
}

/* What a creator leaves that died right after making the object, or in the middle. */
static void leave_rest(const char *object, uint64_t kind) {
    int fd = shm_open(object, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    if (kind == 1) {
        CHECK_EQ(ftruncate(fd, MIB), 0);
    }
    close(fd);
}

struct sums {
    uint64_t rounds, deaths, creations, wait_us;
};

static void round_run(const char *name, struct ct_random *random, struct sums *sums) {
    pid_t children[OPENERS];
    char object[300] = "/";
    memset(shared, 0, sizeof *shared);
    CHECK(lilcache_object_name(name, object + 1, sizeof object - 1) > 0);
    uint64_t rest = ct_below(random, 4);
    if (rest < 2) {
        leave_rest(object, rest);
    }
    for (int gate = 0; gate < PHASES; gate++) {
        CHECK_EQ(pipe(gates[gate]), 0);
    }
    for (uint32_t i = 0; i < OPENERS; i++) {
        uint64_t die_at = i < SURVIVORS ? 0 : ct_spread(random, 1, STEPS);
        uint64_t seed = ct_random(random);
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            opener_run(name, i, die_at, seed);
        }
    }
    for (int gate = 0; gate < PHASES; gate++) {
        close(gates[gate][1]);
        uint32_t through = wait_for(children, gate + 1 < PHASES ? gate + 1 : 2);
        CHECK(through >= SURVIVORS);
        if (gate == READ) {
            sums->deaths += OPENERS - through;
        }
        close(gates[gate][0]);
    }
    for (uint32_t i = 0; i < OPENERS; i++) { /* the readers */
        int status;
        if (children[i]) {
            CHECK(waitpid(children[i], &status, 0) == children[i]);
            CHECK_EQ(status, 0);
        }
    }
    uint64_t identity = shared->openers[0].identity;
    for (uint32_t i = 0; i < OPENERS; i++) {
        const struct opener *opener = &shared->openers[i];
        if (opener->done) {
            CHECK(opener->identity == identity);
            sums->creations += (uint64_t)opener->created;
            sums->wait_us = lc_max64(sums->wait_us, opener->wait_us);
        }
    }
    CHECK_EQ(objects_named(name), 1);
    struct lilcache *cache = ct_open_named(name, MIB, LILCACHE_ATTACH);
    CHECK(cache->segment->hash.key[0] == identity);
    ct_check_unhurt(cache);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    CHECK_EQ(objects_named(name), 0);
    sums->rounds++;
}

static void report(const struct sums *sums) {
    printf("creation race: %llu rounds of %d processes, %llu died on the way, one "
           "segment each; %llu made by a survivor; longest open %.1f ms\n",
           (unsigned long long)sums->rounds, OPENERS, (unsigned long long)sums->deaths,
           (unsigned long long)sums->creations, (double)sums->wait_us / 1e3);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const struct option options[] = {{"rounds", required_argument, NULL, 'r'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"seed", required_argument, NULL, 's'},
                                            {0}};
    uint64_t rounds = UINT64_MAX;
    double seconds = 1e9;
    struct ct_random random = {1};
    struct sums sums = {0};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'r':
            rounds = strtoull(optarg, NULL, 10);
            break;
        case 't':
            seconds = strtod(optarg, NULL);
            break;
        case 's':
            random.state = strtoull(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    char name[64];
    snprintf(name, sizeof name, "hostile-race-%d", (int)getpid());
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    hook_shared = calloc(1, sizeof *hook_shared);
    CHECK(hook_shared != NULL);
    double started = lct_seconds();
    double said = started;
    while (sums.rounds < rounds && lct_seconds() - started < seconds) {
        pid_t round = fork(); /* maps nothing, and may fail without a rest */
        if (round == 0) {
            setpgid(0, 0);
            round_run(name, &random, &sums);
            shared->openers[0].identity = 0;
            memcpy((void *)(shared->openers + 1), &sums, sizeof sums);
            _exit(0);
        }
        int status;
        CHECK(waitpid(round, &status, 0) == round);
        kill(-round, SIGKILL);
        if (status != 0) {
            char object[300] = "/";
            lilcache_object_name(name, object + 1, sizeof object - 1);
            shm_unlink(object);
            LCT_FAIL("round %llu, state of the dice %llu",
                     (unsigned long long)sums.rounds, (unsigned long long)random.state);
        }
        memcpy(&sums, (void *)(shared->openers + 1), sizeof sums);
        ct_random(&random);
        random.state ^= sums.rounds << 32;
        if (lct_seconds() - said > 30) {
            report(&sums);
            said = lct_seconds();
        }
    }
    report(&sums);
    CHECK(sums.deaths > 0);
    return 0;
}
