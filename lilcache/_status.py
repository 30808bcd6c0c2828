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

# struct lilcache_error's available_bytes when nobody could tell.
_UNKNOWN: Final = 2**64 - 1

# What says that a reservation was too large.
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM})

_ANONYMOUSLY: Final = "anonymous=True if only forked children share the cache"

# What to do about a failed system call, whatever the step.
OS_REMEDIES: Final[dict[int, str]] = {
    errno.EEXIST: "something creates and removes it all the time: choose another name=",
    errno.EMFILE: "close files, or raise this process's limit (ulimit -n)",
    errno.ENFILE: "close files, or raise the system's limit (sysctl fs.file-max)",
    errno.ENOMEM: (
        "ask for a smaller size_mb, or give this process more memory and address space"
        " (ulimit -v, sysctl vm.max_map_count)"
    ),
    errno.EAGAIN: "raise the limit on locked memory (ulimit -l)",
    errno.EROFS: f"mount {SHM_DIRECTORY} read-write, or pass {_ANONYMOUSLY}",
    errno.ENOENT: (
        "it takes /proc and /dev/shm: mount them in this container or chroot, or, for"
        f" want of {SHM_DIRECTORY}, pass {_ANONYMOUSLY}"
    ),
    errno.ENOTDIR: f"mount a tmpfs on {SHM_DIRECTORY}, or pass {_ANONYMOUSLY}",
    errno.ENOLCK: "free some of the system's file locks",
}
_OTHERWISE: Final = "look for what refuses it: a limit, a seccomp profile, a container"


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
    if code == errno.ENOSPC or (failure.wanted_bytes and code in _NO_SPACE):
        return _space_error(failure, options, step, reason)
    return os_error(code, step, options)


def os_error(code: int, step: str, options: Options) -> LilcacheError:
    """Return the exception of a failed system call, with what helps against it."""
    reason = f"{step}: {os.strerror(code)}"
    if code in (errno.EACCES, errno.EPERM):
        remedy = ERRORS["FOREIGN"][1]
        if step == "fchown":
            remedy = "only root may give a segment away: let root create it first"
        elif step == "shm_open(O_CREAT)":
            remedy = (
                f"make {SHM_DIRECTORY} writable (chmod 1777), or pass {_ANONYMOUSLY}"
            )
        return ForeignSegmentError(
            f"cache {options.name!r}: {object_path(options)}: {reason}: {remedy}"
        )
    remedy = OS_REMEDIES.get(code, _OTHERWISE)
    error = SegmentOSError(f"cache {options.name!r}: {reason}: {remedy}")
    error.errno = code
    return error


def object_path(options: Options) -> str:
    """Return where the segment of that name lives, for messages."""
    if options.anonymous:
        return "memfd"
    out = ffi.new("char[]", 300)
    lib.lilcache_object_name(options.object_name.encode(), out, 300)
    return f"{SHM_DIRECTORY}/{ffi.string(out).decode()}"


def _space_error(
    failure: Any, options: Options, step: str, reason: str
) -> SegmentSpaceError:
    wanted, available = failure.wanted_bytes, failure.available_bytes
    if available == _UNKNOWN:
        available = 0
    smaller = "ask for a smaller size_mb"
    if step == "memory cgroup":
        what = "do not fit in this process's memory cgroup, which"
        remedy = f"{smaller}, or raise its limit (docker run --memory=..., MemoryMax=)"
    elif step == "RLIMIT_FSIZE":
        what = "are more than this process may write to a file, which"
        remedy = f"{smaller}, or raise the limit (ulimit -f)"
    elif options.anonymous:
        what, remedy = "do not fit in memory, which", smaller
    else:
        what = f"do not fit in {SHM_DIRECTORY}, which"
        remedy = (
            f"{smaller}, enlarge it (docker run --shm-size=...), or pass {_ANONYMOUSLY}"
        )
    if wanted:
        free = f" has {available / MIB:.1f} MiB free" if available else " is full"
        about = f"{wanted / MIB:.1f} MiB {what}{free}"
    else:
        about = f"{SHM_DIRECTORY} takes no more files"
        remedy = f"remove some, or pass {_ANONYMOUSLY}"
    error = SegmentSpaceError(f"cache {options.name!r}: {about} ({reason}): {remedy}")
    error.wanted_bytes = wanted
    error.available_bytes = available
    return error
