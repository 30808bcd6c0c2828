"""What uWSGI runs in its worker: the module of inside_uwsgi.py, then it ends."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from pathlib import Path

from benchmarks.inside_uwsgi import ARGUMENTS, SEPARATOR, is_inside


def run() -> None:
    """Run the module; that it returned 0 shows in a file."""
    # Python as its children know it: here the executable is uWSGI.
    sys.executable = str(Path(sys.prefix, "bin", "python"))
    multiprocessing.set_executable(sys.executable)
    module, folder, *arguments = os.environ[ARGUMENTS].split(SEPARATOR)
    Path(folder, "worker").write_text(str(os.getpid()))
    if importlib.import_module(module).main(arguments) == 0:
        Path(folder, "done").touch()


# A child that multiprocessing spawns runs this file too, and must not begin anew.
if __name__ == "__main__" and is_inside():
    run()
