/* What fork does to attachments. */
#ifndef LC_FORK_H
#define LC_FORK_H

#include "lc_handle.h"

/* Once per process, before the first segment. 0 or a negative errno. */
int lc_fork_init(void);

/* 0 in a child whose fork ran no handler (clone, or a fork from C that bypasses libc).
 */
bool lc_fork_noticed(void);

/* For such a child: forget what is the parent's. */
void lc_fork_child_now(void);

/* The registry of this process's segments, and its lock. */
struct lc_segment **lc_fork_registry(void);
void lc_fork_registry_lock(void);
void lc_fork_registry_unlock(void);

#endif
