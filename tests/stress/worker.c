/* A worker process: its actors, their dice, and what they do while a lock is held. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lc_atomic.h"
#include "lc_os.h"
#include "stress.h"

#define WORKER_CLEAR_STEPS 12000
#define WORKER_HOT_SHARE 20 /* one key in so many is hot */

static const uint32_t worker_keys[WAVE_COUNT] = {600, STRESS_KEYS, STRESS_KEYS};

void board_violation(struct board *board, const char *format, ...) {
    __atomic_fetch_add(&board->violations, 1, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&board->reporting, 1, __ATOMIC_SEQ_CST) == 0) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(board->message, sizeof board->message, format, arguments);
        va_end(arguments);
    }
    lc_store_release(&board->stop, 1);
}

uint64_t actor_random(struct actor *actor) {
    actor->random += 0x9E3779B97F4A7C15ULL;
    return value_mix(actor->random);
}

uint32_t actor_below(struct actor *actor, uint32_t limit) {
    return (uint32_t)((actor_random(actor) >> 32) * limit >> 32);
}

bool actor_chance(struct actor *actor, uint32_t one_in) {
    return actor_below(actor, one_in) == 0;
}

bool actor_stopped(const struct actor *actor) {
    return lc_load_acquire(&actor->board->stop) != 0;
}

/* Somebody holds the lock, perhaps a stopped process: reads must go on all the same. */
bool actor_busy(struct actor *actor, int64_t status) {
    if (status != LILCACHE_BUSY) {
        return false;
    }
    actor_count(actor, COUNT_busy, 1);
    if (actor_stopped(actor)) {
        return false;
    }
    for (int i = 0; i < 8; i++) {
        read_one(actor, key_any(actor));
    }
    actor->mine->doing = "a write that found the lock held";
    return true;
}

uint32_t key_any(struct actor *actor) {
    uint32_t keys = worker_keys[lc_load_relaxed(&actor->board->wave)];
    if (actor->phase->strict) {
        keys = STRESS_KEYS;
    }
    return actor_below(actor, actor_chance(actor, 2) ? keys / WORKER_HOT_SHARE : keys);
}

uint32_t key_owned(struct actor *actor) {
    uint32_t key = key_any(actor);
    key += actor->id - key % (2 * actor->actors);
    return key < STRESS_KEYS ? key : actor->id;
}

uint32_t key_shared(struct actor *actor) {
    uint32_t owner;
    uint32_t key;
    do {
        key = key_any(actor);
    } while (key_is_owned(actor, key, &owner));
    return key;
}

static void worker_step(struct actor *actor) {
    uint32_t dice = actor_below(actor, 1000);
    if (dice < 500) {
        read_one(actor, key_any(actor));
    } else if (dice < 530) {
        read_many(actor);
    } else if (dice < 540) {
        read_ttl(actor, key_any(actor));
    } else if (dice < 600) {
        pin_one(actor, actor_chance(actor, 4)
                           ? key_any(actor)
                           : actor->recent[actor_below(actor, STRESS_RECENT)]);
    } else if (dice < 620) {
        pin_check_all(actor);
    } else if (dice < 640 && actor->held_count > 0) {
        pin_drop(actor, actor_below(actor, actor->held_count));
    } else if (dice < 660) {
        write_many(actor);
    } else if (dice < 700 && actor->phase->strict) {
        sum_step(actor);
    } else if (dice < 880) {
        write_owned(actor, key_owned(actor));
    } else if (dice < 999) {
        write_shared(actor, key_shared(actor));
    } else if (actor_chance(actor, 20)) {
        scan_all(actor);
    }
}

static void *worker_actor(void *argument) {
    struct actor *actor = argument;
    provoke_thread(actor->random);
    if (actor->phase->strict) {
        sum_inherit(actor);
    }
    while (!actor_stopped(actor)) {
        worker_step(actor);
        actor_count(actor, COUNT_operations, 1);
        if (actor->id == 0 && !actor->phase->strict &&
            actor_chance(actor, WORKER_CLEAR_STEPS)) {
            write_clear(actor);
        }
    }
    actor->mine->doing = "unpin";
    while (actor->held_count > 0) {
        pin_drop(actor, 0);
    }
    actor->mine->doing = "nothing";
    return NULL;
}

static void worker_actor_init(struct actor *actor, uint32_t id) {
    uint64_t stats[64];
    struct board *board = actor->board;
    int count = lilcache_stats(actor->cache, stats, 64);
    for (int i = 0; i < count; i++) {
        if (strcmp(lilcache_stat_name(i), "block_bytes") == 0) {
            actor->block_bytes = (uint32_t)stats[i];
        }
    }
    actor->id = id;
    actor->mine = &board->actors[id];
    actor->mine->doing = "start";
    actor->seen = calloc(STRESS_KEYS, sizeof *actor->seen);
    actor->seen_stamp = calloc(STRESS_KEYS, sizeof *actor->seen_stamp);
    actor->unsure = calloc(STRESS_KEYS, 1);
    actor->out = malloc(STRESS_VALUE_BYTES);
    actor->in = malloc(STRESS_VALUE_BYTES);
    for (uint32_t k = id; k < STRESS_KEYS; k += 2 * actor->actors) {
        const struct board_key *key = &board->keys[k];
        actor->unsure[k] = key->begun != BOARD_VERSION(key->acked);
    }
}

void worker_run(struct board *board, struct lilcache *cache, const struct phase *phase,
                const struct options *options, uint32_t worker, uint32_t life) {
    static struct actor actors[STRESS_THREADS_MAX];
    pthread_t threads[STRESS_THREADS_MAX];
    uint64_t seed = value_mix(options->seed ^ (uint64_t)life << 32 ^ worker);
    provoke_start(board, worker, options->kill);
    for (uint32_t t = 0; t < options->threads; t++) {
        actors[t] = (struct actor){
            .board = board,
            .cache = cache,
            .phase = phase,
            .options = options,
            .actors = options->processes * options->threads,
            .random = value_mix(seed + t + 1),
        };
        worker_actor_init(&actors[t], worker * options->threads + t);
    }
    for (uint32_t t = 1; t < options->threads; t++) {
        if (pthread_create(&threads[t], NULL, worker_actor, &actors[t]) != 0) {
            board_violation(board, "pthread_create failed");
            options = NULL;
            break;
        }
    }
    worker_actor(&actors[0]);
    for (uint32_t t = 1; options && t < options->threads; t++) {
        pthread_join(threads[t], NULL);
    }
    lilcache_close(cache);
    _exit(0);
}
