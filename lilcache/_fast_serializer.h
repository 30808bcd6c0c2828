/* The serializer of a cache, called without the way through Codec: what Codec.encode
 * and Codec.decode do with a value that is not native. Whatever comes of it counts: it
 * is never called again for the same value, which an iterator would not survive. */
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

/* Hands an Exception that is set to a method of the cache, which raises what a caller
 * shall see; what is none, as Ctrl-C, is left as it is. */
static void serializer_failed(PyObject *owner, const char *method, PyObject *argument) {
    PyObject *type;
    PyObject *error;
    PyObject *traceback;
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return;
    }
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    if (traceback) {
        PyException_SetTraceback(error, traceback);
    }
    Py_XDECREF(PyObject_CallMethod(owner, method, "OO", argument, error));
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(traceback);
}

/* Runs any code. NULL with an exception. */
static PyObject *serializer_call(PyObject *function, PyObject *argument,
                                 PyObject *owner, const char *failed) {
    Py_INCREF(function);
    PyObject *result = PyObject_CallFunctionObjArgs(function, argument, NULL);
    Py_DECREF(function);
    if (!result) {
        serializer_failed(owner, failed, argument);
    }
    return result;
}

#endif
