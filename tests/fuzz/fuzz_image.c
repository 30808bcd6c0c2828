/* libFuzzer target: the image of a prepared segment, damaged before and between
 * operations. Nothing may crash or hang, no lock may stay held, and with checksums no
 * value may come up that its key never had. Whatever the damage was, one rebuild makes
 * the segment whole, and then it takes and gives values again; half of the inputs end
 * so.
 *
 * Byte 0 chooses the state, byte 1 what happens in the end. */
#include "lc_pin.h"
#include "lc_row.h"
#include "patch.h"
#include "states.h"

#define END_REBUILD 1
#define END_EMPTY   2
#define END_CLOSE   4

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    states_begin();
    return 0;
}

static void rebuild(struct model *m, enum lc_phase phase) {
    struct lc_segment *segment = m->segment;
    char report[256] = "";
    arena_write64(&segment->header->hd_retired, 0);
    m->retired = false;
    for (uint32_t i = 0; i < segment->shard_count; i++) {
        arena_write64(&segment->shards[i].ctl->sh_intent.in_phase, phase);
        arena_owner_died(segment, i);
    }
    int violated = lilcache_check(m->cache, report, sizeof report);
    if (violated) {
        FINDING("after a rebuild: %d %s", violated, report);
    }
}

/* A small value finds room, unless damaged rows claim to have pinned every block. As
 * long as slots are damaged, one may point into the new record, where its own record's
 * end is then noted: a checksum shows it. And a damaged copy of the key's slot, which
 * the set did not find, may bring the older value up. */
static void use(struct model *m, uint32_t n, bool rebuilt) {
    struct key key = key_of(n);
    struct entry next = model_next(m, 100, 0);
    model_offer(n, &next);
    int status =
        lilcache_set(m->cache, key.bytes, key.length, key.type, value_of(next.slice),
                     next.length, next.type, 0, LILCACHE_SET);
    if (status == LILCACHE_NO_SPACE) {
        MUST(lc_pin_count(m->segment) > 0);
        return;
    }
    MUST_EQ(status, LILCACHE_OK);
    int64_t result =
        lilcache_get(m->cache, key.bytes, key.length, key.type, model_out(), MODEL_OUT);
    if (m->damaged && result == LILCACHE_MISS) {
        return;
    }
    if (!rebuilt) {
        MUST(result >= 0);
        model_check_value(m, n, result, model_out());
        return;
    }
    MUST_EQ(result, LILCACHE_PACK(next.type, next.length));
    MUST(value_is(model_out(), next.length, next.slice));
}

static bool segment_is_open(const struct model *m) {
    return m->segment->header->hd_retired == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = input_open(data, size);
    struct state *state = state_at(input_byte(&in));
    struct model *m = &state->model;
    uint32_t end = input_byte(&in);
    uint32_t repair = end & (END_REBUILD | END_EMPTY);
    arena_enter(&state->arena);
    m->damaged = true;
    while (stream_step(m, &in, patch_apply)) {
    }
    model_sample(m, end);
    if (in.checked) {
        model_check(m);
    }
    if (segment_is_open(m)) {
        use(m, end, false);
    }
    if (repair == END_REBUILD || repair == END_EMPTY) {
        rebuild(m, repair == END_EMPTY ? LC_PHASE_EMPTY : LC_PHASE_REBUILD);
        model_sample(m, end);
        use(m, end, true);
        if (in.checked) {
            m->damaged = false;
            model_check(m);
            m->damaged = true;
        }
    }
    stream_end(m);
    if (end & END_CLOSE) {
        lc_row_release(m->segment, (uint32_t)m->segment->row);
    }
    arena_check_locks(m->segment);
    arena_restore(&state->arena);
    model_restore(m);
    return 0;
}
