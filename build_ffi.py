"""Build the extensions with cffi in API mode.

`lilcache._lilcache` is the whole core, from csrc/. `lilcache._quick` holds the hot
calls once more, in a cheaper form; see lilcache/_quick.h.

setup.py hands `ffibuilder` and `quick_builder` to setuptools. `python build_ffi.py`
prints the declarations that cffi is given, for reading.

Environment, for developers:
    LILCACHE_CFLAGS  more compiler flags, after the usual ones, e.g. "-g -O0"
    LILCACHE_LDFLAGS more linker flags, e.g. "-fsanitize=address"
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"

# Gets of one argument: one for each cache and thread that reads at the same time.
QUICK_NUMBERS = 16

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


@cache
def across_files() -> tuple[str, ...]:
    """Return the flags that optimize across files, none if the compiler cannot.

    A set of the core takes 15 % fewer instructions with them.
    """
    flags = ("-flto=auto",)
    given = [shlex.split(os.environ.get(name, "")) for name in ("CFLAGS", "LDFLAGS")]
    if sys.platform != "linux" or any("-fno-lto" in words for words in given):
        return ()
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    linker = os.environ.get("LDSHARED") or f"{compiler} -shared"
    compiling = [*shlex.split(compiler), *given[0], *flags, "-fPIC", "-c"]
    linking = [*shlex.split(linker), *given[1], *flags, "-o", "probe.so"]
    parts = {"one": "int two(void); int one(void) { return two(); }\n"}
    parts["two"] = "int two(void); int two(void) { return 2; }\n"
    with tempfile.TemporaryDirectory() as folder:
        commands = [[*linking, *(f"{name}.o" for name in parts)]]
        for name, text in parts.items():
            Path(folder, f"{name}.c").write_text(text)
            commands.insert(0, [*compiling, f"{name}.c"])
        try:
            for command in commands:
                subprocess.run(command, cwd=folder, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return ()
    return flags


def compiler_flags() -> list[str]:
    flags = ["-O3", "-std=gnu11", "-fvisibility=hidden"]
    more = shlex.split(os.environ.get("LILCACHE_CFLAGS", ""))
    return [*flags, *across_files(), *more]


def linker_flags() -> list[str]:
    more = shlex.split(os.environ.get("LILCACHE_LDFLAGS", ""))
    return ["-O3", *across_files(), *more]


def quick_declarations() -> str:
    """Return the cdef of _quick.h, whose functions come from a macro as well."""
    per_key = """
        int quick_get_{0}(struct quick_call *call, const void *key, int length);
        int quick_delete_{0}(struct lilcache *cache, const void *key, int length);
        _Bool quick_set_{0}_str(struct lilcache *cache, const void *key, int length,
                                const void *value, int value_length);
        _Bool quick_set_{0}_bytes(struct lilcache *cache, const void *key, int length,
                                  const void *value, int value_length);
    """
    results = "STR TYPE OTHER MISS RETIRED FAILED".split()
    return (
        "".join(f"#define QUICK_RESULT_{name} ...\n" for name in results)
        + "#define QUICK_OUT ...\n"
        "struct quick_call { struct lilcache *cache; int signs; ...; };\n"
        "int quick_enter(struct quick_call *call);\n"
        "void quick_leave(void *call);\n"
        "void quick_bind(int64_t (*get)(struct lilcache *, const void *, size_t, int,"
        " void *, size_t), int (*try_set)(struct lilcache *, const void *, size_t, int,"
        " const void *, size_t, int, int64_t, int),"
        " int (*try_delete)(struct lilcache *, const void *, size_t, int));\n"
        "int quick_holds_gil(void);\n"
        + "".join(per_key.format(name) for name in ("str", "bytes"))
        + "".join(
            f"int quick_get_{name}_{number}(const char *key);\n"
            for name in ("str", "bytes")
            for number in range(QUICK_NUMBERS)
        )
    )


def quick_source() -> str:
    """Return _quick.h with the functions that have a number."""
    return (
        f"#define QUICK_NUMBERS {QUICK_NUMBERS}\n"
        + '#include "_quick.h"\n'
        + "".join(f"QUICK_AT({number})\n" for number in range(QUICK_NUMBERS))
    )


HEADERS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("csrc/*.h", "csrc/*.def", "lilcache/*.h")
    for path in ROOT.glob(pattern)
)

ffibuilder = FFI()
ffibuilder.cdef(declarations())
ffibuilder.set_source(
    "lilcache._lilcache",
    "#include <lilcache.h>\n"
    f'static char *const lilcache_python_version = "{read_version()}";\n',
    sources=sources(),
    include_dirs=["csrc"],
    depends=HEADERS,
    extra_compile_args=compiler_flags(),
    extra_link_args=linker_flags(),
    libraries=["pthread", "rt"],
    py_limited_api=False,  # as lilcache._fast: docs/decisions/0016
)

quick_builder = FFI()
quick_builder.include(ffibuilder)
quick_builder.cdef(quick_declarations())
quick_builder.set_source(
    "lilcache._quick",
    quick_source(),
    include_dirs=["csrc", "lilcache"],
    depends=HEADERS,
    # A declaration that does not match the header is an error, not a warning.
    extra_compile_args=[*compiler_flags(), "-Werror=incompatible-pointer-types"],
    extra_link_args=linker_flags(),
    py_limited_api=False,  # as lilcache._fast: docs/decisions/0016
)

if __name__ == "__main__":
    print(declarations())
    print(quick_declarations())
