/* Values out of the segment: of one key, as an object.
 *
 *   up to 2 KiB     by way of a buffer on the stack
 *   up to 256 KiB   looked up again, and copied to where it stays
 *   longer          the whole method's
 *   kept ones       the object of this process, if it is current */
#ifndef LILCACHE_FAST_GET_H
#define LILCACHE_FAST_GET_H

#include "_fast_verbs.h"

/* What the serializer makes of these bytes; payload: an object that is them, or NULL.
 */
static PyObject *loaded_value(const Port *port, PyObject *owner, PyObject *payload,
                              const char *bytes, Py_ssize_t length) {
    if (payload) {
        Py_INCREF(payload);
    } else {
        payload = PyBytes_FromStringAndSize(bytes, length);
    }
    PyObject *value = payload ? serializer_call(port->serializer.loads, payload, owner,
                                                "_load_failed")
                              : NULL;
    Py_XDECREF(payload);
    return value;
}

/* What is no bytes: see value_of. */
static PyObject *other_value(Verbs *self, const struct text *key, int type,
                             PyObject *payload, const char *bytes, Py_ssize_t length) {
    PyObject *value = native_value(type, bytes, length);
    if (value || (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_UnicodeError))) {
        return value;
    }
    PyErr_Clear(); /* Python says what is wrong */
    PyObject *owner = owner_of(self);
    Py_INCREF(owner);
    if (type == self->port->serializer.type && port_serializes(self->port)) {
        value = loaded_value(self->port, owner, payload, bytes, length);
    } else {
        value = PyObject_CallMethod(owner, "_decode", "(y#i)y#iO", bytes, length, type,
                                    key->bytes, key->length, key->type, Py_None);
    }
    Py_DECREF(owner);
    return value;
}

/* A value as it came out of the segment; the port is not to be used afterwards, since
 * loading runs any code. */
static inline PyObject *value_of(Verbs *self, const struct text *key, int64_t packed,
                                 const char *bytes) {
    int type = (int)LILCACHE_VALUE_TYPE(packed);
    Py_ssize_t length = (Py_ssize_t)LILCACHE_LENGTH(packed);
    return type == TYPE_BYTES ? PyBytes_FromStringAndSize(bytes, length)
                              : other_value(self, key, type, NULL, bytes, length);
}

/* Of the object that this process keeps of the key, what a get would return; NULL:
 * there is none, or it is not current. */
static PyObject *known_value(Verbs *self, PyObject *key_object) {
    struct copies *copies = &self->port->copies;
    struct copy *copy = copies_find(copies, key_object);
    if (!copy) {
        return NULL;
    }
    if (core.is_current(self->port->cache, &copy->version) != LILCACHE_OK) {
        return NULL;
    }
    copy->used = true;
    enum copy_kind kind = copy->kind;
    PyObject *value = copy->value;
    Py_INCREF(value); /* before Python 3.12 to copy it may run any code, by the GC */
    PyObject *result = copy_of(value, kind);
    Py_DECREF(value);
    return result;
}

/* The value that the core copies to `out`, kept if it may be. */
static PyObject *fetched_value(Verbs *self, PyObject *key_object,
                               const struct text *key, char *out, size_t cap,
                               int64_t *result) {
    Port *port = self->port;
    struct lilcache_version version;
    uint64_t attachments = port->copies.attachments;
    *result = core.get_version(port->cache, key->bytes, (size_t)key->length, key->type,
                               out, cap, &version);
    if (*result < 0) {
        return NULL;
    }
    Py_INCREF((PyObject *)port); /* decoding runs any code */
    PyObject *value = value_of(self, key, *result, out);
    if (value) {
        copies_keep(&port->copies, key_object, value, &version, attachments);
    }
    Py_DECREF((PyObject *)port);
    return value;
}

#define KEPT_BYTES (16 * 1024)

/* As get, where objects are kept. A value that is too long for `out` is fetched all the
 * same: to decode it once more is what is to be spared. */
static PyObject *kept_value(Verbs *self, PyObject *key_object, const struct text *key,
                            int64_t *result) {
    char out[KEPT_BYTES];
    PyObject *value = known_value(self, key_object);
    if (value || PyErr_Occurred()) {
        *result = 0;
        return value;
    }
    value = fetched_value(self, key_object, key, out, sizeof out, result);
    if (*result == LILCACHE_TOO_LARGE) {
        uint64_t length;
        memcpy(&length, out, sizeof length);
        char *large = malloc(length);
        if (large) {
            value = fetched_value(self, key_object, key, large, length, result);
            free(large);
        }
    }
    if (*result == LILCACHE_MISS) {
        struct copy *old = copies_find(&self->port->copies, key_object);
        if (old) {
            copy_drop(old);
        }
    }
    return value;
}

/* A value of so many bytes, copied once; as get_one. If it has grown meanwhile, the
 * whole method sees to it. */
static PyObject *long_value(Verbs *self, const struct text *key, uint64_t length,
                            int64_t *result) {
    PyObject *payload = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (!payload) {
        *result = 0;
        return NULL;
    }
    *result = core.get(self->port->cache, key->bytes, (size_t)key->length, key->type,
                       PyBytes_AS_STRING(payload), length);
    if (*result < 0) {
        Py_DECREF(payload);
        return NULL;
    }
    int type = (int)LILCACHE_VALUE_TYPE(*result);
    Py_ssize_t got = (Py_ssize_t)LILCACHE_LENGTH(*result);
    bool whole = (uint64_t)got == length || _PyBytes_Resize(&payload, got) == 0;
    if (!whole || type == TYPE_BYTES) {
        return payload; /* NULL with an exception where it could not be cut */
    }
    PyObject *value =
        other_value(self, key, type, payload, PyBytes_AS_STRING(payload), got);
    Py_DECREF(payload);
    return value;
}

/* A new reference; NULL with a status below 0 in *result, or an exception. */
static inline PyObject *get_one(Verbs *self, PyObject *key_object,
                                const struct text *key, int64_t *result) {
    char out[OUT_BYTES];
    if (self->port->copies.sets) {
        return kept_value(self, key_object, key, result);
    }
    *result = core.get(self->port->cache, key->bytes, (size_t)key->length, key->type,
                       out, sizeof out);
    if (*result >= 0) {
        return value_of(self, key, *result, out);
    }
    if (*result == LILCACHE_TOO_LARGE) {
        uint64_t length;
        memcpy(&length, out, sizeof length);
        return length <= LONG_MAX ? long_value(self, key, length, result) : NULL;
    }
    return NULL;
}

#endif
