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

#define HOOK_SITES  2048       /* places in the program */
#define HOOK_SLOTS  4096       /* to find them by; a power of two */
#define HOOK_BYTES  (1u << 20) /* of the segment */
#define HOOK_WORD   8
#define HOOK_WORDS  (HOOK_BYTES / HOOK_WORD)
#define HOOK_CHUNK  512 /* bytes whose words are one element of `dirty` */
#define HOOK_LOADS  4096
#define HOOK_CHUNKS (HOOK_BYTES / HOOK_CHUNK)

struct hook_site {
    uintptr_t at; /* return address of the hook's call */
    uint64_t kills;
    uint64_t stores;  /* into the segment */
    uint64_t outside; /* into memory of the process */
    uint64_t first;   /* the first of those stores since hook_forget */
};

/* Shared by a driver and its victims. Each victim faults in every page of it that it
 * touches: it is packed. */
struct hook_shared {
    uint64_t count; /* stores since hook_arm */
    uint64_t kills;
    uint64_t compared;  /* times that the whole segment was as it had to be */
    uint32_t last_site; /* its number */
    uint8_t died;
    uint32_t site_count;
    uint64_t dirty[HOOK_CHUNKS];    /* a bit for each word stored into */
    uint16_t site_slot[HOOK_SLOTS]; /* number of a site + 1; 0: free */
    struct hook_site sites[HOOK_SITES];
};

extern struct hook_shared *hook_shared;

/* What was loaded from the segment, in order: where, and the bytes of all one behind
 * the other. */
struct hook_loads {
    bool full; /* there were more */
    uint32_t count;
    uint32_t length; /* of bytes */
    struct hook_load {
        uint32_t from;
        uint32_t bytes;
    } loads[HOOK_LOADS];
    uint8_t bytes[HOOK_BYTES];
};

/* NULL: nothing is written down. */
extern struct hook_loads *hook_loads;

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
