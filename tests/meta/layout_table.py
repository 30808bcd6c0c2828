"""Byte tables of the structs in csrc/lc_layout.h, asked from the compiler.

`python -m tests.meta.layout_table` writes them into docs/layout.md, between its two
marks; test_layout_doc.py checks that they are what the compiler says.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "csrc" / "lc_layout.h"
DOCUMENT = ROOT / "docs" / "layout.md"
BEGIN = "<!-- tables: begin -->"
END = "<!-- tables: end -->"

STRUCT = re.compile(r"^struct (shm_\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^ {4}(?P<type>\w+) (?P<name>\w+)(?P<dims>(?:\[[^;]*\])*);", re.M)


def structs() -> dict[str, list[tuple[str, str]]]:
    """Return for every struct its fields as (name, type with dimensions)."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {
        name: [
            (field["name"], field["type"] + field["dims"])
            for field in FIELD.finditer(body)
        ]
        for name, body in STRUCT.findall(text)
    }


def measured() -> dict[str, list[tuple[str, str, int, int]]]:
    """Return for every struct (name, type, offset, bytes) of its fields."""
    lines = []
    for struct, fields in structs().items():
        for name, kind in fields:
            field = f"((struct {struct} *)0)->{name}"
            size = "(size_t)0" if kind.endswith("[]") else f"sizeof({field})"
            lines.append(
                f'printf("{struct} {name} %zu %zu\\n", '
                f"offsetof(struct {struct}, {name}), {size});"
            )
        lines.append(f'printf("{struct} = %zu 0\\n", sizeof(struct {struct}));')
    source = (
        '#include <stdio.h>\n#include <stddef.h>\n#include "lc_layout.h"\n'
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layout.c"
        path.write_text(source, encoding="utf-8")
        program = str(Path(folder) / "layout")
        subprocess.run(
            ["cc", "-std=gnu11", f"-I{HEADER.parent}", str(path), "-o", program],
            check=True,
        )
        output = subprocess.run([program], check=True, capture_output=True, text=True)
    kinds = {(s, n): k for s, fields in structs().items() for n, k in fields}
    tables: dict[str, list[tuple[str, str, int, int]]] = {}
    for line in output.stdout.splitlines():
        struct, name, offset, size = line.split()
        kind = kinds.get((struct, name), "")
        tables.setdefault(struct, []).append((name, kind, int(offset), int(size)))
    return tables


def render() -> str:
    """Return all tables as Markdown."""
    parts = []
    for struct, rows in measured().items():
        fields = rows[:-1]
        parts.append(f"### `struct {struct}`, {rows[-1][2]} bytes\n")
        parts.append("| offset | bytes | field | type |\n|--:|--:|---|---|")
        for name, kind, offset, size in fields:
            parts.append(f"| {offset} | {size or 'rest'} | `{name}` | `{kind}` |")
        parts.append("")
    return "\n".join(parts)


def main() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{render()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
