/* The hot verbs of Cache once more, in C: vectorcall instead of Python and cffi.
 *
 * A verb here does the usual case, without waiting and without letting go of the GIL.
 * Whatever is not usual (a key that is no str or bytes, a signed value, a held lock, a
 * closed cache, a wrong argument) it leaves to the method of the same name
 * in cache.py, called with the same arguments: that one is complete, and decides.
 *
 * The core keeps state of the process, so it is linked once, into lilcache._lilcache;
 * these call it through pointers that _ffi.py hands over. No call into the interpreter
 * lies between the look at a port and the end of the core's call, so nobody can close
 * the attachment meanwhile.
 *
 * Types and methods belong to a module, of which each interpreter has its own. */
#define PY_SSIZE_T_CLEAN
#include "_fast_batch.h"
#include "_fast_get.h"

/* --- the verbs -------------------------------------------------------------------- */

static PyObject *verbs_get(Verbs *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *keywords) {
    static const char *const names[ARGUMENTS] = {"key", "default"};
    PyObject *given[ARGUMENTS];
    struct text key;
    if (cache_of(self) && arrange(args, count, keywords, names, 1, given) &&
        read_key(given[0], &key)) {
        int64_t result;
        PyObject *value = get_one(self, given[0], &key, &result);
        if (value || result >= 0) {
            return value;
        }
        if (result == LILCACHE_MISS) {
            PyObject *missing = given[1] ? given[1] : Py_None;
            Py_INCREF(missing);
            return missing;
        }
    }
    return leave_to_python(GET, self, args, count, keywords);
}

static int set_one(const Port *port, PyObject *key_object, PyObject *value_object,
                   int64_t ttl_ms, int mode) {
    struct text key;
    struct text value;
    uint64_t word;
    return read_key(key_object, &key) && read_value(value_object, &value, &word) &&
                   (uint64_t)value.length < port->compress_from
               ? core.try_set(port->cache, key.bytes, (size_t)key.length, key.type,
                              value.bytes, (size_t)value.length, value.type, ttl_ms,
                              mode)
               : LILCACHE_BUSY;
}

/* Whether only a serializer can store it; what is native and unusual is Codec's. */
static bool needs_serializer(PyObject *object) {
    struct text value;
    uint64_t word;
    return !Py_IS_TYPE(object, &PyUnicode_Type) && !Py_IS_TYPE(object, &PyLong_Type) &&
           !Py_IS_TYPE(object, &PyBytes_Type) && !read_value(object, &value, &word);
}

/* Store a payload; what try_set does not do, the cache's method does. */
static PyObject *store_payload(const Port *port, PyObject *owner,
                               const struct text *key, PyObject *payload,
                               int64_t ttl_ms, int mode) {
    int status = LILCACHE_BUSY;
    int type = port->serializer.type;
    if (port->cache && Py_IS_TYPE(payload, &PyBytes_Type) &&
        (uint64_t)PyBytes_Size(payload) < port->compress_from) {
        status = core.try_set(port->cache, key->bytes, (size_t)key->length, key->type,
                              PyBytes_AsString(payload), (size_t)PyBytes_Size(payload),
                              type, ttl_ms, mode);
    }
    return status == LILCACHE_OK || status == LILCACHE_EXISTS
               ? PyBool_FromLong(status == LILCACHE_OK)
               : PyObject_CallMethod(owner, "_store_payload", "y#iOiLi", key->bytes,
                                     key->length, key->type, payload, type,
                                     (long long)ttl_ms, mode);
}

/* Store what the serializer makes of a value, where the port was when it began: dumping
 * runs any code. NULL without an exception: it is not for the serializer. */
static PyObject *store_dumped(Verbs *self, PyObject *key_object, PyObject *value,
                              int64_t ttl_ms, int mode) {
    struct text key;
    Port *port = self->port;
    PyObject *owner = owner_of(self);
    if (!read_key(key_object, &key) || !needs_serializer(value) ||
        !port_serializes(port)) {
        return NULL;
    }
    Py_INCREF((PyObject *)port);
    Py_INCREF(owner);
    PyObject *payload =
        serializer_call(port->serializer.dumps, value, owner, "_dump_failed");
    PyObject *result =
        payload ? store_payload(port, owner, &key, payload, ttl_ms, mode) : NULL;
    Py_XDECREF(payload);
    Py_DECREF(owner);
    Py_DECREF((PyObject *)port);
    return result;
}

