"""The only importer of the extension: `ffi` and `lib`, for the level above."""

from __future__ import annotations

import sys
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

if SUPPORTED:
    try:
        from ._lilcache import ffi, lib
    except ImportError as error:
        raise ImportError(
            f"the extension lilcache._lilcache is not usable ({error}): build it with"
            " `pip install lilcache`, or `pip install -e .` in a checkout"
        ) from error
    _built = ffi.string(lib.lilcache_python_version).decode()
    if _built != __version__:
        raise ImportError(
            f"lilcache {__version__} found an extension built for {_built}: build it"
            " again with `pip install --force-reinstall lilcache`, or `pip install"
            " -e .` in a checkout"
        )
else:
    absent: Any = _Absent()
    ffi = lib = absent

__all__ = ["SUPPORTED", "ffi", "lib"]
