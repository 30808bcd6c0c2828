"""What the extension of hot verbs holds; see _fast.c."""

from collections.abc import Callable
from typing import Any

CORE: tuple[str, ...]
VERBS: tuple[str, ...]
VERSION: str

class Port:
    """Its methods are those of _NoPort in _verbs.py."""

class Verbs:
    def _plug(self, port: Port | None, target: object = ..., /) -> None: ...

def bind(*addresses: int) -> None: ...
def install(name: str, method: Callable[..., Any], description: str, /) -> None: ...
