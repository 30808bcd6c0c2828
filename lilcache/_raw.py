"""Bytes in, bytes out: the operations of lilcache.h on one key, one method each.

What this stratum adds to the C functions: a buffer for what they return, repetition
while a lock is held elsewhere, attaching anew when the segment was retired, and
exceptions instead of codes. Keys come as (bytes, key type), values as (bytes, value
type), a ttl as milliseconds.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from ._ffi import ffi, lib, quick
from ._handle import Handle
from ._scratch import SCRATCH_BYTES, Scratch, give_scratch, take_scratch
from ._status import error_for, key_detail
from .errors import CorruptError, LilcacheError
from .pins import Claim, View
from .stats import Stats, read_stats

OK: Final = lib.LILCACHE_OK
MISS: Final = lib.LILCACHE_MISS
EXISTS: Final = lib.LILCACHE_EXISTS
TOO_LARGE: Final = lib.LILCACHE_TOO_LARGE
NO_SPACE: Final = lib.LILCACHE_NO_SPACE
BUSY: Final = lib.LILCACHE_BUSY
RETIRED: Final = lib.LILCACHE_RETIRED
NO_PIN: Final = lib.LILCACHE_NO_PIN
SET: Final = lib.LILCACHE_SET
ADD: Final = lib.LILCACHE_ADD
REPLACE: Final = lib.LILCACHE_REPLACE

# Results of reads: LILCACHE_LENGTH and LILCACHE_VALUE_TYPE.
LENGTH_SHIFT: Final = 8
TYPE_MASK: Final = 0xFF

# How often one call attaches anew before it gives up: several processes of a program
# may recreate the segment at the same time.
_ATTACH_LIMIT: Final = 5

# Bound once: an attribute of lib costs a look-up per call.
_c_get: Final = lib.lilcache_get
_c_set: Final = lib.lilcache_set
_c_delete: Final = lib.lilcache_delete
_c_gets: Final = lib.lilcache_gets
_c_ttl: Final = lib.lilcache_ttl
_c_pin: Final = lib.lilcache_pin
_c_cas: Final = lib.lilcache_cas
_c_pop: Final = lib.lilcache_pop
_c_touch: Final = lib.lilcache_touch
_c_incr: Final = lib.lilcache_incr
_c_clear: Final = lib.lilcache_clear

# Results of the hot gets; see _quick.h.
QUICK_STR: Final = quick.QUICK_RESULT_STR
QUICK_TYPE: Final = quick.QUICK_RESULT_TYPE
QUICK_OTHER: Final = quick.QUICK_RESULT_OTHER
QUICK_MISS: Final = quick.QUICK_RESULT_MISS
QUICK_RETIRED: Final = quick.QUICK_RESULT_RETIRED
quick_get_str: Final = quick.quick_get_str
quick_get_bytes: Final = quick.quick_get_bytes
quick_set_str_str: Final = quick.quick_set_str_str
quick_set_str_bytes: Final = quick.quick_set_str_bytes
quick_set_bytes_str: Final = quick.quick_set_bytes_str
quick_set_bytes_bytes: Final = quick.quick_set_bytes_bytes
quick_delete_str: Final = quick.quick_delete_str
quick_delete_bytes: Final = quick.quick_delete_bytes

# What a write that met BUSY has done by then.
_NOTHING_DONE: Final = "nothing was changed"
_PARTS_DONE: Final = {_c_clear: "some shards may be cleared already"}

# (payload, value type)
Found = tuple[bytes, int]


class Raw:
    """The operations on one handle. Thread safe, works after fork.

    Every method may raise ClosedError, every write LockTimeoutError.

    Args:
        handle: Whose segment to use.
        lock_timeout: Seconds after which a write gives up on a held lock.
    """

    __slots__ = ("handle", "lock_timeout")

    def __init__(self, handle: Handle, lock_timeout: float) -> None:
        self.handle = handle
        self.lock_timeout = lock_timeout

    # --- reads ----------------------------------------------------------------------

    def get(self, key: bytes, key_type: int) -> Found | None:
        """Return the value, or None for a miss."""
        result, payload = self._read(_c_get, key, key_type)
        if result >= 0:
            return payload, result & TYPE_MASK
        if result == MISS:
            return None
        if result == TOO_LARGE:
            large = self._read_large(key, key_type)
            return None if large is None else large[:2]
        raise self.error(result, key, key_type)

    def gets(self, key: bytes, key_type: int) -> tuple[bytes, int, int] | None:
        """Return (payload, value type, stamp), or None for a miss."""
        scratch = take_scratch()
        result = self.call(
            _c_gets,
            key,
            len(key),
            key_type,
            scratch.out,
            SCRATCH_BYTES,
            scratch.stamp,
        )
        if result >= 0:
            payload = scratch.window[: result >> LENGTH_SHIFT]
            stamp = scratch.stamp[0]
            give_scratch(scratch)
            return payload, result & TYPE_MASK, stamp
        give_scratch(scratch)
        if result == MISS:
            return None
        if result == TOO_LARGE:
            return self._read_large(key, key_type)
        raise self.error(result, key, key_type)

    def ttl(self, key: bytes, key_type: int) -> int | None:
        """Return remaining milliseconds, -1 for ever, or None for a miss."""
        scratch = take_scratch()
        status = self.call(_c_ttl, key, len(key), key_type, scratch.number)
        remaining = scratch.number[0]
        give_scratch(scratch)
        return remaining if self._present(status, key, key_type) else None

    def view(self, key: bytes, key_type: int) -> tuple[View, int] | None:
        """Return (view, value type), the view a copy when it must; None for a miss."""
        result, claim = self._pin(key, key_type)
        if result >= 0:
            return claim.export(), result & TYPE_MASK
        if result == MISS:
            return None
        found = self.get(key, key_type)
        return None if found is None else (View.of_copy(found[0]), found[1])

    def _read(self, function: Any, key: bytes, key_type: int) -> tuple[int, bytes]:
        """Return the result and, if it is no code, the payload."""
        scratch = take_scratch()
        result = self.call(
            function, key, len(key), key_type, scratch.out, SCRATCH_BYTES
        )
        payload = scratch.window[: result >> LENGTH_SHIFT] if result >= 0 else b""
        give_scratch(scratch)
        return result, payload

    def _read_large(self, key: bytes, key_type: int) -> tuple[bytes, int, int] | None:
        """Return (payload, value type, stamp) of a value that no scratch holds."""
        result, claim = self._pin(key, key_type)
        if result >= 0:
            payload, stamp = claim.copy(), claim.found.stamp
            claim.release()
            return payload, result & TYPE_MASK, stamp
        if result == MISS:
            return None
        size = self.handle.max_value_bytes
        scratch = Scratch(size)
        result = self.call(
            _c_gets, key, len(key), key_type, scratch.out, size, scratch.stamp
        )
        if result >= 0:
            payload = scratch.window[: result >> LENGTH_SHIFT]
            return payload, result & TYPE_MASK, scratch.stamp[0]
        if result == MISS:
            return None
        raise self.error(result, key, key_type)

    def _pin(self, key: bytes, key_type: int) -> tuple[int, Claim]:
        """Return the packed result, MISS or NO_PIN, and the claim it filled in."""
        for _ in range(_ATTACH_LIMIT):
            pointer = self.handle.live()
            claim = Claim(pointer)
            result = _c_pin(pointer, key, len(key), key_type, claim.found)
            if result >= 0 or result == MISS or result == NO_PIN:
                return result, claim
            if result != RETIRED:
                break
            self.handle.reattach(pointer)
        raise self.error(result, key, key_type)

    # --- writes ---------------------------------------------------------------------

    def set(
        self, key: bytes, key_type: int, value: Found, ttl_ms: int, mode: int
    ) -> bool:
        """Store by mode SET, ADD or REPLACE; False when the mode forbade it."""
        payload, value_type = value
        status = self.call(
            _c_set,
            key,
            len(key),
            key_type,
            payload,
            len(payload),
            value_type,
            ttl_ms,
            mode,
        )
        return self._stored(status, key, key_type, payload)

    def cas(
        self, key: bytes, key_type: int, value: Found, ttl_ms: int, stamp: int
    ) -> bool:
        """Store if the record's stamp is still this one."""
        payload, value_type = value
        status = self.call(
            _c_cas,
            key,
            len(key),
            key_type,
            payload,
            len(payload),
            value_type,
            ttl_ms,
            stamp,
        )
        return self._stored(status, key, key_type, payload)

    def delete(self, key: bytes, key_type: int) -> bool:
        """Return whether the key was there."""
        status = self.call(_c_delete, key, len(key), key_type)
        return self._present(status, key, key_type)

    def touch(self, key: bytes, key_type: int, ttl_ms: int) -> bool:
        """Change the ttl; return whether the key was there."""
        status = self.call(_c_touch, key, len(key), key_type, ttl_ms)
        return self._present(status, key, key_type)

    def pop(self, key: bytes, key_type: int) -> Found | None:
        """Remove and return the value, or None for a miss."""
        result, payload = self._read(_c_pop, key, key_type)
        if result == TOO_LARGE:
            size = self.handle.max_value_bytes
            scratch = Scratch(size)
            result = self.call(_c_pop, key, len(key), key_type, scratch.out, size)
            if result >= 0:
                payload = scratch.window[: result >> LENGTH_SHIFT]
        if result >= 0:
            return payload, result & TYPE_MASK
        if result == MISS:
            return None
        raise self.error(result, key, key_type)

    def incr(
        self, key: bytes, key_type: int, delta: int, initial: int | None, ttl_ms: int
    ) -> int | None:
        """Add delta and return the sum, or None for a miss without initial."""
        scratch = take_scratch()
        start = ffi.NULL
        if initial is not None:
            start = scratch.start
            start[0] = initial
        total = scratch.number
        # Counters are hot: as call, without its tuple of arguments.
        status = _c_incr(
            self.handle.live(), key, len(key), key_type, delta, start, ttl_ms, total
        )
        if status == BUSY or status == RETIRED:
            status = self.call(
                _c_incr, key, len(key), key_type, delta, start, ttl_ms, total
            )
        if status >= 0:
            number: int = total[0]
            give_scratch(scratch)
            return number
        give_scratch(scratch)
        if status == MISS:
            return None
        raise self.error(status, key, key_type)

    def clear(self) -> None:
        """Forget everything."""
        status = self.call(_c_clear)
        if status < 0:
            raise self.error(status)

    # --- looking inside -------------------------------------------------------------

    def stats(self) -> Stats:
        return read_stats(self.handle.live(), self.handle.options.name)

    def check(self) -> list[str]:
        """Return the violated invariants, empty when all hold."""
        size = 4096
        report = ffi.new("char[]", size)
        status = self.call(lib.lilcache_check, report, size)
        if status < 0:
            raise self.error(status)
        return [ffi.string(report).decode(errors="replace")] if status else []

    # --- what every operation shares ------------------------------------------------

    def call(self, function: Any, *arguments: Any) -> int:
        """Return function(pointer, *arguments) once it is neither BUSY nor RETIRED.

        Between two slices of waiting the interpreter runs signal handlers, so Ctrl-C
        ends the wait.

        Raises:
            LockTimeoutError: BUSY for lock_timeout.
        """
        pointer = self.handle.live()
        status: int = function(pointer, *arguments)
        if status != BUSY and status != RETIRED:
            return status
        deadline = monotonic() + self.lock_timeout
        attached = 0
        while status == BUSY or status == RETIRED:
            if status == BUSY and monotonic() >= deadline:
                detail = _PARTS_DONE.get(function, _NOTHING_DONE)
                raise self.error(BUSY, detail=detail)
            if status == RETIRED:
                if attached == _ATTACH_LIMIT:
                    break
                self.handle.reattach(pointer)
                attached += 1
                deadline = monotonic() + self.lock_timeout  # for another lock
            pointer = self.handle.live()
            status = function(pointer, *arguments)
        return status

    def error(
        self,
        status: int,
        key: bytes | None = None,
        key_type: int = 0,
        value: bytes | None = None,
        detail: str = "",
    ) -> LilcacheError:
        """Return the exception of an error code with what this level knows."""
        name = self.handle.options.name
        facts = [detail] if detail else []
        if key is not None:
            facts.append(key_detail(key, key_type))
        if value is not None:
            most = self.handle.max_value_bytes
            facts.append(f"value of {len(value)} bytes, at most {most}")
        if status == BUSY:
            facts.append(f"waited lock_timeout={self.lock_timeout:g} s")
        if status == TOO_LARGE:
            return CorruptError(
                f"cache {name!r}: a value is larger than the segment accepts"
                f" ({', '.join(facts)}): clear() or destroy() it"
            )
        return error_for(status, name, ", ".join(facts))

    def _present(self, status: int, key: bytes, key_type: int) -> bool:
        if status >= 0:
            return True
        if status == MISS:
            return False
        raise self.error(status, key, key_type)

    def _stored(self, status: int, key: bytes, key_type: int, payload: bytes) -> bool:
        if status >= 0:
            return True
        if status == MISS or status == EXISTS:
            return False
        raise self.error(status, key, key_type, payload)
