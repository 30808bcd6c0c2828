/* A micro harness.
 *
 *   TEST(adds_up, 10) {
 *       CHECK(1 + 1 == 2);
 *   }
 *
 *   int main(int argc, char **argv) { return lct_main(argc, argv); }
 *
 * Each test runs in a process and process group of its own and is killed, with all that
 * it started, after its seconds. A number among the arguments is for the test
 * (lct_number) and lifts the limit; any other word runs only the tests whose name
 * contains it, '-' and '_' being one. Segments named by lct_name disappear with the
 * test. */
#ifndef LCT_H
#define LCT_H

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LCT_TESTS_MAX 64
#define LCT_FAILED    99 /* exit code of a process whose CHECK failed */

/* Time limits are for the plain build and ASan; slower tools say by how much. */
#ifndef LCT_SLOWER
#define LCT_SLOWER 1
#endif

#define LCT_MAYBE __attribute__((unused))

struct lct_test {
    const char *name;
    void (*run)(void);
    unsigned seconds;
};

static struct lct_test lct_tests[LCT_TESTS_MAX];
static int lct_test_count;
static unsigned long long lct_argument;
static bool lct_has_argument;
static pid_t lct_group; /* of the running test */

#define TEST(name_, seconds_)                                                          \
    static void test_##name_(void);                                                    \
    __attribute__((constructor)) static void lct_add_##name_(void) {                   \
        lct_tests[lct_test_count++] =                                                  \
            (struct lct_test){#name_, test_##name_, seconds_};                         \
    }                                                                                  \
    static void test_##name_(void)

/* _exit: the leak checker has nothing to say about a test that stopped half-way. */
#define LCT_FAIL(...)                                                                  \
    do {                                                                               \
        fprintf(stderr, "  %s:%d: ", __FILE__, __LINE__);                              \
        fprintf(stderr, __VA_ARGS__);                                                  \
        fputc('\n', stderr);                                                           \
        _exit(LCT_FAILED);                                                             \
    } while (0)

#define CHECK(expr)                                                                    \
    do {                                                                               \
        if (!(expr)) {                                                                 \
            LCT_FAIL("%s", #expr);                                                     \
        }                                                                              \
    } while (0)

#define CHECK_EQ(a, b)                                                                 \
    do {                                                                               \
        long long lct_a = (long long)(a);                                              \
        long long lct_b = (long long)(b);                                              \
        if (lct_a != lct_b) {                                                          \
            LCT_FAIL("%s is %lld, not %s = %lld", #a, lct_a, #b, lct_b);               \
        }                                                                              \
    } while (0)

/* The number given on the command line, else `otherwise`. */
LCT_MAYBE static unsigned long long lct_number(unsigned long long otherwise) {
    return lct_has_argument ? lct_argument : otherwise;
}

LCT_MAYBE static double lct_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

LCT_MAYBE static void lct_sleep_ms(unsigned ms) {
    struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

/* A segment name of this test. */
LCT_MAYBE static const char *lct_name(const char *what) {
    static char name[64];
    snprintf(name, sizeof name, "lct-%d-%s", (int)lct_group, what);
    return name;
}

/* The child has to end by itself, with exit code 0. */
LCT_MAYBE static void lct_join(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == LCT_FAILED) {
        _exit(LCT_FAILED); /* it has said why */
    }
    CHECK_EQ(status, 0);
}

static void lct_remove_segments(pid_t group) {
    char prefix[64];
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;
    int length = snprintf(prefix, sizeof prefix, "lct-%d-", (int)group);
    while (dir && (entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, prefix, (size_t)length) == 0) {
            shm_unlink(entry->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static bool lct_run(const struct lct_test *test) {
    double started = lct_seconds();
    int status;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        lct_group = getpid();
        alarm(lct_has_argument ? 0 : test->seconds * LCT_SLOWER);
        test->run();
        exit(0); /* with the leak checker */
    }
    setpgid(child, child); /* either of the two comes first */
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    kill(-child, SIGKILL);
    lct_remove_segments(child);
    bool passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    printf("%s %-44s %7.2f s", passed ? "ok  " : "FAIL", test->name,
           lct_seconds() - started);
    if (WIFSIGNALED(status)) {
        printf("  %s", WTERMSIG(status) == SIGALRM ? "time limit"
                                                   : strsignal(WTERMSIG(status)));
    }
    putchar('\n');
    fflush(stdout);
    return passed;
}

static bool lct_contains(const char *name, const char *word) {
    for (; *name; name++) {
        size_t i = 0;
        while (word[i] && (name[i] == word[i] || (name[i] == '_' && word[i] == '-'))) {
            i++;
        }
        if (!word[i]) {
            return true;
        }
    }
    return false;
}

LCT_MAYBE static int lct_main(int argc, char **argv) {
    int passed = 0;
    int failed = 0;
    const char *word = NULL;
    for (int i = 1; i < argc; i++) {
        char *end;
        unsigned long long number = strtoull(argv[i], &end, 0);
        if (*end == 0) {
            lct_argument = number;
            lct_has_argument = true;
        } else {
            word = argv[i];
        }
    }
    for (int i = 0; i < lct_test_count; i++) {
        if (!word || lct_contains(lct_tests[i].name, word)) {
            bool good = lct_run(&lct_tests[i]);
            passed += good;
            failed += !good;
        }
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0;
}

#endif
