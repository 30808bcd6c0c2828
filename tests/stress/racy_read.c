/* lc_read.c with pauses between the loads of a read, where the writers' points do not
 * reach. Every probe begins with an acquire load of sh_epoch: that one is counted. */
#include "lc_atomic.h"
#include "lc_pin.h"
#include "provoke.h"

static inline uint64_t racy_load_acquire(const uint64_t *word, bool probe) {
    if (probe) {
        provoke_read_probe();
    }
    provoke_read_step();
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void racy_fence_acquire(void) {
    provoke_read_step();
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* In two halves: who is torn apart in the middle sees two values. */
static inline void *racy_copy(uint8_t *to, const uint8_t *from, size_t count) {
    lc_copy_racy(to, from, count / 2);
    provoke_read_copy();
    lc_copy_racy(to + count / 2, from + count / 2, count - count / 2);
    return to;
}

#define lc_load_acquire(word) \
    racy_load_acquire(word, __builtin_strcmp(#word, "&shard->ctl->sh_epoch") == 0)
#define lc_fence_acquire() racy_fence_acquire()
#define lc_copy_racy(to, from, count) racy_copy(to, from, count)
/* Between finding a value and claiming its block. */
#define lc_pin_take(...) (provoke_read_copy(), lc_pin_take(__VA_ARGS__))

#include "lc_read.c"
