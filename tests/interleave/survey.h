/* A write and a read by themselves, before they meet: where a switch is worth most, and
 * which keys the write leaves alone, moves and evicts. */
#ifndef SURVEY_H
#define SURVEY_H

#include "scene.h"
#include "switch.h"

/* Perform it; how many stores it made. `after`: what key n holds afterwards. */
uint64_t survey_write(void (*run)(void), struct value (*after)(uint32_t n));

/* Before or after a store that publishes something: half of the time one to the tables
 * of blocks and groups, else one to a slot; any store when there are none. */
uint64_t survey_store(struct ct_random *dice, uint64_t stores);

/* The key outlived the write: nobody may miss it then or later. */
bool survey_outlives(uint32_t n);

/* A key that outlived it with its record elsewhere; KEYS_MAX when there is none. */
uint32_t survey_moved(struct ct_random *dice);

/* One that was evicted meanwhile; KEYS_MAX when there is none. */
uint32_t survey_lost(struct ct_random *dice);

/* Perform a read; how many accesses it made. */
uint64_t survey_read(void (*run)(void));

/* One of the read's stores into the segment; any access when there are none. */
uint64_t survey_read_store(struct ct_random *dice, uint64_t accesses);

#endif
