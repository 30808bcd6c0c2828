import sys
import sysconfig

from setuptools import setup

# Elsewhere the package imports without the extension, and init says why it cannot work.
modules = ["build_ffi.py:ffibuilder"] if sys.platform == "linux" else []
# One wheel for all versions, but for interpreters that have no limited API.
limited = not sysconfig.get_config_var("Py_GIL_DISABLED")
wheel = {"py_limited_api": "cp310"} if modules and limited else {}
setup(cffi_modules=modules, options={"bdist_wheel": wheel})
