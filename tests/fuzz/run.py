"""run.py BUILD gate | campaign | merge: libFuzzer on every target.

The kept corpora are corpus/TARGET.hex, one input in hexadecimal a line; a line that
begins with # says what the inputs below it were found for. An execution is one input
run to its end, as libFuzzer counts them; every finding is kept in BUILD/findings and
makes the exit status 1.

gate:      every kept input in both variants, then so many --seconds of each target.
campaign:  --seconds, or as many executions as --executions, shared by --jobs workers.
merge:     the kept corpora and what campaigns have found, minimised, become the kept.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGETS = ("ops", "image", "attach")
# Without AddressSanitizer an execution takes a third of the time.
VARIANTS = ("fast", "asan")
# Edges of the core that the kept corpora reach at least; with fewer they are outdated.
EDGES = {"ops": 1000, "image": 1350, "attach": 700}
# In campaigns: the check of all invariants takes longer than an input's operations.
CHECK_EVERY = {"fast": 4, "asan": 1}
# Bytes of an input, in turns: short ones take a third of the time, and reach as much
# of the core; long ones make states that no short one does.
LONGEST = (64, 24)
COMMON = (
    "-timeout=25",
    "-rss_limit_mb=2048",
    "-entropic=0",
    "-reduce_inputs=0",
    "-print_final_stats=1",
)
EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
COVERED = re.compile(r"cov: (\d+)")


def corpus_file(target: str) -> Path:
    return HERE / "corpus" / f"{target}.hex"


def read_corpus(target: str) -> list[tuple[str, list[bytes]]]:
    """Return the sections of a kept corpus: comment and inputs."""
    sections: list[tuple[str, list[bytes]]] = [("", [])]
    for line in corpus_file(target).read_text().splitlines():
        if line.startswith("#"):
            sections.append((line, []))
        elif line:
            sections[-1][1].append(bytes.fromhex(line))
    return sections


def unpack(target: str, to: Path) -> int:
    """Write the kept inputs as files; return their number."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    inputs = [data for _, section in read_corpus(target) for data in section]
    for number, data in enumerate(inputs):
        (to / f"kept-{number:04}").write_bytes(data)
    return len(inputs)


@dataclass
class Worker:
    """One process of libFuzzer."""

    build: Path
    target: str
    variant: str
    seconds: float
    runs: int
    seed: int
    corpus: Path
    replay: bool = False
    check_every: int = 1
    longest: int = max(LONGEST)
    process: subprocess.Popen[bytes] | None = None
    cpu_seconds: float = 0.0
    log: Path = field(init=False)

    def start(self) -> None:
        findings = self.build / "findings"
        findings.mkdir(parents=True, exist_ok=True)
        name = f"{self.target}-{self.variant}-{self.seed}"
        found = self.build / "found" / self.target / f"{self.variant}-{self.seed}"
        found.mkdir(parents=True, exist_ok=True)
        self.log = findings / f"{name}.log"
        words = [
            str(self.build / self.variant / f"fuzz_{self.target}"),
            *COMMON,
            f"-max_len={self.longest}",
            f"-seed={self.seed}",
            f"-artifact_prefix={findings}/{self.target}-",
            f"-runs={0 if self.replay else self.runs}",
        ]
        if self.seconds and not self.replay:
            words.append(f"-max_total_time={max(1, round(self.seconds))}")
        if not self.replay:
            others = sorted(d for d in found.parent.iterdir() if d != found)
            words += [str(found), *map(str, others)]
        words.append(str(self.corpus))
        environment = os.environ | {
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:handle_abort=2",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "FUZZ_CHECK_EVERY": str(self.check_every),
        }
        self.process = subprocess.Popen(
            words,
            stdout=subprocess.DEVNULL,
            stderr=self.log.open("wb"),
            env=environment,
            start_new_session=True,
        )

    def has_ended(self) -> bool:
        """Whether it has; if so, what it used of a processor is known."""
        assert self.process is not None
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid == 0:
            return False
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return True

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def executed(self) -> int:
        found = EXECUTED.findall(self.text())
        return int(found[-1]) if found else 0

    def edges(self) -> int:
        return max((int(c) for c in COVERED.findall(self.text())), default=0)

    def clean_up(self) -> None:
        """Remove what a process that did not end by itself leaves behind."""
        assert self.process is not None
        for left in Path("/dev/shm").glob(f"lilcache-fuzz-{self.process.pid}.*"):
            left.unlink(missing_ok=True)


def run_workers(queue: Iterator[Worker], jobs: int) -> Iterator[Worker]:
    """Run workers, so many at a time; yield each when it has ended."""
    running: list[Worker] = []
    try:
        while True:
            while len(running) < jobs and (worker := next(queue, None)):
                worker.start()
                running.append(worker)
            if not running:
                return
            time.sleep(0.05)
            for worker in list(running):
                if worker.has_ended():
                    running.remove(worker)
                    worker.clean_up()
                    yield worker
    finally:
        for worker in running:
            assert worker.process is not None
            os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()
            worker.clean_up()


def report_failure(worker: Worker) -> None:
    print(
        f"FAILED: {worker.target} ({worker.variant}), seed {worker.seed}, "
        f"FUZZ_CHECK_EVERY={worker.check_every}:"
    )
    lines = worker.text().splitlines()
    shown = [
        line
        for line in lines
        if re.search(r"finding:|ERROR|SUMMARY|Test unit|^\s+#\d", line)
    ]
    print("\n".join((shown or lines)[-40:]), flush=True)


