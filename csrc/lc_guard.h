/* What happens when somebody truncates the object under our mapping: SIGBUS at the next
 * access to what is gone. With the guard the access succeeds on a page of zeros, and
 * the segment counts as lost (docs/decisions/0006). */
#ifndef LC_GUARD_H
#define LC_GUARD_H

#include "lc_os.h"

/* Once per process, before the first lc_guard_add. 0 or a negative errno. */
int lc_guard_install(void);

/* Guard a mapping of fd's object. *lost becomes 1 once a page of it had to be replaced.
 * Calls of lc_guard_add and lc_guard_remove exclude each other (the registry's lock).
 * Mappings past the first 256 of a process are not guarded. */
void lc_guard_add(void *base, uint64_t size, int fd, const struct lc_os_id *id,
                  uint32_t *lost);
void lc_guard_remove(const void *base);

#endif
