"""What the extension of hot verbs holds; see _fast.c."""

from collections.abc import Callable
from typing import Any

CORE: tuple[str, ...]
VERBS: tuple[str, ...]
VERSION: str

class Port:
    def attach(self, address: int, max_value: int, /) -> None: ...
    def keep(
        self, count: int, shares: bool, immutable: tuple[type, ...], /
    ) -> None: ...
    def serialize(
        self,
        dumps: Callable[[Any], bytes],
        loads: Callable[[bytes], Any],
        value_type: int,
        guarded: bool,
        /,
    ) -> None: ...

class Verbs:
    def _plug(self, port: Port | None, target: object = ..., /) -> None: ...

def bind(*addresses: int) -> None: ...
def install(name: str, method: Callable[..., Any], description: str, /) -> None: ...
