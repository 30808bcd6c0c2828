/* Tallies for people, places for sites.py. */
#include "kill.h"

void report_print(void) {
    printf("%-16s %-24s %8s %8s %8s %7s\n", "scene", "operation", "stores", "deaths",
           "again", "places");
    for (uint64_t i = 0; i < board->items; i++) {
        const struct tally *t = &board->tallies[i];
        if (t->deaths > 0) {
            printf("%-16s %-24s %8llu %8llu %8llu %7llu\n", t->scene, t->deed,
                   (unsigned long long)t->stores, (unsigned long long)t->deaths,
                   (unsigned long long)t->again, (unsigned long long)t->places);
        }
    }
}

void report_places_before(uint64_t *before) {
    for (size_t i = 0; i < HOOK_SITES; i++) {
        before[i] = hook_shared->sites[i].kills;
    }
}

uint64_t report_places(const uint64_t *before) {
    uint64_t places = 0;
    for (size_t i = 0; i < HOOK_SITES; i++) {
        places += hook_shared->sites[i].kills > before[i];
    }
    return places;
}

bool report_sites(const char *path, struct hook_shared *const *workers, int count) {
    FILE *file = fopen(path, "w");
    if (!file) {
        return false;
    }
    for (int i = 0; i < count; i++) {
        for (size_t j = 0; j < HOOK_SITES; j++) {
            const struct hook_site *site = &workers[i]->sites[j];
            if (site->at) {
                fprintf(file, "%llx %llu %llu %llu\n", (unsigned long long)site->at,
                        (unsigned long long)site->stores,
                        (unsigned long long)site->kills,
                        (unsigned long long)site->outside);
            }
        }
    }
    return fclose(file) == 0;
}
