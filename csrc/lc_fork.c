/* Fork.
 *
 *   parent, before      child                        parent, after
 *   if pins are live:   drop the parent's            close the spare
 *     spare description   description at once          description: its lock
 *     spare row with      take over the spare          is the child's now
 *     copies of all pins  row, or have none yet
 *
 * An OFD lock lives until the last descriptor of its description is closed, so a child
 * that kept the parent's would make a dead parent look alive. Views inherited over fork
 * are valid in both: the pins were copied before there was a child.
 *
 * When there is no descriptor or row to be had for the copies, the parent's pins stand
 * for both: the parent never clears them, not even at close, and the child keeps the
 * parent's description open, so that nobody takes the row before both have ended.
 *
 * A segment without live pins costs the fork nothing; the child claims its row at its
 * first call. State: the registry, the only mutable state of the library.
 * Invariants: F1 F2. */
#include "lc_fork.h"

#include <errno.h>

#include "lc_atomic.h"
#include "lc_lock.h"
#include "lc_object.h"
#include "lc_row.h"

static pthread_mutex_t fork_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct lc_segment *fork_segments;
static uint64_t *fork_word; /* 1; reads 0 in a child until it has been dealt with */

struct lc_segment **lc_fork_registry(void) { return &fork_segments; }
void lc_fork_registry_lock(void) { pthread_mutex_lock(&fork_mutex); }
void lc_fork_registry_unlock(void) { pthread_mutex_unlock(&fork_mutex); }

static bool fork_has_pins(const struct lc_segment *segment) {
    for (uint32_t i = 0; i < segment->row_pins; i++) {
        if (segment->pins[i].views > 0) {
            return true;
        }
    }
    return false;
}

static void fork_share_pins(struct lc_segment *segment) {
    for (uint32_t i = 0; i < segment->row_pins; i++) {
        segment->pins[i].holds += segment->pins[i].views > 0; /* never dropped */
    }
    segment->child_shares_row = true;
    segment->row_is_shared = true;
}

static void fork_copy_pins(struct lc_segment *segment) {
    int failed;
    int fd = lc_object_reopen(segment);
    int spare = fd < 0 ? -1 : lc_row_claim(segment, fd, &failed);
    if (spare < 0) {
        lc_os_close(fd);
        fork_share_pins(segment);
        return;
    }
    const struct shm_row *from = lc_row_at(segment, (uint32_t)segment->row);
    struct shm_row *to = lc_row_at(segment, (uint32_t)spare);
    lc_store_relaxed32(&to->rw_pin_high, lc_load_relaxed32(&from->rw_pin_high));
    uint64_t blocks = 0;
    for (uint32_t i = 0; i < segment->row_pins; i++) {
        bool inherited = segment->pins[i].views > 0; /* not those of calls under way */
        lc_store_relaxed(&to->rw_pin[i], inherited ? segment->pins[i].word : 0);
        blocks += inherited ? segment->pins[i].blocks : 0;
    }
    lc_store_relaxed(&to->rw_pinned_blocks, blocks);
    /* As in lc_pin_take; our own pins bridge the time until here. Then the count that
     * sends a scan back which has passed the new row already [Z1]. */
    lc_fence_seq_cst();
    lc_add_release(&segment->header->hd_pin_copies, 1);
    segment->spare_fd = fd;
    segment->spare_row = spare;
}

static void fork_prepare(void) {
    lc_fork_registry_lock();
    for (struct lc_segment *s = fork_segments; s; s = s->next) {
        pthread_mutex_lock(&s->pin_mutex);
        s->spare_fd = -1;
        s->spare_row = -1;
        s->child_shares_row = false;
        if (s->row >= 0 && fork_has_pins(s)) {
            fork_copy_pins(s);
        }
    }
}

static void fork_parent(void) {
    for (struct lc_segment *s = fork_segments; s; s = s->next) {
        lc_os_close(s->spare_fd);
        s->spare_fd = -1;
        s->spare_row = -1;
        pthread_mutex_unlock(&s->pin_mutex);
    }
    lc_fork_registry_unlock();
}

/* A second one, of a grandparent, stays open without a name. */
static void fork_keep_description(struct lc_segment *segment) {
    if (segment->shared_fd < 0) {
        segment->shared_fd = segment->lock_fd;
    }
}

static void fork_adopt(struct lc_segment *segment) {
    bool spare = segment->spare_row >= 0;
    if (segment->child_shares_row) {
        fork_keep_description(segment);
    } else {
        lc_object_close(segment, segment->lock_fd);
    }
    segment->child_shares_row = false;
    segment->row_is_shared = false; /* the child's own will not be */
    segment->lock_fd = spare ? segment->spare_fd : -1;
    segment->row = spare ? segment->spare_row : -1;
    segment->spare_fd = -1;
    segment->spare_row = -1;
    if (spare) {
        lc_row_sign(lc_row_at(segment, (uint32_t)segment->row));
    } else {
        segment->pin_epoch++;
    }
    for (uint32_t i = 0; i < segment->row_pins; i++) {
        struct lc_local_pin *pin = &segment->pins[i];
        pin->holds = pin->views; /* calls of the parent's other threads are not ours */
        if (!spare || pin->views == 0) {
            *pin = (struct lc_local_pin){0};
        }
    }
    segment->claim_after_ms = 0;
}

static void fork_child(void) {
    for (struct lc_segment *s = fork_segments; s; s = s->next) {
        fork_adopt(s);
        pthread_mutex_unlock(&s->pin_mutex);
    }
    lc_fork_registry_unlock();
    lc_store_relaxed(fork_word, 1);
}

LC_NOINLINE void lc_fork_child_now(void) {
    /* No handler ran: the mutexes are as some other thread of the parent left them. */
    pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    fork_mutex = fresh;
    for (struct lc_segment *s = fork_segments; s; s = s->next) {
        s->pin_mutex = fresh;
        s->spare_row = -1;
        s->spare_fd = -1;
        s->child_shares_row = false;
        fork_adopt(s);
    }
    lc_store_relaxed(fork_word, 1);
}

bool lc_fork_noticed(void) { return lc_load_relaxed(fork_word) != 0; }

int lc_fork_init(void) {
    static bool done;
    int failed = 0;
    lc_fork_registry_lock();
    if (!done) {
        failed = lc_lock_setup();
    }
    if (!failed && !fork_word) {
        failed = lc_os_fork_word(&fork_word);
    }
    if (!done && !failed) {
        failed = -pthread_atfork(fork_prepare, fork_parent, fork_child);
        if (!failed) {
            *fork_word = 1;
            done = true;
        }
    }
    lc_fork_registry_unlock();
    return failed;
}
