/* lc_guard.c: an object that is cut short while it is in use, and every other SIGBUS.
 */
#include <fcntl.h>
#include <setjmp.h>

#include "cachetest.h"
#include "deed.h"
#include "forbid.h"
#include "lc_guard.h"
#include "lc_lock.h"

#define SIZE  (1 * MIB)
#define PAGE  4096
#define USERS 4

static int object_open(const char *name) {
    char object[300] = "/";
    CHECK(lilcache_object_name(name, object + 1, sizeof object - 1) > 0);
    return shm_open(object, O_RDWR, 0600);
}

static void fill(struct lilcache *cache) {
    int64_t number = 41;
    char key[CT_KEY_BYTES + 1];
    for (uint64_t n = 0; n < 300; n++) {
        CHECK_EQ(ct_set(cache, n, n, 100 + n), LILCACHE_OK);
    }
    ct_key(KEY_COUNT, key);
    CHECK_EQ(lilcache_delete(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR), LILCACHE_OK);
    CHECK_EQ(lilcache_incr(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, 0, &number, 0,
                           &number),
             LILCACHE_OK);
}

static void works(struct lilcache *cache, uint64_t n) {
    int status;
    while ((status = ct_set(cache, n, n, 500)) == LILCACHE_BUSY) {
    }
    CHECK_EQ(status, LILCACHE_OK);
    CHECK_EQ(ct_get(cache, n, n, 500), CT_RIGHT);
}

/* --- cut short inside an operation ---------------------------------------------------
 */

static int cut_fd;
static off_t cut_to;
static uint64_t cut_at, points;

static void cut_hook(enum lc_crash_point point) {
    (void)point;
    if (++points == cut_at) {
        CHECK_EQ(ftruncate(cut_fd, cut_to), 0);
    }
}

/* Another robust mutex, which is on the same list of this thread's. */
static void take_another(void) {
    static pthread_mutex_t other;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&other, &attributes);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_mutex_lock(&other), 0);
        CHECK_EQ(pthread_mutex_unlock(&other), 0);
    }
}

/* At every point of every operation, the lock held at most of them. */
TEST(cut_short_inside_an_operation, 120) {
    const char *name = lct_name("inside");
    off_t shard;
    uint64_t cuts = 0;
    for (size_t d = 0; d < DEEDS_WITH_POINTS; d++) {
        bool done = false;
        for (cut_at = 1; !done; cut_at++) {
            w.cache = ct_open_named(name, SIZE, 0);
            CHECK_EQ(lilcache_created(w.cache), 1);
            fill(w.cache);
            shard = (off_t)((uint8_t *)ct_shard(w.cache)->ctl - w.cache->segment->base);
            cut_fd = object_open(name);
            const off_t lengths[] = {0, shard / PAGE * PAGE, /* with the lock */
                                     shard / PAGE * PAGE + 2 * PAGE, (off_t)SIZE / 2};
            cut_to = lengths[cut_at % 4];
            points = 0;
            lc_crash_hook = cut_hook;
            deed_run(&deeds[d]);
            lc_crash_hook = NULL;
            done = points < cut_at;
            cuts += !done;
            take_another();
            int status = ct_set(w.cache, 1, 1, 100);
            for (uint64_t n = 2; n < 2000 && status != LILCACHE_RETIRED; n++) {
                ct_get(w.cache, n % 300, n % 300, 100 + n % 300);
                status = ct_set(w.cache, n, n, 1000);
            }
            CHECK(done || status == LILCACHE_RETIRED);
            if (done) {
                lilcache_retire(w.cache);
            }
            struct lilcache *next = ct_open_named(name, SIZE, 0);
            CHECK_EQ(lilcache_created(next), 1);
            works(next, 1);
            lilcache_close(w.cache);
            take_another();
            works(next, 2);
            CHECK_EQ(lilcache_retire(next), LILCACHE_OK);
            lilcache_close(next);
            close(cut_fd);
        }
    }
    printf("  cut short at %llu points\n", (unsigned long long)cuts);
    CHECK(cuts > 100);
}

/* --- cut short under live processes --------------------------------------------------
 */

