/* Damage that comes between two loads of one word: what was checked is another when it
 * is used, whatever the compiler made of the source, with no second process that would
 * have to come at the right moment.
 *
 * The core is compiled with the compiler's list of memory accesses (-fsanitize=thread)
 * and linked to this instead of the sanitizer's library. Before a load of the segment
 * its word may become another; half of them are put right before the next access, so
 * that all around goes on to make sense. Compiled without that flag. */
#include "loads.h"

#include <string.h>

static uint8_t *base;
static uint64_t size;
static const uint8_t *spared;
static uint64_t spared_bytes;
static uint64_t rate;
static uint64_t dice;
static uint64_t injected;

static uint8_t *changed; /* to be put right; NULL: nothing */
static uint8_t before[8];
static uint64_t changed_bytes;

static uint64_t roll(void) {
    dice = dice * 6364136223846793005ULL + 1442695040888963407ULL;
    uint64_t x = dice ^ dice >> 29;
    return x * 0x9E3779B97F4A7C15ULL >> 16 ^ x >> 40;
}

void loads_arm(void *at, uint64_t bytes, const void *spare, uint64_t spare_bytes,
               uint64_t one_in, uint64_t seed) {
    base = at;
    size = bytes;
    spared = spare;
    spared_bytes = spare_bytes;
    rate = one_in;
    dice = seed * 0x9E3779B97F4A7C15ULL + 1;
}

uint64_t loads_injected(void) { return injected; }

static void put_right(void) {
    if (changed) {
        memcpy(changed, before, changed_bytes);
        changed = NULL;
    }
}

static void load(const volatile void *from, uint64_t bytes) {
    uint8_t *at = (uint8_t *)(uintptr_t)from;
    if (!base) {
        return;
    }
    put_right();
    if ((uint64_t)(at - base) >= size ||
        (at + bytes > spared && at < spared + spared_bytes) || roll() % rate != 0) {
        return;
    }
    uint64_t how = roll();
    uint64_t count = bytes < 8 ? bytes : 8;
    uint64_t word = 0;
    memcpy(&word, at, count);
    if (how & 1) {
        memcpy(before, at, count);
        changed = at;
        changed_bytes = count;
    }
    if (how & 2) {
        word ^= roll() >> (how >> 8) % 64;
    } else if (how & 4) {
        word = how & 8 ? UINT64_MAX : 0;
    } else {
        word += (how & 8 ? 1 : -1) * ((how >> 16) % 300);
    }
    memcpy(at, &word, count);
    injected++;
}

static void store(const volatile void *at) {
    (void)at;
    if (base) {
        put_right();
    }
}

#define ACCESS_LOAD(at, bytes, order)  load(at, bytes)
#define ACCESS_STORE(at, bytes, order) store(at)
#include "accesses.h"

void __tsan_atomic_thread_fence(int order) {
    (void)order;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
