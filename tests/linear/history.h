/* Histories of operations on one key, and the question whether they are linearizable.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_MAX 256        /* operations on one key */
#define ABSENT      INT64_MIN  /* what a key holds that holds nothing */
#define INITIAL     1000       /* what incr gives a missing key */
#define NEVER       UINT64_MAX /* the end of a call that did not return */

enum verb { GET, SET, ADD, REPLACE, DELETE, POP, INCR, CAS, CLEAR };

/* Values are unique among the writes of a key, but for those of incr. */
struct op {
    uint64_t begin; /* nanoseconds */
    uint64_t end;   /* NEVER: it may have happened, at any time, or not */
    enum verb verb;
    bool hit; /* OK; false: MISS, or EXISTS where `exists` */
    bool exists;
    int64_t put; /* what it wrote; delta of incr */
    int64_t got; /* what it read; the version that cas asked for */
    int worker;
};

/* The operations in some order could have been done one after the other, each between
 * its begin and its end, with these results. lossy: an entry may vanish at any time,
 * but not come back. Wing and Gong's search with Lowe's memory of configurations. */
bool history_linearizable(const struct op *ops, size_t count, bool lossy);

/* One line for each operation. */
void history_print(const struct op *ops, size_t count);

#endif
