/* Reads judge a ttl by a clock that they look at after they have found the record. The
 * clock below is this program's: something happens while it is looked at. */
#include "cachetest.h"

#include <sys/syscall.h>

#define LIFE_MS 5000
#define LATER_S 100

static struct lilcache *cache;
static void (*meanwhile)(void);
static long ahead_s;
static int looks;

/* In the place of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *out) {
    if (clock == CLOCK_BOOTTIME) {
        looks++;
        if (meanwhile) {
            void (*act)(void) = meanwhile;
            meanwhile = NULL;
            act();
            ahead_s += LATER_S;
        }
    }
    if (syscall(SYS_clock_gettime, clock, out) != 0) {
        return -1;
    }
    out->tv_sec += clock == CLOCK_BOOTTIME ? ahead_s : 0;
    return 0;
}

static const char *key(void) {
    static char text[CT_KEY_BYTES + 1];
    ct_key(1, text);
    return text;
}

#define KEY key(), CT_KEY_BYTES, LILCACHE_KEY_STR

static void nothing(void) {}
static void overwrite(void) {
    CHECK_EQ(ct_set_ttl(cache, 1, 2, 50, 2000 * LATER_S), LILCACHE_OK);
}
static void touch(void) {
    CHECK_EQ(lilcache_touch(cache, KEY, 2000 * LATER_S), LILCACHE_OK);
}
static void overwrite_short(void) {
    CHECK_EQ(ct_set_ttl(cache, 1, 2, 50, LIFE_MS), LILCACHE_OK);
}

static bool get(void) {
    uint8_t out[64];
    return lilcache_get(cache, KEY, out, sizeof out) >= 0;
}

static bool gets(void) {
    uint8_t out[64];
    uint32_t stamp;
    return lilcache_gets(cache, KEY, out, sizeof out, &stamp) >= 0;
}

static bool get_many(void) {
    const uint32_t length = CT_KEY_BYTES;
    const uint8_t type = LILCACHE_KEY_STR;
    uint8_t out[64];
    int64_t result;
    lilcache_get_many(cache, 1, key(), &length, &type, out, sizeof out, &result);
    return result >= 0;
}

static bool ttl(void) {
    int64_t ttl_ms;
    return lilcache_ttl(cache, KEY, &ttl_ms) == LILCACHE_OK;
}

static bool pin(void) {
    struct lilcache_view view;
    if (lilcache_pin(cache, KEY, &view) < 0) {
        return false;
    }
    lilcache_unpin(cache, view.pin);
    return true;
}

static bool (*const reads[])(void) = {get, gets, get_many, ttl, pin};

/* Whether each read finds a key that lives for LIFE_MS, when `act` is done and LATER_S
 * pass just before its clock is read. */
static void all_find(bool wanted, void (*act)(void)) {
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        CHECK_EQ(ct_set_ttl(cache, 1, 1, 50, LIFE_MS), LILCACHE_OK);
        meanwhile = act;
        CHECK_EQ(reads[i](), wanted);
        CHECK(!meanwhile);
    }
    CHECK_EQ(ct_stat(cache, "pins"), 0);
    ct_check_unhurt(cache);
}

/* At no moment was the key absent: a miss would be wrong. */
TEST(a_key_that_is_renewed_is_found, 20) {
    cache = ct_open(MIB);
    all_find(true, overwrite);
    all_find(true, touch);
    lilcache_close(cache);
}

TEST(what_expires_during_the_read_is_missed, 20) {
    cache = ct_open(MIB);
    all_find(false, nothing);
    all_find(false, overwrite_short);
    lilcache_close(cache);
}

TEST(the_clock_is_looked_at_for_a_ttl_only, 20) {
    cache = ct_open(MIB);
    CHECK_EQ(ct_set(cache, 1, 1, 50), LILCACHE_OK);
    looks = 0;
    CHECK(get() && gets() && get_many() && ttl() && pin());
    CHECK_EQ(looks, 0);
    CHECK_EQ(ct_set_ttl(cache, 1, 1, 50, LIFE_MS), LILCACHE_OK);
    looks = 0;
    CHECK(get() && gets() && get_many() && ttl() && pin());
    CHECK_EQ(looks, 5);
    lilcache_close(cache);
}

int main(int argc, char **argv) { return lct_main(argc, argv); }
