/* What libFuzzer keeps an input for. */
#ifndef FINDING_H
#define FINDING_H

#include <stdio.h>
#include <stdlib.h>

#define FINDING(...)                                                                   \
    do {                                                                               \
        fprintf(stderr, "finding: %s:%d: ", __FILE__, __LINE__);                       \
        fprintf(stderr, __VA_ARGS__);                                                  \
        fputc('\n', stderr);                                                           \
        abort();                                                                       \
    } while (0)

#define MUST(expr)                                                                     \
    do {                                                                               \
        if (!(expr)) {                                                                 \
            FINDING("%s", #expr);                                                      \
        }                                                                              \
    } while (0)

#define MUST_EQ(a, b)                                                                  \
    do {                                                                               \
        long long must_a = (long long)(a);                                             \
        long long must_b = (long long)(b);                                             \
        if (must_a != must_b) {                                                        \
            FINDING("%s is %lld, not %s = %lld", #a, must_a, #b, must_b);              \
        }                                                                              \
    } while (0)

#endif
