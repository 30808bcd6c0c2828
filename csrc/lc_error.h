/* What a failed open tells its caller. */
#ifndef LC_ERROR_H
#define LC_ERROR_H

#include <stdio.h>

#include "lilcache.h"

/* Fill in *error, which may be NULL; os_errno may be negative. Returns the status. */
static inline int lc_fail(struct lilcache_error *error, int status, int os_errno,
                          const char *step) {
    if (error) {
        error->status = status;
        error->os_errno = os_errno < 0 ? -os_errno : os_errno;
        snprintf(error->step, sizeof error->step, "%s", step);
    }
    return status;
}

#endif
