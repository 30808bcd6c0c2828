/* libFuzzer target: attaching by name to an object whose size, header and rows are not
 * what its creator made of them, and operations in whatever could be attached to.
 *
 * Byte 0: options and what is made consistent; byte 1: size, number of patches. Then
 * the patches, four bytes each: word, how, two bytes of argument; then operations. */
#include <fcntl.h>
#include <sys/stat.h>

#include "lc_header.h"
#include "lc_lock.h"
#include "patch.h"
#include "states.h"
#include "stores.h"

#define SIZE  MIB
#define WORDS 256 /* of header and rows that are patched */

/* Byte 0. Creating is slow, and for the few. */
#define CREATE     3 /* one of the low bits: only attach */
#define CHECKSUMS  4
#define CONSISTENT 8   /* what follows from sizes and counts is worked out again */
#define SIZED      16  /* the header has the object's size */
#define RECREATE   96  /* with CREATE */
#define MISSUMMED  128 /* the checksum is not made right */

static struct model model;
static char name[64];
static char path[300]; /* of the object */
static uint8_t *saved;
static uint8_t *mine; /* the object, mapped by nobody but this file */
static int object = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_object(int flags) {
    object = shm_open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    MUST(object >= 0);
    MUST(ftruncate(object, SIZE) == 0);
    mine = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, object, 0);
    MUST(mine != MAP_FAILED);
}

static void close_object(void) {
    munmap(mine, SIZE);
    close(object);
}

static void remove_object(void) { shm_unlink(path); }

static struct lilcache_options options_of(uint32_t flags) {
    bool creates = (flags & CREATE) == CREATE;
    uint32_t wanted = creates ? 0 : LILCACHE_ATTACH;
    wanted |= creates && (flags & RECREATE) == RECREATE ? LILCACHE_RECREATE : 0;
    wanted |= flags & CHECKSUMS ? LILCACHE_CHECKSUMS : 0;
    return (struct lilcache_options){
        .name = name,
        .size_bytes = SIZE,
        .max_processes = 8,
        .flags = wanted,
        .cores = 1,
        .owner = -1,
        .group = -1,
    };
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    struct lilcache_options options;
    struct lilcache *cache = NULL;
    struct lilcache_error error;
    char object_name[256];
    (void)argc;
    (void)argv;
    keys_begin();
    snprintf(name, sizeof name, "lilcache-fuzz-%d", (int)getpid());
    MUST(lilcache_object_name(name, object_name, sizeof object_name) > 0);
    snprintf(path, sizeof path, "/%s", object_name);
    options = options_of(CREATE | CHECKSUMS);
    MUST_EQ(lilcache_open(&options, &cache, &error), LILCACHE_OK);
    atexit(remove_object);
    model_begin(&model, cache);
    for (uint32_t n = 0; n < 60; n++) {
        model_set(&model, n, n * 50, n % 3 ? 0 : 1000, LILCACHE_SET);
    }
    model_save(&model);
    lilcache_close(cache);
    open_object(0);
    saved = malloc(SIZE);
    MUST(saved != NULL);
    memcpy(saved, mine, SIZE);
    return 0;
}

static uint64_t size_of(uint32_t choice) {
    static const uint64_t sizes[16] = {
        0,        511,      4096,       SIZE / 2, SIZE - 4096,
        SIZE - 1, SIZE + 1, SIZE + 512, 2 * SIZE, SIZE + 4096,
    };
    return choice < 10 ? sizes[choice] : SIZE; /* mostly as it was */
}

/* Numbers that an attaching process works out are what it will work out. */
static void make_geometry(struct shm_header *h) {
    struct lc_geometry g;
    if (h->hd_shard_count == 0 || h->hd_row_count == 0 ||
        !lc_geometry_make(h->hd_size, h->hd_max_value, h->hd_row_count,
                          h->hd_shard_count, 1, &g)) {
        return;
    }
    h->hd_row_count = g.row_count;
    h->hd_row_bytes = g.row_bytes;
    h->hd_row_pins = g.row_pins;
    h->hd_block_shift = g.block_shift;
    h->hd_block_count = g.block_count;
    h->hd_group_count = g.group_count;
    h->hd_rows_at = g.rows_at;
    h->hd_shards_at = g.shards_at;
    h->hd_shard_bytes = g.shard_bytes;
    h->hd_groups_at = g.groups_at;
    h->hd_blocks_at = g.blocks_at;
    h->hd_heap_at = g.heap_at;
}