/* Everything a process does, until the segment is found to have gone. */
static void use_until_retired(struct lilcache *cache, uint64_t seed) {
    struct ct_random random = {seed};
    double until = lct_seconds() + 20;
    int64_t status = LILCACHE_OK;
    w.cache = cache;
    while (status != LILCACHE_RETIRED) {
        uint64_t n = ct_below(&random, 400);
        size_t length = ct_below(&random, 3000);
        CHECK(lct_seconds() < until);
        deed_run(&deeds[ct_below(&random, deed_count - 2)]);
        status = ct_set(cache, n, n, length);
        CHECK(status == LILCACHE_OK || status == LILCACHE_RETIRED ||
              status == LILCACHE_BUSY || status == LILCACHE_CORRUPT ||
              status == LILCACHE_NO_SPACE);
        if (status == LILCACHE_OK) {
            char key[CT_KEY_BYTES + 1];
            uint8_t out[4096];
            ct_key(n, key);
            status = lilcache_get(cache, key, CT_KEY_BYTES, LILCACHE_KEY_STR, out,
                                  sizeof out);
        }
    }
}

static void cut_under_users(const char *name, off_t length, bool again) {
    struct lilcache *cache = ct_open_named(name, SIZE, LILCACHE_CHECKSUMS);
    pid_t users[USERS];
    CHECK_EQ(lilcache_created(cache), 1);
    fill(cache);
    for (uint64_t u = 0; u < USERS; u++) {
        users[u] = fork();
        if (users[u] == 0) {
            use_until_retired(cache, u);
            struct lilcache *next = ct_open_named(name, SIZE, LILCACHE_CHECKSUMS);
            works(next, 1000 + u);
            lilcache_close(cache);
            works(next, 1000 + u);
            lilcache_close(next);
            _exit(0);
        }
    }
    int fd = object_open(name);
    lct_sleep_ms(2 + (unsigned)length % 7);
    CHECK_EQ(ftruncate(fd, length), 0);
    if (again) {
        CHECK_EQ(ftruncate(fd, SIZE), 0);
    }
    close(fd);
    for (int u = 0; u < USERS; u++) {
        lct_join(users[u]);
    }
    lilcache_close(cache);
    cache = ct_open_named(name, SIZE, 0);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
}

TEST(cut_short_under_live_processes, 120) {
    const char *name = lct_name("users");
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    off_t heap = (off_t)(ct_shard(cache)->heap - cache->segment->base);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    for (off_t length = 0; length <= heap; length += PAGE) {
        cut_under_users(name, length, false);
    }
    cut_under_users(name, SIZE / 2, false);
    cut_under_users(name, SIZE - PAGE, false);
}

/* No page is missing and no signal comes: zeros, with the lock or without it. */
TEST(cut_short_and_grown_again_under_live_processes, 120) {
    const char *name = lct_name("grown");
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    off_t lock = (off_t)((uint8_t *)ct_shard(cache)->ctl - cache->segment->base);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
    for (int i = 0; i < 10; i++) {
        for (off_t length = 0; length <= lock; length += PAGE) {
            cut_under_users(name, length, true);
        }
    }
}

/* --- memfds -------------------------------------------------------------------------
 */

TEST(a_memfd_cannot_be_cut_short, 10) {
    struct lilcache *cache = ct_open(SIZE);
    CHECK(ftruncate(cache->segment->fd, 0) != 0 && errno == EPERM);
    CHECK(ftruncate(cache->segment->fd, 2 * SIZE) != 0 && errno == EPERM);
    works(cache, 1);
    lilcache_close(cache);
}

/* Where nothing can be sealed, the guard is there for these, too. */
TEST(a_memfd_that_was_not_sealed_is_left_when_it_is_cut_short, 10) {
    pid_t child = fork();
    if (child == 0) {
        forbid(SYS_fcntl, F_ADD_SEALS, EINVAL);
        struct lilcache *cache = ct_open(SIZE);
        works(cache, 1);
        CHECK_EQ(ftruncate(cache->segment->fd, 0), 0);
        CHECK_EQ(ct_set(cache, 1, 1, 500), LILCACHE_RETIRED);
        CHECK_EQ(ct_set(cache, 1, 1, 500), LILCACHE_RETIRED);
        CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
        lilcache_close(cache);
        _exit(0);
    }
    lct_join(child);
}

/* Without zeros to put there, the fault is what it is: death, not one fault for ever.
 */
TEST(where_nothing_can_be_mapped_the_fault_kills, 10) {
    pid_t child = fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL);
        struct lilcache *cache = ct_open_named(lct_name("nomap"), SIZE, 0);
        works(cache, 1);
        CHECK_EQ(ftruncate(cache->segment->fd, 0), 0);
        forbid(SYS_mmap, -1, ENOMEM);
        ct_set(cache, 1, 1, 500);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

static uint32_t lost_words[300];