static PyObject *store(enum verb verb, Verbs *self, PyObject *const *args,
                       Py_ssize_t count, PyObject *keywords) {
    static const char *const names[ARGUMENTS] = {"key", "value", "ttl"};
    struct lilcache *cache = cache_of(self);
    PyObject *given[ARGUMENTS];
    int64_t ttl_ms;
    if (cache && arrange(args, count, keywords, names, 2, given) &&
        read_ttl(given[2], &ttl_ms)) {
        int mode = verb == ADD ? LILCACHE_ADD : LILCACHE_SET;
        int status = set_one(self->port, given[0], given[1], ttl_ms, mode);
        if (status == LILCACHE_OK) {
            Py_RETURN_TRUE;
        }
        if (status == LILCACHE_EXISTS) {
            Py_RETURN_FALSE;
        }
        PyObject *stored = store_dumped(self, given[0], given[1], ttl_ms, mode);
        if (stored || PyErr_Occurred()) {
            return stored;
        }
    }
    return leave_to_python(verb, self, args, count, keywords);
}

static PyObject *verbs_set(Verbs *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *keywords) {
    return store(SET, self, args, count, keywords);
}

static PyObject *verbs_add(Verbs *self, PyObject *const *args, Py_ssize_t count,
                           PyObject *keywords) {
    return store(ADD, self, args, count, keywords);
}

static PyObject *verbs_incr(Verbs *self, PyObject *const *args, Py_ssize_t count,
                            PyObject *keywords) {
    static const char *const names[ARGUMENTS] = {"key", "delta", "initial", "ttl"};
    struct lilcache *cache = cache_of(self);
    PyObject *given[ARGUMENTS];
    struct text key;
    int64_t ttl_ms;
    int64_t delta = 1;
    int64_t initial = 0;
    int64_t sum;
    if (cache && arrange(args, count, keywords, names, 1, given) &&
        read_key(given[0], &key) && (!given[1] || read_int64(given[1], &delta)) &&
        read_ttl(given[3], &ttl_ms)) {
        bool none = !given[2] || given[2] == Py_None;
        if (none || read_int64(given[2], &initial)) {
            int status = core.try_incr(cache, key.bytes, (size_t)key.length, key.type,
                                       delta, none ? NULL : &initial, ttl_ms, &sum);
            if (status == LILCACHE_OK) {
                return PyLong_FromLongLong(sum);
            }
            if (status == LILCACHE_MISS) {
                Py_RETURN_NONE;
            }
        }
    }
    return leave_to_python(INCR, self, args, count, keywords);
}

static PyObject *verbs_delete(Verbs *self, PyObject *const *args, Py_ssize_t count,
                              PyObject *keywords) {
    struct text key;
    struct lilcache *cache = cache_of(self);
    if (cache && !keywords && count == 1 && read_key(args[0], &key)) {
        int status = core.try_delete(cache, key.bytes, (size_t)key.length, key.type);
        if (status == LILCACHE_OK) {
            Py_RETURN_TRUE;
        }
        if (status == LILCACHE_MISS) {
            Py_RETURN_FALSE;
        }
    }
    return leave_to_python(DELETE, self, args, count, keywords);
}

static PyObject *verbs_contains(Verbs *self, PyObject *const *args, Py_ssize_t count,
                                PyObject *keywords) {
    struct text key;
    int64_t ttl_ms;
    struct lilcache *cache = cache_of(self);
    if (cache && !keywords && count == 1 && read_key(args[0], &key)) {
        int status = core.ttl(cache, key.bytes, (size_t)key.length, key.type, &ttl_ms);
        if (status == LILCACHE_OK) {
            Py_RETURN_TRUE;
        }
        if (status == LILCACHE_MISS) {
            Py_RETURN_FALSE;
        }
    }
    return leave_to_python(CONTAINS, self, args, count, keywords);
}

/* Adds the value of one key, if there is one, to `found`; 0, -1 with an exception, or
 * 1: this key is not for us. */
