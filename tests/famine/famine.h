/* What the parts of the famine tests share. */
#ifndef FAMINE_H
#define FAMINE_H

#include "cachetest.h"
#include "fail.h"

#define KEYS  40
#define BYTES 500

/* What the current trial is, for the line that a failure prints. */
extern char famine_where[256];

/* A name of this run. */
const char *famine_name(const char *what);
/* The object of that name, as shm_open takes it. */
const char *famine_object(const char *name);

int famine_open(const char *name, uint64_t size, uint32_t flags, struct lilcache **out,
                struct lilcache_error *error);
/* Another process makes a segment with KEYS keys, and dies attached to it. */
void famine_make(const char *name, uint64_t size);
/* How many of them are there; fails when one has another value. */
uint64_t famine_found(struct lilcache *cache);
/* Sets and gets; every invariant holds. */
void famine_works(struct lilcache *cache);
/* Writes to every page of the segment and sets until values are evicted. */
void famine_fill(struct lilcache *cache);

struct famine_held {
    int descriptors;
    int mappings; /* of segments */
};
struct famine_held famine_held(void);

/* Runs it in a process of its own, which must end by itself and without complaint.
 * Whatever it leaves of this run in /dev/shm is a failure, too, and is removed. */
void famine_trial(void (*run)(void *), void *argument);
/* Everything that this run has left in /dev/shm; removed. */
int famine_leftovers(void);

/* An empty tmpfs over /dev/shm in a mount namespace of this process. */
void famine_private_mounts(void);
void famine_mount_shm(const char *options);
void famine_unmount_shm(void);

/* brief: with half of the errnos. */
void inject_all(bool thorough, bool brief);
void inject_report(const char *path);
void tmpfs_all(bool thorough);
void limits_all(void);
void files_all(void);
void finish_all(void);
void wait_all(bool thorough);
void cgroup_all(bool thorough);

/* Before all, and after everything, whatever became of it. */
void cgroup_init(void);
void cgroup_clean(void);

#endif
