/* Verbs, the base of Cache: whom a verb serves, and how it leaves to Python what is not
 * usual. */
#ifndef LILCACHE_FAST_VERBS_H
#define LILCACHE_FAST_VERBS_H

#include "_fast_port.h"
#include "_fast_values.h"

enum verb { GET, SET, ADD, DELETE, INCR, CONTAINS, GET_MANY, SET_MANY, VERB_COUNT };

static const char *const verb_names[VERB_COUNT] = {
    "get", "set", "add", "delete", "incr", "__contains__", "get_many", "set_many"};

struct state {
    PyTypeObject *port_type;
    PyObject *whole[VERB_COUNT]; /* the methods of cache.py */
};

typedef struct {
    PyObject ob_base;
    Port *port;
    PyObject *target; /* whose methods are called instead of the whole ones; or NULL */
} Verbs;

static struct lilcache *cache_of(const Verbs *self) {
    return self->port ? self->port->cache : NULL;
}

/* Whose methods see to what is not usual. */
static PyObject *owner_of(Verbs *self) {
    return self->target ? self->target : (PyObject *)self;
}

/* Arguments as PyObject_Call takes them, `first` before all others unless NULL. */
static PyObject *positional_of(PyObject *first, PyObject *const *args,
                               Py_ssize_t count) {
    Py_ssize_t more = first != NULL;
    PyObject *positional = PyTuple_New(more + count);
    for (Py_ssize_t i = 0; positional && i < more + count; i++) {
        PyObject *item = i < more ? first : args[i - more];
        Py_INCREF(item);
        PyTuple_SetItem(positional, i, item);
    }
    return positional;
}

static PyObject *keywords_of(PyObject *names, PyObject *const *values) {
    Py_ssize_t count = names ? PyTuple_Size(names) : 0;
    PyObject *keywords = PyDict_New();
    for (Py_ssize_t i = 0; keywords && i < count; i++) {
        if (PyDict_SetItem(keywords, PyTuple_GetItem(names, i), values[i])) {
            Py_CLEAR(keywords);
        }
    }
    return keywords;
}

/* The whole method, with the same arguments. */
static PyObject *leave_to_python(enum verb verb, Verbs *self, PyObject *const *args,
                                 Py_ssize_t count, PyObject *names) {
    PyObject *object = (PyObject *)self;
    PyObject *function = NULL;
    if (self->target) {
        function = PyObject_GetAttrString(self->target, verb_names[verb]);
        object = NULL;
    } else if (self->port && self->port->state->whole[verb]) {
        function = self->port->state->whole[verb];
        Py_INCREF(function);
    } else {
        PyErr_SetString(PyExc_AttributeError, "this cache was never opened");
    }
    PyObject *positional = positional_of(object, args, count);
    PyObject *keywords = keywords_of(names, args + count);
    PyObject *result = NULL;
    if (function && positional && keywords) {
        result = PyObject_Call(function, positional, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(positional);
    Py_XDECREF(function);
    return result;
}

#endif
