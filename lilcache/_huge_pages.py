"""Ask for huge pages, one by one, so that signals are heard in between."""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from ._ffi import ffi, lib

_TURNS: Final = 3  # through those of which the kernel was busy with some page
_HINT: Final = (
    " (it takes Linux 6.1 or later, and"
    " /sys/kernel/mm/transparent_hugepage/shmem_enabled other than 'deny')"
)


def ask_for_huge_pages(pointer: Any) -> tuple[int, str]:
    """Have the kernel put a segment into huge pages, as far as it has some.

    Takes milliseconds for each and holds no lock; others may use the segment.

    Args:
        pointer: `struct lilcache *`, which the caller keeps alive.

    Returns:
        The bytes that are in huge pages now, and why the rest is not; "" if all is that
        can be.
    """
    page = int(lib.lilcache_huge_page())
    size = int(lib.lilcache_size(pointer))
    missing = list(range(0, size - page + 1, page))
    if not missing:
        return 0, f"it is smaller than one, which has {page} bytes"
    given = 0
    for _ in range(_TURNS):
        busy = []
        for at in missing:
            status = lib.lilcache_collapse(pointer, at)
            code = ffi.errno
            if status == lib.LILCACHE_OK:
                given += page
            elif status != lib.LILCACHE_OS:
                return 0, "somebody retired the segment"
            elif code == errno.EAGAIN:
                busy.append(at)
            else:
                hint = _HINT if code == errno.EINVAL else ""
                return given, f"the kernel refused: {os.strerror(code)}{hint}"
        missing = busy
        if not missing:
            return given, ""
    return given, "the kernel was busy with the rest"
