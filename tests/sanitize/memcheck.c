/* Under valgrind: when a handle is closed, every byte of its segment must be one that
 * somebody computed. A byte that was never set, such as padding of a struct or the rest
 * of a buffer, would show other memory of the process to all who attach. */
#include <stdio.h>
#include <valgrind/memcheck.h>

#include "lct.h"
#include "lilcache.h"

void __real_lilcache_close(struct lilcache *cache);
void __wrap_lilcache_close(struct lilcache *cache);

void __wrap_lilcache_close(struct lilcache *cache) {
    const uint8_t *base = lilcache_base(cache);
    uintptr_t wrong = VALGRIND_CHECK_MEM_IS_DEFINED(base, lilcache_size(cache));
    if (wrong != 0) {
        LCT_FAIL("byte %llu of the segment was never set",
                 (unsigned long long)(wrong - (uintptr_t)base));
    }
    __real_lilcache_close(cache);
}
