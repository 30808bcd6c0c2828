/* The hot calls for the extension lilcache._quick: with as few arguments as they can
 * have, and without letting go of the GIL. An argument costs cffi 10 to 30 ns and the
 * GIL 45; both together are half of what a get through lilcache._lilcache takes.
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

/* cffi puts every call between these two. */
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS   }

#define QUICK_BYTES 0 /* TYPE_BYTES and TYPE_STR of _codec.py */
#define QUICK_STR   2

/* What every get through one buffer repeats. */
struct quick_call {
    struct lilcache *cache;
    void *out;
    int cap;   /* below QUICK_RESULT_BYTES */
    int signs; /* values are signed: none is returned by this short way */
};

/* Results of quick_get, made for few steps in Python: a str is its length, bytes are
 * theirs above QUICK_RESULT_BYTES; of the rest the upper half is the value type. */
#define QUICK_RESULT_BYTES (1 << 15)
#define QUICK_RESULT_TYPE  16
#define QUICK_RESULT_OTHER (1 << QUICK_RESULT_TYPE) /* from here on: the rest */

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
        return (int)packed;
    }
    return type == QUICK_STR     ? length
           : type == QUICK_BYTES ? QUICK_RESULT_BYTES + length
                                 : type << QUICK_RESULT_TYPE | length;
}

static int quick_get(struct quick_call *call, const void *key, int length, int type) {
    if (call->signs) {
        return LILCACHE_TOO_LARGE;
    }
    return quick_result(quick_core.get(call->cache, key, (size_t)length, type,
                                       call->out, (size_t)call->cap));
}

#define QUICK_KEY(name, type)                                                          \
    static int quick_get_##name(struct quick_call *call, const void *key,              \
                                int length) {                                          \
        return quick_get(call, key, length, type);                                     \
    }                                                                                  \
    static int quick_delete_##name(struct lilcache *cache, const void *key,            \
                                   int length) {                                       \
        return quick_core.try_delete(cache, key, (size_t)length, type);                \
    }                                                                                  \
    static int quick_set_##name##_str(struct lilcache *cache, const void *key,         \
                                      int length, const void *value,                   \
                                      int value_length) {                              \
        return quick_core.try_set(cache, key, (size_t)length, type, value,             \
                                  (size_t)value_length, QUICK_STR, LILCACHE_TTL_NONE,  \
                                  LILCACHE_SET);                                       \
    }                                                                                  \
    static int quick_set_##name##_bytes(struct lilcache *cache, const void *key,       \
                                        int length, const void *value,                 \
                                        int value_length) {                            \
        return quick_core.try_set(cache, key, (size_t)length, type, value,             \
                                  (size_t)value_length, QUICK_BYTES,                   \
                                  LILCACHE_TTL_NONE, LILCACHE_SET);                    \
    }

QUICK_KEY(str, LILCACHE_KEY_STR)
QUICK_KEY(bytes, LILCACHE_KEY_BYTES)

#endif
