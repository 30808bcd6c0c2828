/* Keys that get_many asks for in one call of the core, which then has the processor
 * fetch for many of them at a time. */
#ifndef LILCACHE_FAST_BATCH_H
#define LILCACHE_FAST_BATCH_H

#include "_fast_port.h"
#include "_fast_values.h"

#define BATCH_KEYS      32
#define BATCH_KEY_BYTES 4096
#define BATCH_OUT_BYTES (64 * 1024)

struct batch {
    Py_ssize_t count;
    size_t key_bytes;
    PyObject *objects[BATCH_KEYS];
    struct text texts[BATCH_KEYS]; /* of these objects */
    uint32_t lengths[BATCH_KEYS];
    uint8_t types[BATCH_KEYS];
    int64_t results[BATCH_KEYS];
    char keys[BATCH_KEY_BYTES];
};

/* False: full, or this key is none that can be used as it is. */
static bool batch_add(struct batch *batch, PyObject *object) {
    struct text *text = &batch->texts[batch->count];
    if (batch->count == BATCH_KEYS || !read_key(object, text) ||
        (size_t)text->length > BATCH_KEY_BYTES - batch->key_bytes) {
        return false;
    }
    memcpy(batch->keys + batch->key_bytes, text->bytes, (size_t)text->length);
    batch->key_bytes += (size_t)text->length;
    batch->lengths[batch->count] = (uint32_t)text->length;
    batch->types[batch->count] = (uint8_t)text->type;
    Py_INCREF(object);
    batch->objects[batch->count++] = object;
    return true;
}

/* The keys of a list or tuple from this place on, as many as can be asked for at once.
 */
static void batch_fill(struct batch *batch, PyObject *keys, Py_ssize_t at) {
    batch->count = 0;
    batch->key_bytes = 0;
    for (Py_ssize_t size = PySequence_Size(keys); at < size; at++) {
        PyObject *object = PySequence_GetItem(keys, at);
        bool added = object && batch_add(batch, object);
        Py_XDECREF(object);
        if (!added) {
            break;
        }
    }
}

static void batch_read(struct batch *batch, struct lilcache *cache, char *out) {
    core.get_many(cache, (size_t)batch->count, batch->keys, batch->lengths,
                  batch->types, out, BATCH_OUT_BYTES, batch->results);
}

static void batch_drop(struct batch *batch) {
    for (Py_ssize_t i = 0; i < batch->count; i++) {
        Py_DECREF(batch->objects[i]);
    }
}

#endif
