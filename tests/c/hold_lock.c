/* hold_lock <name> [crash point [user owner group]]: attach to the segment that
 * lilcache_open knows by this base name, and stop inside a write at the crash point,
 * lock_taken by default; as another user, a member of that group, of a shared segment.
 * Prints "held" just before it stops; once continued it finishes the write, prints
 * "done" and ends with 0. 1: the write never came to that point; 2: no such segment or
 * point. */
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lc_crash.h"
#include "lilcache.h"

#define HOLD_SETS_MAX    200000
#define HOLD_SMALL_BYTES 200

void (*lc_crash_hook)(enum lc_crash_point point);
static enum lc_crash_point wanted = LC_CRASH_lock_taken;
static bool held;

static void hold_at(enum lc_crash_point point) {
    if (point == wanted && !held) {
        held = true;
        puts("held");
        fflush(stdout);
        raise(SIGSTOP);
    }
}

static bool hold_find_point(const char *name) {
    static const char *const names[] = {
#define X(name) #name,
#include "crash.def"
#undef X
    };
    for (int i = 0; i < LC_CRASH_POINT_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            wanted = (enum lc_crash_point)i;
            return true;
        }
    }
    return false;
}

/* Some points are met by large values only. What is set is read, so that eviction finds
 * survivors. */
static void hold_by_sets(struct lilcache *cache) {
    bool large = wanted == LC_CRASH_large_reserved || wanted == LC_CRASH_large_copied ||
                 wanted == LC_CRASH_pin_stored || wanted == LC_CRASH_run_continued;
    size_t length = large ? (size_t)lilcache_max_value(cache) / 2 : HOLD_SMALL_BYTES;
    char *value = calloc(1, length);
    for (int i = 0; value && i < HOLD_SETS_MAX && !held; i++) {
        char key[32];
        int used = snprintf(key, sizeof key, "hold-lock-%d-%d", (int)getpid(), i);
        int status;
        do {
            status = lilcache_set(cache, key, (size_t)used, LILCACHE_KEY_BYTES, value,
                                  length, 0, LILCACHE_TTL_NONE, LILCACHE_SET);
        } while (status == LILCACHE_BUSY);
        lilcache_get(cache, key, (size_t)used, LILCACHE_KEY_BYTES, value, length);
    }
    free(value);
}

int main(int argc, char **argv) {
    struct lilcache_options options = {
        .flags = LILCACHE_ATTACH,
        .owner = -1,
        .group = -1,
    };
    struct lilcache *cache;
    struct lilcache_error error;
    if ((argc != 2 && argc != 3 && argc != 6) ||
        (argc > 2 && !hold_find_point(argv[2]))) {
        fprintf(stderr, "usage: hold_lock <name> [crash point [user owner group]]\n");
        return 2;
    }
    if (argc == 6) {
        uid_t user = (uid_t)strtoul(argv[3], NULL, 10);
        gid_t group = (gid_t)strtoul(argv[5], NULL, 10);
        options.owner = strtoll(argv[4], NULL, 10);
        options.group = group;
        if (setgroups(1, &group) || setresgid(group, group, group) ||
            setresuid(user, user, user)) {
            perror("hold_lock");
            return 2;
        }
    }
    options.name = argv[1];
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody else would wake it or end it */
    int status = lilcache_open(&options, &cache, &error);
    if (status != LILCACHE_OK) {
        fprintf(stderr, "hold_lock: %s at %s: %s\n", lilcache_status_name(status),
                error.step, strerror(error.os_errno));
        return 2;
    }
    lc_crash_hook = hold_at;
    if (wanted == LC_CRASH_clear_epoch_stored) {
        lilcache_clear(cache);
    } else {
        hold_by_sets(cache);
    }
    lc_crash_hook = NULL;
    lilcache_close(cache);
    if (held) {
        puts("done");
    }
    return held ? 0 : 1;
}
