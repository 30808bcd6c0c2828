"""Put known races into the core, one at a time; ThreadSanitizer must report each.

    seeded.py --out FOLDER -- CC FLAG ...

FOLDER/tsan holds the objects of the clean build. A seed that finds no line to change
any more, or whose run ends without a report, fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
RUNS = 4  # a race shows only if both sides meet
RUN = ("--seconds", "6", "--processes", "1", "--threads", "4", "--size-mb", "1")


@dataclass(frozen=True)
class Seed:
    name: str
    file: str
    changes: tuple[tuple[str, str], ...]


SEEDS = (
    Seed(
        "a slot is stored like any other word",
        "lc_index.c",
        (("lc_store_release(place->slot, new_word)", "*place->slot = new_word"),),
    ),
    Seed(
        "a slot is stored without release",
        "lc_index.c",
        (("lc_store_release(place->slot,", "lc_store_relaxed(place->slot,"),),
    ),
    Seed(
        "slots are loaded without acquire",
        "lc_read.c",
        (
            (
                "lc_load_acquire(&bucket->bk_slot[i])",
                "lc_load_relaxed(&bucket->bk_slot[i])",
            ),
            (
                "LC_RACY(slot_again, lc_load_acquire(",
                "LC_RACY(slot_again, lc_load_relaxed(",
            ),
        ),
    ),
    Seed(
        "the value is copied after its slot was stored",
        "lc_write.c",
        (
            (
                "    lc_append_head_locked(shard, source, spot.at, &record);\n"
                "    lc_append_value(shard, source, &record);\n"
                "    return lc_step_commit_locked(shard, key, &spot, &record);",
                "    lc_append_head_locked(shard, source, spot.at, &record);\n"
                "    status = lc_step_commit_locked(shard, key, &spot, &record);\n"
                "    lc_append_value(shard, source, &record);\n"
                "    return status;",
            ),
        ),
    ),
    Seed(
        "a block is reused in the same generation",
        "lc_block.c",
        (
            (
                "lc_store_release(&block->bl_generation, block->bl_generation + 1);\n"
                "        LC_RACE_REUSED(&block->bl_generation);\n"
                "        LC_CRASH(",
                "LC_RACE_REUSED(&block->bl_generation);\n        LC_CRASH(",
            ),
        ),
    ),
    Seed(
        "the lock is left before the record is written",
        "lc_write.c",
        (
            (
                "    lc_append_head_locked(shard, source, spot.at, &record);",
                "    lc_step_leave(shard, LILCACHE_OK);\n"
                "    lc_append_head_locked(shard, source, spot.at, &record);\n"
                "    if (lc_step_enter(shard, 1000)) {\n"
                "        return LILCACHE_BUSY;\n"
                "    }",
            ),
        ),
    ),
    Seed(
        "an optimistic copy that nobody announced",
        "lc_read.c",
        (("(void)LC_RACY(copy_value, ", "(void)((void)0, "),),
    ),
)


def build(out: Path, seed: Seed, compiler: list[str]) -> Path:
    """Compile the changed file and link it to the objects of the clean build."""
    text = (CSRC / seed.file).read_text()
    for old, new in seed.changes:
        if old not in text:
            sys.exit(f"{seed.name}: not in {seed.file} any more: {old}")
        text = text.replace(old, new)
    folder = out / "seeded"
    folder.mkdir(parents=True, exist_ok=True)
    # racy_read.c includes lc_read.c: from here, if it is the one that was changed.
    source, replaced = folder / seed.file, seed.file.removesuffix(".c")
    source.write_text(text)
    if seed.file == "lc_read.c":
        source, replaced = HERE.parent / "stress" / "racy_read.c", "racy_read"
    changed, program = folder / "changed.o", folder / "stress"
    at = compiler.index("-c") if "-c" in compiler else len(compiler)
    include = [f"-I{folder}"]
    command = [compiler[0], *include, *compiler[1:at], "-c", "-o", str(changed)]
    subprocess.run([*command, str(source)], check=True)
    objects = [
        path
        for path in (out / "tsan").glob("*.o")
        if not path.name.startswith("test_")
        and path.stem not in (replaced, "lc_read", "cachetest", "deed", "scene")
    ]
    link = [compiler[0], "-fsanitize=thread", "-o", str(program)]
    subprocess.run(
        [*link, *map(str, objects), str(changed), "-lpthread", "-lrt"], check=True
    )
    (folder / seed.file).unlink()
    return program


def reported(program: Path) -> str | None:
    """Return the first report's subject, if there is one."""
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1 exitcode=66"}
    for run in range(RUNS):
        done = subprocess.run(
            [str(program), *RUN, "--seed", str(run + 1)],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
        )
        for line in done.stderr.splitlines():
            if line.startswith("SUMMARY: ThreadSanitizer: data race"):
                return line.rpartition(" in ")[2]
    return None


def main() -> int:
    words = sys.argv[1:]
    split = words.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--only", default=os.environ.get("ONLY"), help="seeds whose name contains this"
    )
    arguments = parser.parse_args(words[:split])
    missed = 0
    chosen = [s for s in SEEDS if not arguments.only or arguments.only in s.name]
    for seed in chosen:
        program = build(arguments.out, seed, words[split + 1 :])
        started = time.monotonic()
        where = reported(program)
        missed += where is None
        outcome = f"reported in {where}" if where else "NOT REPORTED"
        print(f"{seed.name}: {outcome}, {time.monotonic() - started:.1f} s", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} seeded races reported")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
