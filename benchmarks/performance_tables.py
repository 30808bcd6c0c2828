"""The tables of a report of benchmarks.performance."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from .interleaved import figure, ratio
from .peers import PEERS

OWN = "lilcache"


def suite_table(suite: dict[str, Any]) -> str:
    """Return a row for each peer: figure, and how many times lilcache's it is."""
    by_what: dict[str, dict[str, list[float]]] = {}
    for cell in suite["cells"]:
        by_what.setdefault(cell["what"], {})[cell["peer"]] = cell["samples"]
    rows = []
    for name, title in PEERS.items():
        row = [title]
        for found in by_what.values():
            row.append(cell_text(found.get(name), found.get(OWN)))
        if any(row[1:]):
            rows.append(row)
    return tabulate(
        rows,
        ("", *by_what),
        tablefmt="github",
        disable_numparse=True,
        colalign=("left",) + ("right",) * len(by_what),
    )


def cell_text(samples: list[float] | None, own: list[float] | None) -> str:
    """Return figure and ratio with its quartiles, or nothing."""
    if samples is None:
        return ""
    text = f"{figure(samples).middle:,.0f}"
    if own is None or own is samples:
        return text
    times = ratio(samples, own)
    return f"{text} = {times.middle:.3g}x ({times.low:.3g}-{times.high:.3g})"


def tables(report: dict[str, Any]) -> str:
    """Return the tables of all suites."""
    return "\n\n".join(
        f"{suite['title']}; medians of {suite['rounds']} rounds, in brackets the "
        f"quartiles of the rounds' ratios to lilcache\n\n{suite_table(suite)}"
        for suite in report.values()
    )
