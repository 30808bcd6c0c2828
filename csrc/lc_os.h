/* The only file with system calls. Every function returns 0 or a positive value, or a
 * negative errno. None is called with a shard lock held, but for the clocks. */
#ifndef LC_OS_H
#define LC_OS_H

#include <signal.h>
#include <sys/types.h>

#include "lc_base.h"

struct lc_os_id { /* device and inode */
    uint64_t device;
    uint64_t inode;
};

struct lc_os_file {
    struct lc_os_id id;
    uint64_t size;
    uint64_t allocated; /* bytes that have memory */
    uint32_t owner;
    uint32_t group;
    uint32_t mode; /* permission bits */
    uint32_t links;
    bool regular;
};

#define LC_OS_PAGE 4096ULL /* the smallest there are */

/* CLOCK_BOOTTIME: goes on while the machine sleeps, the same for all processes. */
uint64_t lc_os_now_ms(void);
/* CLOCK_MONOTONIC, for waits. */
uint64_t lc_os_monotonic_ms(void);
void lc_os_sleep_ms(uint32_t ms);

/* A new object. When it cannot be made ready for use, it is forsaken. */
int lc_os_shm_create(const char *object_name, uint32_t mode, uint64_t byte);
/* Take away an object that fd has just made, unless somebody else has begun to use it:
 * holds the lock on its byte, or has given it a size. */
void lc_os_shm_forsake(int fd, const char *object_name, uint64_t byte);
/* Never waits, whatever stands there, and follows no link. */
int lc_os_shm_open(const char *object_name);
int lc_os_shm_unlink(const char *object_name);
int lc_os_memfd(const char *object_name);
/* Nobody may change the size of a memfd any more. */
int lc_os_seal_size(int fd);
/* A new open file description of fd's object, close-on-exec, number above 2. */
int lc_os_reopen(int fd);
void lc_os_close(int fd);
int lc_os_stat(int fd, struct lc_os_file *out);
int lc_os_chown(int fd, int64_t owner, int64_t group, uint32_t mode);
int lc_os_truncate(int fd, uint64_t size);
/* Give every page of these bytes memory, and the object their size. -EINTR: a signal
 * came, and nothing was done; not repeated here, since signals may come more often than
 * so many bytes can be had. */
int lc_os_allocate(int fd, uint64_t from, uint64_t bytes);
/* Bytes left on fd's file system; UINT64_MAX: it has no limit, or does not tell. */
uint64_t lc_os_available(int fd);
/* So many bytes at an offset, all or a negative errno: no page of a mapping that may
 * have gone is touched. */
int lc_os_write_at(int fd, const void *from, size_t length, uint64_t offset);
/* Bytes that this process may give a file before the kernel sends it a signal. */
uint64_t lc_os_file_limit(void);
/* The first cap - 1 bytes of a file in /proc or /sys, terminated; their number, or a
 * negative errno. path may lie in text. */
int lc_os_read_file(const char *path, char *text, size_t cap);
/* At an address where huge pages fit, if there are so many addresses. */
int lc_os_map(int fd, uint64_t size, void **out);
/* Put as many bytes of a mapping at `at` as a huge page has into one. Others may work
 * in them meanwhile. -EAGAIN: the kernel is just busy with some of them. */
int lc_os_collapse(void *at);
/* What one page of page tables maps, on x86-64 and arm64. */
uint64_t lc_os_huge_page(void);
/* Private pages of zeros in place of whatever is mapped there. Safe in a signal
 * handler, as everything that follows down to lc_os_unmap. */
int lc_os_map_zeros(void *at, uint64_t size);
uint64_t lc_os_page_bytes(void);
int lc_os_signal_action(int signal, const struct sigaction *wanted,
                        struct sigaction *found);
void lc_os_signal_mask(int how, const sigset_t *set, sigset_t *before);
void lc_os_signal_raise(int signal); /* to this thread */
void lc_os_unmap(void *base, uint64_t size);
/* All of the first `length` bytes, or a negative errno. Unlike a look at mapped memory
 * it needs no page where there is none yet, and survives a file cut short. */
int lc_os_read(int fd, void *out, size_t length);

/* Open-file-description locks on one byte. try: -EAGAIN when another description holds
 * it. Released when the last descriptor of the description is closed. */
int lc_os_lock_byte(int fd, uint64_t byte);
int lc_os_unlock_byte(int fd, uint64_t byte);

/* Whether another description holds a lock on one of these bytes. */
bool lc_os_bytes_locked(int fd, uint64_t first, uint64_t count);

int lc_os_random(void *out, size_t length);
int lc_os_boot_id(uint64_t out[2]);
/* name: "pid" or "time". Zeros when the kernel has no such namespace. */
int lc_os_namespace(const char *name, struct lc_os_id *out);
uint32_t lc_os_uid(void);
uint32_t lc_os_pid(void);
uint32_t lc_os_cores(void);
/* Sleep while *word has this value, so many ms at most; perhaps less, also when the
 * word cannot be read: look again. */
void lc_os_wait_word(const uint32_t *word, uint32_t value, uint32_t ms);
/* Some of those that sleep, the longest first; nobody when the word cannot be read. */
void lc_os_wake_word(const uint32_t *word, int count);
/* The calling thread's list of robust mutexes; NULL if it has none. */
struct robust_list_head *lc_os_robust_list(void);
/* When a process of this PID namespace started, in clock ticks since boot; 0: there is
 * none, or /proc is that of another PID namespace. A negative errno: it cannot be told.
 * Safe in the child of a fork. */
int lc_os_process_start(uint32_t pid, uint64_t *out);

/* A word that reads 0 in every child of fork, whoever called it. */
int lc_os_fork_word(uint64_t **out);

#endif
