/* libFuzzer target: a stream of operations on a prepared segment, each answer compared
 * with the model's. Byte 0 chooses the state, byte 1 the keys looked at in the end. */
#include "states.h"
#include "stream.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    states_begin();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = input_open(data, size);
    struct state *state = state_at(input_byte(&in));
    struct model *m = &state->model;
    uint32_t sample = input_byte(&in);
    arena_enter(&state->arena);
    while (stream_step(m, &in, NULL)) {
    }
    model_sample(m, sample);
    stream_end(m);
    if (in.checked) {
        model_check(m);
    }
    arena_check_locks(m->segment);
    arena_restore(&state->arena);
    model_restore(m);
    return 0;
}
