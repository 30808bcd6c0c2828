"""Status codes to exceptions: the single funnel.

Codes, names and texts come from status.def through the core; the table here adds the
exception and what the caller can do about it.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from ._ffi import ffi, lib
from ._keys import describe_key
from ._options import MIB, SHM_DIRECTORY, Options
from .errors import (
    ArgumentError,
    CorruptError,
    CounterOverflowError,
    ForeignSegmentError,
    KeySizeError,
    LilcacheError,
    LockTimeoutError,
    NamespaceError,
    NoSpaceError,
    NotIntegerError,
    OutOfMemoryError,
    SegmentError,
    SegmentMismatchError,
    SegmentNotReadyError,
    SegmentOSError,
    SegmentSpaceError,
    TooManyProcessesError,
    TTLError,
    ValueSizeError,
)

# name in status.def: (exception, what to do). Outcomes are answers and not listed.
ERRORS: Final[dict[str, tuple[type[LilcacheError], str]]] = {
    "KEY_SIZE": (KeySizeError, "hash a longer key first"),
    "VALUE_SIZE": (ValueSizeError, "create the segment with a larger max_value_mb"),
    "TTL": (TTLError, "pass None for ever"),
    "NOT_INTEGER": (NotIntegerError, "set an int before counting with incr or decr"),
    "OVERFLOW": (CounterOverflowError, "set the counter anew"),
    "INVALID": (ArgumentError, "check size_mb, max_value_mb and max_processes"),
    "BUSY": (LockTimeoutError, "look for a stopped process, or raise lock_timeout"),
    "NO_SPACE": (NoSpaceError, "release views, or give the segment more size_mb"),
    "TOO_MANY_PROCESSES": (
        TooManyProcessesError,
        "create the segment with a larger max_processes",
    ),
    "MEMORY": (OutOfMemoryError, "give this process more memory"),
    "OS": (SegmentOSError, "see errno"),
    "MISMATCH": (
        SegmentMismatchError,
        "choose another name=, or remove what is there (recreate=True does, if it is a"
        " damaged segment)",
    ),
    "FOREIGN": (
        ForeignSegmentError,
        "choose another name=, or have it removed by its owner; owner= and group= say"
        " with whom a segment is shared",
    ),
    "NAMESPACE": (NamespaceError, "choose another name= for this time namespace"),
    "CORRUPT": (CorruptError, "clear() or destroy() it"),
    "RETIRED": (SegmentError, "close the cache and open it again"),
    "NOT_READY": (
        SegmentNotReadyError,
        "repeat; if it stays so, its creator is stopped: let it go on, or kill it",
    ),
}

# Codes of open that say something about what stands under the segment's name.
ABOUT_THE_OBJECT: Final = frozenset({"MISMATCH", "FOREIGN", "NAMESPACE", "NOT_READY"})

# What to do about a failed system call of open.
OS_REMEDIES: Final[dict[int, str]] = {
    errno.EEXIST: "something creates and removes it all the time: choose another name=",
    errno.ENOENT: "it takes /proc and /dev/shm: mount them in this container or chroot",
}


def status_name(status: int) -> str:
    return str(ffi.string(lib.lilcache_status_name(status)).decode())


def status_text(status: int) -> str:
    return str(ffi.string(lib.lilcache_status_text(status)).decode())


def error_for(
    status: int, segment: str, detail: str = "", remedy: str = ""
) -> LilcacheError:
    """Return the exception of an error code.

    Args:
        status: A code of status.def that is no outcome.
        segment: The name of the cache.
        detail: What the caller knows besides, e.g. which key and how long.
        remedy: What to do about it, if that is not what the table says.
    """
    kind, usual = ERRORS.get(status_name(status), (SegmentError, "report a defect"))
    remedy = remedy or usual
    about = f" ({detail})" if detail else ""
    return kind(f"cache {segment!r}: {status_text(status)}{about}: {remedy}")


def key_detail(key: bytes, key_type: int) -> str:
    return f"key {describe_key(key, key_type)}, {len(key)} bytes"


def open_error(failure: Any, options: Options) -> LilcacheError:
    """Return the exception of a failed open from its struct lilcache_error."""
    step = ffi.string(failure.step).decode(errors="replace")
    code = failure.os_errno
    reason = f"{step}: {os.strerror(code)}" if code else step
    if status_name(failure.status) in ABOUT_THE_OBJECT:
        about = f"{object_path(options)}: {reason}"
        return error_for(failure.status, options.name, about)
    if status_name(failure.status) == "CORRUPT":
        about = f"{object_path(options)}: {reason}"
        remedy = "remove the object with recreate=True"
        return error_for(failure.status, options.name, about, remedy)
    if status_name(failure.status) != "OS":
        return error_for(failure.status, options.name, f"at {step}" if step else "")
    if code == errno.ENOSPC:
        return _space_error(failure, options, reason)
    if code in (errno.EACCES, errno.EPERM):
        remedy = ERRORS["FOREIGN"][1]
        if step == "fchown":
            remedy = "only root may give a segment away: let root create it first"
        return ForeignSegmentError(
            f"cache {options.name!r}: {object_path(options)}: {reason}: {remedy}"
        )
    remedy = f": {OS_REMEDIES[code]}" if code in OS_REMEDIES else ""
    error = SegmentOSError(f"cache {options.name!r} cannot be opened: {reason}{remedy}")
    error.errno = code
    return error


def object_path(options: Options) -> str:
    """Return where the segment of that name lives, for messages."""
    if options.anonymous:
        return "memfd"
    out = ffi.new("char[]", 300)
    lib.lilcache_object_name(options.object_name.encode(), out, 300)
    return f"{SHM_DIRECTORY}/{ffi.string(out).decode()}"


def _space_error(failure: Any, options: Options, reason: str) -> SegmentSpaceError:
    wanted, available = failure.wanted_bytes, failure.available_bytes
    if options.anonymous:
        place, remedy = "memory", "ask for a smaller size_mb"
    else:
        place = SHM_DIRECTORY
        remedy = (
            "ask for a smaller size_mb, enlarge it (docker run --shm-size=...), or pass"
            " anonymous=True if only forked children share the cache"
        )
    error = SegmentSpaceError(
        f"cache {options.name!r}: {wanted / MIB:.1f} MiB do not fit in {place}, which"
        f" has {available / MIB:.1f} MiB free ({reason}): {remedy}"
    )
    error.wanted_bytes = wanted
    error.available_bytes = available
    return error
