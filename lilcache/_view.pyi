from collections.abc import Callable
from typing import Any, TypeVar

Self = TypeVar("Self", bound="Exporter")

class Exporter:
    def __new__(
        cls: type[Self], address: int, length: int, owner: Callable[[], Any]
    ) -> Self: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def release(self) -> None: ...
