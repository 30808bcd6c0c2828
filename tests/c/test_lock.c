/* lc_lock.c: three answers, bounded waits, an owner's death. */
#include "cachetest.h"
#include "lc_lock.h"
#include "lc_os.h"

#include <dlfcn.h>
#include <linux/futex.h>

static struct shm_shard *shared_shard(void) {
    void *at =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    CHECK_EQ(lc_lock_setup(), 0);
    CHECK_EQ(lc_lock_init(at), 0);
    return at;
}

/* A child that takes the lock, says so, and then does as told. */
enum deed { DEED_EXIT, DEED_WAIT };

static pid_t holder(struct shm_shard *ctl, enum deed deed) {
    int says[2];
    char byte;
    bool waited;
    CHECK(pipe(says) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(lc_lock_take(ctl, 1000, &waited) != LC_LOCK_BUSY);
        CHECK(write(says[1], "x", 1) == 1);
        if (deed == DEED_WAIT) {
            pause();
        }
        _exit(0);
    }
    CHECK(read(says[0], &byte, 1) == 1);
    close(says[0]);
    close(says[1]);
    return child;
}

TEST(taken_and_left, 10) {
    struct shm_shard *ctl = shared_shard();
    bool waited = true;
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
        CHECK(!waited);
        lc_lock_leave(ctl);
    }
}

static bool is_on_the_list(const pthread_mutex_t *mutex) {
    const struct robust_list_head *head = lc_os_robust_list();
    const struct robust_list *at = head->list.next;
    while (at != &head->list) {
        /* The last bit says that it inherits priority. */
        at = (const void *)((uintptr_t)at & ~(uintptr_t)1);
        if ((const void *)at == (const void *)&mutex->__data.__list.__next) {
            return true;
        }
        at = at->next;
    }
    return false;
}

/* Whatever becomes of its words under the holder's hands: he leaves it as a lock that
 * the next one can take, and off the list of what the kernel gives back. */
TEST(words_damaged_while_it_is_held, 10) {
    struct shm_shard *ctl = shared_shard();
    uint8_t *words = (uint8_t *)&ctl->sh_mutex;
    bool waited;
    for (size_t at = 0; at < sizeof ctl->sh_mutex; at++) {
        for (int bit = 0; bit < 8; bit++) {
            CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
            words[at] ^= (uint8_t)(1 << bit);
            lc_lock_leave(ctl);
            CHECK(!is_on_the_list(&ctl->sh_mutex));
            if (lc_lock_take(ctl, 0, &waited) != LC_LOCK_CLEAN) {
                LCT_FAIL("byte %zu, bit %d", at, bit);
            }
            lc_lock_leave(ctl);
        }
    }
}

static void make_robust(pthread_mutex_t *mutex, int protocol) {
    pthread_mutexattr_t robust;
    CHECK_EQ(pthread_mutexattr_init(&robust), 0);
    CHECK_EQ(pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST), 0);
    CHECK_EQ(pthread_mutexattr_setprotocol(&robust, protocol), 0);
    CHECK_EQ(pthread_mutex_init(mutex, &robust), 0);
}

/* Its page goes, and another one comes, also under a lock of the program's own, which
 * stays on the list. With the mapping gone the next lock of this thread would follow
 * there what is left on it. */
static void blank_above(int protocol) {
    pthread_mutex_t own;
    make_robust(&own, protocol);
    for (int holds = 0; holds < 2; holds++) {
        struct shm_shard *ctl = shared_shard();
        struct shm_shard *next = shared_shard();
        pthread_mutex_t *mutex = &ctl->sh_mutex;
        bool waited;
        if (holds) {
            CHECK_EQ(pthread_mutex_lock(&own), 0);
        }
        CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
        CHECK(is_on_the_list(mutex));
        memset(mutex, 0, sizeof *mutex);
        lc_lock_leave(ctl);
        CHECK(!is_on_the_list(mutex));
        CHECK_EQ(is_on_the_list(&own), holds);
        CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_BLANK);
        CHECK_EQ(munmap(ctl, 4096), 0);
        CHECK_EQ(lc_lock_take(next, 0, &waited), LC_LOCK_CLEAN);
        lc_lock_leave(next);
        CHECK_EQ(is_on_the_list(&own), holds);
    }
    CHECK_EQ(pthread_mutex_unlock(&own), 0);
    CHECK(!is_on_the_list(&own));
}

TEST(blank_while_it_is_held, 10) { blank_above(PTHREAD_PRIO_NONE); }
TEST(blank_while_it_is_held_above_one_that_inherits_priority, 10) {
    blank_above(PTHREAD_PRIO_INHERIT);
}

