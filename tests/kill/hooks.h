/* A hook before every store into the segment.
 *
 * The core is compiled with -fsanitize=thread and linked to hooks.c instead of the
 * sanitizer's library: the compiler's own list of memory accesses becomes a list of
 * places to die at. Calls that copy or change the object (memcpy, memset, the lock,
 * system calls) are caught by the linker (--wrap). Payload counts as first, middle and
 * last byte. */
#ifndef HOOKS_H
#define HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOOK_SITES 4096 /* places in the program; a power of two */
#define HOOK_PAGE  4096
#define HOOK_PAGES 256 /* of the segment: 1 MiB */
#define HOOK_WORD  8
#define HOOK_WORDS (HOOK_PAGES * HOOK_PAGE / HOOK_WORD)

struct hook_site {
    uintptr_t at; /* return address of the hook's call; 0: free */
    uint64_t kills;
    uint64_t stores;  /* into the segment */
    uint64_t outside; /* into memory of the process */
    uint64_t first;   /* the first of those stores since hook_forget */
};

/* Shared by a driver and its victims. */
struct hook_shared {
    uint64_t count; /* stores since hook_arm */
    uint64_t kills;
    uintptr_t last_site;
    uint8_t died;
    uint8_t holding;           /* the victim was inside a shard lock */
    uint8_t dirty[HOOK_PAGES]; /* stored into */
    uint8_t dirty_word[HOOK_WORDS];
    struct hook_site sites[HOOK_SITES];
};

extern struct hook_shared *hook_shared;

/* HOOK_WORDS bytes that are set for the words loaded from the segment; NULL: none. */
extern uint8_t *hook_loads;

/* The segment; hook_watch_mmap: whatever is mapped shared next. */
void hook_watch(void *base, uint64_t size);
void hook_watch_mmap(void);

/* From now on die at the k-th store; 0: count only. */
void hook_arm(uint64_t k);
/* Die at the first store at this place. */
void hook_arm_place(uintptr_t at);
void hook_disarm(void);
void hook_forget(void);

/* Errors of fchmod and posix_fallocate from now on; 0: none. */
void hook_fail(int fchmod_error, int posix_fallocate_error);

/* getrandom answers from this seed, so that a seed repeats a whole run. */
void hook_seed(uint64_t seed);

#endif
