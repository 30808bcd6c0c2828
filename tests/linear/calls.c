/* The calls of one worker, written down as they are made. */
#include "calls.h"

#include <sched.h>
#include <signal.h>

#define PAUSE_ONE_IN 60
#define COUNTERS     4 /* the first keys of a round are for incr */
#define FILLERS      3 /* in a segment that evicts: other entries, for each call */

struct shared *shared;
struct lilcache *caches[2];
static struct lilcache *cache;
static uint8_t buffer[LARGE];
static struct ct_random dice;

uint64_t calls_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* --- values: a number, then bytes that follow from it ------------------------------
 */

static size_t value_length(int64_t number) {
    switch ((uint64_t)number * 0x9E3779B97F4A7C15ULL >> 59) {
    case 0:
        return LARGE;
    case 1:
    case 2:
    case 3:
        return 5000;
    default:
        return 40;
    }
}

static size_t value_make(int64_t number) {
    size_t length = value_length(number);
    memcpy(buffer, &number, 8);
    ct_fill(buffer + 8, length - 8, (uint64_t)number);
    return length;
}

/* A value that is not wholly one of ours is torn. */
static int64_t value_read(const uint8_t *data, int64_t result) {
    int64_t number;
    memcpy(&number, data, 8);
    if (LILCACHE_VALUE_TYPE(result) == LILCACHE_TYPE_INT64) {
        return number;
    }
    size_t length = LILCACHE_LENGTH(result);
    if (length != value_length(number) ||
        !ct_matches(data + 8, length - 8, (uint64_t)number)) {
        __atomic_fetch_add(&shared->torn, 1, __ATOMIC_SEQ_CST);
    }
    return number;
}

/* --- calls -------------------------------------------------------------------------
 */

static int me;

static void point_hook(enum lc_crash_point point) {
    struct fate *fate = &shared->fate;
    (void)point;
    if (fate->signal && fate->worker == me && fate->after-- == 0) {
        int signal_number = fate->signal;
        fate->signal = 0;
        __atomic_store_n(&fate->met, 1, __ATOMIC_SEQ_CST);
        raise(signal_number);
    }
    if (ct_below(&dice, PAUSE_ONE_IN) == 0) {
        sched_yield();
    }
}

void calls_key(uint64_t round, uint32_t key, char out[CT_KEY_BYTES + 1]) {
    ct_key(round * KEYS + key, out);
}

static struct call *call_begin(int worker, enum verb verb, uint32_t key) {
    struct log *log = &shared->logs[worker];
    struct call *call = &log->calls[log->count];
    *call =
        (struct call){.key = key, .op = {.verb = verb, .worker = worker, .end = NEVER}};
    return call;
}

/* The begin is stored last but for the count: a call that is counted is complete but
 * for its end. */
static void call_go(int worker, struct call *call) {
    call->op.begin = calls_now();
    __atomic_store_n(&shared->logs[worker].count, shared->logs[worker].count + 1,
                     __ATOMIC_RELEASE);
}

static void count(uint64_t *what) { __atomic_fetch_add(what, 1, __ATOMIC_RELAXED); }

static void call_end(struct call *call, int64_t result) {
    call->op.hit = result >= 0;
    call->op.exists = result == LILCACHE_EXISTS;
    if (result < 0 && result != LILCACHE_MISS && result != LILCACHE_EXISTS) {
        LCT_FAIL("verb %d answered %s", call->op.verb,
                 lilcache_status_name((int)result));
    }
    __atomic_store_n(&call->op.end, calls_now(), __ATOMIC_RELEASE);
}

/* After a call that does not wait. False: it was answered BUSY and has done nothing. It
 * is in no history then, so that whatever it did all the same has no explanation; the
 * one that waits begins. */
static bool call_tried(int worker, struct call *call, int64_t result) {
    if (result != LILCACHE_BUSY) {
        count(&shared->tries);
        call_end(call, result);
        return true;
    }
    count(&shared->busy);
    shared->logs[worker].count--;
    call_go(worker, call);
    return false;
}

/* What this worker has made of a value of the round, as processes keep what they have
 * decoded. */
static struct {
    struct lilcache_version version;
    int64_t number;
} known[KEYS];

/* A get of who keeps what he got: the value that he has if it is current, or else a get
 * of the core, all in one call. */
