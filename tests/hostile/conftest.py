"""The users and namespaces of these tests are real, so they take root."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from ..conftest import SHM


@pytest.fixture(autouse=True, scope="session")
def _root() -> None:
    assert os.geteuid() == 0, "run it as root: it becomes other users"


@pytest.fixture
def name(unique_name: Callable[[], str]) -> Iterator[str]:
    """A name whose object is removed after the test, whatever it is."""
    chosen = unique_name()
    yield chosen
    for path in SHM.glob(f"*{chosen}*"):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
