"""docs/layout.md says of every shared struct what the compiler says."""

from __future__ import annotations

import re

from . import layout_table

ROOT = layout_table.DOCUMENT.parents[1]


def test_layout_tables_are_those_of_the_compiler() -> None:
    text = layout_table.DOCUMENT.read_text(encoding="utf-8")
    written = text.split(layout_table.BEGIN)[1].split(layout_table.END)[0].strip()
    assert written == layout_table.render().strip(), (
        "csrc/lc_layout.h changed: run `python -m tests.meta.layout_table`, "
        "and bump LC_LAYOUT_VERSION"
    )


def test_every_shared_struct_has_fields() -> None:
    tables = layout_table.measured()
    assert {"shm_header", "shm_row", "shm_shard", "shm_record"} <= set(tables)
    assert all(len(rows) > 1 for rows in tables.values())


def test_the_version_is_that_of_the_core() -> None:
    header = (ROOT / "csrc/lc_layout.h").read_text(encoding="utf-8")
    version = re.search(r"^#define LC_LAYOUT_VERSION (\d+)$", header, re.MULTILINE)
    assert version
    text = layout_table.DOCUMENT.read_text(encoding="utf-8")
    assert f"Layout version {version[1]}." in text
