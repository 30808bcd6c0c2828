"""What the kernel counts as the memory of a process, in bytes."""

from __future__ import annotations

import re
from pathlib import Path

_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")


def sum_of(start: str, process: int | str = "self", *, without: str = "") -> int:
    """Return the sum of what begins so in a process's smaps.

    Args:
        start: of names of fields, like ``Private_`` or ``Pss:``.
        process: its id.
        without: mappings whose line has this text do not count; empty: all do.
    """
    if not without:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    else:
        lines = []
        counts = True
        for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
            if _MAPPING.match(line):
                counts = without not in line
            elif counts:
                lines.append(line)
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(start))
