/* Port: what a handle tells the hot verbs of its attachment, and the core's functions,
 * through which they reach it. */
#ifndef LILCACHE_FAST_PORT_H
#define LILCACHE_FAST_PORT_H

#include "_fast_copies.h"
#include "_fast_serializer.h"

/* The core's functions, lilcache_ left away, in the order in which bind() takes them.
 */
#define CORE(X)                                                                        \
    X(int64_t, get, (struct lilcache *, const void *, size_t, int, void *, size_t))    \
    X(int64_t, get_many,                                                               \
      (struct lilcache *, size_t, const void *, const uint32_t *, const uint8_t *,     \
       void *, size_t, int64_t *))                                                     \
    X(int64_t, get_version,                                                            \
      (struct lilcache *, const void *, size_t, int, void *, size_t,                   \
       struct lilcache_version *))                                                     \
    X(int, is_current, (struct lilcache *, const struct lilcache_version *))           \
    X(int, ttl, (struct lilcache *, const void *, size_t, int, int64_t *))             \
    X(int, try_set,                                                                    \
      (struct lilcache *, const void *, size_t, int, const void *, size_t, int,        \
       int64_t, int))                                                                  \
    X(int, mode, (const struct lilcache *))                                            \
    X(int, try_delete, (struct lilcache *, const void *, size_t, int))                 \
    X(int, try_incr,                                                                   \
      (struct lilcache *, const void *, size_t, int, int64_t, const int64_t *,         \
       int64_t, int64_t *))

static struct {
#define X(result, name, arguments) result(*name) arguments;
    CORE(X)
#undef X
} core;

static const char *const core_names[] = {
#define X(result, name, arguments) #name,
    CORE(X)
#undef X
};

struct state; /* of the module: _fast.c */

typedef struct {
    PyObject ob_base;
    const struct state *state; /* of the module that its type keeps */
    struct lilcache *cache;    /* NULL: none, or its values are signed */
    uint64_t max_value;
    uint64_t compress_from; /* bytes; a value that is not shorter is Codec's */
    struct copies copies;
    struct serializer serializer;
} Port;

static PyObject *port_attach(Port *self, PyObject *args) {
    unsigned long long address;
    unsigned long long max_value;
    if (!PyArg_ParseTuple(args, "KK", &address, &max_value)) {
        return NULL;
    }
    self->cache = (struct lilcache *)(uintptr_t)address;
    self->max_value = max_value;
    copies_forget(&self->copies);
    Py_RETURN_NONE;
}

static PyObject *port_keep(Port *self, PyObject *args) {
    Py_ssize_t count;
    int shares;
    PyObject *leaves;
    if (!PyArg_ParseTuple(args, "npO", &count, &shares, &leaves)) {
        return NULL;
    }
    if (count < 0 || !PyTuple_Check(leaves)) {
        return PyErr_Format(PyExc_ValueError, "a number of objects, a tuple of types");
    }
    copies_close(&self->copies);
    if (!copies_open(&self->copies, (size_t)count, shares, leaves)) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *port_compress_from(Port *self, PyObject *args) {
    unsigned long long length;
    if (!PyArg_ParseTuple(args, "K", &length)) {
        return NULL;
    }
    self->compress_from = length;
    Py_RETURN_NONE;
}

static PyObject *port_serialize(Port *self, PyObject *args) {
    PyObject *dumps;
    PyObject *loads;
    int type;
    int guarded;
    if (!PyArg_ParseTuple(args, "OOip", &dumps, &loads, &type, &guarded)) {
        return NULL;
    }
    serializer_open(&self->serializer, dumps, loads, type, guarded);
    Py_RETURN_NONE;
}

/* Whether a serializer may be used now. */
static bool port_serializes(const Port *self) {
    const struct serializer *serializer = &self->serializer;
    return serializer_may(serializer, serializer->guarded ? core.mode(self->cache) : 0);
}

static int port_traverse(Port *self, visitproc visit, void *arg) {
    Py_VISIT((PyObject *)Py_TYPE((PyObject *)self));
    int failed = serializer_traverse(&self->serializer, visit, arg);
    return failed ? failed : copies_traverse(&self->copies, visit, arg);
}

static int port_clear(Port *self) {
    copies_close(&self->copies);
    serializer_close(&self->serializer);
    return 0;
}

static void free_object(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static void port_dealloc(Port *self) {
    PyObject_GC_UnTrack(self);
    port_clear(self);
    free_object((PyObject *)self);
}

static PyObject *port_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Port *self = (Port *)allocate(type, 0);
    (void)args;
    (void)keywords;
    if (self) {
        self->state = PyType_GetModuleState(type);
        self->compress_from = UINT64_MAX;
    }
    return (PyObject *)self;
}

static PyMethodDef port_methods[] = {
    {"attach", (PyCFunction)port_attach, METH_VARARGS,
     "Use the struct lilcache at this address, 0 for none, with values up to so long."},
    {"keep", (PyCFunction)port_keep, METH_VARARGS,
     "Keep so many objects that were decoded, shared or not; objects of these types\n"
     "nobody can change."},
    {"compress_from", (PyCFunction)port_compress_from, METH_VARARGS,
     "Leave values of so many bytes and more to the whole methods."},
    {"serialize", (PyCFunction)port_serialize, METH_VARARGS,
     "Use dumps and loads for values of this type; guarded: only while nobody else "
     "may\n"
     "write the segment."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot port_slots[] = {
    {Py_tp_new, port_new},
    {Py_tp_dealloc, port_dealloc},
    {Py_tp_traverse, port_traverse},
    {Py_tp_clear, port_clear},
    {Py_tp_methods, port_methods},
    {Py_tp_doc, "What the hot verbs call: one attachment, or none."},
    {0, NULL},
};

static PyType_Spec port_spec = {"lilcache._fast.Port", sizeof(Port), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, port_slots};

#endif