static int get_into(Verbs *self, PyObject *key_object, PyObject *found) {
    struct text key;
    if (!cache_of(self) || !read_key(key_object, &key)) {
        return 1;
    }
    int64_t result;
    PyObject *value = get_one(self, key_object, &key, &result);
    if (!value && result == LILCACHE_MISS) {
        return 0;
    }
    if (!value && result < 0) {
        PyObject *absent = (PyObject *)self->port; /* no value in a cache is it */
        PyObject *args[] = {key_object, absent};
        value = leave_to_python(GET, self, args, 2, NULL);
        if (value == absent) {
            Py_DECREF(value);
            return 0;
        }
    }
    int failed = value ? PyDict_SetItem(found, key_object, value) : -1;
    Py_XDECREF(value);
    return failed;
}

/* Adds what a batch has found to `found`; as get_into. */
static int get_batch(Verbs *self, struct batch *batch, char *out, PyObject *found) {
    int failed = 0;
    batch_read(batch, self->port->cache, out);
    for (Py_ssize_t i = 0; !failed && i < batch->count; i++) {
        int64_t result = batch->results[i];
        PyObject *key = batch->objects[i];
        if (result == LILCACHE_MISS) {
            continue;
        }
        if (result < 0 || !cache_of(self)) { /* too long for `out`, or closed by now */
            failed = get_into(self, key, found);
            continue;
        }
        PyObject *value = value_of(self, &batch->texts[i], result, out);
        failed = value ? PyDict_SetItem(found, key, value) : -1;
        Py_XDECREF(value);
        out += LILCACHE_LENGTH(result);
    }
    return failed;
}

/* Adds the values of all keys to `found`; as get_into. */
static int get_all_into(Verbs *self, PyObject *keys, PyObject *found) {
    struct batch batch;
    int failed = 0;
    char *out = malloc(BATCH_OUT_BYTES);
    if (!out) {
        PyErr_NoMemory();
        return -1;
    }
    /* Its size anew each time: decoding runs any code. */
    for (Py_ssize_t i = 0; !failed && i < PySequence_Size(keys);) {
        batch.count = 0;
        if (cache_of(self) && !self->port->copies.sets) {
            batch_fill(&batch, keys, i);
        }
        if (batch.count > 0) {
            failed = get_batch(self, &batch, out, found);
            batch_drop(&batch);
            i += batch.count;
        } else {
            PyObject *key = PySequence_GetItem(keys, i++);
            failed = key ? get_into(self, key, found) : -1;
            Py_XDECREF(key);
        }
    }
    free(out);
    return failed;
}

static PyObject *verbs_get_many(Verbs *self, PyObject *const *args, Py_ssize_t count,
                                PyObject *keywords) {
    bool hot =
        cache_of(self) && !keywords && count == 1 &&
        (Py_IS_TYPE(args[0], &PyList_Type) || Py_IS_TYPE(args[0], &PyTuple_Type));
    PyObject *found = hot ? PyDict_New() : NULL;
    if (found && get_all_into(self, args[0], found)) {
        Py_CLEAR(found);
    }
    return found || PyErr_Occurred()
               ? found
               : leave_to_python(GET_MANY, self, args, count, keywords);
}

/* Whether set_one does the whole of it: nothing is to be stored if one is not valid. */
static bool all_storable(const Port *port, PyObject *items) {
    PyObject *key_object;
    PyObject *value_object;
    Py_ssize_t at = 0;
    while (PyDict_Next(items, &at, &key_object, &value_object)) {
        struct text key;
        struct text value;
        uint64_t word;
        if (!read_key(key_object, &key) || key.length < 1 ||
            key.length > LILCACHE_KEY_MAX || !read_value(value_object, &value, &word) ||
            (uint64_t)value.length > port->max_value ||
            (uint64_t)value.length >= port->compress_from) {
            return false;
        }
    }
    return true;
}

/* What comes after the first so many items. */
static PyObject *rest_of(PyObject *items, Py_ssize_t done) {
    PyObject *key;
    PyObject *value;
    Py_ssize_t at = 0;
    PyObject *rest = PyDict_New();
    for (Py_ssize_t i = 0; rest && PyDict_Next(items, &at, &key, &value); i++) {
        if (i >= done && PyDict_SetItem(rest, key, value)) {
            Py_CLEAR(rest);
        }
    }
    return rest;
}

