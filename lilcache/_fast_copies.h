/* Objects that this process has made of values, given again while these are current.
 *
 * A table of sets of up to COPY_WAYS places; a key has its place in one set. The core
 * tells by a version whether a value still is the one that was decoded. What nobody can
 * change is given as it is. A dict, list or set of such things is given as a copy, so
 * that no caller sees what another one does to it. Anything else is not kept, unless
 * all are shared: then the caller has promised to change nothing.
 *
 * Giving up a reference may run any code, which may come back here: a place is put in
 * order first. */
#ifndef LILCACHE_FAST_COPIES_H
#define LILCACHE_FAST_COPIES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdlib.h>

#include <lilcache.h>

#define COPY_WAYS 8
/* A tuple in a tuple in ...: deeper ones are not kept. */
#define COPY_DEPTH 4

enum copy_kind { COPY_NOT, COPY_ITSELF, COPY_DICT, COPY_LIST, COPY_SET };

struct copy {
    PyObject *key; /* NULL: a free place */
    PyObject *value;
    Py_hash_t hash;
    enum copy_kind kind;
    bool used; /* since the hand came by */
    struct lilcache_version version;
};

struct copies {
    size_t sets; /* 0: nothing is kept */
    size_t ways; /* places of a set */
    size_t hand;
    struct copy *places;
    PyObject *leaves; /* tuple of types whose objects nobody can change */
    bool shares;
    uint64_t attachments; /* so far: a version is of one of them */
};

static struct copy *copies_set(const struct copies *copies, Py_hash_t hash) {
    uint64_t mixed = (uint64_t)hash * 0x9E3779B97F4A7C15ULL >> 32;
    return &copies->places[mixed % copies->sets * copies->ways];
}

static bool copy_has_key(const struct copy *copy, PyObject *key, Py_hash_t hash) {
    return copy->key && copy->hash == hash &&
           (copy->key == key || (Py_IS_TYPE(key, Py_TYPE(copy->key)) &&
                                 PyObject_RichCompareBool(copy->key, key, Py_EQ) == 1));
}

/* The place of a key, a str or bytes; NULL: it has none. */
static struct copy *copies_find(const struct copies *copies, PyObject *key) {
    Py_hash_t hash = PyObject_Hash(key);
    struct copy *set = copies_set(copies, hash);
    for (size_t way = 0; way < copies->ways; way++) {
        if (copy_has_key(&set[way], key, hash)) {
            return &set[way];
        }
    }
    return NULL;
}

/* --- what may be kept ------------------------------------------------------------- */

static bool is_immutable(const struct copies *copies, PyObject *object, int depth);

static bool all_immutable(const struct copies *copies, PyObject *items, int depth) {
    PyObject *iterator = PyObject_GetIter(items);
    PyObject *item;
    bool all = iterator != NULL;
    while (all && (item = PyIter_Next(iterator))) {
        all = is_immutable(copies, item, depth);
        Py_DECREF(item);
    }
    Py_XDECREF(iterator);
    PyErr_Clear();
    return all;
}

static bool is_immutable(const struct copies *copies, PyObject *object, int depth) {
    PyTypeObject *type = Py_TYPE(object);
    for (Py_ssize_t i = 0; i < PyTuple_Size(copies->leaves); i++) {
        if ((PyObject *)type == PyTuple_GetItem(copies->leaves, i)) {
            return true;
        }
    }
    return depth > 0 && (type == &PyTuple_Type || type == &PyFrozenSet_Type) &&
           all_immutable(copies, object, depth - 1);
}

static bool dict_of_immutable(const struct copies *copies, PyObject *object) {
    PyObject *key;
    PyObject *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(object, &at, &key, &value)) {
        if (!is_immutable(copies, key, COPY_DEPTH) ||
            !is_immutable(copies, value, COPY_DEPTH)) {
            return false;
        }
    }
    return true;
}

