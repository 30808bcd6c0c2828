/* The choice of victims.
 *
 * In order: the run that the index waits for, if what lives in it has room elsewhere;
 * runs of an older epoch; wholly dead or expired runs; mostly dead ones, which are
 * cleaned and lose nothing; then S3-FIFO: the oldest of small while small holds more
 * than a tenth of the live bytes, else the oldest of main. A pinned run goes to its
 * queue's end. Nothing living is dropped as long as something useless can go [E4].
 *
 * Hits are evidence only while somebody reads. Under a bulk load, when there are hardly
 * any gets beside the sets, the oldest run of both queues goes, whatever its hits: what
 * is loaded last must end up in the cache, not what happened to be read before
 * (docs/decisions/0003).
 * Invariants: E2 E4 Z2. */
#include "lc_victim.h"

#include "lc_block.h"
#include "lc_evict.h"
#include "lc_index.h"
#include "lc_pin.h"
#include "lc_row.h"

/* Sets after which sh_bulk is worked out again, and gets per set that make no bulk
 * load. */
#define VICTIM_WINDOW_SETS 256
#define VICTIM_BULK_SHARE  16

/* Pinned runs passed over before one is taken, and parked, after all. */
#define VICTIM_PINNED_MAX 16

struct victim_survey {
    uint32_t useless; /* nothing in it is visible any more */
    uint32_t most_dead;
    uint64_t most_dead_bytes;
    uint32_t oldest[LC_QUEUES];
    uint64_t live[LC_QUEUES];
};

static uint64_t victim_live_bytes(const struct shm_block *block) {
    return (block->bl_live & UINT32_MAX) << LC_UNIT_SHIFT;
}

static bool victim_is_pinned(const struct lc_shard *shard, uint32_t head) {
    bool pinned = lc_pin_any_locked(shard->segment, shard->number, head,
                                    lc_block_length_locked(shard, head));
    if (pinned) { /* perhaps by a dead process [Z3] */
        lc_store_relaxed32(&shard->segment->sweep_wanted, 1);
    }
    return pinned;
}

/* A run opened for a large value stays open while it has room left for small ones; that
 * must not keep the space of the value once it is dead. */
static bool victim_is_abandoned(const struct lc_shard *shard, uint32_t head) {
    const struct shm_block *block = &shard->blocks[head];
    uint32_t length = lc_block_length_locked(shard, head);
    uint64_t live = victim_live_bytes(block);
    uint64_t dead = block->bl_fill - lc_min64(live, block->bl_fill);
    return dead * 2 > (uint64_t)length << shard->block_shift &&
           length >
               lc_run_length_locked(shard, lc_max64(shard->ctl->sh_mean_bytes, 24));
}

/* Nothing in it is visible any more. */
static bool victim_is_useless(const struct lc_shard *shard, uint32_t head,
                              uint64_t now) {
    const struct shm_block *block = &shard->blocks[head];
    return lc_word_epoch(block->bl_word) != (uint32_t)shard->ctl->sh_epoch ||
           victim_live_bytes(block) == 0 || block->bl_expires <= now;
}

static void victim_survey(const struct lc_shard *shard, struct victim_survey *out) {
    uint64_t now = lc_os_now_ms();
    *out = (struct victim_survey){
        LC_NO_BLOCK, LC_NO_BLOCK, 0, {LC_NO_BLOCK, LC_NO_BLOCK}, {0, 0}};
    for (uint32_t b = 0; b < shard->block_count; b = lc_block_next_locked(shard, b)) {
        const struct shm_block *block = &shard->blocks[b];
        uint64_t word = lc_load_relaxed(&block->bl_word);
        enum lc_block_state state = lc_word_state(word);
        enum lc_queue queue = lc_word_queue(word);
        if (state != LC_BLOCK_SEALED && state != LC_BLOCK_OPEN) {
            continue;
        }
        uint64_t live = victim_live_bytes(block);
        bool old_epoch = lc_word_epoch(word) != (uint32_t)shard->ctl->sh_epoch;
        out->live[queue] += old_epoch ? 0 : live;
        if (state == LC_BLOCK_OPEN && !victim_is_abandoned(shard, b)) {
            continue;
        }
        if (victim_is_useless(shard, b, now)) {
            /* Pinned ones wait: a large value may be on its way into the run. */
            if (out->useless == LC_NO_BLOCK && !victim_is_pinned(shard, b)) {
                out->useless = b;
            }
            continue;
        }
        uint64_t dead = block->bl_fill - lc_min64(live, block->bl_fill);
        if (dead * 2 > block->bl_fill && dead > out->most_dead_bytes &&
            !victim_is_pinned(shard, b)) {
            out->most_dead = b;
            out->most_dead_bytes = dead;
        }
        if (state == LC_BLOCK_SEALED &&
            (out->oldest[queue] == LC_NO_BLOCK ||
             block->bl_sequence < shard->blocks[out->oldest[queue]].bl_sequence)) {
            out->oldest[queue] = b;
        }
    }
}

