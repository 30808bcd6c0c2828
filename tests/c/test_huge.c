/* lilcache_collapse: huge pages under a segment that is in use. Whether the kernel
 * gives any is its own affair (Linux 6.1, shmem_enabled not "deny"): what it says is
 * compared with what /proc tells. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cachetest.h"
#include "lc_os.h"

#define SIZE  (16 * MIB)
#define ITEMS 20000u

/* Bytes of the mapping at base that page tables map by huge pages. */
static uint64_t mapped_huge(const void *base) {
    char line[512];
    bool inside = false;
    uint64_t bytes = 0;
    FILE *smaps = fopen("/proc/self/smaps", "r");
    CHECK(smaps != NULL);
    while (fgets(line, sizeof line, smaps)) {
        unsigned long long from;
        unsigned long long to;
        unsigned long long kib;
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2) {
            inside = from == (uintptr_t)base;
        } else if (inside && sscanf(line, "ShmemPmdMapped: %llu", &kib) == 1) {
            bytes += kib << 10;
        }
    }
    fclose(smaps);
    return bytes;
}

/* Bytes that the kernel gave in huge pages. */
static uint64_t collapse(struct lilcache *cache) {
    uint64_t page = lilcache_huge_page();
    uint64_t given = 0;
    for (uint64_t at = 0; at + page <= lilcache_size(cache); at += page) {
        int status = lilcache_collapse(cache, at);
        CHECK(status == LILCACHE_OK || status == LILCACHE_OS ||
              status == LILCACHE_RETIRED);
        given += status == LILCACHE_OK ? page : 0;
    }
    return given;
}

static void touch_all(const uint8_t *base, uint64_t size) {
    for (uint64_t at = 0; at < size; at += LC_OS_PAGE) {
        (void)*(const volatile uint8_t *)(base + at);
    }
}

TEST(values_stay_and_every_process_maps_the_huge_pages, 60) {
    const char *name = lct_name("huge");
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    const uint8_t *base = lilcache_base(cache);
    CHECK_EQ((uintptr_t)base % lilcache_huge_page(), 0);
    for (uint64_t n = 0; n < ITEMS; n++) {
        CHECK_EQ(ct_set(cache, n, n, 300), LILCACHE_OK);
    }
    uint64_t huge = collapse(cache);
    printf("  %llu of %llu MiB in huge pages\n", (unsigned long long)huge >> 20,
           (unsigned long long)SIZE >> 20);
    touch_all(base, SIZE);
    CHECK(mapped_huge(base) >= huge);
    for (uint64_t n = 0; n < ITEMS; n++) {
        CHECK(ct_get(cache, n, n, 300) == CT_RIGHT);
    }
    CHECK(collapse(cache) >= huge);
    pid_t child = fork();
    if (child == 0) { /* by its name, not by the mapping it was born with */
        lilcache_close(cache);
        cache = ct_open_named(name, SIZE, LILCACHE_ATTACH);
        base = lilcache_base(cache);
        touch_all(base, SIZE);
        CHECK(mapped_huge(base) >= huge);
        CHECK(ct_get(cache, 7, 7, 300) == CT_RIGHT);
        lilcache_close(cache);
        _exit(0);
    }
    lct_join(child);
    ct_check_unhurt(cache);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
}

TEST(only_huge_pages_that_are_there_are_collapsed, 10) {
    uint64_t page = lilcache_huge_page();
    struct lilcache *cache = ct_open(2 * page + MIB / 2);
    const uint64_t wrong[] = {1, LC_OS_PAGE, page + 1, 2 * page, 3 * page, -page};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_EQ(lilcache_collapse(cache, wrong[i]), LILCACHE_INVALID);
    }
    CHECK(lilcache_collapse(cache, page) != LILCACHE_INVALID);
    lilcache_close(cache);
    cache = ct_open(page / 2);
    CHECK_EQ(lilcache_collapse(cache, 0), LILCACHE_INVALID);
    lilcache_close(cache);
}

TEST(nothing_is_collapsed_for_those_who_shall_leave, 10) {
    struct lilcache *cache = ct_open_named(lct_name("left"), SIZE, 0);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    CHECK_EQ(lilcache_collapse(cache, 0), LILCACHE_RETIRED);
    lilcache_close(cache);
}

/* Without privilege, and for this process alone. */
TEST(a_kernel_that_refuses_is_told_of, 10) {
    CHECK_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
    struct lilcache *cache = ct_open(SIZE);
    CHECK_EQ(ct_set(cache, 1, 1, 300), LILCACHE_OK);
    CHECK_EQ(lilcache_collapse(cache, 0), LILCACHE_OS);
    CHECK_EQ(errno, EINVAL);
    CHECK(ct_get(cache, 1, 1, 300) == CT_RIGHT);
    lilcache_close(cache);
}

/* The kernel refuses, and nobody is killed. */
TEST(what_was_cut_short_is_not_collapsed, 10) {
    char object[300] = "/";
    const char *name = lct_name("short");
    struct lilcache *cache = ct_open_named(name, SIZE, 0);
    CHECK(lilcache_object_name(name, object + 1, sizeof object - 1) > 0);
    int fd = shm_open(object, O_RDWR, 0);
    CHECK_EQ(ftruncate(fd, SIZE / 2), 0);
    CHECK(collapse(cache) <= SIZE / 2);
    int set = ct_set(cache, 1, 1, 300);
    CHECK(set == LILCACHE_OK || set == LILCACHE_RETIRED);
    close(fd);
    CHECK_EQ(lilcache_retire(cache), LILCACHE_OK);
    lilcache_close(cache);
}

/* Addresses for the segment, but not to choose from. */
TEST(few_addresses_are_enough, 10) {
    unsigned long pages;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    struct rlimit limit = {.rlim_cur = pages * lc_os_page_bytes() + SIZE + MIB,
                           .rlim_max = RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    struct lilcache *cache = ct_open(SIZE);
    CHECK_EQ(ct_set(cache, 1, 1, 300), LILCACHE_OK);
    CHECK(ct_get(cache, 1, 1, 300) == CT_RIGHT);
    if ((uintptr_t)lilcache_base(cache) % lilcache_huge_page() != 0) {
        CHECK_EQ(lilcache_collapse(cache, 0), LILCACHE_OS);
        CHECK_EQ(errno, EINVAL);
    }
    lilcache_close(cache);
}

static _Atomic bool stop;

static void *use(void *argument) {
    struct lilcache *cache = argument;
    uint64_t calls = 0;
    for (uint64_t n = 0; !stop; n = (n + 1) % ITEMS, calls++) {
        CHECK_EQ(ct_set(cache, n, n, 300), LILCACHE_OK);
        CHECK(ct_get(cache, n, n, 300) == CT_RIGHT);
    }
    return (void *)(uintptr_t)calls;
}

/* New segments, each moved into huge pages while a thread writes and reads. */
TEST(a_segment_is_collapsed_while_it_is_used, 60) {
    uint64_t calls = 0;
    for (int turn = 0; turn < 10; turn++) {
        struct lilcache *cache = ct_open(SIZE);
        pthread_t user;
        void *result;
        stop = false;
        CHECK_EQ(pthread_create(&user, NULL, use, cache), 0);
        lct_sleep_ms(10);
        collapse(cache);
        stop = true;
        CHECK_EQ(pthread_join(user, &result), 0);
        calls += (uintptr_t)result;
        ct_check_unhurt(cache);
        lilcache_close(cache);
    }
    printf("  %llu sets and gets meanwhile\n", (unsigned long long)calls);
    CHECK(calls > 1000);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
