/* The hot calls for the extension lilcache._quick: with as few arguments as they can
 * have, and without letting go of the GIL. An argument costs cffi 10 to 30 ns, the
 * second one 45, and the GIL 45; together they are more than half of what a get through
 * lilcache._lilcache takes.
 *
 * None of them waits. What would have to wait returns LILCACHE_BUSY with nothing done,
 * and Python repeats it through lilcache._lilcache.
 *
 * The core keeps state of the process, so it is linked once, into lilcache._lilcache;
 * these call it through pointers that _ffi.py hands over. */
#ifndef LILCACHE_QUICK_H
#define LILCACHE_QUICK_H

#include <Python.h>
#include <lilcache.h>
#include <string.h>

/* cffi puts every call between these two. */
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS   }

/* And between these, which keep errno for ffi.errno; nobody reads what these calls
 * leave there. It saves 9 ns. */
#undef _cffi_restore_errno
#undef _cffi_save_errno
#define _cffi_restore_errno() ((void)0)
#define _cffi_save_errno()    ((void)0)

#define QUICK_BYTES 0 /* TYPE_BYTES and TYPE_STR of _codec.py */
#define QUICK_STR   2

/* Larger values are copied once, out of a pinned block: from here on that costs less
 * than a second copy out of a buffer. */
#define QUICK_OUT (16 * 1024)

/* What every get through one buffer repeats, and the buffer, which comes first. */
struct quick_call {
    char out[QUICK_OUT];
    struct lilcache *cache;
    int signs; /* values are signed: none is returned by this short way */
};

/* Results of quick_get, made for few steps in Python: bytes are their length, a str is
 * its above QUICK_RESULT_STR, of other values the upper half is the type, and what is
 * no value lies above them all. */
#define QUICK_RESULT_STR     (1 << 15)
#define QUICK_RESULT_TYPE    16
#define QUICK_RESULT_OTHER   (1 << QUICK_RESULT_TYPE)
#define QUICK_RESULT_MISS    (1 << 24)
#define QUICK_RESULT_RETIRED (QUICK_RESULT_MISS + 1)
#define QUICK_RESULT_FAILED  (QUICK_RESULT_MISS + 2)

_Static_assert(QUICK_OUT < QUICK_RESULT_STR, "a length and its type fit one int");

static struct {
    int64_t (*get)(struct lilcache *, const void *, size_t, int, void *, size_t);
    int (*try_set)(struct lilcache *, const void *, size_t, int, const void *, size_t,
                   int, int64_t, int);
    int (*try_delete)(struct lilcache *, const void *, size_t, int);
} quick_core;

static void
quick_bind(int64_t (*get)(struct lilcache *, const void *, size_t, int, void *, size_t),
           int (*try_set)(struct lilcache *, const void *, size_t, int, const void *,
                          size_t, int, int64_t, int),
           int (*try_delete)(struct lilcache *, const void *, size_t, int)) {
    quick_core.get = get;
    quick_core.try_set = try_set;
    quick_core.try_delete = try_delete;
}

/* Whether calls through this extension hold the GIL, for the test of the macros. */
static int quick_holds_gil(void) { return PyThreadState_GetDict() != NULL; }

static int quick_result(int64_t packed) {
    int length = (int)LILCACHE_LENGTH(packed);
    int type = (int)LILCACHE_VALUE_TYPE(packed);
    if (packed < 0) {
        return packed == LILCACHE_MISS      ? QUICK_RESULT_MISS
               : packed == LILCACHE_RETIRED ? QUICK_RESULT_RETIRED
                                            : QUICK_RESULT_FAILED;
    }
    return type == QUICK_BYTES ? length
           : type == QUICK_STR ? QUICK_RESULT_STR + length
                               : type << QUICK_RESULT_TYPE | length;
}

static int quick_get(struct quick_call *call, const void *key, size_t length,
                     int type) {
    if (call->signs) {
        return QUICK_RESULT_FAILED;
    }
    return quick_result(
        quick_core.get(call->cache, key, length, type, call->out, QUICK_OUT));
}

/* A function of one argument costs 45 ns less than one of two: from two on, CPython
 * makes a tuple of them, which cffi takes apart. So a get has one, the key, and which
 * function is called tells the rest: quick_get_str_3 is for the call whose number is 3.
 * The length is strlen's; a key with a NUL byte goes to quick_get_str. */
static struct quick_call *quick_calls[QUICK_NUMBERS];

/* Returns a number, or -1 if all are taken. All interpreters of the process share them,
 * perhaps without a GIL in common. */
static int quick_enter(struct quick_call *call) {
    for (int number = 0; number < QUICK_NUMBERS; number++) {
        if (__sync_bool_compare_and_swap(&quick_calls[number], NULL, call)) {
            return number;
        }
    }
    return -1;
}

/* Gives the number of a call back, if it has one. */
static void quick_leave(void *call) {
    for (int number = 0; number < QUICK_NUMBERS; number++) {
        __sync_bool_compare_and_swap(&quick_calls[number], call, NULL);
    }
}

#define QUICK_AT(number)                                                               \
    static int quick_get_str_##number(const char *key) {                               \
        return quick_get(quick_calls[number], key, strlen(key), LILCACHE_KEY_STR);     \
    }                                                                                  \
    static int quick_get_bytes_##number(const char *key) {                             \
        return quick_get(quick_calls[number], key, strlen(key), LILCACHE_KEY_BYTES);   \
    }

#define QUICK_KEY(name, type)                                                          \
    static int quick_get_##name(struct quick_call *call, const void *key,              \
                                int length) {                                          \
        return quick_get(call, key, (size_t)length, type);                             \
    }                                                                                  \
    static int quick_delete_##name(struct lilcache *cache, const void *key,            \
                                   int length) {                                       \
        return quick_core.try_delete(cache, key, (size_t)length, type);                \
    }                                                                                  \
    static _Bool quick_set_##name##_str(struct lilcache *cache, const void *key,       \
                                        int length, const void *value,                 \
                                        int value_length) {                            \
        return quick_core.try_set(cache, key, (size_t)length, type, value,             \
                                  (size_t)value_length, QUICK_STR, LILCACHE_TTL_NONE,  \
                                  LILCACHE_SET) == LILCACHE_OK;                        \
    }                                                                                  \
    static _Bool quick_set_##name##_bytes(struct lilcache *cache, const void *key,     \
                                          int length, const void *value,               \
                                          int value_length) {                          \
        return quick_core.try_set(cache, key, (size_t)length, type, value,             \
                                  (size_t)value_length, QUICK_BYTES,                   \
                                  LILCACHE_TTL_NONE, LILCACHE_SET) == LILCACHE_OK;     \
    }

QUICK_KEY(str, LILCACHE_KEY_STR)
QUICK_KEY(bytes, LILCACHE_KEY_BYTES)

#endif