static uint32_t victim_by_policy(const struct lc_shard *shard,
                                 const struct victim_survey *survey) {
    uint32_t oldest_small = survey->oldest[LC_SMALL];
    uint32_t oldest_main = survey->oldest[LC_MAIN];
    if (shard->ctl->sh_bulk && oldest_small != LC_NO_BLOCK &&
        oldest_main != LC_NO_BLOCK) {
        return shard->blocks[oldest_small].bl_sequence <
                       shard->blocks[oldest_main].bl_sequence
                   ? oldest_small
                   : oldest_main;
    }
    uint64_t small = survey->live[LC_SMALL];
    uint64_t all = small + survey->live[LC_MAIN];
    enum lc_queue queue = small * 10 > all ? LC_SMALL : LC_MAIN;
    if (survey->oldest[queue] != LC_NO_BLOCK) {
        return survey->oldest[queue];
    }
    return survey->oldest[queue == LC_SMALL ? LC_MAIN : LC_SMALL];
}

/* An open run, when there is nothing else: the fullest. */
static uint32_t victim_open_run(const struct lc_shard *shard) {
    uint32_t best = LC_NO_BLOCK;
    for (int queue = 0; queue < LC_QUEUES; queue++) {
        for (int place = 0; place < LC_OPEN_RUNS; place++) {
            uint32_t head = lc_load_relaxed32(&shard->ctl->sh_open[queue][place]);
            if (head < shard->block_count &&
                (best == LC_NO_BLOCK ||
                 shard->blocks[head].bl_fill > shard->blocks[best].bl_fill)) {
                best = head;
            }
        }
    }
    return best;
}

static void victim_note_traffic(struct lc_shard *shard) {
    struct shm_shard *ctl = shard->ctl;
    struct lc_segment *segment = shard->segment;
    uint64_t gets = lc_row_gets(segment);
    uint64_t sets = 0;
    for (uint32_t s = 0; s < segment->shard_count; s++) {
        sets += lc_load_relaxed(&segment->shards[s].ctl->sh_counter[LC_SHARD_sets]);
    }
    if (sets < ctl->sh_window_sets || gets < ctl->sh_window_gets) {
        ctl->sh_window_gets = gets; /* a row was just being given up, or damage */
        ctl->sh_window_sets = sets;
    }
    if (sets - ctl->sh_window_sets >= VICTIM_WINDOW_SETS) {
        ctl->sh_bulk = (gets - ctl->sh_window_gets) * VICTIM_BULK_SHARE <
                       sets - ctl->sh_window_sets;
        ctl->sh_window_gets = gets;
        ctl->sh_window_sets = sets;
    }
}

static void victim_set(struct lc_shard *shard, uint32_t head,
                       enum lc_victim_mode mode) {
    shard->ctl->sh_victim_at = 0;
    shard->ctl->sh_victim_mode = mode;
    shard->ctl->sh_victim = head;
}

/* The block at the index's end, if a record run is in the way. */
static uint32_t victim_for_index(struct lc_shard *shard) {
    uint32_t block = lc_index_wants_locked(shard);
    if (block == LC_NO_BLOCK) {
        return LC_NO_BLOCK;
    }
    uint32_t head = lc_block_head_locked(shard, block);
    enum lc_block_state state = lc_word_state(shard->blocks[head].bl_word);
    if ((state != LC_BLOCK_SEALED && state != LC_BLOCK_OPEN) ||
        victim_is_pinned(shard, head)) {
        return LC_NO_BLOCK;
    }
    lc_run_seal_locked(shard, head);
    return head;
}

/* A useless run, if there is one. */
static bool victim_set_useless(struct lc_shard *shard) {
    struct victim_survey survey;
    victim_survey(shard, &survey);
    if (survey.useless == LC_NO_BLOCK) {
        return false;
    }
    lc_run_seal_locked(shard, survey.useless);
    victim_set(shard, survey.useless, LC_VICTIM_POLICY);
    return true;
}

/* What lives in the index's way moves elsewhere. Where there is no room for it, what is
 * useless goes first, and the index waits. */
