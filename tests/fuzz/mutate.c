/* Inputs are records of four bytes: half of the mutations move whole records. */
#include <stdint.h>
#include <string.h>

#include "cachetest.h"

#define HEAD   2 /* bytes before the first record */
#define RECORD 4

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

static size_t insert(uint8_t *data, size_t size, size_t most, size_t at,
                     const uint8_t record[RECORD]) {
    if (size + RECORD > most) {
        return size;
    }
    memmove(data + at + RECORD, data + at, size - at);
    memcpy(data + at, record, RECORD);
    return size + RECORD;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    struct ct_random random = {seed};
    size_t records = size > HEAD ? (size - HEAD) / RECORD : 0;
    uint32_t choice = (uint32_t)ct_below(&random, 12);
    if (choice >= 6 || records == 0) {
        return LLVMFuzzerMutate(data, size, most);
    }
    size_t at = HEAD + ct_below(&random, records) * RECORD;
    size_t from = HEAD + ct_below(&random, records) * RECORD;
    uint64_t fresh = ct_random(&random);
    uint8_t record[RECORD];
    memcpy(record, data + from, RECORD);
    switch (choice) {
    case 0: /* a new one */
        return insert(data, size, most, at, (const uint8_t *)&fresh);
    case 1: /* one of them again, elsewhere */
        return insert(data, size, most, at, record);
    case 2: /* one less */
        memmove(data + at, data + at + RECORD, size - at - RECORD);
        return size - RECORD;
    case 3: /* two change places */
        memcpy(data + from, data + at, RECORD);
        memcpy(data + at, record, RECORD);
        return size;
    case 4: /* another verb */
        data[at] = (uint8_t)fresh;
        return size;
    default: /* the same with one other argument */
        data[at + 1 + fresh % 3] = (uint8_t)(fresh >> 8);
        return size;
    }
}
