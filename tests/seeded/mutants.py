"""python -m tests.seeded.mutants --count N --seed S [--seconds T]

Mutation testing of the core: universalmutator changes one line of one file of csrc, and
the C tests are to notice. Lines are drawn by seed, then one of the line's mutants. What
does not compile is drawn anew; what compiles to the same object code is no change.

The core is a shared library here, so that one file is compiled for each mutant and
nothing else is linked again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue

from .running import Outcome, run_limited
from .trees import ROOT, SeededError, renew_base, run_line, what_failed

BUILD = ROOT / "build" / "mutants"
TOOL = ROOT / "build" / "mutator" / "bin" / "mutate"
C_TESTS = ROOT / "tests" / "c"
FLAGS = ["-D_GNU_SOURCE", "-std=gnu11", "-O2", "-fPIC", "-w"]
POINTS = "-DLC_CRASH_POINTS"
INCLUDES = [f"-I{ROOT / 'csrc'}", f"-I{C_TESTS}"]

# What is run on each mutant, from cheap to dear: program, and words that choose tests.
# Before them comes the program named after the mutated file.
SUITE = (
    "ops",
    "verbs",
    "index",
    "many",
    "block",
    "geometry",
    "hash",
    "record",
    "row",
    "segment",
    "scan",
    "object",
    "close",
    "fork",
    "recover",
    "pin",
    "model",
    "evict relocate",
    "evict small",
    "stop",
    "lock",
    "death growing",
    "death moving",
    "death runs",
    "death untouched",
    "death dead",
)

# Then, in a copy of the tree, what instruments the core or runs many processes.
LATE = (
    "orders",
    "interleave --budget 8",
    "kill --only nearly --deep 1",
    "kill --only moving --deep 1",
    "linear --operations 50000",
)

NO_CODE = ("/*", "*", "//", "#include", "_Static_assert")
PROCESSED = re.compile(
    r"^PROCESSING MUTANT: (\d+): .*?VALID \[written to \S*?mutant\.(\d+)\.c\]",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Mutant:
    """One changed line of one file."""

    source: str
    line: int
    text: str

    def change(self) -> str:
        """Return the line as it is and as it becomes."""
        before = (ROOT / "csrc" / self.source).read_text().splitlines()
        after = self.text.splitlines()
        more = len(after) - len(before)
        new = " / ".join(
            part.strip() for part in after[self.line - 1 : self.line + more]
        )
        return f"{before[self.line - 1].strip()}  ->  {new}"


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: killed, survived, equal or invalid."""

    source: str
    line: int
    change: str
    fate: str
    by: str
    seconds: float


def install_tool() -> None:
    """Make the mutator's own environment; it is no dependency of the project."""
    venv = TOOL.parents[1]
    if not TOOL.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run(
            [venv / "bin" / "python", "-m", "pip", "install", "-q", "universalmutator"],
            check=True,
        )


def compile_core(source: Path, out: Path, *more: str) -> bool:
    """Compile one file of the core under its usual name, so that objects compare."""
    command = ["cc", *FLAGS, *more, *INCLUDES, "-c", "-o", out, source.name]
    done = subprocess.run(command, cwd=source.parent, capture_output=True)
    return done.returncode == 0


def link_core(objects: list[Path], out: Path) -> None:
    subprocess.run(["cc", "-shared", "-o", out, *objects], check=True)


