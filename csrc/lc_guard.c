/* The handler of SIGBUS.
 *
 *   fault inside a guarded mapping?  --yes-->  zero pages from there to its end, lost
 *        |no                                   the access is repeated, and succeeds
 *        v
 *   what was there before us, as if we were not
 *
 * Everything here may run inside a signal handler on any thread: no lock, no
 * allocation, only the table below and system calls. A handler that was installed over
 * ours and raises the signal once more after it has had its say (faulthandler does)
 * makes it one without an address: then the objects themselves tell whether one of them
 * has become shorter.
 * State: the table; what was installed before. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* OFD locks, memfd */
#endif
#include "lc_guard.h"

#include <errno.h>
#include <signal.h>

#include "lc_atomic.h"

#define GUARD_MAX 256

struct guard {
    uint64_t base; /* 0: the place is free; stored last, cleared first */
    uint64_t end;
    uint32_t *lost;
    struct lc_os_id id;
    int fd;
};

static struct guard guards[GUARD_MAX];
static struct sigaction guard_previous;

static bool guard_replace(const struct guard *guard, uint64_t from) {
    uint64_t page = lc_os_page_bytes();
    from = from / page * page;
    if (lc_os_map_zeros((void *)(uintptr_t)from, guard->end - from) != 0) {
        return false;
    }
    lc_store_release32(guard->lost, 1);
    return true;
}

static bool guard_absorbs(uint64_t at) {
    for (uint32_t i = 0; i < GUARD_MAX; i++) {
        /* Acquire: pairs with lc_guard_add. */
        uint64_t base = lc_load_acquire(&guards[i].base);
        if (base != 0 && at >= base && at < guards[i].end) {
            return guard_replace(&guards[i], at);
        }
    }
    return false;
}

/* Whether an object has become shorter that nobody has touched since. */
static bool guard_finds_short(void) {
    bool found = false;
    for (uint32_t i = 0; i < GUARD_MAX; i++) {
        const struct guard *guard = &guards[i];
        struct lc_os_file file;
        uint64_t base = lc_load_acquire(&guard->base); /* as in guard_absorbs */
        if (base != 0 && !lc_load_relaxed32(guard->lost) &&
            lc_os_stat(guard->fd, &file) == 0 && file.id.device == guard->id.device &&
            file.id.inode == guard->id.inode && file.size < guard->end - base) {
            found |= guard_replace(guard, base + file.size);
        }
    }
    return found;
}

static void guard_call_previous(int signal, siginfo_t *info, void *context) {
    struct sigaction action = guard_previous;
    sigset_t before;
    sigset_t own;
    lc_os_signal_mask(SIG_BLOCK, &action.sa_mask, &before);
    if (action.sa_flags & SA_NODEFER) {
        sigemptyset(&own);
        sigaddset(&own, signal);
        lc_os_signal_mask(SIG_UNBLOCK, &own, NULL);
    }
    if (action.sa_flags & (int)SA_RESETHAND) {
        guard_previous.sa_handler = SIG_DFL;
        guard_previous.sa_flags = 0;
    }
    if (action.sa_flags & SA_SIGINFO) {
        action.sa_sigaction(signal, info, context);
    } else {
        action.sa_handler(signal);
    }
    lc_os_signal_mask(SIG_SETMASK, &before, NULL);
}

static void guard_chain(int signal, siginfo_t *info, void *context) {
    bool fault = info->si_code > 0;
    bool plain = !(guard_previous.sa_flags & SA_SIGINFO);
    if (plain && guard_previous.sa_handler == SIG_IGN && !fault) {
        return;
    }
    if (plain && (guard_previous.sa_handler == SIG_DFL ||
                  guard_previous.sa_handler == SIG_IGN)) {
        /* A fault comes again at once, to the action that was there; the kernel lets
         * nobody ignore it. What was sent is sent again. */
        lc_os_signal_action(signal, &guard_previous, NULL);
        if (!fault) {
            lc_os_signal_raise(signal);
        }
        return;
    }
    guard_call_previous(signal, info, context);
}

static void guard_on_sigbus(int signal, siginfo_t *info, void *context) {
    int saved = errno;
    bool gone = info->si_code == BUS_ADRERR;
    bool raised = info->si_code == SI_TKILL && info->si_pid == (pid_t)lc_os_pid();
    bool ours = (gone && guard_absorbs((uint64_t)(uintptr_t)info->si_addr)) ||
                (raised && guard_finds_short());
    if (!ours) {
        guard_chain(signal, info, context);
    }
    errno = saved;
}

int lc_guard_install(void) {
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
    static bool done;
    int failed = 0;
    if (!done) {
        action.sa_sigaction = guard_on_sigbus;
        sigemptyset(&action.sa_mask);
        /* First where to pass on what comes at once. */
        failed = lc_os_signal_action(SIGBUS, NULL, &guard_previous);
        if (!failed) {
            failed = lc_os_signal_action(SIGBUS, &action, NULL);
        }
        done = failed == 0;
    }
    return failed;
}

void lc_guard_add(void *base, uint64_t size, int fd, const struct lc_os_id *id,
                  uint32_t *lost) {
    for (uint32_t i = 0; i < GUARD_MAX; i++) {
        struct guard *guard = &guards[i];
        if (guard->base == 0) {
            guard->end = (uint64_t)(uintptr_t)base + size;
            guard->lost = lost;
            guard->id = *id;
            guard->fd = fd;
            /* Release: pairs with guard_absorbs. */
            lc_store_release(&guard->base, (uint64_t)(uintptr_t)base);
            return;
        }
    }
}

void lc_guard_remove(const void *base) {
    for (uint32_t i = 0; i < GUARD_MAX; i++) {
        if (guards[i].base == (uint64_t)(uintptr_t)base) {
            lc_store_release(&guards[i].base, 0); /* before the mapping goes */
        }
    }
}