static enum copy_kind kind_of(const struct copies *copies, PyObject *object) {
    if (copies->shares || is_immutable(copies, object, COPY_DEPTH)) {
        return COPY_ITSELF;
    }
    if (Py_IS_TYPE(object, &PyDict_Type)) {
        return dict_of_immutable(copies, object) ? COPY_DICT : COPY_NOT;
    }
    bool list = Py_IS_TYPE(object, &PyList_Type);
    if (!list && !Py_IS_TYPE(object, &PySet_Type)) {
        return COPY_NOT;
    }
    return !all_immutable(copies, object, COPY_DEPTH) ? COPY_NOT
           : list                                     ? COPY_LIST
                                                      : COPY_SET;
}

/* What a caller gets, a new reference. */
static PyObject *copy_of(PyObject *object, enum copy_kind kind) {
    switch (kind) {
    case COPY_DICT:
        return PyDict_Copy(object);
    case COPY_LIST:
        return PyList_GetSlice(object, 0, PyList_Size(object));
    case COPY_SET:
        return PySet_New(object);
    default:
        Py_INCREF(object);
        return object;
    }
}

/* --- places ----------------------------------------------------------------------- */

static void copy_drop(struct copy *place) {
    PyObject *key = place->key;
    PyObject *value = place->value;
    place->key = NULL;
    place->value = NULL;
    Py_XDECREF(key);
    Py_XDECREF(value);
}

/* A free place of the set, or one that was not used since the hand came by. */
static struct copy *copies_room(struct copies *copies, struct copy *set) {
    for (size_t way = 0; way < copies->ways; way++) {
        if (!set[way].key) {
            return &set[way];
        }
    }
    for (;;) {
        struct copy *place = &set[copies->hand++ % copies->ways];
        if (!place->used) {
            return place;
        }
        place->used = false;
    }
}

/* Keep what was just decoded, if that is safe, in the place of what the key had. Never
 * fails: what cannot be kept is not. `attachments` are those when the value was read:
 * another one may have come meanwhile. */
static void copies_keep(struct copies *copies, PyObject *key, PyObject *value,
                        const struct lilcache_version *version, uint64_t attachments) {
    enum copy_kind kind = COPY_NOT;
    if (version->slot && copies->sets) {
        kind = kind_of(copies, value);
    }
    PyObject *own = kind == COPY_NOT ? NULL : copy_of(value, kind);
    PyErr_Clear();
    /* From here on no other code runs until the place is in order. */
    struct copy old = {0};
    if (copies->sets && copies->attachments == attachments) {
        struct copy *place = copies_find(copies, key);
        Py_hash_t hash = PyObject_Hash(key);
        if (!place && own) {
            place = copies_room(copies, copies_set(copies, hash));
        }
        if (place) {
            old = *place;
            *place = (struct copy){NULL, own, hash, kind, false, *version};
        }
        if (place && own) {
            Py_INCREF(key);
            place->key = key;
            own = NULL;
        }
    }
    Py_XDECREF(own);
    Py_XDECREF(old.key);
    Py_XDECREF(old.value);
}

/* The attachment has gone, and its versions with it. */
static void copies_forget(struct copies *copies) {
    copies->attachments++;
    for (size_t i = 0; i < copies->sets * copies->ways; i++) {
        copy_drop(&copies->places[i]);
    }
}

/* Places for so many objects at most, none before; false: no memory. */
static bool copies_open(struct copies *copies, size_t count, bool shares,
                        PyObject *leaves) {
    size_t ways = count < COPY_WAYS ? count : COPY_WAYS;
    size_t sets = ways ? count / ways : 0;
    struct copy *places = sets ? calloc(sets * ways, sizeof *places) : NULL;
    if (sets && !places) {
        return false;
    }
    Py_INCREF(leaves);
    *copies = (struct copies){sets, ways, 0, places, leaves, shares, 0};
    return true;
}

static int copies_traverse(const struct copies *copies, visitproc visit, void *arg) {
    Py_VISIT(copies->leaves);
    for (size_t i = 0; i < copies->sets * copies->ways; i++) {
        Py_VISIT(copies->places[i].key);
        Py_VISIT(copies->places[i].value);
    }
    return 0;
}

static void copies_close(struct copies *copies) {
    struct copies old = *copies;
    *copies = (struct copies){0};
    copies_forget(&old);
    free(old.places);
    Py_XDECREF(old.leaves);
}

#endif