static void victim_set_for_index(struct lc_shard *shard, uint32_t head) {
    const struct shm_block *block = &shard->blocks[head];
    uint64_t live = victim_live_bytes(block);
    bool room = live < (uint64_t)shard->ctl->sh_free_blocks << shard->block_shift;
    if (room || !victim_set_useless(shard)) {
        bool moves = room || live * 2 < block->bl_fill;
        victim_set(shard, head, moves ? LC_VICTIM_CLEAN : LC_VICTIM_POLICY);
    }
}

bool lc_victim_ready_locked(struct lc_shard *shard, bool forced) {
    struct shm_shard *ctl = shard->ctl;
    struct victim_survey survey;

    /* Once: damage may come between two loads. */
    uint32_t victim = lc_load_relaxed32(&ctl->sh_victim);
    if (victim < shard->block_count &&
        lc_word_state(shard->blocks[victim].bl_word) == LC_BLOCK_SEALED) {
        if (forced && !victim_is_useless(shard, victim, lc_os_now_ms())) {
            victim_set_useless(shard); /* the caller drops what lives in the victim */
        }
        return true;
    }
    lc_evict_unpark_locked(shard);
    victim_note_traffic(shard);
    uint32_t head = victim_for_index(shard);
    if (head != LC_NO_BLOCK) {
        victim_set_for_index(shard, head);
        return true;
    }
    for (int passed = 0; passed <= VICTIM_PINNED_MAX; passed++) {
        enum lc_victim_mode mode = LC_VICTIM_POLICY;
        victim_survey(shard, &survey);
        head = survey.useless;
        if (head == LC_NO_BLOCK && survey.most_dead != LC_NO_BLOCK) {
            head = survey.most_dead;
            mode = LC_VICTIM_CLEAN;
        }
        if (head == LC_NO_BLOCK) {
            head = victim_by_policy(shard, &survey);
        }
        if (head == LC_NO_BLOCK) {
            break;
        }
        if (head == survey.useless || passed == VICTIM_PINNED_MAX ||
            !victim_is_pinned(shard, head)) {
            lc_run_seal_locked(shard, head);
            victim_set(shard, head, mode);
            return true;
        }
        shard->blocks[head].bl_sequence = ++ctl->sh_sequence;
    }
    head = forced ? victim_open_run(shard) : LC_NO_BLOCK;
    if (head == LC_NO_BLOCK) {
        return false;
    }
    lc_run_seal_locked(shard, head);
    victim_set(shard, head, LC_VICTIM_POLICY);
    return true;
}

/* What emptying this run would cost; UINT64_MAX when it cannot be emptied. */
static uint64_t victim_cost(const struct lc_shard *shard, uint32_t head) {
    const struct shm_block *block = &shard->blocks[head];
    uint64_t word = lc_load_relaxed(&block->bl_word);
    switch (lc_word_state(word)) {
    case LC_BLOCK_FREE:
        return 0;
    case LC_BLOCK_OPEN:
    case LC_BLOCK_SEALED: {
        uint64_t live = victim_live_bytes(block);
        if (lc_word_epoch(word) != (uint32_t)shard->ctl->sh_epoch) {
            live = 0;
        }
        /* Main has proved its worth; the newest quarter has not had its chance yet. */
        bool young =
            shard->ctl->sh_sequence - block->bl_sequence < shard->block_count / 4;
        uint64_t weight = 1 + 3 * (lc_word_queue(word) == LC_MAIN) + young;
        return 1 + live * weight;
    }
    default:
        return UINT64_MAX;
    }
}

uint32_t lc_victim_window_locked(struct lc_shard *shard, uint32_t count,
                                 uint32_t *end) {
    uint64_t best_cost = UINT64_MAX;
    uint32_t best = LC_NO_BLOCK;
    uint32_t from = 0;
    uint64_t cost = 0;
    /* Two ends that move over heads: [from, to) is a window of whole runs. */
    for (uint32_t to = 0; to < shard->block_count;) {
        uint64_t more = victim_cost(shard, to);
        uint32_t next = lc_block_next_locked(shard, to);
        if (more == UINT64_MAX || (more > 0 && victim_is_pinned(shard, to))) {
            from = to = next;
            cost = 0;
            continue;
        }
        cost += more;
        to = next;
        for (;;) {
            uint32_t second = lc_block_next_locked(shard, from);
            if (second > to || to - second < count) {
                break;
            }
            cost -= victim_cost(shard, from);
            from = second;
        }
        if (to - from >= count && cost < best_cost) {
            best_cost = cost;
            best = from;
            *end = to;
        }
    }
    return best;
}
