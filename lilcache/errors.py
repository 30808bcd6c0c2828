"""Every exception of lilcache, branched by who must act.

LilcacheError
├── CallerError                   the call was wrong: change the program
│   ├── ArgumentError             (ValueError)    an option or argument is out of range
│   ├── KeyTypeError              (TypeError)     not a str, bytes, int or tuple of them
│   ├── KeyEncodingError          (ValueError)    a str key with lone surrogates
│   ├── KeySizeError              (ValueError)    empty, or longer than 65,535 bytes
│   ├── ValueSizeError            (ValueError)    larger than the segment accepts
│   ├── TTLError                  (ValueError)    not a positive, finite duration
│   ├── NotBytesError             (TypeError)     a view of neither bytes nor str
│   ├── NotIntegerError           (TypeError)     incr of something else than an integer
│   ├── CounterOverflowError      (OverflowError) incr past 64 bits
│   ├── SerializationError        (TypeError)     the serializer refused or failed
│   ├── NotInitializedError       (RuntimeError)  a module function before init()
│   ├── AlreadyInitializedError   (RuntimeError)  init() again with other arguments
│   └── ClosedError               (ValueError)    the cache was closed
├── CapacityError                 a limit was met: wait, or give the segment more
│   ├── LockTimeoutError          (TimeoutError)  a lock stayed held by another process
│   ├── NoSpaceError                              views pin every place that would do
│   ├── TooManyProcessesError                     every process row is taken
│   ├── SegmentSpaceError                         does not fit, usually in /dev/shm
│   └── OutOfMemoryError          (MemoryError)   this process has no memory left
└── SegmentError                  the segment cannot be used: an operator must look
    ├── SegmentMismatchError                      not a segment of this layout
    ├── ForeignSegmentError       (PermissionError) another user owns or may open it
    ├── NamespaceError                            made in another time namespace
    ├── CorruptError                              the segment or a value is damaged
    ├── SegmentNotReadyError                      its creator has not finished
    ├── SegmentOSError            (OSError)       a system call failed
    └── UnsupportedPlatformError                  lilcache runs on Linux only

A miss is never an exception, but for `cache[key]`: that raises KeyError as a dict does.
"""

from __future__ import annotations


class LilcacheError(Exception):
    """The root of all exceptions that lilcache raises itself."""


class CallerError(LilcacheError):
    """The call was wrong. Nothing was changed; the program must."""


class ArgumentError(CallerError, ValueError):
    """An option or argument is of the wrong kind or out of range."""


class KeyTypeError(CallerError, TypeError):
    """A key is not exactly a str, bytes, int, or a tuple of these."""


class KeyEncodingError(CallerError, ValueError):
    """A str key has lone surrogates, which have no UTF-8 form."""


class KeySizeError(CallerError, ValueError):
    """An encoded key is empty or longer than 65,535 bytes."""


class ValueSizeError(CallerError, ValueError):
    """An encoded value is larger than the segment's max_value_bytes."""


class TTLError(CallerError, ValueError):
    """A ttl is not a positive, finite number of seconds or timedelta."""


class NotBytesError(CallerError, TypeError):
    """A view was asked of a value that is neither bytes nor str."""


class NotIntegerError(CallerError, TypeError):
    """incr or decr met a value or delta that is not a 64-bit integer."""


class CounterOverflowError(CallerError, OverflowError):
    """incr or decr would leave the range of signed 64-bit integers."""


class SerializationError(CallerError, TypeError):
    """The serializer could not, or must not, convert a value."""


class NotInitializedError(CallerError, RuntimeError):
    """A module-level function was called before lilcache.init()."""


class AlreadyInitializedError(CallerError, RuntimeError):
    """lilcache.init() was called again with other arguments."""


class ClosedError(CallerError, ValueError):
    """The cache was closed in this process."""


class CapacityError(LilcacheError):
    """A limit was met: wait and repeat, or give the segment more."""


class LockTimeoutError(CapacityError, TimeoutError):
    """Another process held a lock for longer than lock_timeout."""


class NoSpaceError(CapacityError):
    """Every place the value would fit in is pinned by views."""


class TooManyProcessesError(CapacityError):
    """Every process row of the segment is taken by a live process."""


class SegmentSpaceError(CapacityError):
    """The segment does not fit where it would live, usually /dev/shm.

    Attributes:
        wanted_bytes: The size that was asked for.
        available_bytes: What was free at that moment; 0 if that is not known.
    """

    wanted_bytes: int = 0
    available_bytes: int = 0


class OutOfMemoryError(CapacityError, MemoryError):
    """This process could not get memory of its own."""


class SegmentError(LilcacheError):
    """The segment cannot be used as it is."""


class SegmentMismatchError(SegmentError):
    """An object of that name exists and is no segment of this layout."""


class ForeignSegmentError(SegmentError, PermissionError):
    """The object belongs to another user, or others have access to it."""


class NamespaceError(SegmentError):
    """The segment was created in another time namespace."""


class CorruptError(SegmentError):
    """The segment is damaged, or a value failed its verification."""


class SegmentNotReadyError(SegmentError):
    """Another process is creating the segment and has not finished."""


class SegmentOSError(SegmentError, OSError):
    """A system call on the segment failed; errno says why."""


class UnsupportedPlatformError(SegmentError):
    """lilcache needs Linux: robust process-shared mutexes and OFD locks."""


class SegmentSizeWarning(UserWarning):
    """The segment that was attached has another size than was asked for."""
