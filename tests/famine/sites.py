"""sites.py PROGRAM OBJECT SITES: has every call of the system failed?

OBJECT is lc_os.o as it is linked into PROGRAM. Each function of the C library that it
calls is either made to fail (then each place that calls it must have failed at least
once, by SITES: return address, calls, failures), or stands below with the others that
make no system call or cannot fail.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HARMLESS = {
    "__errno_location": "no system call",
    "__stack_chk_fail": "no system call",
    "snprintf": "no system call",
    "strchr": "no system call",
    "strcspn": "no system call",
    "strlen": "no system call",
    "strrchr": "no system call",
    "strstr": "no system call",
    "strtoul": "no system call",
    "strtoull": "no system call",
    "clock_gettime": "fails for clocks that do not exist, and these do",
    "geteuid": "cannot fail",
    "getpid": "cannot fail",
    "pthread_sigmask": "fails for unknown ways, and these are known",
    "raise": "to this thread, in a handler: nothing could be done about it",
}
# Calls that are left alone: in a handler of SIGBUS, of a constant, and get_robust_list,
# which cannot fail for oneself.
ALONE = {
    "lc_os_map_zeros calls mmap",
    "lc_os_page_bytes calls sysconf",
    "lc_os_robust_list calls syscall",
}
CALL = re.compile(r"<__wrap_(\w+)>$")
INSTRUCTION = re.compile(r"\s*([0-9a-f]+):\s+(.*)$")
FUNCTION = re.compile(r"^[0-9a-f]+ <([\w.]+)>:$")


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def functions_of(obj: str) -> set[str]:
    """Names of the functions that the object defines, static ones too."""
    lines = (line.split() for line in run("nm", obj).splitlines())
    return {words[-1] for words in lines if len(words) == 3 and words[1] in "tT"}


def called_by(obj: str) -> set[str]:
    return {line.split()[-1] for line in run("nm", "-u", obj).splitlines()}


def places(program: str, functions: set[str]) -> dict[int, str]:
    """Return address -> "function calls function", of every wrapped call in them."""
    found: dict[int, str] = {}
    inside, pending = "", ""
    for line in run("objdump", "-d", "--no-show-raw-insn", program).splitlines():
        begins = FUNCTION.match(line)
        if begins:
            inside = begins[1]
        instruction = INSTRUCTION.match(line)
        if not instruction:
            continue
        if pending:
            found[int(instruction[1], 16)] = pending
            pending = ""
        call = CALL.search(instruction[2])
        if call and inside in functions and instruction[2].startswith("call"):
            pending = f"{inside} calls {call[1]}"
    return found


def main() -> int:
    program, obj, sites = sys.argv[1:]
    failed: dict[int, int] = {}
    for line in Path(sites).read_text().splitlines():
        at, _, failures = line.split()
        failed[int(at, 16)] = int(failures)
    wrapped = {name[7:] for name in called_by(program) | functions_of(program)
               if name.startswith("__wrap_")}  # fmt: skip
    unknown = called_by(obj) - wrapped - set(HARMLESS)
    found = places(program, functions_of(obj))
    never = sorted(
        found[at] for at in found if not failed.get(at) and found[at] not in ALONE
    )
    callers = {place.split()[0] for place in found.values()}
    print(
        f"{len(found)} calls of the system in {len(callers)} functions of lc_os.c,"
        f" {len(found) - len(never)} of them have failed"
    )
    for name in sorted(unknown):
        print(f"  {name} is called and cannot be made to fail")
    for place in never:
        print(f"  {place}: never failed")
    return int(bool(unknown or never or not found))


if __name__ == "__main__":
    sys.exit(main())
