/* The object under damage, and its bytes as a state has them. */
#include <fcntl.h>
#include <sys/stat.h>

#include "driver.h"
#include "lc_fork.h"

struct prepared *prepared;
const struct state *state;
const struct map *map;
struct lilcache *cache;
uint8_t *raw;
const uint8_t *image;
char name[64];
pid_t driver;

static _Alignas(
    64) uint8_t current[SEGMENT_BYTES]; /* the state's bytes, with our row in them */
static ino_t inode;

static const char *object(void) {
    static char text[300] = "/";
    CHECK(lilcache_object_name(name, text + 1, sizeof text - 1) > 0);
    return text;
}

static void map_raw(void) {
    struct stat found;
    int fd = shm_open(object(), O_RDWR, 0);
    CHECK(fd >= 0 && fstat(fd, &found) == 0);
    if (raw) {
        munmap(raw, SEGMENT_BYTES);
    }
    raw = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(raw != MAP_FAILED);
    inode = found.st_ino;
    close(fd);
}

static void name_it(void) {
    snprintf(name, sizeof name, "lct-%d-damage%d", (int)driver, (int)getpid());
}

static struct lilcache *open_named(void) {
    return ct_open_named(name, SEGMENT_BYTES,
                         state->checksums ? LILCACHE_CHECKSUMS : 0);
}

/* An object of the image's bytes, and an attachment to it. */
static void make_object(void) {
    int fd = shm_open(object(), O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0 && write(fd, current, SEGMENT_BYTES) == (ssize_t)SEGMENT_BYTES);
    close(fd);
    cache = open_named();
    CHECK_EQ(lilcache_created(cache), 0);
    map_raw();
    memcpy(current, raw, SEGMENT_BYTES); /* with our row in it */
}

static void free_row_of(uint8_t *bytes, const struct lc_segment *segment, pid_t pid) {
    for (uint32_t row = 0; row < segment->row_count; row++) {
        struct shm_row *at =
            (struct shm_row *)(bytes + segment->rows_at + row * segment->row_bytes);
        if (at->rw_pid == (uint32_t)pid) {
            at->rw_state = LC_ROW_FREE; /* else each object would keep one */
        }
    }
}

void segment_prepare(const struct state *wanted, struct prepared *to) {
    state = wanted;
    name_it();
    cache = open_named();
    CHECK_EQ(lilcache_created(cache), 1);
    state->prepare(cache);
    map_raw();
    map_make(cache, state->whole, &to->map);
    memcpy(to->image, raw, SEGMENT_BYTES);
    free_row_of(to->image, cache->segment, getpid());
    to->is_made = true;
    lilcache_close(cache);
    shm_unlink(object());
}

void segment_open(const struct state *wanted, const struct prepared *from) {
    state = wanted;
    map = &from->map;
    image = current;
    name_it();
    memcpy(current, from->image, SEGMENT_BYTES);
    make_object();
}

/* The name is ours no more: a victim has put another object in place of what looked
 * like nobody's. Begin anew with the same bytes. The attachment of before stays:
 * victims may have hurt what closing reads. */
static void replace_object(void) {
    shm_unlink(object());
    free_row_of(current, cache->segment, getpid());
    *lc_fork_registry() = NULL;
    make_object();
}

void segment_restore(void) {
    struct stat found;
    int fd = shm_open(object(), O_RDWR, 0);
    bool same = fd >= 0 && fstat(fd, &found) == 0 && found.st_ino == inode;
    if (fd >= 0) {
        close(fd);
    }
    if (!same) {
        replace_object();
    }
    memcpy(raw, current, SEGMENT_BYTES);
}

void segment_close(void) {
    segment_restore();
    lilcache_close(cache);
    shm_unlink(object());
}
