/* Tallies for people, places for sites.py. */
#include "kill.h"

static void tally_write(FILE *file, const struct tally *t) {
    if (!t->ran) {
        fprintf(file, "%-16s %-24s not tried: %s\n", t->scene, t->deed,
                lilcache_status_text(t->status));
        return;
    }
    fprintf(file, "%-16s %-24s %8llu %8llu %8llu %5llu/%llu%s\n", t->scene, t->deed,
            (unsigned long long)t->stores, (unsigned long long)t->deaths,
            (unsigned long long)t->again, (unsigned long long)t->places,
            (unsigned long long)t->passed, t->missed ? "  MISSED" : "");
}

bool report_table(const char *path) {
    struct tally sum = {.scene = "all", .ran = true};
    uint64_t operations = 0;
    uint64_t others = 0;
    uint64_t compared = 0;
    FILE *file = path ? fopen(path, "w") : stdout;
    if (!file) {
        fprintf(stderr, "cannot write %s\n", path);
        return false;
    }
    fprintf(file, "%-16s %-24s %8s %8s %8s %10s\n", "scene", "operation", "stores",
            "deaths", "again", "places");
    for (uint64_t i = 0; i < board->items; i++) {
        const struct tally *t = &board->tallies[i];
        if (t->ran || t->status != LILCACHE_OK) {
            tally_write(file, t);
            operations += t->ran;
            others += !t->ran;
            sum.stores += t->stores;
            sum.deaths += t->deaths;
            sum.again += t->again;
            sum.places += t->places;
            sum.passed += t->passed;
            sum.missed += t->missed;
        }
    }
    snprintf(sum.deed, sizeof sum.deed, "%llu", (unsigned long long)operations);
    tally_write(file, &sum);
    for (int i = 0; i < options.jobs; i++) {
        compared += board->workers[i]->compared;
    }
    printf(
        "%llu operations in their scenes, %llu others find nothing to do there: %llu "
        "of %llu places died at; %llu deaths in them, %llu in recoveries%s%s\n"
        "%llu times every byte of the segment compared: no store without a hook\n",
        (unsigned long long)operations, (unsigned long long)others,
        (unsigned long long)sum.places, (unsigned long long)sum.passed,
        (unsigned long long)sum.deaths, (unsigned long long)sum.again,
        path ? "; all of them in " : "", path ? path : "",
        (unsigned long long)compared);
    if (sum.missed != 0) {
        fprintf(stderr, "an operation stored at a place where nobody died\n");
    }
    if (operations < options.pairs) {
        fprintf(stderr, "fewer operations in their scenes than %llu\n",
                (unsigned long long)options.pairs);
    }
    if (path && fclose(file) != 0) {
        fprintf(stderr, "cannot write %s\n", path);
        return false;
    }
    return sum.missed == 0 && operations >= options.pairs;
}

uint64_t report_deaths(void) {
    uint64_t deaths = 0;
    for (int i = 0; i < options.jobs; i++) {
        deaths += __atomic_load_n(&board->workers[i]->kills, __ATOMIC_RELAXED);
    }
    return deaths;
}

void report_places_before(uint64_t *before) {
    for (size_t i = 0; i < hook_shared->site_count; i++) {
        before[i] = hook_shared->sites[i].kills;
    }
}

/* Nothing is said about an operation that was broken off. */
void report_places(const uint64_t *before, const uint64_t *first, struct tally *tally) {
    uint64_t passed = 0;
    uint64_t places = 0;
    if (enough()) {
        return;
    }
    for (size_t i = 0; i < hook_shared->site_count; i++) {
        bool died = hook_shared->sites[i].kills > before[i];
        passed += first[i] != 0;
        places += first[i] != 0 && died;
    }
    tally->missed += places < passed;
    if (passed >= tally->passed) {
        tally->passed = passed;
        tally->places = places;
    }
}

bool report_sites(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) {
        return false;
    }
    for (int i = 0; i < options.jobs; i++) {
        for (size_t j = 0; j < board->workers[i]->site_count; j++) {
            const struct hook_site *site = &board->workers[i]->sites[j];
            fprintf(file, "%llx %llu %llu %llu\n", (unsigned long long)site->at,
                    (unsigned long long)site->stores, (unsigned long long)site->kills,
                    (unsigned long long)site->outside);
        }
    }
    return fclose(file) == 0;
}
