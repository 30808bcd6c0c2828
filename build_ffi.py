"""Build the extension `lilcache._lilcache` from csrc/ with cffi in API mode.

setup.py hands `ffibuilder` to setuptools. `python build_ffi.py` prints the
declarations that cffi is given, for reading.

Environment, for developers:
    LILCACHE_CFLAGS  more compiler flags, after the usual ones, e.g. "-g -O0"
    LILCACHE_LDFLAGS more linker flags, e.g. "-fsanitize=address"
"""

from __future__ import annotations

import os
import re
import shlex
import sysconfig
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"

STATUS_ROW = re.compile(r"^X\((\w+), (-?\d+),", re.MULTILINE)


def read_version() -> str:
    """Return the package's version without importing the package."""
    text = (ROOT / "lilcache" / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'__version__ = "([^"]+)"', text)
    if found is None:
        raise SystemExit("lilcache/_version.py holds no __version__")
    return found.group(1)


def declarations() -> str:
    """Return the cdef: lilcache.cdef.txt and what comes from the tables."""
    cdef = (CSRC / "lilcache.cdef.txt").read_text(encoding="utf-8")
    table = (CSRC / "status.def").read_text(encoding="utf-8")
    rows = ", ".join(f"LILCACHE_{n} = {c}" for n, c in STATUS_ROW.findall(table))
    return (
        f"{cdef}\nenum lilcache_status {{ {rows} }};\n"
        "static char *const lilcache_python_version;\n"
    )


def sources() -> list[str]:
    """Return the C files, relative to the project: setuptools refuses others."""
    return sorted(str(path.relative_to(ROOT)) for path in CSRC.glob("*.c"))


def compiler_flags() -> list[str]:
    flags = ["-O2", "-std=gnu11", "-fvisibility=hidden"]
    return flags + shlex.split(os.environ.get("LILCACHE_CFLAGS", ""))


ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.set_source(
    "lilcache._lilcache",
    "#include <lilcache.h>\n"
    f'static char *const lilcache_python_version = "{read_version()}";\n',
    sources=sources(),
    include_dirs=["csrc"],
    depends=sorted(
        str(path.relative_to(ROOT))
        for pattern in ("*.h", "*.def")
        for path in CSRC.glob(pattern)
    ),
    extra_compile_args=compiler_flags(),
    extra_link_args=shlex.split(os.environ.get("LILCACHE_LDFLAGS", "")),
    libraries=["pthread", "rt"],
    # Free-threaded interpreters have no limited API to build against.
    py_limited_api=not sysconfig.get_config_var("Py_GIL_DISABLED"),
)

if __name__ == "__main__":
    print(declarations())
