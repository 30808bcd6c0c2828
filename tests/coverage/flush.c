/* Counters of a process that ends without exit() are lost, unless they are written
 * before: at _exit, and before a process kills itself. A child begins with
 * its parent's counts, which does not matter: reached is reached. */
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);
_Noreturn void __real__exit(int status);
int __real_raise(int signal);
int __real_kill(pid_t process, int signal);
_Noreturn void __wrap__exit(int status);
int __wrap_raise(int signal);
int __wrap_kill(pid_t process, int signal);

static void flush(int signal) {
    if (signal == SIGKILL) {
        __gcov_dump();
        __gcov_reset();
    }
}

void __wrap__exit(int status) {
    __gcov_dump();
    __real__exit(status);
}

int __wrap_raise(int signal) {
    flush(signal);
    return __real_raise(signal);
}

int __wrap_kill(pid_t process, int signal) {
    if (process == getpid()) {
        flush(signal);
    }
    return __real_kill(process, signal);
}
