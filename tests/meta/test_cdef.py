"""What cffi and the type checker are told is what lilcache.h says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from lilcache._ffi import lib

ROOT = Path(__file__).resolve().parents[2]
HEADER = (ROOT / "csrc/lilcache.h").read_text(encoding="utf-8")
CDEF = (ROOT / "csrc/lilcache.cdef.txt").read_text(encoding="utf-8")
STUB = (ROOT / "lilcache/_lilcache.pyi").read_text(encoding="utf-8")


def bare(text: str) -> str:
    """Text without comments, and with every run of white space as one blank."""
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL))


def statements(text: str) -> set[str]:
    """Declarations, but for preprocessor lines and the enum that comes from a table."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    text = re.sub(r"enum lilcache_status \{.*?\};", "", text, flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s+", " ", " ".join(lines))
    # A semicolon inside braces separates fields, not declarations.
    found = re.findall(r"[^;{}]+(?:\{[^}]*\})?[^;{}]*;", joined)
    return {re.sub(r",? \}", " }", statement.strip()) for statement in found}


def numbers(text: str) -> dict[str, int]:
    number = r"^#define (LILCACHE_\w+) +\(?(-?\d+)\)?\s"
    found = re.findall(number, text, re.MULTILINE)
    return {name: int(number) for name, number in found}


def test_declarations_are_those_of_the_header() -> None:
    assert len(statements(HEADER)) > 30
    assert statements(CDEF) == statements(HEADER)


def test_numbers_are_those_of_the_header() -> None:
    assert len(numbers(HEADER)) > 5
    assert numbers(CDEF) == numbers(HEADER)
    for name, number in numbers(HEADER).items():
        assert getattr(lib, name) == number


def test_the_stub_lists_what_the_extension_has() -> None:
    [kind] = [n for n in ast.parse(STUB).body if isinstance(n, ast.ClassDef)]
    functions = {n.name: n for n in kind.body if isinstance(n, ast.FunctionDef)}
    values = {
        n.target.id
        for n in kind.body
        if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    }
    assert set(functions) | values == {n for n in dir(lib) if not n.startswith("_")}


def test_the_stub_names_arguments_as_the_header_does() -> None:
    [kind] = [n for n in ast.parse(STUB).body if isinstance(n, ast.ClassDef)]
    text = bare(HEADER)
    for node in kind.body:
        if isinstance(node, ast.FunctionDef):
            declared = re.search(rf"\b{node.name}\((.*?)\);", text)
            assert declared, node.name
            names = [part.split()[-1].lstrip("*") for part in declared[1].split(",")]
            names = [] if names == ["void"] else names
            assert [a.arg for a in node.args.posonlyargs][1:] == names, node.name
