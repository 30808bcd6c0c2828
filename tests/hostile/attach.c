/* attach NAME [crash | put | owner N | group N]...
 *
 * Opens the segment of that name and says in one line what came of it:
 *
 *     created OBJECT VALUE | attached OBJECT VALUE | STATUS OBJECT STEP ERRNO
 *
 * VALUE is what stands under the key "who", or "-". put: stores "attach" there. crash:
 * dies by SIGKILL, attached. Built several times: for another libc, with another
 * layout. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lilcache.h"

int main(int argc, char **argv) {
    struct lilcache_options options = {
        .size_bytes = 1 << 20, .cores = 1, .owner = -1, .group = -1};
    struct lilcache *cache;
    struct lilcache_error error;
    char object[300] = "?";
    char value[64];
    int crash = 0;
    int put = 0;
    if (argc < 2) {
        return 2;
    }
    options.name = argv[1];
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "crash") == 0) {
            crash = 1;
        } else if (strcmp(argv[i], "put") == 0) {
            put = 1;
        } else if (i + 1 < argc && strcmp(argv[i], "owner") == 0) {
            options.owner = strtoll(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "group") == 0) {
            options.group = strtoll(argv[++i], NULL, 10);
        } else {
            return 2;
        }
    }
    lilcache_object_name(options.name, object, sizeof object);
    int status = lilcache_open(&options, &cache, &error);
    if (status != LILCACHE_OK) {
        printf("%s %s %s %d\n", lilcache_status_name(status), object, error.step,
               error.os_errno);
        return 0;
    }
    if (put) {
        while (lilcache_set(cache, "who", 3, LILCACHE_KEY_STR, "attach", 6, 0,
                            LILCACHE_TTL_NONE, LILCACHE_SET) == LILCACHE_BUSY) {
        }
    }
    int64_t got = lilcache_get(cache, "who", 3, LILCACHE_KEY_STR, value, sizeof value);
    printf("%s %s %.*s\n", lilcache_created(cache) ? "created" : "attached", object,
           got < 0 ? 1 : (int)LILCACHE_LENGTH(got), got < 0 ? "-" : value);
    fflush(stdout);
    if (crash) {
        kill(getpid(), SIGKILL);
    }
    lilcache_close(cache);
    return 0;
}
