/* Tallies for people, places for sites.py. */
#include "kill.h"

bool report_print(void) {
    bool everywhere = true;
    printf("%-16s %-24s %8s %8s %8s %10s\n", "scene", "operation", "stores", "deaths",
           "again", "places");
    for (uint64_t i = 0; i < board->items; i++) {
        const struct tally *t = &board->tallies[i];
        if (t->deaths > 0) {
            printf("%-16s %-24s %8llu %8llu %8llu %5llu/%llu\n", t->scene, t->deed,
                   (unsigned long long)t->stores, (unsigned long long)t->deaths,
                   (unsigned long long)t->again, (unsigned long long)t->places,
                   (unsigned long long)t->passed);
            everywhere = everywhere && t->places == t->passed;
        }
    }
    return everywhere;
}

void report_places_before(uint64_t *before) {
    for (size_t i = 0; i < HOOK_SITES; i++) {
        before[i] = hook_shared->sites[i].kills;
    }
}

void report_places(const uint64_t *before, const uint64_t *first, struct tally *tally) {
    tally->places = 0;
    tally->passed = 0;
    for (size_t i = 0; i < HOOK_SITES; i++) {
        bool died = hook_shared->sites[i].kills > before[i];
        tally->passed += first[i] != 0;
        tally->places += first[i] != 0 && died;
    }
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
