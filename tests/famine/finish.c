/* The object of a dead creator, longer than what is wanted, owned by another member of
 * the group: its name cannot be taken away, so it is cut and finished as it is, by
 * whoever comes, with every call interrupted on the way. */
#include "famine.h"
#include "lc_object.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

#define OWNER 4321
#define GROUP 8765
#define OTHER 4322

static void finish(void *argument) {
    uint64_t k = *(const uint64_t *)argument;
    const char *name = famine_name("finish");
    char object[300];
    struct stat found;
    struct lilcache *cache;
    struct lilcache_error error;
    struct lilcache_options options = {
        .name = name, .size_bytes = MIB, .cores = 1, .owner = OWNER, .group = GROUP};
    snprintf(object, sizeof object, "%s", famine_object(name));
    int fd = shm_open(object, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0 && !ftruncate(fd, 2 * MIB));
    CHECK(!fchown(fd, OWNER, GROUP) && !fchmod(fd, 0660));

    /* Root in the end, to remove it. */
    CHECK(!setgroups(0, NULL) && !setegid(GROUP) && !seteuid(OTHER));
    fail_arm(k ? FAIL_THRICE : FAIL_NEVER, k, EINTR);
    int status = lilcache_open(&options, &cache, &error);
    fail_disarm();
    if (status) {
        LCT_FAIL("%s at \"%s\", errno %d", lilcache_status_name(status), error.step,
                 error.os_errno);
    }
    CHECK_EQ(lilcache_created(cache), 1);
    CHECK(!fstat(fd, &found));
    CHECK_EQ(found.st_size, MIB);
    CHECK_EQ(found.st_nlink, 1);
    CHECK_EQ(found.st_uid, OWNER);
    famine_works(cache);
    lilcache_close(cache);
    CHECK(!seteuid(0) && !shm_unlink(object));
    close(fd);
}

void finish_all(void) {
    bool cut = false;
    uint64_t k = 0;
    do {
        snprintf(famine_where, sizeof famine_where,
                 "a longer object of the group: call %llu interrupted",
                 (unsigned long long)k);
        famine_trial(finish, &k);
        cut |= fail_shared->first_failed == FAIL_ftruncate;
    } while (++k <= fail_shared->calls + 1);
    CHECK(cut && k > 20);
}
