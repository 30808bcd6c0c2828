"""What the built extension holds; kept in step with lilcache.cdef.txt by a test.

Pointers and structs are cdata, which has no static types: they are Any here.
"""

from typing import Any, TypeAlias

CData: TypeAlias = Any

ffi: Any

class _Lib:
    lilcache_python_version: CData

    LILCACHE_OK: int
    LILCACHE_MISS: int
    LILCACHE_EXISTS: int
    LILCACHE_TOO_LARGE: int
    LILCACHE_NO_PIN: int
    LILCACHE_KEY_SIZE: int
    LILCACHE_VALUE_SIZE: int
    LILCACHE_TTL: int
    LILCACHE_NOT_INTEGER: int
    LILCACHE_OVERFLOW: int
    LILCACHE_INVALID: int
    LILCACHE_BUSY: int
    LILCACHE_NO_SPACE: int
    LILCACHE_TOO_MANY_PROCESSES: int
    LILCACHE_MEMORY: int
    LILCACHE_OS: int
    LILCACHE_MISMATCH: int
    LILCACHE_FOREIGN: int
    LILCACHE_NAMESPACE: int
    LILCACHE_CORRUPT: int
    LILCACHE_RETIRED: int
    LILCACHE_NOT_READY: int

    LILCACHE_KEY_BYTES: int
    LILCACHE_KEY_STR: int
    LILCACHE_KEY_INT: int
    LILCACHE_KEY_TUPLE: int
    LILCACHE_TYPE_INT64: int
    LILCACHE_KEY_MAX: int
    LILCACHE_SLICE_MS: int
    LILCACHE_TTL_NONE: int
    LILCACHE_TTL_KEEP: int
    LILCACHE_SCAN_MIN: int
    LILCACHE_SET: int
    LILCACHE_ADD: int
    LILCACHE_REPLACE: int
    LILCACHE_ANONYMOUS: int
    LILCACHE_CHECKSUMS: int
    LILCACHE_FAVOR_BYTES: int
    LILCACHE_RECREATE: int
    LILCACHE_ATTACH: int
    LILCACHE_UNGUARDED: int

    def lilcache_open(self, options: CData, out: CData, error: CData, /) -> int: ...
    def lilcache_close(self, cache: CData, /) -> None: ...
    def lilcache_retire(self, cache: CData, /) -> int: ...
    def lilcache_collapse(self, cache: CData, at: int, /) -> int: ...
    def lilcache_huge_page(self, /) -> int: ...
    def lilcache_memory_left(self, /) -> int: ...
    def lilcache_created(self, cache: CData, /) -> int: ...
    def lilcache_size(self, cache: CData, /) -> int: ...
    def lilcache_max_value(self, cache: CData, /) -> int: ...
    def lilcache_base(self, cache: CData, /) -> CData: ...
    def lilcache_mode(self, cache: CData, /) -> int: ...
    def lilcache_object_name(self, name: bytes, out: CData, cap: int, /) -> int: ...
    def lilcache_get(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        out: CData,
        cap: int,
        /,
    ) -> int: ...
    def lilcache_gets(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        out: CData,
        cap: int,
        stamp: CData,
        /,
    ) -> int: ...
    def lilcache_get_version(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        out: CData,
        cap: int,
        version: CData,
        /,
    ) -> int: ...
    def lilcache_is_current(self, cache: CData, version: CData, /) -> int: ...
    def lilcache_ttl(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        ttl_ms: CData,
        /,
    ) -> int: ...
    def lilcache_pin(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        view: CData,
        /,
    ) -> int: ...
    def lilcache_unpin(self, cache: CData, pin: int, /) -> None: ...
    def lilcache_set(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        value: bytes,
        value_length: int,
        value_type: int,
        ttl_ms: int,
        mode: int,
        /,
    ) -> int: ...
    def lilcache_cas(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        value: bytes,
        value_length: int,
        value_type: int,
        ttl_ms: int,
        stamp: int,
        /,
    ) -> int: ...
    def lilcache_delete(
        self, cache: CData, key: bytes, key_length: int, key_type: int, /
    ) -> int: ...
    def lilcache_try_set(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        value: bytes,
        value_length: int,
        value_type: int,
        ttl_ms: int,
        mode: int,
        /,
    ) -> int: ...
    def lilcache_try_delete(
        self, cache: CData, key: bytes, key_length: int, key_type: int, /
    ) -> int: ...
    def lilcache_pop(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        out: CData,
        cap: int,
        /,
    ) -> int: ...
    def lilcache_touch(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        ttl_ms: int,
        /,
    ) -> int: ...
    def lilcache_incr(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        delta: int,
        initial: CData,
        ttl_ms: int,
        result: CData,
        /,
    ) -> int: ...
    def lilcache_try_incr(
        self,
        cache: CData,
        key: bytes,
        key_length: int,
        key_type: int,
        delta: int,
        initial: CData,
        ttl_ms: int,
        result: CData,
        /,
    ) -> int: ...
    def lilcache_clear(self, cache: CData, /) -> int: ...
    def lilcache_get_many(
        self,
        cache: CData,
        count: int,
        keys: bytes,
        key_lengths: CData,
        key_types: bytes,
        out: CData,
        cap: int,
        results: CData,
        /,
    ) -> int: ...
    def lilcache_set_many(
        self,
        cache: CData,
        count: int,
        keys: bytes,
        key_lengths: CData,
        key_types: bytes,
        values: bytes,
        value_lengths: CData,
        value_types: bytes,
        ttl_ms: int,
        results: CData,
        /,
    ) -> int: ...
    def lilcache_delete_many(
        self,
        cache: CData,
        count: int,
        keys: bytes,
        key_lengths: CData,
        key_types: bytes,
        results: CData,
        /,
    ) -> int: ...
    def lilcache_scan(
        self, cache: CData, cursor: CData, out: CData, cap: int, count: CData, /
    ) -> int: ...
    def lilcache_stats(self, cache: CData, out: CData, count: int, /) -> int: ...
    def lilcache_stat_name(self, index: int, /) -> CData: ...
    def lilcache_stat_help(self, index: int, /) -> CData: ...
    def lilcache_status_name(self, status: int, /) -> CData: ...
    def lilcache_status_text(self, status: int, /) -> CData: ...
    def lilcache_check(self, cache: CData, report: CData, cap: int, /) -> int: ...
    def lilcache_process_row(self, cache: CData, /) -> int: ...

lib: _Lib
