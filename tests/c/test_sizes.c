/* Segments from the smallest to one of 4 GiB, as anybody would open them. */
#include "cachetest.h"

static void use(uint64_t size) {
    struct lilcache_options options = {
        .name = lct_name("sizes"),
        .size_bytes = size,
        .flags = LILCACHE_ANONYMOUS,
        .cores = 2,
        .owner = -1,
        .group = -1,
    };
    struct lilcache *cache;
    struct lilcache_error error;
    int status = lilcache_open(&options, &cache, &error);
    if (status != LILCACHE_OK) {
        LCT_FAIL("%s at %s: %llu bytes wanted, %llu available",
                 lilcache_status_name(status), error.step,
                 (unsigned long long)error.wanted_bytes,
                 (unsigned long long)error.available_bytes);
    }
    CHECK_EQ(lilcache_size(cache), size);
    size_t largest = lilcache_max_value(cache);
    for (uint64_t n = 0; n < 2000; n++) {
        CHECK_EQ(ct_set(cache, n, n, 100), LILCACHE_OK);
    }
    for (uint64_t n = 0; n < 2000; n++) {
        CHECK_EQ(ct_get(cache, n, n, 100), CT_RIGHT);
    }
    for (uint64_t n = 0; n < 8; n++) {
        CHECK_EQ(ct_set(cache, n, n, largest), LILCACHE_OK);
        CHECK_EQ(ct_get(cache, n, n, largest), CT_RIGHT);
    }
    CHECK_EQ(ct_set(cache, 1, 1, largest + 1), LILCACHE_VALUE_SIZE);
    ct_check_unhurt(cache);
    lilcache_close(cache);
}

TEST(one_mib, 20) { use(MIB); }
TEST(sixty_four_mib, 30) { use(64 * MIB); }
TEST(four_gib, 60) { use(4096 * MIB); }

int main(int argc, char **argv) { return lct_main(argc, argv); }
