"""sites.py PROGRAM DIED_AT UNREACHED: did somebody die at every store of the core?

PROGRAM is disassembled: each call of a hook from a file of csrc/ is a place. Three
kinds of place count as reached: died at; stores only into memory of the process, never
into the segment; never come by, and named in UNREACHED, one `file:function  reason` a
line. A reason says `segment: ` first where the function has such a place that would
store into the segment, and `chance: ` where it depends on the run. Anything else, and a
line of UNREACHED that is reached (but by chance) or names nothing, is an error: so is a
place that stored into the segment and at which nobody died, whoever excuses its
function.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HOOK = re.compile(
    r"<(__tsan_(?:unaligned_)?write\w+|__tsan_atomic\d+_(?:store|fetch|compare)\w*"
    r"|__wrap_\w+)>$"
)
INSTRUCTION = re.compile(r"\s*([0-9a-f]+):\s+(.*)$")
FUNCTION = re.compile(r"[0-9a-f]+ <([\w.]+)>:$")
NO_STORE = {
    "__wrap_memcmp",
    "__wrap_lc_check_all_locked",
    "__wrap_getrandom",
    "__wrap_open",
    "__wrap_close",
    "__wrap_munmap",
}


def places(program: str) -> dict[int, str]:
    """Return addresses to hook: return address -> name of the hook."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", program],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found: dict[int, str] = {}
    pending: str | None = None
    for line in listing.splitlines():
        instruction = INSTRUCTION.match(line)
        if not instruction:
            continue
        address, text = int(instruction[1], 16), instruction[2]
        if pending:
            found[address] = pending
            pending = None
        hook = HOOK.search(text)
        if hook and text.startswith(("call", "jmp")) and hook[1] not in NO_STORE:
            pending = hook[1]
    return found


def source_lines(program: str, addresses: list[int]) -> dict[int, tuple[str, str]]:
    """Return (file:line, function) in csrc/ of each address; others are left out."""
    asked = "\n".join(hex(address - 1) for address in addresses)
    answer = subprocess.run(
        ["addr2line", "-f", "-i", "-a", "-e", program],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    lines: dict[int, tuple[str, str]] = {}
    current, rest = 0, iter(answer)
    for line in rest:
        if line.startswith("0x"):
            current = int(line, 16) + 1
            continue
        where = next(rest).split(" ")[0]
        name = Path(where).name
        # Inlined accessors are named by whoever uses them.
        if "/csrc/lc_" in where and not name.startswith(
            ("lc_atomic.h", "lc_counter.h")
        ):
            lines.setdefault(current, (name, line))
    return lines


def read_allowed(path: str) -> dict[str, str]:
    allowed = {}
    for line in Path(path).read_text().splitlines():
        if line and not line.startswith("#"):
            place, _, reason = line.partition("  ")
            allowed[place] = reason.strip()
    return allowed


def place_of(line: str, function: str) -> str:
    return f"{line.split(':')[0]}:{function}"


def main() -> int:
    program, died_at, unreached = sys.argv[1:]
    stores: dict[int, int] = defaultdict(int)
    kills: dict[int, int] = defaultdict(int)
    private: dict[int, int] = defaultdict(int)
    for line in Path(died_at).read_text().splitlines():
        address, stored, killed, outside = line.split()
        stores[int(address, 16)] += int(stored)
        kills[int(address, 16)] += int(killed)
        private[int(address, 16)] += int(outside)
    hooks = places(program)
    lines = source_lines(program, sorted(hooks))
    allowed = read_allowed(unreached)
    used: set[str] = set()
    missing = []
    segment = []
    reached = own = 0
    for address in sorted(lines):
        line, function = lines[address]
        if kills[address]:
            reached += 1
        elif private[address] and not stores[address]:
            own += 1
        elif not stores[address] and place_of(line, function) in allowed:
            used.add(place_of(line, function))
            if allowed[place_of(line, function)].startswith("segment: "):
                segment.append(f"{line} {function}")
        else:
            what = "stored, never died at" if stores[address] else "never came by"
            missing.append(f"{line} {function} {hooks[address]}: {what}")
    by_chance = {p for p, reason in allowed.items() if reason.startswith("chance: ")}
    useless = sorted(set(allowed) - used - by_chance)
    excused = len(lines) - reached - own - len(missing)
    print(
        f"{len(lines)} places in the core: {reached} died at, {own} store into the "
        f"process only, {excused} excused and never come by, {len(segment)} of them in "
        f"functions that can store into the segment there, {len(missing)} missing"
    )
    for message in missing:
        print(f"  {message}")
    for place in useless:
        print(f"  {place} is excused without need")
    return int(bool(missing or useless))


if __name__ == "__main__":
    sys.exit(main())
