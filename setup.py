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
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
extensions = [Extension("lilcache._view", ["lilcache/_view.c"])]
# The GIL is what it relies on, and what it is fast by.
if not free_threaded and sys.implementation.name == "cpython":
    extensions.append(
        Extension(
            "lilcache._fast",
            ["lilcache/_fast.c"],
            include_dirs=["csrc", "lilcache"],
            depends=HEADERS,
            define_macros=[("LILCACHE_VERSION", f'"{read_version()}"')],
            extra_compile_args=compiler_flags(),
            extra_link_args=linker_flags(),
        )
    )
setup(
    cffi_modules=["build_ffi.py:ffibuilder", "build_ffi.py:quick_builder"]
    if linux
    else [],
    ext_modules=extensions if linux else [],
)
