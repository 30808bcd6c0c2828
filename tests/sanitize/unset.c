/* A value that was never set is stored: memcheck.c has to find it. */
#include "cachetest.h"

TEST(a_value_that_was_never_set, 60) {
    struct lilcache *cache = ct_open(MIB);
    char *value = malloc(100);
    CHECK(value != NULL);
    CHECK_EQ(lilcache_set(cache, "key", 3, LILCACHE_KEY_STR, value, 100, 1,
                          LILCACHE_TTL_NONE, LILCACHE_SET),
             LILCACHE_OK);
    free(value);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
