/* All processes of a program count in the same memory, so that what a process reached
 * is counted however it ends, by SIGKILL too. The first one writes the counts to the
 * files when it exits, once. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern char coverage_begin[]; /* counters.ld */
extern char coverage_end[];

void __real___gcov_exit(void);
void __wrap___gcov_exit(void);
pid_t __wrap___gcov_fork(void);

static pid_t first;

/* Before any counting. */
__attribute__((constructor(101))) static void share(void) {
    size_t bytes = (size_t)(coverage_end - coverage_begin);
    void *at = mmap(coverage_begin, bytes, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (bytes == 0 || at == MAP_FAILED) {
        perror("coverage counters");
        abort();
    }
    first = getpid();
}

void __wrap___gcov_exit(void) {
    if (getpid() == first) {
        __real___gcov_exit();
    }
}

/* What gcc makes of fork in a file it counts; the library's would set the child's, and
 * so everybody's, counts to 0. */
pid_t __wrap___gcov_fork(void) { return fork(); }
