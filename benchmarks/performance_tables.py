"""The tables of a report of benchmarks.performance."""

from __future__ import annotations

from typing import Any

from tabulate import tabulate

from .interleaved import figure, ratio
from .peers import PEERS

OWN = "lilcache"


def suite_table(suite: dict[str, Any], start: str = "", *, brief: bool = False) -> str:
    """Return a row for each peer: figure, and how many times lilcache's it is.

    Args:
        suite: of a report.
        start: only what begins with this, which is left away.
        brief: without the quartiles.
    """
    by_what: dict[str, dict[str, list[float]]] = {}
    for cell in suite["cells"]:
        if cell["what"].startswith(start):
            what = cell["what"].removeprefix(start)
            by_what.setdefault(what, {})[cell["peer"]] = cell["samples"]
    rows = []
    for name, title in PEERS.items():
        row = [title]
        for found in by_what.values():
            row.append(cell_text(found.get(name), found.get(OWN), brief=brief))
        if any(row[1:]):
            rows.append(row)
    return tabulate(
        rows,
        ("", *by_what),
        tablefmt="github",
        disable_numparse=True,
        colalign=("left",) + ("right",) * len(by_what),
    )


def cell_text(
    samples: list[float] | None, own: list[float] | None, *, brief: bool
) -> str:
    """Return figure and ratio with its quartiles, or nothing."""
    if samples is None:
        return ""
    text = f"{figure(samples).middle:,.0f}"
    if own is None or own is samples:
        return text
    times = ratio(samples, own)
    text += f" = {times.middle:.3g}x"
    return text if brief else f"{text} ({times.low:.3g}-{times.high:.3g})"


def row_table(suite: dict[str, Any]) -> str:
    """Return a line for each row; a cell whose figures the row lacks is empty."""
    columns: dict[str, str] = suite["columns"]
    lines = []
    for row in suite["rows"]:
        line = []
        for template in columns.values():
            try:
                line.append(template.format(**row))
            except KeyError:
                line.append("")
        lines.append(line)
    return tabulate(
        lines,
        tuple(columns),
        tablefmt="github",
        disable_numparse=True,
        # Whoever says how a figure is written has figures; all else are names.
        colalign=["right" if ":" in text else "left" for text in columns.values()],
    )


def table_of(suite: dict[str, Any]) -> str:
    """Return title, table and how to read it."""
    if "rows" in suite:
        return f"{suite['title']}\n\n{row_table(suite)}\n\n{suite['note']}"
    if suite.get("by_verb"):
        parts = [
            f"{verb}:\n\n{suite_table(suite, f'{verb}, ', brief=True)}"
            for verb in ("get", "set")
        ]
        return (
            f"{suite['title']}; medians of {suite['rounds']} rounds\n\n"
            + "\n\n".join(parts)
        )
    return (
        f"{suite['title']}; medians of {suite['rounds']} rounds, in brackets the "
        f"quartiles of the rounds' ratios to lilcache\n\n{suite_table(suite)}"
    )


def tables(report: dict[str, Any]) -> str:
    """Return the tables of all suites."""
    return "\n\n".join(table_of(suite) for suite in report.values())
