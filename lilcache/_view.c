/* Exporter: a read-only buffer over memory that somebody else owns, with a callback when
 * the last of it is gone. The base of lilcache.pins.View.
 *
 * Python classes can export buffers only from 3.12 on, and a plain memoryview cannot be
 * left (`with`) while arrays made from it live. So this is C: release() ends the claim at
 * once, or, while exports exist, with the last of them. Needs the GIL, as all of it is
 * called by the interpreter. Knows nothing of lilcache. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct {
    PyObject_HEAD
    void *data;
    Py_ssize_t length;
    PyObject *owner;   /* called without arguments when the claim ends; NULL: it has */
    Py_ssize_t exports;
    int released;
} Exporter;

/* The callback may run any code, so the object is in its final state before. */
static void exporter_end(Exporter *self) {
    PyObject *owner = self->owner;
    self->owner = NULL;
    if (owner) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyObject *result = PyObject_CallNoArgs(owner);
        if (result) {
            Py_DECREF(result);
        } else {
            PyErr_WriteUnraisable(owner);
        }
        Py_DECREF(owner);
        PyErr_Restore(type, value, traceback);
    }
}

static PyObject *exporter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"address", "length", "owner", NULL};
    unsigned long long address;
    Py_ssize_t length;
    PyObject *owner;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "KnO", names, &address, &length,
                                     &owner)) {
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Exporter *self = (Exporter *)allocate(type, 0);
    if (self) {
        self->data = (void *)(uintptr_t)address;
        self->length = length;
        Py_INCREF(owner);
        self->owner = owner;
    }
    return (PyObject *)self;
}

static void exporter_dealloc(Exporter *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    exporter_end(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int exporter_getbuffer(Exporter *self, Py_buffer *view, int flags) {
    if (self->released || !self->owner) {
        view->obj = NULL;
        PyErr_SetString(PyExc_ValueError, "operation forbidden on a released view");
        return -1;
    }
    if (PyBuffer_FillInfo(view, (PyObject *)self, self->data, self->length, 1, flags)) {
        return -1;
    }
    self->exports++;
    return 0;
}

static void exporter_releasebuffer(Exporter *self, Py_buffer *view) {
    (void)view;
    self->exports--;
    if (self->released && self->exports == 0) {
        exporter_end(self);
    }
}

static PyObject *exporter_release(Exporter *self, PyObject *unused) {
    (void)unused;
    self->released = 1;
    if (self->exports == 0) {
        exporter_end(self);
    }
    Py_RETURN_NONE;
}

static PyMethodDef exporter_methods[] = {
    {"release", (PyCFunction)exporter_release, METH_NOARGS,
     "End the claim, now or with the last export. Idempotent."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot exporter_slots[] = {
    {Py_tp_new, exporter_new},
    {Py_tp_dealloc, exporter_dealloc},
    {Py_tp_methods, exporter_methods},
    {Py_tp_doc, "A read-only buffer; calls its owner when the last export is gone."},
    {Py_bf_getbuffer, exporter_getbuffer},
    {Py_bf_releasebuffer, exporter_releasebuffer},
    {0, NULL},
};

static PyType_Spec exporter_spec = {
    .name = "lilcache._view.Exporter",
    .basicsize = sizeof(Exporter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = exporter_slots,
};

static struct PyModuleDef view_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lilcache._view",
    .m_size = 0,
};

PyMODINIT_FUNC PyInit__view(void) {
    PyObject *module = PyModule_Create(&view_module);
    PyObject *type = module ? PyType_FromSpec(&exporter_spec) : NULL;
    if (!type || PyModule_AddObject(module, "Exporter", type) < 0) {
        Py_XDECREF(type);
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
