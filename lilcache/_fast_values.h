/* What is passed to a hot verb, and what it returns: keys, values and ttls of the usual
 * kinds to C and back. What is not usual gives false or NULL without an exception, and
 * is left to Python. */
#ifndef LILCACHE_FAST_VALUES_H
#define LILCACHE_FAST_VALUES_H

#include <Python.h>
#include <stdbool.h>
#include <string.h>

#include <lilcache.h>

/* TYPE_BYTES and so on of _codec.py. */
enum { TYPE_BYTES, TYPE_INT64, TYPE_STR, TYPE_FLOAT, TYPE_NONE, TYPE_FALSE, TYPE_TRUE };

/* A value that is longer is looked up again, to be copied to where it stays. */
#define OUT_BYTES 2048
/* What is longer than this is copied without the GIL, out of a pinned block. */
#define LONG_MAX (256 * 1024)
/* A str that is not ASCII keeps its UTF-8: not for long ones. */
#define STR_MAX (16 * 1024)
/* Where a double still counts every millisecond. */
#define TTL_SECONDS_MAX 1e9

/* --- arguments -------------------------------------------------------------- */

#define ARGUMENTS 4

/* Sorts what was passed into the places of `names`, those not given NULL. False: too
 * few, too many or others; the whole method says so. */
static inline bool arrange(PyObject *const *args, Py_ssize_t count, PyObject *keywords,
                           const char *const names[ARGUMENTS], Py_ssize_t least,
                           PyObject *sorted[ARGUMENTS]) {
    if (!keywords && count == least) { /* the usual call */
        for (Py_ssize_t i = 0; i < ARGUMENTS; i++) {
            sorted[i] = i < least ? args[i] : NULL;
        }
        return true;
    }
    Py_ssize_t named = keywords ? PyTuple_Size(keywords) : 0;
    for (Py_ssize_t i = 0; i < ARGUMENTS; i++) {
        sorted[i] = i < count ? args[i] : NULL;
        if (!names[i] && (sorted[i] || count > i)) {
            return false;
        }
    }
    if (count < least || count > ARGUMENTS) {
        return false;
    }
    for (Py_ssize_t k = 0; k < named; k++) {
        PyObject *keyword = PyTuple_GetItem(keywords, k);
        Py_ssize_t i = count;
        while (i < ARGUMENTS && names[i] &&
               PyUnicode_CompareWithASCIIString(keyword, names[i]) != 0) {
            i++;
        }
        if (i == ARGUMENTS || !names[i]) {
            return false;
        }
        sorted[i] = args[count + k];
    }
    return true;
}

/* A ttl that is whole seconds or a float in the usual range; none is NULL or None. */
static bool read_ttl(PyObject *object, int64_t *ttl_ms) {
    *ttl_ms = LILCACHE_TTL_NONE;
    if (!object || object == Py_None) {
        return true;
    }
    double seconds;
    if (Py_IS_TYPE(object, &PyLong_Type)) {
        int overflow;
        seconds = (double)PyLong_AsLongLongAndOverflow(object, &overflow);
    } else if (Py_IS_TYPE(object, &PyFloat_Type)) {
        seconds = PyFloat_AsDouble(object);
    } else {
        return false;
    }
    if (!(seconds > 0 && seconds < TTL_SECONDS_MAX)) {
        return false;
    }
    *ttl_ms = (int64_t)(seconds * 1000);
    *ttl_ms += (double)*ttl_ms < seconds * 1000; /* rounded up, as ttl_to_ms */
    return true;
}

static bool read_int64(PyObject *object, int64_t *number) {
    int overflow = 0;
    if (!Py_IS_TYPE(object, &PyLong_Type)) {
        return false;
    }
    *number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return !overflow;
}

struct text {
    const char *bytes;
    Py_ssize_t length;
    int type;
};

static bool text_of_str(PyObject *object, struct text *text) {
    if (PyUnicode_IS_COMPACT_ASCII(object)) { /* UTF-8 as it is */
        text->bytes = PyUnicode_DATA(object);
        text->length = PyUnicode_GET_LENGTH(object);
        return 1;
    }
    text->bytes = PyUnicode_AsUTF8AndSize(object, &text->length);
    if (!text->bytes) {
        PyErr_Clear(); /* a lone surrogate */
        return 0;
    }
    return 1;
}

static bool text_of_bytes(PyObject *object, struct text *text) {
    text->bytes = PyBytes_AS_STRING(object);
    text->length = PyBytes_GET_SIZE(object);
    return 1;
}

/* Whether it is a key that can be used as it is. */
static bool read_key(PyObject *object, struct text *key) {
    if (Py_IS_TYPE(object, &PyUnicode_Type)) {
        key->type = LILCACHE_KEY_STR;
        return text_of_str(object, key);
    }
    if (Py_IS_TYPE(object, &PyBytes_Type)) {
        key->type = LILCACHE_KEY_BYTES;
        return text_of_bytes(object, key);
    }
    return 0;
}

/* A value of a native type; `word` is room for a number. */
static bool read_value(PyObject *object, struct text *value, uint64_t *word) {
    if (Py_IS_TYPE(object, &PyBytes_Type)) {
        value->type = TYPE_BYTES;
        return text_of_bytes(object, value);
    }
    if (Py_IS_TYPE(object, &PyUnicode_Type)) {
        value->type = TYPE_STR;
        return PyUnicode_GetLength(object) <= STR_MAX && text_of_str(object, value);
    }
    value->bytes = (const char *)word;
    value->length = sizeof *word;
    if (Py_IS_TYPE(object, &PyLong_Type)) {
        int overflow;
        long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
        value->type = TYPE_INT64;
        *word = (uint64_t)number;
        return !overflow;
    }
    if (Py_IS_TYPE(object, &PyFloat_Type)) {
        double number = PyFloat_AsDouble(object);
        value->type = TYPE_FLOAT;
        memcpy(word, &number, sizeof number);
        return 1;
    }
    value->length = 0;
    value->type = object == Py_None    ? TYPE_NONE
                  : object == Py_True  ? TYPE_TRUE
                  : object == Py_False ? TYPE_FALSE
                                       : -1;
    return value->type >= 0;
}

static PyObject *native_value(int type, const char *bytes, Py_ssize_t length) {
    PyObject *constant = NULL;
    uint64_t word = 0;
    double number;
    switch (type) {
    case TYPE_BYTES:
        return PyBytes_FromStringAndSize(bytes, length);
    case TYPE_STR:
        return PyUnicode_DecodeUTF8(bytes, length, NULL);
    case TYPE_NONE:
        constant = Py_None;
        break;
    case TYPE_TRUE:
        constant = Py_True;
        break;
    case TYPE_FALSE:
        constant = Py_False;
        break;
    case TYPE_INT64:
    case TYPE_FLOAT:
        if (length == sizeof word) {
            memcpy(&word, bytes, sizeof word);
            memcpy(&number, bytes, sizeof number);
            return type == TYPE_INT64 ? PyLong_FromLongLong((long long)word)
                                      : PyFloat_FromDouble(number);
        }
        break;
    default:
        break;
    }
    Py_XINCREF(constant);
    return constant;
}

#endif
