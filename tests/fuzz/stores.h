/* Included before every file of the core: what -fsanitize-coverage=trace-stores does
 * not report, read-modify-writes and copies, says by itself which bytes it writes. A
 * place that is missed shows when arena_restore compares everything. */
#ifndef STORES_H
#define STORES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern uintptr_t stores_base;
extern uintptr_t stores_size;
void stores_note(uintptr_t offset, size_t count);

static inline void stores_into(const void *to, size_t count) {
    uintptr_t offset = (uintptr_t)to - stores_base;
    if (offset < stores_size) {
        stores_note(offset, count);
    }
}

#ifdef STORES_OF_THE_CORE
#define memcpy(to, from, count)                                                        \
    (stores_into(to, count), __builtin_memcpy(to, from, count))
#define memset(to, byte, count)                                                        \
    (stores_into(to, count), __builtin_memset(to, byte, count))
#define __atomic_fetch_add(word, delta, order)                                         \
    (stores_into(word, sizeof *(word)), __atomic_fetch_add(word, delta, order))
#define __atomic_compare_exchange_n(word, expected, desired, weak, good, bad)          \
    (stores_into(word, sizeof *(word)),                                                \
     __atomic_compare_exchange_n(word, expected, desired, weak, good, bad))
#endif

#endif