@dataclass
class Tally:
    """What has been executed, by target and variant."""

    executed: dict[tuple[str, str], int] = field(default_factory=dict)
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    failed: int = 0

    def add(self, worker: Worker) -> None:
        place = (worker.target, worker.variant)
        self.executed[place] = self.executed.get(place, 0) + worker.executed()
        self.seconds[place] = self.seconds.get(place, 0.0) + worker.cpu_seconds
        assert worker.process is not None
        if worker.process.returncode != 0:
            self.failed += 1
            report_failure(worker)

    def total(self) -> int:
        return sum(self.executed.values())

    def print(self) -> None:
        for (target, variant), count in sorted(self.executed.items()):
            rate = count / max(self.seconds[target, variant], 0.001)
            print(
                f"fuzz: {target} ({variant}): {count} executions, "
                f"{rate:.0f} a second of a processor"
            )
        print(
            f"fuzz: {self.total()} executions, {self.failed} workers with findings",
            flush=True,
        )


def run_and_tally(workers: list[Worker], jobs: int, tally: Tally) -> list[Worker]:
    done = []
    for worker in run_workers(iter(workers), jobs):
        tally.add(worker)
        done.append(worker)
    return done


def gate(build: Path, seconds: float, seed: int, jobs: int) -> int:
    kept: dict[str, Path] = {t: build / "kept" / t for t in TARGETS}
    counts = {target: unpack(target, kept[target]) for target in TARGETS}
    shutil.rmtree(build / "found", ignore_errors=True)
    replayed = Tally()
    replays = [
        Worker(build, target, variant, 0, 0, seed, kept[target], replay=True)
        for variant in VARIANTS
        for target in TARGETS
    ]
    poor = 0
    for worker in run_and_tally(replays, jobs, replayed):
        if worker.edges() < EDGES[worker.target] and worker.variant == "fast":
            poor += 1
            print(
                f"FAILED: {worker.target}: the kept corpus reaches {worker.edges()} "
                f"edges, not {EDGES[worker.target]}"
            )
        elif worker.variant == "fast":
            print(
                f"fuzz: {worker.target}: {counts[worker.target]} kept inputs reach "
                f"{worker.edges()} edges"
            )
    live = Tally()
    workers = [
        Worker(build, target, variant, seconds, -1, seed, kept[target])
        for target in TARGETS
        for variant in VARIANTS
    ]
    run_and_tally(workers, jobs, live)
    live.print()
    return int(bool(replayed.failed or live.failed or poor))


# Shares of a campaign's time, in tenths of a worker.
SHARES = {
    ("ops", "fast"): 4,
    ("image", "fast"): 4,
    ("attach", "fast"): 0.5,
    ("ops", "asan"): 0.4,
    ("image", "asan"): 0.4,
    ("attach", "asan"): 0.1,
}


def campaign(build: Path, seconds: float, executions: int, seed: int, jobs: int) -> int:
    """Rounds of workers, each with the finds of those before it, until it is enough."""
    kept = {target: build / "kept" / target for target in TARGETS}
    for target in TARGETS:
        unpack(target, kept[target])
    shutil.rmtree(build / "found", ignore_errors=True)
    tally = Tally()
    began = time.monotonic()
    number = 0
    while True:
        left = seconds - (time.monotonic() - began) if seconds else 600.0
        if left < 2 or (executions and tally.total() >= executions):
            break
        part = min(left, 300.0) * jobs / sum(SHARES.values())
        workers = [
            Worker(
                build,
                target,
                variant,
                part * share,
                -1,
                seed + number * 1000 + i,
                kept[target],
                check_every=CHECK_EVERY[variant],
                longest=LONGEST[number % len(LONGEST)],
            )
            for i, ((target, variant), share) in enumerate(SHARES.items())
        ]
        run_and_tally(workers, jobs, tally)
        number += 1
        elapsed = time.monotonic() - began
        print(
            f"fuzz: round {number}, {elapsed:.0f} s: {tally.total()} executions, "
            f"{tally.failed} workers with findings",
            flush=True,
        )
    tally.print()
    short = executions and tally.total() < executions
    return int(bool(tally.failed or short))


def merge(build: Path) -> int:
    """Minimise kept and found inputs; sections with a comment stay as they are."""
    for target in TARGETS:
        kept = build / "kept" / target
        unpack(target, kept)
        merged = build / "merged" / target
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir(parents=True)
        found = [str(d) for d in sorted((build / "found" / target).glob("*"))]
        subprocess.run(
            [
                str(build / "fast" / f"fuzz_{target}"),
                "-merge=1",
                f"-max_len={max(LONGEST)}",
                str(merged),
                str(kept),
                *found,
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        named = read_corpus(target)[1:]
        special = {data for _, section in named for data in section}
        plain = sorted({f.read_bytes() for f in merged.iterdir()} - special)
        lines = [data.hex() for data in plain if data]
        for comment, section in named:
            lines += [comment, *(data.hex() for data in section)]
        corpus_file(target).write_text("\n".join(lines) + "\n")
        print(f"{target}: {len(plain)} inputs and {len(special)} reproducers")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("what", choices=("gate", "campaign", "merge"))
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--executions", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    if arguments.what == "gate":
        return gate(build, arguments.seconds, arguments.seed, arguments.jobs)
    if arguments.what == "merge":
        return merge(build)
    if not arguments.seconds and not arguments.executions:
        parser.error("a campaign needs --seconds or --executions")
    return campaign(
        build,
        arguments.seconds,
        arguments.executions,
        arguments.seed,
        arguments.jobs,
    )


if __name__ == "__main__":
    sys.exit(main())
