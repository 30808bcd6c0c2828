/* lc_lock.c: three answers, bounded waits, an owner's death. */
#include "cachetest.h"
#include "lc_lock.h"
#include "lc_os.h"

#include <dlfcn.h>
#include <linux/futex.h>

static void (*meanwhile)(pthread_mutex_t *mutex);

/* In the place of the C library's: something happens just before it. */
int pthread_mutex_unlock(pthread_mutex_t *mutex) {
    static int (*real)(pthread_mutex_t *);
    if (!real) {
        void *found = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
        memcpy(&real, &found, sizeof real);
    }
    void (*act)(pthread_mutex_t *) = meanwhile;
    meanwhile = NULL;
    if (act) {
        act(mutex);
    }
    return real(mutex);
}

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

/* Whatever becomes of its words under the holder's hands: he leaves it as a lock that
 * the next one can take, and off the list of what the kernel gives back. */
TEST(words_damaged_while_it_is_held, 10) {
    struct shm_shard *ctl = shared_shard();
    uint8_t *words = (uint8_t *)&ctl->sh_mutex;
    bool waited;
    for (size_t at = 0; at < sizeof ctl->sh_mutex; at++) {
        CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
        words[at] ^= 0x10;
        lc_lock_leave(ctl);
        enum lc_lock_result again = lc_lock_take(ctl, 0, &waited);
        bool owner = at >= offsetof(struct __pthread_mutex_s, __owner) &&
                     at < offsetof(struct __pthread_mutex_s, __owner) + sizeof(int);
        if (owner && again != LC_LOCK_CLEAN) {
            CHECK_EQ(lc_lock_init(ctl), 0);
            continue;
        }
        if (again != LC_LOCK_CLEAN) {
            LCT_FAIL("byte %zu: %d", at, again);
        }
        lc_lock_leave(ctl);
    }
}

#ifndef __SANITIZE_THREAD__ /* which counts unlocks: the second is one too many */

static void blank(pthread_mutex_t *mutex) { memset(mutex, 0, sizeof *mutex); }
static int other_kind;
static void change_kind(pthread_mutex_t *mutex) { mutex->__data.__kind = other_kind; }

static void make_robust(pthread_mutex_t *mutex) {
    pthread_mutexattr_t robust;
    CHECK_EQ(pthread_mutexattr_init(&robust), 0);
    CHECK_EQ(pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST), 0);
    CHECK_EQ(pthread_mutex_init(mutex, &robust), 0);
}

static bool is_on_the_list(const pthread_mutex_t *mutex) {
    const struct robust_list_head *head = lc_os_robust_list();
    for (const struct robust_list *at = head->list.next; at != &head->list;
         at = at->next) {
        if ((const void *)at == (const void *)&mutex->__data.__list.__next) {
            return true;
        }
    }
    return false;
}

/* Its page goes, and another one comes, between the last look at the lock and libc's:
 * what libc takes for a plain mutex it leaves on the list. With the mapping gone the
 * next lock of this thread would follow it there. */
TEST(blank_when_the_library_looks_at_it, 10) {
    struct shm_shard *ctl = shared_shard();
    struct shm_shard *next = shared_shard();
    pthread_mutex_t *mutex = &ctl->sh_mutex;
    bool waited;
    CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
    CHECK(is_on_the_list(mutex));
    meanwhile = blank;
    lc_lock_leave(ctl);
    CHECK(!is_on_the_list(mutex));
    CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_BLANK);
    CHECK_EQ(munmap(ctl, 4096), 0);
    CHECK_EQ(lc_lock_take(next, 0, &waited), LC_LOCK_CLEAN);
    lc_lock_leave(next);
}

/* Under a lock of the program's own, which stays on the list. */
TEST(another_kind_when_the_library_looks_at_it, 10) {
    pthread_mutex_t own;
    make_robust(&own);
    for (int holds = 0; holds < 2; holds++) {
        struct shm_shard *ctl = shared_shard();
        bool waited;
        if (holds) {
            CHECK_EQ(pthread_mutex_lock(&own), 0);
        }
        static const int kinds[] = {1, 2, 3, 16, 17, 18, 128, 129, 130, 131, 145, 146};
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            other_kind = kinds[i];
            CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
            meanwhile = change_kind;
            lc_lock_leave(ctl);
            CHECK(!is_on_the_list(&ctl->sh_mutex));
            CHECK_EQ(is_on_the_list(&own), holds);
            /* Robust ones are left as they should be, and their kind as it is. */
            CHECK_EQ(lc_lock_take(ctl, 0, &waited),
                     other_kind & 16 ? LC_LOCK_BROKEN : LC_LOCK_CLEAN);
            if (!(other_kind & 16)) {
                lc_lock_leave(ctl);
            }
            CHECK_EQ(lc_lock_init(ctl), 0);
        }
        CHECK_EQ(munmap(ctl, 4096), 0);
    }
    CHECK_EQ(pthread_mutex_unlock(&own), 0);
    CHECK(!is_on_the_list(&own));
}

static void change_kind_again(pthread_mutex_t *mutex) {
    change_kind(mutex);
    meanwhile = change_kind_again;
}

/* However often: it is taken off the list by hand then, and stays taken. */
TEST(another_kind_every_time, 10) {
    pthread_mutex_t own;
    make_robust(&own);
    other_kind = PTHREAD_MUTEX_RECURSIVE;
    for (int holds = 0; holds < 2; holds++) {
        struct shm_shard *ctl = shared_shard();
        bool waited;
        if (holds) {
            CHECK_EQ(pthread_mutex_lock(&own), 0);
        }
        CHECK_EQ(lc_lock_take(ctl, 0, &waited), LC_LOCK_CLEAN);
        meanwhile = change_kind_again;
        lc_lock_leave(ctl);
        meanwhile = NULL;
        CHECK(!is_on_the_list(&ctl->sh_mutex));
        CHECK_EQ(is_on_the_list(&own), holds);
        CHECK(lc_lock_take(ctl, 0, &waited) != LC_LOCK_CLEAN);
        CHECK_EQ(munmap(ctl, 4096), 0);
    }
    CHECK_EQ(pthread_mutex_unlock(&own), 0);
    CHECK(!is_on_the_list(&own));
}

#endif

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
