/* Two calls of the core in one thread, switched before any access to the segment.
 *
 * The core is compiled with -fsanitize=thread and linked to switch.c instead of the
 * sanitizer's library, so that the compiler's own list of memory accesses is the list
 * of places to switch at. A copy is switched in its middle, too. */
#ifndef SWITCH_H
#define SWITCH_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#define SWITCH_PAGE  4096
#define SWITCH_PAGES 256 /* of the segment: 1 MiB */

enum access_kind { ACCESS_LOAD, ACCESS_STORE, ACCESS_FENCE };

/* Is told of every access to the segment and every fence, if set; order: as for the
 * __atomic functions, -1 for plain accesses. */
typedef void (*switch_observer)(enum access_kind kind, const volatile void *at,
                                uint64_t bytes, int order);
extern switch_observer switch_observe;

enum call_state { CALL_READY, CALL_PAUSED, CALL_BLOCKED, CALL_DONE };

/* A call under way, on a stack of its own. */
struct call {
    void (*run)(void);
    bool stores_only; /* switched before stores, not before loads and fences */
    enum call_state state;
    uint64_t accesses; /* so far */
    uint64_t pause_at;
    ucontext_t context;
    uint8_t *stack;
};

void switch_watch(uint8_t *base);
/* The segment as it is now is what switch_restore brings back. */
void switch_save(void);
void switch_restore(void);
/* Hash keys follow from this. */
void switch_seed(uint64_t seed);

void call_begin(struct call *call, void (*run)(void), bool stores_only);
/* Go on until before access number `accesses` of the call, or its end. */
enum call_state call_go(struct call *call, uint64_t accesses);

#endif
