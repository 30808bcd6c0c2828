/* The shared object behind a segment, through descriptors that the program may have
 * closed or given to other files behind our back: daemonizers close them all. */
#ifndef LC_OBJECT_H
#define LC_OBJECT_H

#include "lc_handle.h"
#include "lilcache.h"

/* Whether fd still is the object that segment->id names: 0, or a negative errno, that
 * of a system call, or EBADF for another file. A negative fd is such an errno. */
int lc_object_check(const struct lc_segment *segment, int fd);
bool lc_object_is(const struct lc_segment *segment, int fd);

/* A new open file description of the object, or a negative errno. */
int lc_object_reopen(const struct lc_segment *segment);

/* Close fd unless by now it is another file's. */
void lc_object_close(const struct lc_segment *segment, int fd);

/* --- under a name that anybody may have used ---------------------------------------
 */

/* A descriptor, or a negative errno. An object whose creator is about to let us in is
 * waited for, a few milliseconds. */
int lc_object_open(const char *object_name);

/* What a failed open means: MISMATCH, FOREIGN, or OS for everything else. */
int lc_object_refused(int failed);

/* OK: what is in there was written by us, or by whom the options name. */
int lc_object_judge(const struct lc_os_file *file,
                    const struct lilcache_options *options);

/* Give it to owner and group of the options, or a negative errno. */
int lc_object_grant(int fd, const struct lilcache_options *options);

#endif
