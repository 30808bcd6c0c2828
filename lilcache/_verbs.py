"""What the hot verbs of Cache are made of: C where it was built, or nothing.

`Verbs` is the base of every attachment; `install` gives a class those verbs of it that
are faster than the class's own; `Port` is what a handle tells them of its attachment.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._ffi import fast


class _NoPort:
    """Stands for a Port where nobody asks it."""

    __slots__ = ()

    def attach(self, address: int, max_value: int) -> None:
        """Take note of nothing."""

    def keep(self, count: int, shares: bool, immutable: tuple[type, ...]) -> None:
        """Keep nothing: every get decodes."""

    def compress_from(self, length: int) -> None:
        """Leave values of so many bytes and more: Codec does."""

    def serialize(
        self,
        dumps: Callable[[Any], bytes],
        loads: Callable[[bytes], Any],
        value_type: int,
        guarded: bool,
    ) -> None:
        """Call neither: Codec does."""


class _NoVerbs:
    """Stands for Verbs where there are none."""

    __slots__ = ()

    def _plug(self, port: Any, target: Any = None) -> None:
        """Take note of nothing."""


if TYPE_CHECKING or fast is None:
    Port = _NoPort
    Verbs = _NoVerbs
else:
    Port = fast.Port
    Verbs = fast.Verbs


def install(kind: type, whole: type) -> None:
    """Give a class the hot verbs, if there are any.

    Args:
        kind: The class, a subclass of `whole`.
        whole: Its base with the complete methods, to which a hot verb leaves what it
            does not do itself.
    """
    if fast is None:
        return
    for name in fast.VERBS:
        method = whole.__dict__[name]
        method.__qualname__ = f"{kind.__qualname__}.{name}"  # for a TypeError's text
        fast.install(name, method, _description(name, method))
        setattr(kind, name, fast.Verbs.__dict__[name])


def module_functions(verbs: Any) -> dict[str, Any]:
    """Return the hot verbs of one object as functions; {} if there are none."""
    names = () if fast is None else fast.VERBS
    return {name: getattr(verbs, name) for name in names if name.isidentifier()}


def immutable_types() -> tuple[type, ...]:
    """Return the types whose objects nobody can change, but for containers of them."""
    # Not imported by those who keep nothing.
    from datetime import date, datetime, time, timedelta, timezone
    from decimal import Decimal
    from fractions import Fraction
    from uuid import UUID

    native = (str, bytes, int, float, bool, type(None), complex)
    return (*native, datetime, date, time, timedelta, timezone, Decimal, Fraction, UUID)


def _description(name: str, method: Any) -> str:
    """Return the text that inspect reads signature and documentation from."""
    parameters = list(inspect.signature(method).parameters.values())
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters[1:]]
    listed = ", ".join(["$self", *map(str, plain)])
    return f"{name}({listed})\n--\n\n{inspect.getdoc(method) or ''}"
