"""Put a report into docs/performance.md: python -m benchmarks.performance_report.

The text of that file is written by hand; between `<!-- NAME: begin -->` and
`<!-- NAME: end -->` stands the table of a suite, beside it its drawing.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from .performance_plots import DRAWINGS
from .performance_tables import table_of

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"


def put(text: str, name: str, what: str) -> str:
    """Return the text with a marked part replaced.

    Raises:
        SystemExit: there is no such part.
    """
    part = re.compile(
        rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL
    )
    if not part.search(text):
        raise SystemExit(f"{PAGE.name} has no part {name}")
    return part.sub(lambda found: f"{found[1]}{what}\n{found[2]}", text)


def main() -> int:
    """Write the page, the drawings and the report beside them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance_report")
    parser.add_argument("report", type=Path, help="what benchmarks.performance wrote")
    report = json.loads(parser.parse_args().report.read_text())
    FOLDER.mkdir(exist_ok=True)
    text = PAGE.read_text()
    for name, suite in report.items():
        if name in DRAWINGS:
            DRAWINGS[name](suite, FOLDER / f"{name}.svg")
        text = put(text, name, table_of(suite))
    PAGE.write_text(text)
    kept = FOLDER / "report.json"
    # Suites that were not measured this time stand on the page as they were.
    before = json.loads(kept.read_text()) if kept.exists() else {}
    kept.write_text(json.dumps(before | report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
