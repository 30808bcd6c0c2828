"""Imports and includes point downward only: the tables below are the architecture.

A file may use what stands on a lower level, never its own level or one above. Leaves
may use public names and each other's package, and nobody uses them.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "lilcache"
CSRC = ROOT / "csrc"

PYTHON_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "_sentinel", "_version"}),
    frozenset({"_compression"}),
    frozenset({"_ffi", "_keys", "_ttl", "_options", "serializers"}),
    frozenset(
        {"_status", "_codec", "_scratch", "_verbs", "_huge_pages", "pins", "stats"}
    ),
    frozenset({"_handle"}),
    frozenset({"_raw"}),
    frozenset({"_many", "_attachment"}),
    frozenset({"cache"}),
    frozenset({"_api"}),
    frozenset({"__init__"}),
)

# Extensions, and who alone imports them.
EXTENSIONS = {"_lilcache": "_ffi", "_quick": "_ffi", "_fast": "_ffi", "_view": "pins"}

# May import cffi's objects; nobody else does.
FFI_USERS = {
    "_status",
    "_scratch",
    "_huge_pages",
    "_handle",
    "_raw",
    "_many",
    "_verbs",
    "pins",
    "stats",
}

# Folders whose removal breaks nothing else.
LEAVES = {"cli", "server", "tiers", "contrib"}

# Standard library only, but for these; each imports its third party lazily.
THIRD_PARTY = {"_compression": {"lz4", "zstandard"}, "serializers": {"msgspec"}}

C_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"lc_base", "status.def", "stats.def", "crash.def", "race.def"}),
    frozenset({"lc_atomic", "lc_os", "lc_hash", "lc_race", "lilcache"}),
    frozenset({"lc_layout", "lc_room", "lc_error"}),
    frozenset({"lc_handle"}),
    frozenset(
        {
            "lc_lock",
            "lc_crash",
            "lc_counter",
            "lc_stripe",
            "lc_object",
            "lc_record",
            "lc_guard",
        }
    ),
    frozenset({"lc_block", "lc_row", "lc_geometry"}),
    frozenset({"lc_append", "lc_pages", "lc_pin", "lc_fork", "lc_header"}),
    frozenset({"lc_index", "lc_mapping"}),
    frozenset({"lc_evict", "lc_check"}),
    frozenset({"lc_recover", "lc_segment"}),
    frozenset({"lc_shard"}),
    frozenset({"lc_stats", "lc_read"}),
    frozenset({"lc_step"}),
    frozenset({"lc_write", "lc_change"}),
    frozenset({"lc_many"}),
)

# A second file of a module: stands on its level, and the two may use each other.
C_PARTS = {"lc_group": "lc_index", "lc_victim": "lc_evict"}


def level_of(levels: tuple[frozenset[str], ...], name: str) -> int:
    for level, names in enumerate(levels):
        if name in names:
            return level
    raise AssertionError(f"{name} has no level: give it one in {Path(__file__).name}")


def python_imports(path: Path) -> set[str]:
    """Modules a file imports: relative ones as ".name", others by top-level name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 1, f"{path.name} imports from above its package"
            names = [node.module] if node.module else [a.name for a in node.names]
            found |= {f".{name}" for name in names}
    return found


def modules() -> list[Path]:
    return sorted(PACKAGE.glob("*.py"))


def test_python_imports_point_downward() -> None:
    for path in modules():
        if path.stem == "__main__":
            continue
        level = level_of(PYTHON_LEVELS, path.stem)
        for name in python_imports(path):
            if name.startswith(".") and name[1:] not in EXTENSIONS:
                used = level_of(PYTHON_LEVELS, name[1:])
                assert used < level, f"{path.stem} imports {name} of level {used}"


def importers(name: str) -> set[str]:
    return {path.stem for path in modules() if f".{name}" in python_imports(path)}


def test_one_module_alone_imports_each_extension() -> None:
    for extension, user in EXTENSIONS.items():
        assert importers(extension) == {user}
    assert importers("_ffi") == FFI_USERS


def test_the_package_needs_the_standard_library_alone() -> None:
    import sys

    for path in modules():
        outside = {n for n in python_imports(path) if not n.startswith(".")}
        outside -= sys.stdlib_module_names | THIRD_PARTY.get(path.stem, set())
        assert not outside, f"{path.stem} imports {outside}"


def test_nobody_imports_a_leaf() -> None:
    for path in modules():
        if path.stem != "__main__":
            assert not {name.lstrip(".") for name in python_imports(path)} & LEAVES


def test_every_level_names_files_that_exist() -> None:
    stems = {path.stem for path in modules()}
    assert set().union(*PYTHON_LEVELS) <= stems
    files = {path.stem for path in CSRC.glob("*.[ch]")}
    files |= {path.name for path in CSRC.glob("*.def")}
    assert set().union(*C_LEVELS) | set(C_PARTS) <= files


def c_includes(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.MULTILINE)
    return {name.removesuffix(".h") for name in names}


def c_module(stem: str) -> str:
    return C_PARTS.get(stem, stem)


def test_c_includes_point_downward() -> None:
    for path in sorted(CSRC.glob("*.[ch]")):
        module = c_module(path.stem)
        level = level_of(C_LEVELS, module)
        for used in {c_module(name) for name in c_includes(path)} - {module}:
            below = level_of(C_LEVELS, used)
            assert below < level, f"{path.name} includes {used} of level {below}"


def test_no_c_file_includes_a_c_file() -> None:
    for path in CSRC.glob("*.[ch]"):
        assert not [name for name in c_includes(path) if name.endswith(".c")]


def test_the_public_header_stands_alone() -> None:
    text = (CSRC / "lilcache.h").read_text(encoding="utf-8")
    assert set(re.findall(r"#include <([^>]+)>", text)) <= {"stddef.h", "stdint.h"}
    assert c_includes(CSRC / "lilcache.h") == {"status.def"}
