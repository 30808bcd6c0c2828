/* lc_os.c: answers of the system that seldom come. tests/famine makes every call fail;
 * here are those that are cut short, interrupted or strange. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "cachetest.h"
#include "forbid.h"
#include "lc_os.h"

static int file_of(uint64_t bytes) {
    int fd = memfd_create("lct", 0);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    return fd;
}

static uint64_t size_of(int fd) {
    struct stat found;
    CHECK_EQ(fstat(fd, &found), 0);
    return (uint64_t)found.st_size;
}

TEST(names_that_are_none, 10) {
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[251] = 0;
    CHECK_EQ(lc_os_shm_open(longest), -EINVAL);
    CHECK_EQ(lc_os_shm_create(longest, 0600, 0), -EINVAL);
    CHECK_EQ(lc_os_shm_unlink(longest), -EINVAL);
    CHECK_EQ(lc_os_shm_open("../etc"), -EINVAL);
    CHECK_EQ(lc_os_shm_create("a/b", 0600, 0), -EINVAL);
    CHECK_EQ(lc_os_shm_unlink("a/b"), -EINVAL);
    longest[250] = 0;
    CHECK_EQ(lc_os_shm_unlink(longest), -ENOENT);
}

/* --- interrupted ---------------------------------------------------------------------
 */

static int cut_fd;
static int cut_result;
static int listener = -1;
static volatile sig_atomic_t signals;

static void count_signal(int signal) {
    (void)signal;
    signals++;
}

static void *cut_short(void *unused) {
    int fd = forbid_until_told(SYS_ftruncate); /* for this thread */
    __atomic_store_n(&listener, fd, __ATOMIC_RELEASE);
    cut_result = lc_os_truncate(cut_fd, 4096);
    return unused;
}

/* The kernel holds the call at its entry until it is told to go on. A signal there ends
 * it as it ends every call that can be interrupted. */
TEST(a_signal_during_the_truncation_of_an_object, 20) {
    struct sigaction action = {.sa_handler = count_signal}; /* no SA_RESTART */
    pthread_t thread;
    int fd;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    cut_fd = file_of(8192);
    CHECK_EQ(pthread_create(&thread, NULL, cut_short, NULL), 0);
    while ((fd = __atomic_load_n(&listener, __ATOMIC_ACQUIRE)) < 0) {
        lct_sleep_ms(1);
    }
    for (int i = 1; i <= 3; i++) {
        forbid_next(fd);
        CHECK_EQ(size_of(cut_fd), 8192);
        CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
    }
    forbid_allow(fd, forbid_next(fd));
    CHECK_EQ(pthread_join(thread, NULL), 0);
#ifndef __SANITIZE_THREAD__ /* which keeps signals back until it sees a call */
    CHECK_EQ(signals, 3);
#endif
    CHECK_EQ(cut_result, 0);
    CHECK_EQ(size_of(cut_fd), 4096);
}

/* --- less than was asked for ---------------------------------------------------------
 */

TEST(half_a_word_written_is_an_error, 10) {
    struct rlimit limit = {4, 4};
    uint64_t word = 1;
    int fd = file_of(4);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK_EQ(lc_os_write_at(fd, &word, sizeof word, 0), -EIO);
    CHECK_EQ(lc_os_file_limit(), 4);
}

TEST(a_longer_file_is_read_as_far_as_there_is_room, 10) {
    char text[8];
    CHECK_EQ(lc_os_read_file("/proc/self/maps", text, sizeof text), 7);
    CHECK_EQ(strlen(text), 7);
    CHECK_EQ(lc_os_read_file("/proc/self/nothing", text, sizeof text), -ENOENT);
}

TEST(a_descriptor_that_is_none_holds_no_lock, 10) {
    struct lc_os_file file;
    CHECK(!lc_os_bytes_locked(-1, 0, 10));
    CHECK_EQ(lc_os_lock_byte(-1, 0), -EBADF);
    CHECK_EQ(lc_os_stat(-1, &file), -EBADF);
    CHECK_EQ(lc_os_map_zeros((void *)1, 4096), -EINVAL);
}

/* --- an object that its creator gives up ---------------------------------------------
 */

TEST(an_empty_object_is_taken_away_unless_another_has_begun, 10) {
    char name[80];
    snprintf(name, sizeof name, "%s", lct_name("forsaken"));
    int fd = lc_os_shm_create(name, 0600, 100);
    CHECK(fd > 2);
    int other = lc_os_shm_open(name);
    CHECK_EQ(lc_os_lock_byte(other, 100), 0);
    lc_os_shm_forsake(fd, name, 100);
    struct lc_os_file file;
    CHECK_EQ(lc_os_stat(fd, &file), 0);
    CHECK_EQ(file.links, 1); /* somebody is making a segment of it */
    CHECK_EQ(lc_os_unlock_byte(other, 100), 0);
    CHECK_EQ(lc_os_truncate(other, 1), 0);
    lc_os_shm_forsake(fd, name, 100);
    CHECK_EQ(lc_os_stat(fd, &file), 0);
    CHECK_EQ(file.links, 1); /* or has */
    CHECK_EQ(lc_os_truncate(other, 0), 0);
    lc_os_shm_forsake(-1, name, 100);
    CHECK_EQ(lc_os_stat(fd, &file), 0);
    CHECK_EQ(file.links, 1); /* without looking nobody can tell */
    lc_os_shm_forsake(fd, name, 100);
    CHECK_EQ(lc_os_stat(fd, &file), 0);
    CHECK_EQ(file.links, 0);
    lc_os_shm_forsake(fd, name, 100); /* and another's of the name would stay */
    lc_os_close(fd);
    lc_os_close(other);
}

/* --- forbidden -----------------------------------------------------------------------
 */

/* A sandbox may forbid what the lock needs to know: an error, no lock without it. */
TEST(no_lock_is_taken_where_get_robust_list_is_forbidden, 10) {
    struct lilcache *cache = ct_open(MIB);
    pid_t child = fork(); /* nobody has taken a lock in this process so far */
    if (child == 0) {
        forbid(SYS_get_robust_list, -1, ENOSYS);
        CHECK(lc_os_robust_list() == NULL);
        CHECK_EQ(ct_set(cache, 1, 1, 10), LILCACHE_CORRUPT);
        CHECK_EQ(ct_delete(cache, 1), LILCACHE_CORRUPT);
        CHECK(ct_get(cache, 1, 1, 10) == CT_MISS);
        _exit(0);
    }
    lct_join(child);
    CHECK_EQ(ct_set(cache, 1, 1, 10), LILCACHE_OK);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