/* Without a right checksum no header is looked at further. */
static void make_consistent(struct shm_header *header, bool geometry) {
    struct shm_header h = *header;
    if (geometry) {
        make_geometry(&h);
    }
    h.hd_checksum = lc_header_checksum(&h);
    arena_write(header, &h, sizeof h);
}

static void use(struct lilcache *cache, struct input *in) {
    struct model *m = &model;
    m->cache = cache;
    m->segment = cache->segment;
    m->checksums = cache->segment->shards[0].checksums;
    m->max_value = lilcache_max_value(cache);
    m->block_bytes = 1ULL << cache->segment->shards[0].block_shift;
    m->damaged = true;
    for (uint32_t i = 0; i < cache->segment->shard_count; i++) {
        struct shm_shard *ctl = cache->segment->shards[i].ctl;
        stores_into(ctl, sizeof ctl->sh_mutex);
        if ((uint8_t *)ctl !=
            cache->segment->base + ((struct shm_header *)saved)->hd_shards_at) {
            lc_lock_init(ctl); /* a lock where there was none, of other bytes */
        }
    }
    while (stream_step(m, in, NULL)) {
    }
    if (in->checked) {
        model_check(m);
    }
    stream_end(m);
    arena_check_locks(m->segment);
}

static void put_back(bool resized) {
    struct stat named;
    struct stat own;
    int found = shm_open(path, O_RDWR | O_CLOEXEC, 0);
    MUST(fstat(object, &own) == 0);
    bool same = found >= 0 && fstat(found, &named) == 0 && named.st_ino == own.st_ino;
    close(found);
    if (!same) {
        close_object();
        shm_unlink(path);
        open_object(O_CREAT | O_EXCL);
    } else if (resized) {
        MUST(ftruncate(object, SIZE) == 0);
    }
    for (uint64_t at = 0; (!same || resized) && at < SIZE; at += ARENA_PIECE) {
        if (memcmp(mine + at, saved + at, ARENA_PIECE) != 0) {
            memcpy(mine + at, saved + at, ARENA_PIECE);
        }
    }
    arena_watch(mine, SIZE);
    arena_put_back(mine, saved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = input_open(data, size);
    uint32_t flags = input_byte(&in);
    uint32_t second = input_byte(&in);
    struct shm_header *header = (struct shm_header *)mine;
    struct lilcache_options options = options_of(flags);
    struct lilcache_error error;
    struct lilcache *cache = NULL;
    uint64_t bytes = size_of(second & 15);
    arena_watch(mine, SIZE);
    arena_now_ms = ARENA_TIME_ZERO;
    for (uint32_t i = 0; i < second >> 4; i++) {
        patch_header(header, &in, input_byte(&in) % WORDS);
    }
    if (flags & SIZED) {
        arena_write64(&header->hd_size, bytes);
    }
    if (!(flags & MISSUMMED)) {
        make_consistent(header, flags & CONSISTENT);
    }
    if (bytes != SIZE) {
        MUST(ftruncate(object, (off_t)bytes) == 0);
    }
    int status = lilcache_open(&options, &cache, &error);
    if (status == LILCACHE_OK) {
        use(cache, &in);
        lilcache_close(cache);
    } else {
        MUST_EQ(error.status, status);
        MUST(status == LILCACHE_OS || status == LILCACHE_MISMATCH ||
             status == LILCACHE_CORRUPT || status == LILCACHE_NAMESPACE ||
             status == LILCACHE_NOT_READY || status == LILCACHE_RETIRED ||
             status == LILCACHE_TOO_MANY_PROCESSES);
    }
    put_back(bytes != SIZE);
    model_restore(&model);
    return 0;
}