static PyObject *verbs_set_many(Verbs *self, PyObject *const *args, Py_ssize_t count,
                                PyObject *keywords) {
    static const char *const names[ARGUMENTS] = {"mapping", "ttl"};
    struct lilcache *cache = cache_of(self);
    PyObject *given[ARGUMENTS];
    int64_t ttl_ms;
    if (!cache || !arrange(args, count, keywords, names, 1, given) ||
        !read_ttl(given[1], &ttl_ms) || !Py_IS_TYPE(given[0], &PyDict_Type) ||
        !all_storable(self->port, given[0])) {
        return leave_to_python(SET_MANY, self, args, count, keywords);
    }
    PyObject *key;
    PyObject *value;
    Py_ssize_t at = 0;
    Py_ssize_t done = 0;
    while (PyDict_Next(given[0], &at, &key, &value) &&
           set_one(self->port, key, value, ttl_ms, LILCACHE_SET) == LILCACHE_OK) {
        done++;
    }
    if (done == PyDict_Size(given[0])) {
        return PyList_New(0);
    }
    PyObject *rest = rest_of(given[0], done);
    PyObject *left[] = {rest, given[1] ? given[1] : Py_None};
    PyObject *result = rest ? leave_to_python(SET_MANY, self, left, 2, NULL) : NULL;
    Py_XDECREF(rest);
    return result;
}

/* --- wiring ----------------------------------------------------------------------- */

static PyObject *verbs_plug(Verbs *self, PyTypeObject *type, PyObject *const *args,
                            Py_ssize_t count, PyObject *names) {
    const struct state *state = PyType_GetModuleState(type);
    PyObject *port = count > 0 ? args[0] : NULL;
    PyObject *target = count > 1 ? args[1] : NULL;
    if (names || count < 1 || count > 2 ||
        (port != Py_None && !Py_IS_TYPE(port, state->port_type))) {
        PyErr_SetString(PyExc_TypeError, "expected a Port or None, and a target");
        return NULL;
    }
    PyObject *old_port = (PyObject *)self->port;
    PyObject *old_target = self->target;
    Py_INCREF(port);
    Py_XINCREF(target);
    self->port = port == Py_None ? NULL : (Port *)port;
    self->target = target;
    Py_XDECREF(old_port);
    Py_XDECREF(old_target);
    Py_RETURN_NONE;
}

static int verbs_traverse(Verbs *self, visitproc visit, void *arg) {
    Py_VISIT((PyObject *)Py_TYPE((PyObject *)self));
    Py_VISIT((PyObject *)self->port);
    Py_VISIT(self->target);
    return 0;
}

static int verbs_clear(Verbs *self) {
    PyObject *port = (PyObject *)self->port;
    self->port = NULL;
    Py_XDECREF(port);
    Py_CLEAR(self->target);
    return 0;
}

static void verbs_dealloc(Verbs *self) {
    PyObject_GC_UnTrack(self);
    verbs_clear(self);
    free_object((PyObject *)self);
}

#define VERB(name, function)                                                           \
    {name, (PyCFunction)(void (*)(void))(function), METH_FASTCALL | METH_KEYWORDS, NULL}

