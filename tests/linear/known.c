/* The checker is checked: histories that must pass, and, for each kind of lie a cache
 * could tell, one that must not. */
#include "known.h"

#include <stdio.h>

#include "history.h"

#define OPS_MAX 8

struct known {
    const char *name;
    bool exact; /* is linearizable when nothing may vanish */
    bool lossy; /* ... when entries may */
    struct op ops[OPS_MAX];
};

#define AT(b, e)    .begin = (b), .end = (e)
#define OK_(b, e)   AT(b, e), .hit = true
#define MISS_(b, e) AT(b, e), .hit = false

static const struct known known[] = {
    {"one after the other",
     true,
     true,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {OK_(3, 4), .verb = GET, .got = 7},
      {OK_(5, 6), .verb = DELETE},
      {MISS_(7, 8), .verb = GET}}},
    {"a get beside a set sees the old value or the new one",
     true,
     true,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {OK_(3, 9), .verb = SET, .put = 8},
      {OK_(4, 5), .verb = GET, .got = 7},
      {OK_(6, 7), .verb = GET, .got = 8}}},
    {"a call that never returned happened late",
     true,
     true,
     {{AT(1, NEVER), .verb = SET, .put = 7},
      {MISS_(2, 3), .verb = GET},
      {OK_(4, 5), .verb = GET, .got = 7}}},
    {"two additions beside each other",
     true,
     true,
     {{OK_(1, 5), .verb = INCR, .put = 1, .got = INITIAL},
      {OK_(1, 5), .verb = INCR, .put = 1, .got = INITIAL + 1}}},
    {"an entry vanishes",
     false,
     true,
     {{OK_(1, 2), .verb = SET, .put = 7}, {MISS_(3, 4), .verb = GET}}},
    {"an entry vanishes and comes back",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {MISS_(3, 4), .verb = GET},
      {OK_(5, 6), .verb = GET, .got = 7}}},
    {"a stale value",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {OK_(3, 4), .verb = SET, .put = 8},
      {OK_(5, 6), .verb = GET, .got = 7}}},
    {"the new value, then the old one",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {OK_(3, 9), .verb = SET, .put = 8},
      {OK_(4, 5), .verb = GET, .got = 8},
      {OK_(6, 7), .verb = GET, .got = 7}}},
    {"a value from the future",
     false,
     false,
     {{OK_(1, 2), .verb = GET, .got = 7}, {OK_(3, 4), .verb = SET, .put = 7}}},
    {"a value that nobody wrote",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7}, {OK_(3, 4), .verb = GET, .got = 9}}},
    {"a deleted value",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {OK_(3, 4), .verb = DELETE},
      {OK_(5, 6), .verb = GET, .got = 7}}},
    {"a cleared value",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {OK_(3, 4), .verb = CLEAR},
      {OK_(5, 6), .verb = GET, .got = 7}}},
    {"popped twice",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {OK_(3, 6), .verb = POP, .got = 7},
      {OK_(4, 7), .verb = POP, .got = 7}}},
    {"added twice",
     false,
     true, /* the first may have vanished in between */
     {{OK_(1, 4), .verb = ADD, .put = 7}, {OK_(2, 5), .verb = ADD, .put = 8}}},
    {"added twice and the first one seen",
     false,
     false,
     {{OK_(1, 2), .verb = ADD, .put = 7},
      {OK_(3, 4), .verb = ADD, .put = 8},
      {OK_(5, 6), .verb = GET, .got = 7}}},
    {"a lost addition",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 5},
      {OK_(3, 6), .verb = INCR, .put = 1, .got = 6},
      {OK_(4, 7), .verb = INCR, .put = 1, .got = 6}}},
    {"compared with a version that was gone",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {OK_(3, 4), .verb = SET, .put = 8},
      {OK_(5, 6), .verb = CAS, .got = 7, .put = 9}}},
    {"two compare and set of one version",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {OK_(3, 6), .verb = CAS, .got = 7, .put = 8},
      {OK_(4, 7), .verb = CAS, .got = 7, .put = 9}}},
    {"refused though nothing had changed",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 7},
      {MISS_(3, 4), .exists = true, .verb = CAS, .got = 7, .put = 8}}},
    {"a call that never returned happened twice",
     false,
     false,
     {{OK_(1, 2), .verb = SET, .put = 6},
      {AT(3, NEVER), .verb = SET, .put = 7},
      {OK_(4, 5), .verb = GET, .got = 7},
      {OK_(6, 7), .verb = SET, .put = 8},
      {OK_(8, 9), .verb = GET, .got = 7}}},
};

static size_t known_length(const struct known *history) {
    size_t length = 0;
    while (length < OPS_MAX && history->ops[length].begin) {
        length++;
    }
    return length;
}

int known_check(void) {
    int wrong = 0;
    int bad = 0;
    size_t count = sizeof known / sizeof *known;
    for (size_t i = 0; i < count; i++) {
        size_t length = known_length(&known[i]);
        bad += !known[i].exact;
        if (history_linearizable(known[i].ops, length, false) != known[i].exact ||
            history_linearizable(known[i].ops, length, true) != known[i].lossy) {
            fprintf(stderr, "the checker is wrong about: %s\n", known[i].name);
            wrong++;
        }
    }
    printf("%zu known histories, %d of them bad, %d judged wrongly\n", count, bad,
           wrong);
    return wrong;
}
