"""Cache: one attachment to a segment, with the verbs of a dict that has expiry.

PlainCache is all of it. Its get, set and delete make the hot calls of the extension
themselves, for str and bytes; whatever these cannot do, and all else, goes through
_raw. Cache is the same with the hot verbs in C, where that extension was built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn

from . import _many
from ._attachment import Attachment
from ._codec import TYPE_BYTES, TYPE_STR
from ._compression import COMPRESSED
from ._keys import KEY_BYTES, KEY_STR, Key, decode_key, describe_key, encode_key
from ._raw import (
    ADD,
    BUSY,
    MISS,
    OK,
    QUICK_MISS,
    QUICK_OTHER,
    QUICK_RETIRED,
    QUICK_STR,
    QUICK_TYPE,
    REPLACE,
    SET,
    Found,
    quick_delete_bytes,
    quick_delete_str,
    quick_get_bytes,
    quick_get_str,
    quick_set_bytes_bytes,
    quick_set_bytes_str,
    quick_set_str_bytes,
    quick_set_str_str,
)
from ._sentinel import MISSING
from ._ttl import TTL, ttl_to_ms
from ._verbs import install
from .errors import (
    ArgumentError,
    CounterOverflowError,
    NotBytesError,
    NotIntegerError,
)
from .pins import View

_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


class PlainCache(Attachment):
    """A cache in shared memory, the same one in every process that names it.

    Everything may be called by any thread, and in a forked child. A read takes no
    lock and never waits. A write waits at most lock_timeout for another process.
    Arguments are checked before anything changes.

    Keys are str, bytes, int, or tuples of these, by exact type: 'a', b'a' and 1 are
    different keys. Values of type bytes, str, int, float, bool and None are stored
    natively; all others by the serializer.

    The arguments are described at __init__.
    """

    __slots__ = ()

    # --- one key --------------------------------------------------------------------

    def get(self, key: Key, default: Any = None) -> Any:
        """Return the value, or default if there is none.

        Never waits. A stored None is returned as None: pass a default of your own to
        tell it from a miss.

        Raises:
            CallerError: Not a valid key, or a value the serializer does not load.
            CorruptError: The value failed its verification.
        """
        handle = self._handle
        pool = handle.pool
        try:
            if type(key) is str:
                data = key.encode()
                get, _, window, call = hot = pool.pop()
                if "\0" in key:
                    result = quick_get_str(call, data, len(data))
                else:
                    result = get(data)
            elif type(key) is bytes:
                data = key
                _, get, window, call = hot = pool.pop()
                if 0 in data:
                    result = quick_get_bytes(call, data, len(data))
                else:
                    result = get(data)
            else:
                return self._get(key, default)
        except (IndexError, TypeError):  # nothing popped, or None
            handle.supply(pool)
            return self._get(key, default)
        except (UnicodeEncodeError, OverflowError):
            return self._get(key, default)
        if result < QUICK_STR:
            payload = window[:result]
            pool.append(hot)
            return payload
        if result < QUICK_OTHER:
            payload = window[: result - QUICK_STR]
            pool.append(hot)
            try:
                return payload.decode()
            except UnicodeDecodeError:
                value_type = TYPE_STR  # decode says what is wrong
        elif result == QUICK_MISS:
            pool.append(hot)
            return default
        elif result < QUICK_MISS:
            payload = window[: result & (QUICK_STR - 1)]
            pool.append(hot)
            value_type = result >> QUICK_TYPE
        else:
            if result != QUICK_RETIRED:  # its call would find that segment again
                pool.append(hot)
            return self._get(key, default)
        key_type = KEY_STR if type(key) is str else KEY_BYTES
        return self._codec.decode(payload, value_type, data, key_type)

    def set(self, key: Key, value: Any, ttl: TTL = None) -> bool:
        """Store a value and return True; replaces value and ttl of the key.

        Args:
            key: The key.
            value: The value.
            ttl: Seconds as int or float, a timedelta, or None for ever.

        Raises:
            CallerError: Not a valid key, value or ttl; nothing was changed.
            LockTimeoutError: Another process held the lock; nothing was changed.
            NoSpaceError: Views pin every place the value would fit in.
        """
        if ttl is None and self._plain:
            try:
                if type(key) is str:
                    data = key.encode()
                    set_bytes, set_str = quick_set_str_bytes, quick_set_str_str
                elif type(key) is bytes:
                    data = key
                    set_bytes, set_str = quick_set_bytes_bytes, quick_set_bytes_str
                else:
                    return self._store(key, value, ttl, SET)
                pointer = self._handle.pointer
                if type(value) is bytes:
                    if set_bytes(pointer, data, len(data), value, len(value)):
                        return True
                elif type(value) is str:
                    payload = value.encode()
                    if set_str(pointer, data, len(data), payload, len(payload)):
                        return True
            except (UnicodeEncodeError, TypeError, OverflowError):
                # Surrogates, a closed cache, over 2 GiB: the long way sees to them.
                pass
        return self._store(key, value, ttl, SET)

    def delete(self, key: Key) -> bool:
        """Forget a key; return whether it was there.

        Raises:
            CallerError: Not a valid key.
            LockTimeoutError: Another process held the lock; nothing was changed.
        """
        try:
            if type(key) is str:
                data = key.encode()
                status = quick_delete_str(self._handle.pointer, data, len(data))
            elif type(key) is bytes:
                status = quick_delete_bytes(self._handle.pointer, key, len(key))
            else:
                status = BUSY
        except (UnicodeEncodeError, TypeError, OverflowError):
            # Surrogates, a closed cache, over 2 GiB: the long way sees to them.
            status = BUSY
        if status == OK:
            return True
        if status == MISS:
            return False
        data, key_type = encode_key(key)
        return self._raw.delete(data, key_type)

    def add(self, key: Key, value: Any, ttl: TTL = None) -> bool:
        """Store only if the key is absent; return whether it was stored.

        Raises:
            As set.
        """
        return self._store(key, value, ttl, ADD)

    def replace(self, key: Key, value: Any, ttl: TTL = None) -> bool:
        """Store only if the key is present; return whether it was stored.

        Raises:
            As set.
        """
        return self._store(key, value, ttl, REPLACE)

    def pop(self, key: Key, default: Any = None) -> Any:
        """Forget a key and return its value in one step, or default if absent.

        Raises:
            As get and delete. A value that cannot be decoded is forgotten all the same.
        """
        data, key_type = encode_key(key)
        return self._decode(self._raw.pop(data, key_type), data, key_type, default)

    def touch(self, key: Key, ttl: TTL) -> bool:
        """Change the ttl, keep value and stamp; return whether the key was there.

        Raises:
            CallerError: Not a valid key or ttl.
            LockTimeoutError: Another process held the lock; nothing was changed.
        """
        data, key_type = encode_key(key)
        return self._raw.touch(data, key_type, ttl_to_ms(ttl))

    def ttl(self, key: Key, default: Any = 0.0) -> Any:
        """Return the seconds left: a positive float, or None for ever.

        An absent key gives default; no present key has 0.0 seconds left.
        """
        data, key_type = encode_key(key)
        left_ms = self._raw.ttl(data, key_type)
        if left_ms is None:
            return default
        return None if left_ms < 0 else max(left_ms, 1) / 1000

    def view(self, key: Key, default: Any = None) -> Any:
        """Return a read-only view of a bytes or str value where it lies.

        Nothing is copied, whatever the size, unless the value is compressed or signed;
        a str shows its UTF-8 bytes. The bytes stay as they are until the last reference
        to the view, its slices and the arrays made from it is gone. Every live view
        keeps a block of the segment from being used again: do not keep many.

            with cache.view(key) as memory: ...

        gives a memoryview and lets go at the end of the block, or, when arrays made
        from it live on, with the last of them.

        Returns:
            A View, which behaves like a memoryview; default if the key is absent.

        Raises:
            NotBytesError: The value is of another type; nothing is pinned.
        """
        data, key_type = encode_key(key)
        if self._codec.signs:
            # Only a private copy stays what was verified.
            value = self.get(key, MISSING)
            if value is MISSING:
                return default
            if type(value) is str:
                value = value.encode("utf-8", "surrogatepass")
            if type(value) is bytes:
                return View.of_copy(value)
        else:
            found = self._raw.view(data, key_type)
            if found is None:
                return default
            view, value_type = found
            if value_type == TYPE_BYTES or value_type == TYPE_STR:
                return view
            if value_type ^ COMPRESSED in (TYPE_BYTES, TYPE_STR):
                # Of a private copy, which nobody changes meanwhile.
                with view as memory:
                    stored = bytes(memory)
                return View.of_copy(self._codec.expand(stored, data, key_type))
        raise NotBytesError(
            f"the value of {describe_key(data, key_type)} is neither bytes nor str:"
            " use get"
        )

    # --- counters and versions ------------------------------------------------------

    def incr(
        self,
        key: Key,
        delta: int = 1,
        initial: int | None = None,
        ttl: TTL = None,
    ) -> int | None:
        """Add delta to an integer, atomically over all processes; keeps its ttl.

        Args:
            key: The key.
            delta: What to add, a signed 64-bit integer.
            initial: What to store, as it is, when the key is absent.
            ttl: The ttl of an initial value.

        Returns:
            The new value; None if the key is absent and there is no initial.

        Raises:
            NotIntegerError: The value, delta or initial is no 64-bit integer, or the
                cache signs its values.
            CounterOverflowError: The sum would leave 64 bits; nothing was changed.
            LockTimeoutError: Another process held the lock; nothing was changed.
        """
        data, key_type = encode_key(key)
        _require_int64("delta", delta)
        if initial is not None:
            _require_int64("initial", initial)
        if self._codec.signs:
            raise NotIntegerError(
                f"cache {self.name!r} signs its values, and a counter in the segment"
                " cannot be signed: count in a cache without signing_key"
            )
        return self._raw.incr(data, key_type, delta, initial, ttl_to_ms(ttl))

    def decr(
        self,
        key: Key,
        delta: int = 1,
        initial: int | None = None,
        ttl: TTL = None,
    ) -> int | None:
        """Subtract delta; goes below zero. Otherwise as incr."""
        _require_int64("delta", delta)
        return self.incr(key, -delta, initial, ttl)

    def gets(self, key: Key, default: Any = None) -> tuple[Any, int | None]:
        """Return (value, stamp) for cas; (default, None) if the key is absent."""
        data, key_type = encode_key(key)
        found = self._raw.gets(data, key_type)
        if found is None:
            return default, None
        payload, value_type, stamp = found
        return self._codec.decode(payload, value_type, data, key_type), stamp

    def cas(self, key: Key, value: Any, stamp: int | None, ttl: TTL = None) -> bool:
        """Store only if nothing was stored under the key since gets gave the stamp.

        A stamp of None, as gets gives for an absent key, stores only if it still is.

        Returns:
            Whether the value was stored.

        Raises:
            As set; ArgumentError for a stamp that gets cannot have given.
        """
        if stamp is None:
            return self._store(key, value, ttl, ADD)
        if type(stamp) is not int or not 0 <= stamp < 2**32:
            raise ArgumentError(f"stamp is what gets() returned, not {stamp!r}")
        data, key_type = encode_key(key)
        stored = self._codec.encode(value, data, key_type)
        return self._raw.cas(data, key_type, stored, ttl_to_ms(ttl), stamp)

    # --- many keys ------------------------------------------------------------------

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Any]:
        """Return a dict of those keys that are there, each looked up for itself."""
        wanted = _listed(keys)
        return _many.get_many(
            self._raw,
            wanted,
            [encode_key(key) for key in wanted],
            self._codec.decode,
        )

    def set_many(self, mapping: Mapping[Key, Any], ttl: TTL = None) -> list[Key]:
        """Store every item of a mapping.

        Returns:
            The keys that found no space because of views; usually [].

        Raises:
            CallerError: Any key or value, or the ttl, is not valid; nothing was stored.
            LockTimeoutError: Another process held a lock; a part may be stored.
        """
        items = list(mapping.items())
        encoded = [encode_key(key) for key, _ in items]
        encode = self._codec.encode
        values = [
            encode(value, *data)
            for (_, value), data in zip(items, encoded, strict=True)
        ]
        failed = _many.set_many(self._raw, encoded, values, ttl_to_ms(ttl))
        return [items[index][0] for index in failed]

    def delete_many(self, keys: Iterable[Key]) -> int:
        """Forget keys; return how many of them were there.

        Raises:
            CallerError: Any key is not valid; nothing was changed.
            LockTimeoutError: Another process held a lock; a part may be deleted.
        """
        return _many.delete_many(self._raw, [encode_key(key) for key in _listed(keys)])

    def clear(self) -> None:
        """Forget everything, for all processes.

        Raises:
            LockTimeoutError: Another process held a lock; a part may be cleared.
        """
        self._raw.clear()

    def scan(self) -> Iterator[Key]:
        """Walk over all keys, while others go on writing.

        A key that is there during the whole walk comes at least once, perhaps twice;
        one that comes or goes meanwhile may or may not.
        """
        for data, key_type in _many.scan(self._raw):
            yield decode_key(data, key_type)

    # --- as a dict ------------------------------------------------------------------

    def __getitem__(self, key: Key) -> Any:
        value = self.get(key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Key, value: Any) -> None:
        self.set(key, value)

    def __delitem__(self, key: Key) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: Key) -> bool:
        data, key_type = encode_key(key)
        return self._raw.ttl(data, key_type) is not None

    def __iter__(self) -> Iterator[Key]:
        return self.scan()

    def __len__(self) -> int:
        """The number of items; expired ones count until their space is used again."""
        return self.stats().items

    def __bool__(self) -> bool:
        """True, also when empty: `cache or other` asks whether there is a cache."""
        return True

    # --- inside ---------------------------------------------------------------------

    def _get(self, key: Key, default: Any) -> Any:
        data, key_type = encode_key(key)
        return self._decode(self._raw.get(data, key_type), data, key_type, default)

    def _store(self, key: Key, value: Any, ttl: TTL, mode: int) -> bool:
        data, key_type = encode_key(key)
        stored = self._codec.encode(value, data, key_type)
        return self._raw.set(data, key_type, stored, ttl_to_ms(ttl), mode)

    def _store_payload(
        self,
        data: bytes,
        key_type: int,
        payload: bytes,
        value_type: int,
        ttl_ms: int,
        mode: int,
    ) -> bool:
        if type(payload) is not bytes:
            raise self._codec.not_bytes(payload)
        stored = self._codec.seal(payload, value_type, data, key_type)
        return self._raw.set(data, key_type, stored, ttl_ms, mode)

    def _dump_failed(self, value: Any, error: Exception) -> NoReturn:
        raise self._codec.dump_error(value, error) from error

    def _load_failed(self, payload: bytes, error: Exception) -> NoReturn:
        raise self._codec.load_error(payload, error) from error

    def _decode(
        self, found: Found | None, data: bytes, key_type: int, default: Any
    ) -> Any:
        if found is None:
            return default
        return self._codec.decode(*found, data, key_type)


class Cache(PlainCache):
    __doc__ = PlainCache.__doc__
    __slots__ = ()


install(Cache, PlainCache)


def _require_int64(argument: str, value: object) -> None:
    if type(value) is not int:
        raise NotIntegerError(f"{argument} is an int, not {type(value).__name__}")
    if not _INT64_MIN <= value <= _INT64_MAX:
        raise CounterOverflowError(f"{argument} does not fit a signed 64-bit integer")


def _listed(keys: Iterable[Key]) -> list[Key]:
    """Return a list; refuse one key where several are meant, which also iterates."""
    if isinstance(keys, (str, bytes)):
        raise ArgumentError(f"expected several keys, not {type(keys).__name__}")
    return list(keys)
