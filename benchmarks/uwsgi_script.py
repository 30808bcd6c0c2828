"""What uWSGI runs in its worker: the module of inside_uwsgi.py, then it ends."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from pathlib import Path

from benchmarks.inside_uwsgi import ARGUMENTS, SEPARATOR

# Python as its children know it: here the executable is uWSGI.
sys.executable = str(Path(sys.prefix, "bin", "python"))
multiprocessing.set_executable(sys.executable)
module, done, *arguments = os.environ[ARGUMENTS].split(SEPARATOR)
if importlib.import_module(module).main(arguments) == 0:
    Path(done).touch()