static const int kinds[] = {0,   1,   2,   3,   16,  17,  18,  32, 48,
                            128, 129, 130, 131, 145, 146, 160, 176};
#define KINDS (sizeof kinds / sizeof *kinds)

/* What libc takes for another kind, it takes another way. */
TEST(another_kind_before_it_is_taken, 10) {
    for (size_t i = 0; i < KINDS; i++) {
        struct shm_shard *ctl = shared_shard();
        bool waited;
        ctl->sh_mutex.__data.__kind = kinds[i];
        CHECK_EQ(lc_lock_take(ctl, 0, &waited),
                 kinds[i] ? LC_LOCK_BROKEN : LC_LOCK_BLANK);
        CHECK(!is_on_the_list(&ctl->sh_mutex));
        CHECK_EQ(munmap(ctl, 4096), 0);
    }
}

#ifndef __SANITIZE_THREAD__ /* which puts its own in the place of the C library's */

static int kind_meanwhile = -1;

/* In the place of the C library's: the kind changes just before it. */
int pthread_mutex_trylock(pthread_mutex_t *mutex) {
    static int (*real)(pthread_mutex_t *);
    if (!real) {
        void *found = dlsym(RTLD_NEXT, "pthread_mutex_trylock");
        memcpy(&real, &found, sizeof real);
    }
    if (kind_meanwhile >= 0) {
        mutex->__data.__kind = kind_meanwhile;
        kind_meanwhile = -1;
    }
    return real(mutex);
}

/* Nothing of it stays on the list, where its mapping would be followed to when it has
 * gone, and the kind it was is the kind it has; where libc says who took it, that is
 * waited for. */
TEST(another_kind_when_the_library_takes_it, 10) {
    pthread_mutex_t own;
    int pattern;
    make_robust(&own, PTHREAD_PRIO_NONE);
    CHECK_EQ(pthread_mutex_lock(&own), 0);
    for (size_t i = 0; i < KINDS; i++) {
        struct shm_shard *ctl = shared_shard();
        struct shm_shard *next = shared_shard();
        bool waited;
        pattern = ctl->sh_mutex.__data.__kind;
        kind_meanwhile = kinds[i];
        if (lc_lock_take(ctl, 0, &waited) == LC_LOCK_CLEAN) {
            CHECK(kinds[i] & 16);
            lc_lock_leave(ctl);
        }
        CHECK(lc_os_robust_list()->list.next ==
              (const void *)&own.__data.__list.__next);
        ctl->sh_mutex.__data.__kind = pattern;
        enum lc_lock_result again = lc_lock_take(ctl, 0, &waited);
        bool names_us = (kinds[i] & (32 | 16)) == 32;
        CHECK_EQ(again, names_us ? LC_LOCK_BUSY : LC_LOCK_CLEAN);
        if (again == LC_LOCK_CLEAN) {
            lc_lock_leave(ctl);
        }
        CHECK_EQ(munmap(ctl, 4096), 0);
        CHECK_EQ(lc_lock_take(next, 0, &waited), LC_LOCK_CLEAN);
        lc_lock_leave(next);
        CHECK(is_on_the_list(&own));
    }
    CHECK_EQ(pthread_mutex_unlock(&own), 0);
    CHECK(!is_on_the_list(&own));
}

#endif

/* A signal handler forks while its thread holds the lock: it stays the parent's. */
TEST(forked_while_it_is_held, 10) {
    struct shm_shard *ctl = shared_shard();
    bool waited;
    CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
    pid_t child = fork();
    if (child == 0) {
        lc_lock_leave(ctl);
        CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_BUSY);
        _exit(0);
    }
    lct_join(child);
    CHECK(is_on_the_list(&ctl->sh_mutex));
    lc_lock_leave(ctl);
    CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
    lc_lock_leave(ctl);
}

/* The words are what libc leaves: every process that uses libc's calls on them agrees.
 */
