"""python -m tests.models [--deep] [--only MODEL ...]

Runs spin over the models of this folder. A model passes when its search was complete
and found no error, every statement of it was reached, what it cites is in the code, and
each of its broken twins fails by the assertion named beside it. Each fence of csrc/
must have a twin in one of them. --deep uses the larger constants, lets loads come
between any two stores, and confirms that what is marked as spare is.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from . import cites

HERE = Path(__file__).resolve().parent
OUT = cites.ROOT / "build/models"
DEPTH = 2_000_000
MEMORY_MB = 3000
# More than any run takes on a busy machine; a search that does not end is an error.
LIMIT_S = {False: 300, True: 3600}
DEEP = re.compile(r"/\* @deep (.*?) \*/")


@dataclass
class Outcome:
    """What came of one model."""

    name: str
    states: int = 0
    seconds: float = 0.0
    cited: int = 0
    twins: int = 0
    failed: int = 0
    spare: int = 0
    wrong: list[str] = field(default_factory=list)


def call(words: list[str], folder: Path, **environment: str) -> str:
    """Run a tool; its output, errors included, is what it says."""
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}:\n{done.stdout}")
    return done.stdout


def build(model: Path, variant: str, defines: list[str]) -> Path:
    """Make the verifier of a model in a folder of its own."""
    folder = OUT / model.stem / variant
    folder.mkdir(parents=True, exist_ok=True)
    said = call(["spin", *defines, "-a", str(model)], folder)
    if said.strip():
        raise RuntimeError(f"spin on {model.name} says: {said}")
    # -O2 takes longer to compile than the searches gain by it.
    options = ["-O1", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}"]
    call(["cc", *options, "-o", "pan", "pan.c"], folder)
    return folder / "pan"


def search(pan: Path, limit: float, twin: int = 0) -> str:
    """Run a verifier and return its report."""
    return subprocess.run(
        [str(pan), f"-m{DEPTH}"],
        cwd=pan.parent,
        env={**os.environ, "TWIN": str(twin)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit,
    ).stdout


def complaint(report: str) -> str | None:
    """Return why a search is no proof, None if it is one."""
    broken = re.search(r"pan:\d+: (.*)", report)
    if broken:
        return broken[1]
    for sign in ("Search not completed", "too small", "out of memory", "max size"):
        if sign in report:
            return f"truncated: {sign}"
    return None if "errors: 0" in report else "no verdict"


def unreached(report: str) -> list[str]:
    """Return the statements that no state reached."""
    return re.findall(r"^\s+\S*?(\w+\.pml:\d+, state \d+, .*)$", report, re.MULTILINE)


def run_twin(pan: Path, limit: float, twin: re.Match[str]) -> str | None:
    """Run one twin or spare order. Returns what is wrong with it."""
    name, number, kind, expected = twin[1], int(twin[2]), twin[3], twin[4]
    said = complaint(search(pan, limit, number))
    if kind == "spare":
        return f"{name} is not spare: {said}" if said else None
    failed = re.match(r"assertion violated +(\S+)", said or "")
    assertion = re.sub(r"[()]", "", failed[1]) if failed else said
    if assertion != expected.strip():
        return f"twin {name}: expected {expected.strip()} to fail, got {assertion}"
    return None


def run_model(model: Path, deep: bool) -> Outcome:
    """Check one model, its cites and its twins."""
    text = model.read_text()
    outcome = Outcome(model.stem)
    outcome.cited, outcome.wrong = cites.check(model)
    larger = DEEP.search(text)
    constants = f"{larger[1]} -DINTERLEAVED".split() if deep and larger else []
    started = time.monotonic()
    limit = LIMIT_S[deep]
    report = search(build(model, "sound", constants), limit)
    outcome.seconds = time.monotonic() - started
    said = complaint(report)
    if said:
        outcome.wrong.append(said)
    stored = re.search(r"(\d+) states, stored", report)
    outcome.states = int(stored[1]) if stored else 0
    if not said:
        outcome.wrong += [f"never reached: {at}" for at in unreached(report)]
    twins = list(cites.TWIN.finditer(text))
    if len({twin[2] for twin in twins}) != len(twins) or not twins:
        outcome.wrong.append("twins without numbers of their own")
    pan = build(model, "twins", ["-DTWINS"])
    for twin in twins:
        if twin[3] == "spare" and not deep:
            continue
        problem = run_twin(pan, limit, twin)
        if problem:
            outcome.wrong.append(problem)
        elif twin[3] == "spare":
            outcome.spare += 1
        else:
            outcome.failed += 1
        outcome.twins += twin[3] == "twin"
    return outcome


def main() -> int:
    models = {p.stem: p for p in sorted(HERE.glob("*.pml")) if p.stem != "memory"}
    parser = argparse.ArgumentParser(prog="python -m tests.models")
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(models), metavar="MODEL")
    arguments = parser.parse_args()
    chosen = [models[name] for name in arguments.only or models]
    started = time.monotonic()
    need = ["sh", str(cites.ROOT / "tests/need.sh"), "spin", "spin"]
    subprocess.run(need, check=True)
    # Deep searches need the memory that two of them would share.
    with ThreadPoolExecutor(1 if arguments.deep else os.cpu_count()) as pool:
        outcomes = list(pool.map(lambda m: run_model(m, arguments.deep), chosen))
    rows = [
        (o.name, o.states, o.seconds, f"{o.failed} of {o.twins}", o.spare, o.cited)
        for o in outcomes
    ]
    names = (
        "model",
        "states",
        "seconds",
        "twins failed",
        "spare orders",
        "calls cited",
    )
    print(tabulate(rows, names, floatfmt=".1f"))
    for outcome in outcomes:
        for message in outcome.wrong:
            print(f"{outcome.name}: {message}")
    fences = cites.check_fences(list(models.values()))
    for message in fences:
        print(message)
    wrong = sum(len(outcome.wrong) for outcome in outcomes) + len(fences)
    print(
        f"{len(outcomes)} models, {sum(o.failed for o in outcomes)} twins failed, "
        f"{wrong} wrong, {time.monotonic() - started:.0f} s"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