static void do_read_known(int worker, uint32_t key, const char *name) {
    struct call *call = call_begin(worker, GET, key);
    call_go(worker, call);
    if (lilcache_is_current(cache, &known[key].version) == LILCACHE_OK) {
        count(&shared->current);
        call->op.got = known[key].number;
        call_end(call, LILCACHE_OK);
        return;
    }
    if (known[key].version.slot) {
        count(&shared->outdated);
    }
    int64_t result = lilcache_get_version(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR,
                                          buffer, LARGE, &known[key].version);
    if (result >= 0) {
        call->op.got = known[key].number = value_read(buffer, result);
    }
    call_end(call, result);
}

/* Both are begun before the first one is finished. */
static int64_t get_first_of_two(const char *name) {
    static const uint32_t lengths[] = {CT_KEY_BYTES, CT_KEY_BYTES};
    static const uint8_t types[] = {LILCACHE_KEY_STR, LILCACHE_KEY_STR};
    char names[2 * CT_KEY_BYTES];
    int64_t results[2];
    memcpy(names, name, CT_KEY_BYTES);
    memcpy(names + CT_KEY_BYTES, name, CT_KEY_BYTES);
    names[CT_KEY_BYTES] ^= 1;
    lilcache_get_many(cache, 2, names, lengths, types, buffer, LARGE, results);
    return results[0];
}

static void do_read(int worker, uint32_t key, const char *name) {
    if (ct_below(&dice, 3) == 0) {
        do_read_known(worker, key, name);
        return;
    }
    struct call *call = call_begin(worker, GET, key);
    struct lilcache_view view;
    call_go(worker, call);
    if (ct_below(&dice, 2) == 0) {
        int64_t result =
            lilcache_pin(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, &view);
        if (result == LILCACHE_NO_PIN) {
            count(&shared->unpinned);
        } else {
            if (result >= 0) {
                count(&shared->views);
                call->op.got = value_read(view.data, result);
            }
            call_end(call, result);
            if (result >= 0) {
                sched_yield();
                if (value_read(view.data, result) != call->op.got) {
                    __atomic_fetch_add(&shared->torn, 1, __ATOMIC_SEQ_CST);
                }
                lilcache_unpin(cache, view.pin);
            }
            return;
        }
    }
    int64_t result =
        ct_below(&dice, 4) == 0
            ? get_first_of_two(name)
            : lilcache_get(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, buffer, LARGE);
    if (result >= 0) {
        call->op.got = value_read(buffer, result);
    }
    call_end(call, result);
}

static void do_cas(int worker, uint32_t key, const char *name, int64_t number) {
    uint32_t stamp;
    struct call *call = call_begin(worker, GET, key);
    call_go(worker, call);
    int64_t result = lilcache_gets(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, buffer,
                                   LARGE, &stamp);
    if (result >= 0) {
        call->op.got = value_read(buffer, result);
    }
    call_end(call, result);
    if (result < 0) {
        return;
    }
    int64_t version = call->op.got;
    if (ct_below(&dice, 2) == 0) {
        sched_yield();
    }
    call = call_begin(worker, CAS, key);
    call->op.put = number;
    call->op.got = version;
    size_t length = value_make(number);
    call_go(worker, call);
    PATIENTLY(result, lilcache_cas(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, buffer,
                                   length, 7, LILCACHE_TTL_NONE, stamp));
    call_end(call, result);
}

/* Entries of these keys may expire. A replace or a cas is not tried on them: whether
 * the entry is alive is looked at when the lock is had, and a get that comes between
 * that moment and the store may find that it has expired meanwhile. */
static bool key_expires(uint32_t key) { return key >= COUNTERS && key % 2 == 0; }

static void do_store(int worker, uint32_t key, const char *name, int64_t number,
                     enum verb verb, bool lossy) {
    static const int modes[] = {
        [SET] = LILCACHE_SET, [ADD] = LILCACHE_ADD, [REPLACE] = LILCACHE_REPLACE};
    int64_t result;
    struct call *call = call_begin(worker, verb, key);
    call->op.put = number;
    size_t length = value_make(number);
    int64_t ttl =
        lossy && key_expires(key) && ct_below(&dice, 2) == 0 ? 1 : LILCACHE_TTL_NONE;
    call_go(worker, call);
    if (verb == SET && ttl == LILCACHE_TTL_NONE && ct_below(&dice, 2) == 0) {
        result = lilcache_try_set(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, buffer,
                                  length, 7, LILCACHE_TTL_NONE, LILCACHE_SET);
        if (call_tried(worker, call, result)) {
            return;
        }
    }
    PATIENTLY(result, lilcache_set(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, buffer,
                                   length, 7, ttl, modes[verb]));
    call_end(call, result);
}