class Bench:
    """The objects of the core as it is, the tests, and how long they take."""

    def __init__(self) -> None:
        self.sources = sorted((ROOT / "csrc").glob("lc_*.c"))
        self.programs = BUILD / "tests"
        self.base = BUILD / "base"
        self.seconds: dict[str, float] = {}

    def build(self) -> None:
        """Compile everything that no mutant changes."""
        core = BUILD / "core"
        for folder in (core, self.programs):
            folder.mkdir(parents=True, exist_ok=True)
        for source in self.sources:
            assert compile_core(source, core / f"{source.stem}.shipped.o"), source
            assert compile_core(source, core / f"{source.stem}.o", POINTS), source
        link_core([core / f"{s.stem}.o" for s in self.sources], core / "liblc.so")
        shared = []
        for name in ("cachetest", "deed", "scene"):
            shared.append(BUILD / f"{name}.o")
            self.compile_test(C_TESTS / f"{name}.c", "-c", "-o", shared[-1])
        names = {line.split()[0] for line in SUITE}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in [
                pool.submit(
                    self.compile_test,
                    C_TESTS / f"test_{name}.c",
                    "-o",
                    self.programs / name,
                    *shared,
                    f"-L{core}",
                    "-llc",
                    "-lpthread",
                )
                for name in sorted(names)
            ]:
                done.result()

    @staticmethod
    def compile_test(source: Path, *more: str | Path) -> None:
        subprocess.run(["cc", *FLAGS, POINTS, *INCLUDES, source, *more], check=True)

    def lines(self, source: str) -> list[str]:
        """Return what is run on a mutant of this file, in order."""
        first = source.removesuffix(".c").removeprefix("lc_")
        return sorted(SUITE, key=lambda line: line != first)

    def measure(self) -> None:
        """Run everything on the core as it is: it passes, and takes so long."""
        renew_base(self.base)
        for line in LATE:
            outcome = run_line(self.base, line)
            if not outcome.passed:
                sys.exit(f"{line} fails on the core as it is:\n{outcome.output}")
        for line in SUITE:
            outcome = self.run(line, BUILD / "core", 300)
            if not outcome.passed:
                sys.exit(f"{line} fails on the core as it is:\n{outcome.output}")
            self.seconds[line] = outcome.seconds
        total = sum(self.seconds.values())
        print(f"the core as it is: {total:.0f} s", flush=True)

    def run(self, line: str, library: Path, limit: float) -> Outcome:
        program, *words = line.split()
        return run_limited(
            [self.programs / program, *words],
            BUILD,
            limit,
            {"LD_LIBRARY_PATH": str(library)},
        )


