/* What the compiler calls for each access of a file compiled with -fsanitize=thread,
 * when it is linked to a suite instead of the sanitizer's library. The suite defines
 *
 *   ACCESS_LOAD(at, bytes, order)    before a load, order -1 when it is a plain one
 *   ACCESS_STORE(at, bytes, order)   before a store, likewise
 *
 * and includes this once, in a file compiled without that flag. Fences it defines by
 * itself (__tsan_atomic_thread_fence). */
#ifndef ACCESSES_H
#define ACCESSES_H

#include <stddef.h>
#include <stdint.h>

void __tsan_init(void) {}
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void) {}

#define ACCESS_PLAIN(bytes)                                                            \
    void __tsan_read##bytes(void *at) { ACCESS_LOAD(at, bytes, -1); }                  \
    void __tsan_unaligned_read##bytes(void *at) { ACCESS_LOAD(at, bytes, -1); }        \
    void __tsan_write##bytes(void *at) { ACCESS_STORE(at, bytes, -1); }                \
    void __tsan_unaligned_write##bytes(void *at) { ACCESS_STORE(at, bytes, -1); }

ACCESS_PLAIN(1)
ACCESS_PLAIN(2)
ACCESS_PLAIN(4)
ACCESS_PLAIN(8)
ACCESS_PLAIN(16)

void __tsan_read_range(void *at, size_t bytes) {
    (void)bytes;
    ACCESS_LOAD(at, bytes, -1);
}
void __tsan_write_range(void *at, size_t bytes) {
    (void)bytes;
    ACCESS_STORE(at, bytes, -1);
}

#define ACCESS_ATOMIC(bits)                                                            \
    uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at,       \
                                              int order) {                             \
        (void)order;                                                                   \
        ACCESS_LOAD(at, sizeof *at, order);                                            \
        return __atomic_load_n(at, __ATOMIC_SEQ_CST);                                  \
    }                                                                                  \
    void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t word, \
                                     int order) {                                      \
        (void)order;                                                                   \
        ACCESS_STORE(at, sizeof *at, order);                                           \
        __atomic_store_n(at, word, __ATOMIC_SEQ_CST);                                  \
    }                                                                                  \
    uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t *at,        \
                                                   uint##bits##_t delta, int order) {  \
        (void)order;                                                                   \
        ACCESS_STORE(at, sizeof *at, order);                                           \
        return __atomic_fetch_add(at, delta, __ATOMIC_SEQ_CST);                        \
    }                                                                                  \
    uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t *at,         \
                                                  uint##bits##_t word, int order) {    \
        (void)order;                                                                   \
        ACCESS_STORE(at, sizeof *at, order);                                           \
        return __atomic_exchange_n(at, word, __ATOMIC_SEQ_CST);                        \
    }                                                                                  \
    int __tsan_atomic##bits##_compare_exchange_strong(                                 \
        volatile uint##bits##_t *at, uint##bits##_t *expected, uint##bits##_t word,    \
        int order, int failed) {                                                       \
        (void)order;                                                                   \
        (void)failed;                                                                  \
        ACCESS_STORE(at, sizeof *at, order);                                           \
        return __atomic_compare_exchange_n(at, expected, word, 0, __ATOMIC_SEQ_CST,    \
                                           __ATOMIC_SEQ_CST);                          \
    }                                                                                  \
    uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                         \
        volatile uint##bits##_t *at, uint##bits##_t expected, uint##bits##_t word,     \
        int order, int failed) {                                                       \
        (void)order;                                                                   \
        (void)failed;                                                                  \
        ACCESS_STORE(at, sizeof *at, order);                                           \
        __atomic_compare_exchange_n(at, &expected, word, 0, __ATOMIC_SEQ_CST,          \
                                    __ATOMIC_SEQ_CST);                                 \
        return expected;                                                               \
    }

ACCESS_ATOMIC(8)
ACCESS_ATOMIC(16)
ACCESS_ATOMIC(32)
ACCESS_ATOMIC(64)

#endif
