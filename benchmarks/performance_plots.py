"""The drawings of a report of benchmarks.performance, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from .alone.scaling import COUNTS
from .interleaved import figure
from .peers import PEERS

matplotlib.use("svg")
# The same report gives the same file.
matplotlib.rcParams["svg.hashsalt"] = "lilcache"
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["font.size"] = 9

OWN = "lilcache"
OWN_COLOUR = "#c23b22"
OTHER_COLOUR = "#7f8c9a"
VERBS = {"get": "#c23b22", "set": "#34567a"}
LINES_MAX = 9


def middles(suite: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return by peer and what was measured the medians, in nanoseconds."""
    found: dict[str, dict[str, float]] = {}
    for cell in suite["cells"]:
        median = figure(cell["samples"]).middle
        found.setdefault(cell["peer"], {})[cell["what"]] = median
    return found


def save(drawing: Drawing, path: Path) -> None:
    """Write an SVG without a date."""
    drawing.savefig(path, metadata={"Date": None})
    pyplot.close(drawing)


def draw_latency(suite: dict[str, Any], path: Path) -> None:
    """A bar for get and one for set of each peer, cheapest get above."""
    found = middles(suite)
    names = sorted(found, key=lambda name: found[name]["get"], reverse=True)
    drawing, axes = pyplot.subplots(figsize=(7.2, 0.42 * len(names) + 1))
    for place, (verb, colour) in enumerate(reversed(VERBS.items())):
        rows = [row for row, name in enumerate(names) if verb in found[name]]
        values = [found[names[row]][verb] for row in rows]
        at = [row + (place - 0.5) * 0.38 for row in rows]
        bars = axes.barh(at, values, 0.36, color=colour, label=verb)
        labels = [f" {value:,.0f}" for value in values]
        axes.bar_label(bars, labels, fontsize=7)
    axes.set_yticks(range(len(names)), [PEERS[name] for name in names])
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if name.startswith(OWN) else "normal")
    axes.set_xscale("log")
    axes.set_xlim(10, axes.get_xlim()[1] * 2)
    axes.set_xlabel("nanoseconds a call, the loop included; logarithmic")
    axes.legend(handles=axes.get_legend_handles_labels()[0][::-1], loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    drawing.tight_layout()
    save(drawing, path)


def draw_lines(axes: Axes, lines: dict[str, tuple[list[float], list[float]]]) -> None:
    """A line for each peer, lilcache's on top and in its own colour."""
    for number, (name, (at, values)) in enumerate(lines.items()):
        own = name == OWN
        axes.plot(
            at,
            values,
            marker="o" if own else "osv^D<>P*"[number % LINES_MAX],
            markersize=3.5,
            linewidth=2.2 if own else 1,
            color=OWN_COLOUR if own else None,
            zorder=3 if own else 2,
            label=PEERS[name],
        )
    axes.grid(visible=True, which="major", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def draw_sizes(suite: dict[str, Any], path: Path) -> None:
    """What get and set cost by the size of the value."""
    units = {"B": 1, "kB": 1e3, "MB": 1e6}
    drawing, both = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axes, verb in zip(both, VERBS, strict=True):
        lines: dict[str, tuple[list[float], list[float]]] = {}
        for name, cells in middles(suite).items():
            at, values = [], []
            for what, value in cells.items():
                if what.startswith(f"{verb}, "):
                    number, unit = what.split(", ")[1].split()
                    at.append(float(number) * units[unit])
                    values.append(value)
            lines[name] = (at, values)
        draw_lines(axes, lines)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(verb)
        axes.set_xlabel("bytes of the value")
    both[0].set_ylabel("nanoseconds a call")
    lines_of, titles = both[0].get_legend_handles_labels()
    drawing.legend(lines_of, titles, fontsize=7, loc="center right")
    drawing.subplots_adjust(right=0.78, left=0.08, bottom=0.13, wspace=0.08)
    save(drawing, path)


def draw_scaling(suite: dict[str, Any], path: Path) -> None:
    """Operations a second by the number of processes."""
    drawing, axes = pyplot.subplots(figsize=(7.2, 3.4))
    draw_lines(
        axes,
        {
            row["peer"]: (
                [float(count) for count in COUNTS],
                [row[f"thousands_{count}"] * 1000 for count in COUNTS],
            )
            for row in suite["rows"]
        },
    )
    axes.set_yscale("log")
    axes.set_xticks(COUNTS)
    axes.set_xlabel("processes")
    axes.set_ylabel("operations a second, all together")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    drawing.subplots_adjust(right=0.72, left=0.12, bottom=0.14)
    save(drawing, path)


DRAWINGS = {
    "latency": draw_latency,
    "sizes": draw_sizes,
    "scaling": draw_scaling,
}