TEST(left_as_the_library_leaves_it, 10) {
    struct shm_shard *ctl = shared_shard();
    pthread_mutex_t *mutex = &ctl->sh_mutex;
    pthread_mutex_t before;
    bool waited;
    CHECK_EQ(pthread_mutex_trylock(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    before = *mutex;
    CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
    lc_lock_leave(ctl);
    CHECK(memcmp(&before, mutex, sizeof before) == 0);
    CHECK_EQ(pthread_mutex_lock(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    CHECK(memcmp(&before, mutex, sizeof before) == 0);
}

TEST(busy_after_its_slice, 20) {
    struct shm_shard *ctl = shared_shard();
    pid_t child = holder(ctl, DEED_WAIT);
    static const uint32_t slices[] = {0, 1, 20, 100, 1000, 1100};
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
        bool waited = false;
        double before = lct_seconds();
        CHECK_EQ(lc_lock_take(ctl, slices[i], &waited), LC_LOCK_BUSY);
        double took = (lct_seconds() - before) * 1000;
        CHECK(waited);
        CHECK(took >= slices[i] && took < slices[i] + 200);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

TEST(death_is_reported_until_consistent, 20) {
    struct shm_shard *ctl = shared_shard();
    bool waited;
    waitpid(holder(ctl, DEED_EXIT), NULL, 0);
    /* Two successors die as well, before they said that all is well. */
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_OWNER_DIED);
            _exit(0);
        }
        lct_join(child);
    }
    CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_OWNER_DIED);
    lc_lock_consistent(ctl);
    lc_lock_leave(ctl);
    CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
    lc_lock_leave(ctl);
}

TEST(left_unrepaired_it_is_broken, 20) {
    struct shm_shard *ctl = shared_shard();
    bool waited;
    waitpid(holder(ctl, DEED_EXIT), NULL, 0);
    CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_OWNER_DIED);
    lc_lock_leave(ctl);
    for (uint32_t i = 0; i < 3; i++) { /* and stays so, for others, too */
        CHECK_EQ(lc_lock_take(ctl, 20 * i, &waited), LC_LOCK_BROKEN);
        pid_t child = fork();
        if (child == 0) {
            CHECK_EQ(lc_lock_take(ctl, 20 * i, &waited), LC_LOCK_BROKEN);
            _exit(0);
        }
        lct_join(child);
    }
}

TEST(waiter_wakes_when_the_owner_is_killed, 20) {
    struct shm_shard *ctl = shared_shard();
    pid_t owner = holder(ctl, DEED_WAIT);
    pid_t waiter = fork();
    if (waiter == 0) {
        bool waited;
        CHECK_EQ(lc_lock_take(ctl, 10000, &waited), LC_LOCK_OWNER_DIED);
        CHECK(waited);
        lc_lock_consistent(ctl);
        lc_lock_leave(ctl);
        _exit(0);
    }
    lct_sleep_ms(50);
    double before = lct_seconds();
    kill(owner, SIGKILL);
    lct_join(waiter);
    CHECK(lct_seconds() - before < 5 * LCT_SLOWER);
    waitpid(owner, NULL, 0);
}

/* Who sleeps is woken when the lock is given back, and does not sleep its nap out. */
TEST(waiter_is_woken, 20) {
    struct shm_shard *ctl = shared_shard();
    uint32_t *word = (uint32_t *)&ctl->sh_mutex.__data.__lock;
    bool waited;
    CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
    pid_t waiter = fork();
    if (waiter == 0) {
        for (;;) { /* one that has no nap's end */
            uint32_t now = __atomic_fetch_or(word, FUTEX_WAITERS, __ATOMIC_SEQ_CST);
            if (!(now & FUTEX_TID_MASK)) {
                _exit(0);
            }
            lc_os_wait_word(word, now | FUTEX_WAITERS, 60000);
        }
    }
    lct_sleep_ms(100);
    double before = lct_seconds();
    lc_lock_leave(ctl);
    lct_join(waiter);
    CHECK(lct_seconds() - before < 10);
}

/* A stopped owner is alive: nobody gets in, and after SIGCONT all goes on. */
TEST(stopped_owner_is_not_robbed, 20) {
    struct shm_shard *ctl = shared_shard();
    pid_t owner = holder(ctl, DEED_WAIT);
    bool waited;
    kill(owner, SIGSTOP);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(lc_lock_take(ctl, 20, &waited), LC_LOCK_BUSY);
    }
    kill(owner, SIGKILL);
    waitpid(owner, NULL, 0);
    CHECK_EQ(lc_lock_take(ctl, 20, &waited), LC_LOCK_OWNER_DIED);
}

TEST(excludes_many_processes, 30) {
    struct shm_shard *ctl = shared_shard();
    uint64_t *plain = &ctl->sh_counter[0];
    pid_t children[6];
    for (int c = 0; c < 6; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            for (int i = 0; i < 20000; i++) {
                bool waited;
                while (lc_lock_take(ctl, 20, &waited) != LC_LOCK_CLEAN) {
                }
                uint64_t seen = *(volatile uint64_t *)plain;
                *(volatile uint64_t *)plain = seen + 1;
                lc_lock_leave(ctl);
            }
            _exit(0);
        }
    }
    for (int c = 0; c < 6; c++) {
        lct_join(children[c]);
    }
    CHECK_EQ(*plain, 6 * 20000);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
