/* A system call that this thread, and what it forks, may not make any more: the kernel
 * answers with an errno, or asks another thread first. */
#ifndef FORBID_H
#define FORBID_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "lct.h"

/* command: the second argument that it is about; -1: every call. */
static inline int forbid_install(long number, long command, uint32_t action,
                                 unsigned flags) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | (command < 0 ? BPF_JGE : BPF_JEQ) | BPF_K,
                 command < 0 ? 0 : (uint32_t)command, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    int result = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    CHECK(result >= 0);
    return result;
}

static inline void forbid(long number, long command, int error) {
    forbid_install(number, command, SECCOMP_RET_ERRNO | (uint32_t)error, 0);
}

/* A descriptor at which another thread is asked about each such call of this one. */
static inline int forbid_until_told(long number) {
    return forbid_install(number, -1, SECCOMP_RET_USER_NOTIF,
                          SECCOMP_FILTER_FLAG_NEW_LISTENER);
}

/* Wait for the next call; its id. */
static inline uint64_t forbid_next(int listener) {
    struct seccomp_notif call = {0};
    CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call), 0);
    return call.id;
}

/* Let the call happen. */
static inline void forbid_allow(int listener, uint64_t id) {
    struct seccomp_notif_resp answer = {.id = id,
                                        .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    CHECK_EQ(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer), 0);
}

#endif
