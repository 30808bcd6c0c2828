/* Keyed hash of keys and checksums: SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast
 * short-input PRF", 2012), so that whoever chooses keys cannot choose collisions. */
#ifndef LC_HASH_H
#define LC_HASH_H

#include "lc_base.h"

/* tweak makes equal bytes of different kinds differ (key types). */
lc_hash64 lc_hash(const uint64_t key[2], const void *data, size_t length,
                  uint64_t tweak);

#endif
