"""python -m tests.instructions [--renew]

Counts the instructions of calls of the core and of calls from Python by callgrind, and
fails when one takes more than a tenth over budget.json. --renew writes that file.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from build_ffi import compiler_flags, linker_flags

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "build/instructions"
BUDGET = HERE / "budget.json"
CALLS = 1000
ROOM = 1.1
"""Times the budget that a call may take: compilers and C libraries differ."""

NEEDS = ("valgrind", "valgrind", "/usr/include/valgrind/callgrind.h", "valgrind")
LINK = (*linker_flags(), "-lrt")
MARKED = re.compile(r"^desc: Trigger: Client Request: (.+)$", re.MULTILINE)
TOTAL = re.compile(r"^(?:summary|totals): (\d+)$", re.MULTILINE)


def compile_c(out: Path, *words: str | Path, link: tuple[str, ...] = LINK) -> None:
    """Compile as the extensions are."""
    flags = (*compiler_flags(), "-D_GNU_SOURCE", f"-I{ROOT / 'csrc'}")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, *flags, "-o", out, *words, *link], check=True)


def counted(command: list[str | Path]) -> dict[str, float]:
    """Run a program with marks; return instructions of one call by what was marked."""
    with tempfile.TemporaryDirectory(prefix="lc-") as folder:
        done = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={folder}/out",
                *command,
            ],
            env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONMALLOC": "pymalloc"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{command[0]}: status {done.returncode}\n{done.stderr}")
        parts = sorted(Path(folder).glob("out.*"), key=lambda p: int(p.suffix[1:]))
        found = {}
        for part in parts:
            text = part.read_text()
            if (name := MARKED.search(text)) and (total := TOTAL.search(text)):
                found[name[1]] = int(total[1]) / CALLS
    return found


def count_all() -> dict[str, dict[str, int]]:
    """Return instructions of a call, of the core and from Python."""
    OUT.mkdir(parents=True, exist_ok=True)
    mark = HERE / "mark.c"
    # Apart: the compiler would work the lengths of its keys into the core.
    compile_c(OUT / "core.o", "-c", HERE / "core.c", link=("-fno-lto",))
    compile_c(OUT / "core", OUT / "core.o", mark, *(ROOT / "csrc").glob("lc_*.c"))
    compile_c(OUT / "mark.so", "-shared", "-fPIC", "-fvisibility=default", mark)
    core = counted([OUT / "core"])
    python = counted([sys.executable, HERE / "calls.py", OUT / "mark.so"])
    return {
        "core": {name: round(calls) for name, calls in core.items()},
        "Python": {name: round(calls) for name, calls in python.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.instructions")
    parser.add_argument("--renew", action="store_true", help="write budget.json")
    options = parser.parse_args()
    subprocess.run([ROOT / "tests" / "need.sh", *NEEDS], check=True)
    began = time.monotonic()
    found = count_all()
    if options.renew:
        BUDGET.write_text(json.dumps(found, indent=2) + "\n")
    budget = json.loads(BUDGET.read_text())
    rows = []
    wrong = []
    for part, kinds in budget.items():
        for name, was in kinds.items():
            now = found[part].get(name, 0)
            rows.append((part, name, now, was, now / was))
            if not 0 < now <= was * ROOM:
                wrong.append(
                    f"{part}: {name} takes {now} instructions, budget {was}: make it"
                    " cheaper, or write the budget by --renew and say why"
                )
    missing = {p: found[p].keys() - budget[p].keys() for p in budget}
    wrong += [f"{p}: {n} has no budget" for p, names in missing.items() for n in names]
    heads = ("", "call", "instructions", "budget", "ratio")
    print(tabulate(rows, heads, floatfmt=".2f"))
    for line in wrong:
        print(line)
    print(f"{len(rows)} calls counted, {time.monotonic() - began:.0f} s")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
