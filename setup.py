import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

# A build in isolation does not look for modules beside this file.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from build_ffi import (
    HEADERS,
    compiler_flags,
    linker_flags,
    read_version,
)

# Elsewhere the package imports without the extensions, and init says what it lacks.
linux = sys.platform == "linux"
# One wheel for all versions, but for interpreters that have no limited API; buffers
# entered it with 3.11.
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
limited = sys.version_info >= (3, 11) and not free_threaded
macros = [("Py_LIMITED_API", "0x030B0000")] if limited else []
extensions = [
    Extension(
        "lilcache._view",
        ["lilcache/_view.c"],
        define_macros=macros,
        py_limited_api=limited,
    )
]
# The GIL is what it relies on, and what it is fast by.
if not free_threaded and sys.implementation.name == "cpython":
    extensions.append(
        Extension(
            "lilcache._fast",
            ["lilcache/_fast.c"],
            include_dirs=["csrc", "lilcache"],
            depends=HEADERS,
            define_macros=[*macros, ("LILCACHE_VERSION", f'"{read_version()}"')],
            extra_compile_args=compiler_flags(),
            extra_link_args=linker_flags(),
            py_limited_api=limited,
        )
    )
setup(
    cffi_modules=["build_ffi.py:ffibuilder", "build_ffi.py:quick_builder"]
    if linux
    else [],
    ext_modules=extensions if linux else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"} if linux and limited else {}},
)