static void do_remove(int worker, uint32_t key, const char *name, enum verb verb) {
    int64_t result;
    struct call *call = call_begin(worker, verb, key);
    call_go(worker, call);
    if (verb == POP) {
        PATIENTLY(result, lilcache_pop(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR,
                                       buffer, LARGE));
        if (result >= 0) {
            call->op.got = value_read(buffer, result);
        }
    } else {
        if (ct_below(&dice, 2) == 0) {
            result = lilcache_try_delete(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR);
            if (call_tried(worker, call, result)) {
                return;
            }
        }
        PATIENTLY(result, lilcache_delete(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR));
    }
    call_end(call, result);
}

static void do_incr(int worker, uint32_t key, const char *name) {
    static const int64_t initial = INITIAL;
    int64_t result;
    struct call *call = call_begin(worker, INCR, key);
    call->op.put = 1 + (int64_t)ct_below(&dice, 3);
    call_go(worker, call);
    if (ct_below(&dice, 2) == 0) {
        result =
            lilcache_try_incr(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, call->op.put,
                              &initial, LILCACHE_TTL_NONE, &call->op.got);
        if (call_tried(worker, call, result)) {
            return;
        }
    }
    PATIENTLY(result,
              lilcache_incr(cache, name, CT_KEY_BYTES, LILCACHE_KEY_STR, call->op.put,
                            &initial, LILCACHE_TTL_NONE, &call->op.got));
    call_end(call, result);
}

/* A clear that found a shard busy may have cleared the others: each attempt by itself,
 * and those that gave up may have happened or not. */
static void do_clear(int worker) {
    for (;;) {
        struct call *call = call_begin(worker, CLEAR, KEYS);
        call_go(worker, call);
        int result = lilcache_clear(cache);
        if (result != LILCACHE_BUSY) {
            call_end(call, result);
            return;
        }
        if (shared->logs[worker].count > CALLS * 3) {
            return;
        }
    }
}

static void do_fillers(void) {
    for (int i = 0; i < FILLERS; i++) {
        uint64_t n = 1ULL << 40 | ct_below(&dice, 3000);
        ct_set(cache, n, n, ct_spread(&dice, 10, 3000));
    }
}

static void one_call(int worker, uint64_t round, uint64_t serial) {
    bool lossy = round % 2 == 1;
    uint32_t key = (uint32_t)ct_below(&dice, KEYS);
    char name[CT_KEY_BYTES + 1];
    /* Unique in the round, and never a number that incr makes. */
    int64_t number = (int64_t)((serial * WORKERS + (uint64_t)worker + 1) << 20);
    calls_key(round, key, name);
    if (lossy) {
        do_fillers();
    }
    if (ct_below(&dice, 400) == 0) {
        do_clear(worker);
    } else if (key < COUNTERS) {
        switch (ct_below(&dice, 8)) {
        case 0:
            do_remove(worker, key, name, DELETE);
            break;
        case 1:
        case 2:
            do_read(worker, key, name);
            break;
        default:
            do_incr(worker, key, name);
        }
    } else {
        switch (ct_below(&dice, 10)) {
        case 0:
            do_remove(worker, key, name, DELETE);
            break;
        case 1:
            do_remove(worker, key, name, POP);
            break;
        case 2:
            do_store(worker, key, name, number, ADD, lossy);
            break;
        case 3:
            do_store(worker, key, name, number,
                     lossy && key_expires(key) ? SET : REPLACE, lossy);
            break;
        case 4:
        case 5:
            do_store(worker, key, name, number, SET, lossy);
            break;
        case 6:
            if (!lossy || !key_expires(key)) {
                do_cas(worker, key, name, number);
                break;
            }
            /* fall through */
        default:
            do_read(worker, key, name);
        }
    }
}

void calls_work(int worker, uint64_t from_round, uint64_t seed) {
    dice.state = seed * 977 + from_round * 31 + (uint64_t)worker;
    lc_crash_hook = point_hook;
    me = worker;
    for (uint64_t last = from_round;;) {
        uint64_t round;
        while ((round = __atomic_load_n(&shared->round, __ATOMIC_ACQUIRE)) == last) {
            sched_yield();
        }
        if (round == 0) {
            _exit(0);
        }
        last = round;
        cache = caches[round % 2];
        memset(known, 0, sizeof known);
        for (uint64_t i = 0; i < CALLS; i++) {
            one_call(worker, round, i);
        }
        __atomic_store_n(&shared->ready[worker], round, __ATOMIC_RELEASE);
    }
}
