/* What get and set of an engine cost in C: the core's own, or of pogocache beside it.
 *
 *   core ENTRIES THREADS ROUNDS [huge]
 *
 * ENGINE is a header of this folder, so that no call of this program lies between.
 *
 * So many keys of 16 bytes with values of 100, in an order that no prefetcher guesses;
 * each thread goes through all of them, from a place of its own. Prints one line of
 * JSON: nanoseconds a call of the best round of each verb, all threads at work, and the
 * calls a second of all threads together in that round. get_many asks for BATCH keys at
 * a time; one key of it is a call. huge: in huge pages, as far as there are any. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEY_BYTES   16
#define VALUE_BYTES 100
#define BATCH       50
#define THREADS_MAX 64
#define CALLS_LEAST 200000 /* of a thread in a round: long against starting it */

enum verb { GET, GET_MANY, MISS, SET, VERBS };

static const char *const names[VERBS] = {"get", "get_many", "miss", "set"};

static char (*keys)[KEY_BYTES];
static uint64_t entries;
static uint64_t threads;
static pthread_barrier_t barrier;

struct share {
    enum verb verb;
    uint64_t from;
    double seconds;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* engine_open, which returns the share that is in huge pages, engine_set, engine_get,
 * engine_miss, engine_get_many, engine_close. */
#include ENGINE

static uint64_t calls_of_a_thread(void) {
    uint64_t times = (CALLS_LEAST + entries - 1) / entries;
    return entries * times;
}

static void call(enum verb verb, const char *key) {
    static const char value[VALUE_BYTES] = "value";
    char out[VALUE_BYTES];
    if (verb == SET) {
        engine_set(key, value);
    } else if (verb == GET) {
        engine_get(key, out);
    } else {
        engine_miss(key, out);
    }
}

/* The next keys from this place on; how many. */
static uint64_t call_many(uint64_t at) {
    uint64_t count = entries - at < BATCH ? entries - at : BATCH;
    engine_get_many(keys[at], count);
    return count;
}

static void *work(void *argument) {
    struct share *share = argument;
    uint64_t at = share->from;
    uint64_t calls = calls_of_a_thread();
    pthread_barrier_wait(&barrier);
    double began = now();
    for (uint64_t i = 0, done; i < calls; i += done) {
        done = 1;
        if (share->verb == GET_MANY) {
            done = call_many(at);
        } else {
            call(share->verb, keys[at]);
        }
        at = at + done == entries ? 0 : at + done;
    }
    share->seconds = now() - began;
    return NULL;
}

/* Nanoseconds a call, as each thread sees it. */
static double round_of(enum verb verb) {
    struct share shares[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    double slowest = 0;
    for (uint64_t i = 0; i < threads; i++) {
        shares[i] = (struct share){.verb = verb, .from = entries * i / threads};
        if (i > 0 && pthread_create(&ids[i], NULL, work, &shares[i])) {
            fail("pthread_create", "refused");
        }
    }
    work(&shares[0]);
    for (uint64_t i = 0; i < threads; i++) {
        if (i > 0) {
            pthread_join(ids[i], NULL);
        }
        slowest = shares[i].seconds > slowest ? shares[i].seconds : slowest;
    }
    return slowest * 1e9 / (double)calls_of_a_thread();
}

static void make_keys(void) {
    uint64_t dice = 88172645463325252ULL;
    keys = calloc(entries, KEY_BYTES);
    if (!keys) {
        fail("keys", "no memory");
    }
    for (uint64_t i = 0; i < entries; i++) {
        char text[32];
        snprintf(text, sizeof text, "key:%012llu", (unsigned long long)i);
        memcpy(keys[i], text, KEY_BYTES);
    }
    for (uint64_t i = entries - 1; i > 0; i--) {
        char held[KEY_BYTES];
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        uint64_t other = dice % (i + 1);
        memcpy(held, keys[i], KEY_BYTES);
        memcpy(keys[i], keys[other], KEY_BYTES);
        memcpy(keys[other], held, KEY_BYTES);
    }
}

int main(int argc, char **argv) {
    bool huge = argc == 5 && strcmp(argv[4], "huge") == 0;
    if (argc != 4 && !huge) {
        fprintf(stderr, "core ENTRIES THREADS ROUNDS [huge]\n");
        return 2;
    }
    entries = strtoull(argv[1], NULL, 10);
    threads = strtoull(argv[2], NULL, 10);
    long rounds = strtol(argv[3], NULL, 10);
    if (entries == 0 || threads == 0 || threads > THREADS_MAX || rounds < 1) {
        fprintf(stderr, "core: at least one of each, at most %d threads\n",
                THREADS_MAX);
        return 2;
    }
    double huge_share = engine_open(entries, huge);
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    make_keys();
    double best[VERBS] = {0};
    for (uint64_t i = 0; i < entries; i++) {
        call(SET, keys[i]);
    }
    for (long n = 0; n < rounds; n++) {
        for (int verb = 0; verb < VERBS; verb++) {
            double ns = round_of((enum verb)verb);
            best[verb] = n == 0 || ns < best[verb] ? ns : best[verb];
        }
    }
    printf("{\"entries\": %llu, \"threads\": %llu, \"huge_share\": %.2f",
           (unsigned long long)entries, (unsigned long long)threads, huge_share);
    for (int verb = 0; verb < VERBS; verb++) {
        printf(", \"%s_ns\": %.1f, \"%s_per_second\": %.0f", names[verb], best[verb],
               names[verb], (double)threads * 1e9 / best[verb]);
    }
    printf("}\n");
    engine_close();
    return 0;
}