/* What is beyond the table works, and dies of a truncation as any program would. */
TEST(a_table_without_a_free_place_is_no_error, 20) {
    struct lc_os_id id = {1, 1};
    uint64_t base = 1ULL << 45;
    for (uint64_t i = 0; i < 300; i++) {
        lc_guard_add((void *)(uintptr_t)(base + i * PAGE), PAGE, -1, &id,
                     &lost_words[i]);
    }
    for (int full = 1; full >= 0; full--) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGBUS, SIG_DFL);
            struct lilcache *cache = ct_open_named(lct_name("many"), SIZE, 0);
            works(cache, 1);
            CHECK_EQ(ftruncate(cache->segment->fd, 0), 0);
            CHECK_EQ(ct_set(cache, 1, 1, 500), LILCACHE_RETIRED);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(full ? WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS : status == 0);
        for (uint64_t i = 0; i < 300; i++) {
            lc_guard_remove((void *)(uintptr_t)(base + i * PAGE));
        }
    }
}

/* --- every other SIGBUS --------------------------------------------------------------
 */

static volatile uint8_t *foreign_page(void) {
    int fd = memfd_create("foreign", 0);
    CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
    uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(page != MAP_FAILED && ftruncate(fd, 0) == 0);
    return page;
}

static int signal_of(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static sigjmp_buf after_fault;
static const void *fault_at;
static int fault_mask_blocks;
static int fault_mask_blocks_bus;

static void noting_handler(int signal, siginfo_t *info, void *context) {
    sigset_t mask;
    (void)context;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    fault_mask_blocks = sigismember(&mask, SIGUSR1);
    fault_mask_blocks_bus = sigismember(&mask, SIGBUS);
    fault_at = info->si_addr;
    siglongjmp(after_fault, signal);
}

static void plain_handler(int signal) { siglongjmp(after_fault, signal); }

static void ignorant_of_sanitizers(void) { signal(SIGBUS, SIG_DFL); }

TEST(a_fault_of_the_program_kills_it, 10) {
    for (int way = 0; way < 5; way++) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGBUS, way == 1 ? SIG_IGN : SIG_DFL);
            struct lilcache *cache = ct_open(SIZE);
            works(cache, 1);
            if (way < 2) { /* nobody may ignore a fault */
                *foreign_page();
            } else if (way == 2) {
                raise(SIGBUS);
            } else if (way == 3) {
                kill(getpid(), SIGBUS);
            } else {
                signal(SIGBUS, SIG_DFL); /* after us: it is theirs */
                *foreign_page();
            }
            _exit(0);
        }
        CHECK_EQ(signal_of(child), SIGBUS);
    }
}

TEST(a_signal_that_was_ignored_stays_so, 10) {
    signal(SIGBUS, SIG_IGN);
    struct lilcache *cache = ct_open(SIZE);
    raise(SIGBUS);
    works(cache, 1);
    lilcache_close(cache);
}

TEST(the_handler_before_gets_what_is_its_own, 10) {
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    volatile uint8_t *page = foreign_page();
    action.sa_sigaction = noting_handler;
    sigaddset(&action.sa_mask, SIGUSR1);
    CHECK_EQ(sigaction(SIGBUS, &action, NULL), 0);
    struct lilcache *cache = ct_open(SIZE);
    for (int i = 0; i < 3; i++) {
        if (sigsetjmp(after_fault, 1) == 0) {
            *page;
            CHECK(false);
        }
        CHECK(fault_at == page && fault_mask_blocks);
    }
    works(cache, 1);
    lilcache_close(cache);
}

static void fault_twice(int flags) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | flags};
    volatile uint8_t *page = foreign_page();
    action.sa_sigaction = noting_handler;
    CHECK_EQ(sigaction(SIGBUS, &action, NULL), 0);
    works(ct_open(SIZE), 1);
    for (int times = 0; times < 2; times++) {
        if (sigsetjmp(after_fault, 1) == 0) {
            *page;
            CHECK(false);
        }
        CHECK(fault_at == page);
        CHECK_EQ(fault_mask_blocks_bus, flags != SA_NODEFER);
    }
    _exit(0);
}

TEST(a_handler_before_is_called_with_its_flags, 10) {
    static const int flags[] = {0, SA_NODEFER, (int)SA_RESETHAND};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        pid_t child = fork();
        if (child == 0) {
            fault_twice(flags[i]);
        }
        CHECK_EQ(signal_of(child), flags[i] == (int)SA_RESETHAND ? SIGBUS : 0);
    }
}

