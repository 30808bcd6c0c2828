import sys
import sysconfig

from setuptools import Extension, setup

# Elsewhere the package imports without the extensions, and init says what it lacks.
linux = sys.platform == "linux"
# One wheel for all versions, but for interpreters that have no limited API; buffers
# entered it with 3.11.
limited = sys.version_info >= (3, 11) and not sysconfig.get_config_var(
    "Py_GIL_DISABLED"
)
view = Extension(
    "lilcache._view",
    ["lilcache/_view.c"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if limited else [],
    py_limited_api=limited,
)
setup(
    cffi_modules=["build_ffi.py:ffibuilder", "build_ffi.py:quick_builder"]
    if linux
    else [],
    ext_modules=[view] if linux else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"} if linux and limited else {}},
)
