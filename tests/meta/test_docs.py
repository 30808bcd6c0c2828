"""Python in README and docs runs as it stands; invariants that are cited exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("README.md", "ARCHITECTURE.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
)
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LEDGER = ROOT / "docs/invariants.md"
ROW = re.compile(r"^\| ([A-Z]\d+) \|(.*)\|$", re.MULTILINE)


def test_there_are_documents() -> None:
    assert ROOT / "README.md" in DOCUMENTS


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(path: Path, unique_name: object, tmp_path: Path) -> None:
    """All blocks of a document, in order, in one new interpreter."""
    blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
    name = unique_name()  # type: ignore[operator]
    # Names that a document chooses, apart from what else is on this machine.
    code = re.sub(r'Cache\("[^"]*"', f'Cache("{name}"', "\n".join(blocks))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "LILCACHE_NAME": f"{name}-default"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    for left in Path("/dev/shm").glob(f"lilcache-{name}-default.*"):
        left.unlink()
    assert done.returncode == 0, done.stderr


def ledger() -> dict[str, list[str]]:
    rows = ROW.findall(LEDGER.read_text(encoding="utf-8"))
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


def test_every_invariant_has_a_checker_and_a_killer() -> None:
    assert len(ledger()) > 10
    for name, cells in ledger().items():
        assert len(cells) == 5, name
        assert all(cells), f"{name} lacks an entry"


def test_cited_invariants_exist() -> None:
    known = set(ledger())
    sources = [*ROOT.glob("csrc/*.[ch]"), *ROOT.glob("lilcache/*.py")]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        cited = set(re.findall(r"\[([A-Z]\d+)\]", text))
        for line in re.findall(r"Invariants?: ((?:[A-Z]\d+[ ,]*)+)", text):
            cited |= set(re.findall(r"[A-Z]\d+", line))
        assert cited <= known, f"{path.name} cites {sorted(cited - known)}"
