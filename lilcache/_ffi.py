"""The only importer of the extensions that call the core, for the level above.

`ffi` and `lib` are the whole core; `quick_ffi` and `quick` its hot calls once more,
cheaper and without letting go of the GIL; `fast` the hot verbs of Cache without cffi,
or None where that extension was not built.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ._version import __version__


class _Absent:
    """Stands in for ffi and lib where there is no extension to import.

    Modules bind constants and functions when they are imported. None is used before
    a handle exists, and no handle is made on such a platform.
    """

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        return self


SUPPORTED = sys.platform == "linux"

fast: ModuleType | None
if SUPPORTED:
    try:
        from ._lilcache import ffi, lib
        from ._quick import ffi as quick_ffi
        from ._quick import lib as quick

        try:
            from ._fast import VERSION as fast_version
        except ModuleNotFoundError:  # not built
            fast, fast_version = None, __version__
        else:
            from . import _fast as fast
    except ImportError as error:
        raise ImportError(
            f"the extensions of lilcache are not usable ({error}): build them with"
            " `pip install lilcache`, or `pip install -e .` in a checkout"
        ) from error
    for _built in (
        ffi.string(lib.lilcache_python_version).decode(),
        fast_version,
    ):
        if _built != __version__:
            raise ImportError(
                f"lilcache {__version__} found an extension built for {_built}: build"
                " it again with `pip install --force-reinstall lilcache`, or `pip"
                " install -e .` in a checkout"
            )
    quick.quick_bind(
        ffi.addressof(lib, "lilcache_get"),
        ffi.addressof(lib, "lilcache_try_set"),
        ffi.addressof(lib, "lilcache_try_delete"),
    )
    if fast:
        fast.bind(
            *(
                int(ffi.cast("uintptr_t", ffi.addressof(lib, f"lilcache_{name}")))
                for name in fast.CORE
            )
        )
else:
    absent: Any = _Absent()
    ffi = lib = quick_ffi = quick = absent
    fast = None

__all__ = ["SUPPORTED", "fast", "ffi", "lib", "quick", "quick_ffi"]