def all_mutants(source: Path) -> dict[int, list[Mutant]]:
    """Return every mutant of a file that changes code, by line."""
    folder = BUILD / "texts" / source.stem
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    done = subprocess.run(
        [TOOL, source.name, "c", "--noCheck", "--mutantDir", folder],
        cwd=source.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = source.read_text().splitlines()
    found = defaultdict(list)
    for match in PROCESSED.finditer(done.stdout):
        line = int(match[1])
        text = (folder / f"{source.stem}.mutant.{match[2]}.c").read_text()
        code = lines[line - 1].strip()
        if code and not code.startswith(
            ("/*", "*", "//", "#include", "_Static_assert")
        ):
            found[line].append(Mutant(source.name, line, text))
    return dict(found)


def draw(sources: list[Path], seed: int) -> Iterator[Mutant]:
    """Yield mutants, at most one of each line, in an order that the seed decides."""
    dice = random.Random(seed)
    lines = []
    for source in sources:
        lines += list(all_mutants(source).values())
    dice.shuffle(lines)
    for line in lines:
        dice.shuffle(line)
    for turn in range(max(map(len, lines))):
        yield from (line[turn] for line in lines if turn < len(line))


class Trial:
    """Tries mutants, several at a time."""

    def __init__(self, bench: Bench, jobs: int) -> None:
        self.bench = bench
        self.places: SimpleQueue[Path] = SimpleQueue()
        for i in range(jobs):
            place = BUILD / f"job{i}"
            (place / "src").mkdir(parents=True, exist_ok=True)
            shutil.rmtree(place / "tree", ignore_errors=True)
            subprocess.run(["cp", "-a", bench.base, place / "tree"], check=True)
            self.places.put(place)

    def try_one(self, mutant: Mutant) -> Verdict:
        place = self.places.get()
        started = time.monotonic()
        try:
            fate, by = self.fate_of(mutant, place)
        finally:
            self.places.put(place)
        return Verdict(
            mutant.source,
            mutant.line,
            mutant.change(),
            fate,
            by,
            round(time.monotonic() - started, 1),
        )

    def fate_of(self, mutant: Mutant, place: Path) -> tuple[str, str]:
        source = place / "src" / mutant.source
        source.write_text(mutant.text)
        changed = place / f"{source.stem}.o"
        if not compile_core(source, changed):
            return "invalid", ""
        core = BUILD / "core"
        shipped = core / f"{source.stem}.shipped.o"
        if changed.read_bytes() == shipped.read_bytes():
            return "equal", ""
        compile_core(source, changed, POINTS)
        objects = {s.stem: core / f"{s.stem}.o" for s in self.bench.sources}
        objects[source.stem] = changed
        link_core(list(objects.values()), place / "liblc.so")
        for line in self.bench.lines(mutant.source):
            outcome = self.bench.run(line, place, 10 + 10 * self.bench.seconds[line])
            if not outcome.passed:
                return "killed", f"{line.split()[0]}: {what_failed(outcome)}"
        return self.fate_in_tree(mutant, place / "tree")

    def fate_in_tree(self, mutant: Mutant, tree: Path) -> tuple[str, str]:
        source = tree / "csrc" / mutant.source
        original = source.read_text()
        source.write_text(mutant.text)
        try:
            for line in LATE:
                outcome = run_line(tree, line)
                if not outcome.passed:
                    return "killed", f"{line.split()[0]}: {what_failed(outcome)}"
        except SeededError:
            return "invalid", ""
        finally:
            source.write_text(original)
        return "survived", ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.seeded.mutants")
    parser.add_argument("--count", type=int, default=100, help="of those that count")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of trials")
    parser.add_argument("--least", type=float, default=0.0, help="killed, of 1")
    parser.add_argument("--only", nargs="+", metavar="FILE", help="of csrc")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, default=BUILD / "mutants.json")
    options = parser.parse_args()
    install_tool()
    bench = Bench()
    bench.build()
    bench.measure()
    started = time.monotonic()
    chosen = [s for s in bench.sources if not options.only or s.name in options.only]
    trial = Trial(bench, options.jobs)
    verdicts: list[Verdict] = []
    counted = 0
    mutants = draw(chosen, options.seed)
    with ThreadPoolExecutor(options.jobs) as pool:
        while counted == 0 or (
            counted < options.count and time.monotonic() - started < options.seconds
        ):
            batch = [m for m, _ in zip(mutants, range(4 * options.jobs), strict=False)]
            if not batch:
                break
            for verdict in pool.map(trial.try_one, batch):
                verdicts.append(verdict)
                counted += verdict.fate in ("killed", "survived")
                if verdict.fate in ("killed", "survived"):
                    print(
                        f"{verdict.source}:{verdict.line}: {verdict.fate} {verdict.by}"
                        f"  {verdict.change}",
                        flush=True,
                    )
    options.json.write_text(json.dumps([asdict(v) for v in verdicts], indent=1))
    return report(verdicts, options.seed, options.least, time.monotonic() - started)


def report(verdicts: list[Verdict], seed: int, least: float, seconds: float) -> int:
    fates = defaultdict(list)
    for verdict in verdicts:
        fates[verdict.fate].append(verdict)
    killed, survived = len(fates["killed"]), len(fates["survived"])
    print("\nsurvivors:")
    for v in sorted(fates["survived"], key=lambda v: (v.source, v.line)):
        print(f"  {v.source}:{v.line}: {v.change}")
    score = killed / max(1, killed + survived)
    print(
        f"\nseed {seed}: {killed} of {killed + survived} mutants killed, {score:.1%}; "
        f"{len(fates['equal'])} of the same object code, {len(fates['invalid'])} that "
        f"do not compile, {seconds:.0f} s"
    )
    return int(killed + survived == 0 or score < least)


if __name__ == "__main__":
    sys.exit(main())
