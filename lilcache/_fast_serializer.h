/* The serializer of a cache, called without the way through Codec: what Codec.encode
 * and Codec.decode do with a value that is not native, when nothing is wrong. Else NULL
 * without an exception, and the value is left to Codec, which says what is. */
#ifndef LILCACHE_FAST_SERIALIZER_H
#define LILCACHE_FAST_SERIALIZER_H

#include <Python.h>
#include <stdbool.h>
#include <sys/stat.h>

/* _OTHERS_MAY_WRITE of _handle.py. */
#define OTHERS_MAY_WRITE (S_IWGRP | S_IWOTH)

struct serializer {
    PyObject *dumps; /* NULL: all is left to Codec */
    PyObject *loads;
    int type;     /* value type of what dumps returns */
    bool guarded; /* only while nobody else may write the object, asked each time */
};

static void serializer_close(struct serializer *serializer) {
    Py_CLEAR(serializer->dumps);
    Py_CLEAR(serializer->loads);
}

static void serializer_open(struct serializer *serializer, PyObject *dumps,
                            PyObject *loads, int type, bool guarded) {
    serializer_close(serializer);
    Py_INCREF(dumps);
    Py_INCREF(loads);
    *serializer = (struct serializer){dumps, loads, type, guarded};
}

static int serializer_traverse(const struct serializer *serializer, visitproc visit,
                               void *arg) {
    Py_VISIT(serializer->dumps);
    Py_VISIT(serializer->loads);
    return 0;
}

/* mode: the object's permission bits, negative if they cannot be read. */
static bool serializer_may(const struct serializer *serializer, int mode) {
    return serializer->dumps &&
           (!serializer->guarded || (mode >= 0 && !(mode & OTHERS_MAY_WRITE)));
}

/* Runs any code. NULL with an exception only for what is no Exception, as Ctrl-C. */
static PyObject *serializer_call(PyObject *function, PyObject *argument) {
    Py_INCREF(function);
    PyObject *result = PyObject_CallFunctionObjArgs(function, argument, NULL);
    Py_DECREF(function);
    if (!result && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
    }
    return result;
}

#endif