/* Sent by another process, it says nothing about what is mapped here. */
TEST(a_signal_of_another_process_is_passed_on, 10) {
    int ready[2];
    char byte;
    CHECK_EQ(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL);
        struct lilcache *cache = ct_open_named(lct_name("sent"), SIZE, 0);
        CHECK_EQ(ftruncate(cache->segment->fd, 0), 0);
        CHECK_EQ(write(ready[1], "x", 1), 1);
        for (;;) {
            pause();
        }
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_EQ(syscall(SYS_tgkill, child, child, SIGBUS), 0);
    CHECK_EQ(signal_of(child), SIGBUS);
}

/* A signal without an address: of all that is mapped, what has become shorter is meant,
 * as far as it can be told. */
TEST(a_raised_signal_finds_what_is_short_among_many, 20) {
    enum { WHOLE, SHORT, CLOSED, REUSED, MEMORY, LOST, COUNT };
    struct lilcache *caches[COUNT];
    char names[COUNT][64];
    ignorant_of_sanitizers();
    for (int i = 0; i < COUNT; i++) {
        char what[] = {(char)('a' + i), 0};
        snprintf(names[i], sizeof names[i], "%s", lct_name(what));
        caches[i] = ct_open_named(names[i], SIZE, 0);
    }
    struct lc_segment *closed = caches[CLOSED]->segment;
    struct lc_segment *reused = caches[REUSED]->segment;
    struct lc_segment *memory = caches[MEMORY]->segment;
    int other = memfd_create("lct", 0); /* of another device, and shorter */
    CHECK(other >= 0 && dup2(other, memory->fd) == memory->fd);
    char object[300];
    CHECK(lilcache_object_name(names[SHORT], object, sizeof object) > 0);
    int same = shm_open(object, O_RDWR, 0600); /* of the same device */
    CHECK(same >= 0 && dup2(same, reused->fd) == reused->fd);
    close(closed->fd);
    CHECK_EQ(ftruncate(caches[LOST]->segment->fd, 0), 0);
    CHECK_EQ(ct_set(caches[LOST], 1, 1, 10), LILCACHE_RETIRED);
    CHECK_EQ(ftruncate(caches[SHORT]->segment->fd, SIZE / 2), 0);
    raise(SIGBUS);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(ct_set(caches[i], 1, 1, 10),
                 i == SHORT || i == LOST ? LILCACHE_RETIRED : LILCACHE_OK);
    }
    for (int i = 0; i < COUNT; i++) {
        lilcache_close(caches[i]);
    }
    close(other);
    close(same);
}

TEST(a_handler_of_the_old_kind_is_called, 10) {
    volatile uint8_t *page = foreign_page();
    signal(SIGBUS, plain_handler);
    struct lilcache *cache = ct_open(SIZE);
    if (sigsetjmp(after_fault, 1) == 0) {
        *page;
        CHECK(false);
    }
    lilcache_close(cache);
}

/* As faulthandler does it: report, put back what was there, raise once more. */
static struct sigaction below;
static void reporting_handler(int signal) {
    sigaction(signal, &below, NULL);
    raise(signal);
}

TEST(a_handler_over_ours_may_pass_the_signal_on, 10) {
    ignorant_of_sanitizers();
    const char *name = lct_name("over");
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    struct sigaction action = {.sa_flags = SA_NODEFER};
    action.sa_handler = reporting_handler;
    CHECK_EQ(sigaction(SIGBUS, &action, &below), 0);
    int fd = object_open(name);
    CHECK(ftruncate(fd, 0) == 0);
    CHECK_EQ(ct_set(cache, 1, 1, 10), LILCACHE_RETIRED);
    lilcache_close(cache);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(sigaction(SIGBUS, &action, &below), 0);
        *foreign_page();
        _exit(0);
    }
    CHECK_EQ(signal_of(child), SIGBUS);
}

TEST(unguarded_segments_leave_the_signal_alone, 10) {
    const char *name = lct_name("alone");
    pid_t child = fork();
    if (child == 0) {
        struct sigaction before;
        struct sigaction after;
        ignorant_of_sanitizers();
        CHECK_EQ(sigaction(SIGBUS, NULL, &before), 0);
        struct lilcache *cache = ct_open_named(name, SIZE, LILCACHE_UNGUARDED);
        CHECK_EQ(sigaction(SIGBUS, NULL, &after), 0);
        CHECK(before.sa_handler == after.sa_handler);
        CHECK_EQ(ftruncate(cache->segment->fd, 0), 0);
        ct_set(cache, 1, 1, 10);
        _exit(0);
    }
    CHECK_EQ(signal_of(child), SIGBUS);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