/* The first VERB_COUNT in the order of enum verb. */
static PyMethodDef verbs_methods[] = {
    VERB("get", verbs_get),
    VERB("set", verbs_set),
    VERB("add", verbs_add),
    VERB("delete", verbs_delete),
    VERB("incr", verbs_incr),
    VERB("__contains__", verbs_contains),
    VERB("get_many", verbs_get_many),
    VERB("set_many", verbs_set_many),
    {"_plug", (PyCFunction)(void (*)(void))verbs_plug,
     METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     "Call through this Port, or none; leave what is not usual to target, if given."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot verbs_slots[] = {
    {Py_tp_dealloc, verbs_dealloc}, {Py_tp_traverse, verbs_traverse},
    {Py_tp_clear, verbs_clear},     {Py_tp_methods, verbs_methods},
    {Py_tp_doc, "The hot verbs."},  {0, NULL},
};

static PyType_Spec verbs_spec = {
    "lilcache._fast.Verbs", sizeof(Verbs), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, verbs_slots};

/* bind(address of lilcache_get, ...), in the order of CORE. */
static PyObject *fast_bind(PyObject *module, PyObject *args) {
    Py_ssize_t at = 0;
    (void)module;
#define X(result, name, arguments)                                                     \
    {                                                                                  \
        PyObject *address = PyTuple_GetItem(args, at++);                               \
        void *pointer = address ? PyLong_AsVoidPtr(address) : NULL;                    \
        if (PyErr_Occurred()) {                                                        \
            return NULL;                                                               \
        }                                                                              \
        memcpy(&core.name, &pointer, sizeof pointer);                                  \
    }
    CORE(X)
#undef X
    Py_RETURN_NONE;
}

/* install(name, method, text signature and documentation) */
static PyObject *fast_install(PyObject *module, PyObject *args) {
    struct state *state = PyModule_GetState(module);
    const char *name;
    PyObject *method;
    const char *text;
    if (!PyArg_ParseTuple(args, "sOs", &name, &method, &text)) {
        return NULL;
    }
    for (int i = 0; i < VERB_COUNT; i++) {
        if (strcmp(name, verb_names[i]) == 0) {
            PyObject *old = state->whole[i];
            Py_INCREF(method);
            state->whole[i] = method;
            Py_XDECREF(old);
            if (!verbs_methods[i].ml_doc) { /* for good: all interpreters share it */
                verbs_methods[i].ml_doc = strdup(text);
            }
            Py_RETURN_NONE;
        }
    }
    return PyErr_Format(PyExc_ValueError, "there is no verb %s", name);
}

static PyMethodDef fast_methods[] = {
    {"bind", fast_bind, METH_VARARGS, "Take the addresses of the core's functions."},
    {"install", fast_install, METH_VARARGS, "Take a whole method and its description."},
    {NULL, NULL, 0, NULL},
};

static PyObject *names_of(const char *const *texts, Py_ssize_t count) {
    PyObject *names = PyTuple_New(count);
    for (Py_ssize_t i = 0; names && i < count; i++) {
        PyObject *name = PyUnicode_FromString(texts[i]);
        if (!name) {
            Py_CLEAR(names);
        } else {
            PyTuple_SetItem(names, i, name);
        }
    }
    return names;
}

static int fast_exec(PyObject *module) {
    struct state *state = PyModule_GetState(module);
    PyObject *port = PyType_FromModuleAndSpec(module, &port_spec, NULL);
    PyObject *verbs = PyType_FromModuleAndSpec(module, &verbs_spec, NULL);
    PyObject *offered = names_of(verb_names, VERB_COUNT);
    PyObject *wanted = names_of(core_names, sizeof core_names / sizeof *core_names);
    int failed = !port || !verbs || !offered || !wanted ||
                 PyModule_AddObjectRef(module, "Port", port) ||
                 PyModule_AddObjectRef(module, "Verbs", verbs) ||
                 PyModule_AddObjectRef(module, "VERBS", offered) ||
                 PyModule_AddObjectRef(module, "CORE", wanted) ||
                 PyModule_AddStringConstant(module, "VERSION", LILCACHE_VERSION);
    state->port_type = (PyTypeObject *)port;
    Py_XDECREF(verbs);
    Py_XDECREF(offered);
    Py_XDECREF(wanted);
    return failed ? -1 : 0;
}

static int fast_traverse(PyObject *module, visitproc visit, void *arg) {
    struct state *state = PyModule_GetState(module);
    Py_VISIT((PyObject *)state->port_type);
    for (int i = 0; i < VERB_COUNT; i++) {
        Py_VISIT(state->whole[i]);
    }
    return 0;
}

static int fast_clear(PyObject *module) {
    struct state *state = PyModule_GetState(module);
    PyObject *port_type = (PyObject *)state->port_type;
    state->port_type = NULL;
    Py_XDECREF(port_type);
    for (int i = 0; i < VERB_COUNT; i++) {
        Py_CLEAR(state->whole[i]);
    }
    return 0;
}

static PyModuleDef_Slot fast_slots[] = {{Py_mod_exec, fast_exec}, {0, NULL}};

static struct PyModuleDef fast_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "lilcache._fast",
    .m_doc = "The hot verbs of lilcache.Cache.",
    .m_size = sizeof(struct state),
    .m_methods = fast_methods,
    .m_slots = fast_slots,
    .m_traverse = fast_traverse,
    .m_clear = fast_clear,
};

PyMODINIT_FUNC PyInit__fast(void) { return PyModuleDef_Init(&fast_module); }
