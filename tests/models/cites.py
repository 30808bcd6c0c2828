"""Do the models still stand for the code that they cite?

A model names a function in a comment of its own line, and behind a step, on the step's
line, the call of the function that the step stands for:

    /* @code csrc/lc_read.c read_block_same */
    FENCE(ACQUIRE); /* lc_fence_acquire() */
    LOAD(RELAXED, GENERATION, after); /* lc_load_relaxed(&block->bl_generation) */

The function must contain the calls in this order, and each step must have the memory
order that its call names, so that neither the code nor the model can change alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CODE = re.compile(r"/\* @code (\S+) (\w+) \*/")
STEP = re.compile(
    r"\b(LOAD|STORE|ADD|FENCE|PLAIN|LOCK\w*)\(.*?/\* (\w+\(.*?) \*/\s*\\?$"
)
ORDER = re.compile(r"\b(RELAXED|ACQUIRE|RELEASE|SEQ_CST|DEATH)\b")
CALL = re.compile(r"lc_(load|store|add|swap|fence)_(\w+?)(?:16|32)?$")
KIND = {"load": "LOAD", "store": "STORE", "add": "ADD", "fence": "FENCE"}
# Accesses without an order of their own.
PLAIN = {"memcpy", "memset", "lc_copy_racy", "lc_equal_racy"}


@dataclass(frozen=True)
class Cite:
    """One step of a model and the call it stands for."""

    file: str
    function: str
    line: int
    step: str
    call: str


def cites_of(model: Path) -> tuple[list[Cite], list[str]]:
    """Return the cites of a model, and what is wrong with the way they are written."""
    found: list[Cite] = []
    wrong: list[str] = []
    file = function = ""
    for number, line in enumerate(model.read_text().splitlines(), 1):
        named = CODE.search(line)
        if named:
            file, function = named[1], named[2]
            continue
        step = STEP.search(line)
        if step and function:
            found.append(Cite(file, function, number, step[0], step[2]))
        elif "/* lc_" in line and "@code" not in line:
            wrong.append(f"{model.name}:{number}: cites a call, but not of a function")
    return found, wrong


def squeeze(text: str) -> str:
    """Return C without comments and white space."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\s+", "", text)


def body_of(file: str, function: str) -> str | None:
    """Return the body of a function of csrc/, squeezed; None if there is none."""
    text = (ROOT / file).read_text()
    head = re.search(
        rf"^[\w].*?\b{function}\([^;{{]*\)\s*\{{", text, re.MULTILINE | re.DOTALL
    )
    heads = [
        m
        for m in re.finditer(rf"\b{function}\([^;{{}}]*\)\s*\{{", text)
        if text[text.rfind("\n", 0, m.start()) + 1 : m.start()].strip()
        not in ("if", "while")
    ]
    if not head or not heads:
        return None
    start = heads[0].end()
    depth = 1
    end = start
    while depth and end < len(text):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return squeeze(text[start:end])


def order_is_wrong(cite: Cite) -> bool:
    """Whether the step's kind and order differ from the call's."""
    name = cite.call.split("(")[0]
    kind = cite.step.split("(")[0]
    step = cite.step.split("/*")[0]
    orders = ORDER.findall(step)
    if name in PLAIN:
        return kind not in ("LOAD", "STORE") or "RELAXED" not in orders
    call = CALL.match(name)
    if not call:
        return False
    # The last order of a step is that of the code, the others are the twins'.
    return KIND.get(call[1]) != kind or not orders or orders[-1] != call[2].upper()


def check(model: Path) -> tuple[int, list[str]]:
    """Return the number of calls a model cites, and what does not hold."""
    cites, wrong = cites_of(model)
    places: dict[tuple[str, str], int] = {}
    seen: set[tuple[str, str, str]] = set()
    for cite in cites:
        where = f"{model.name}:{cite.line}"
        if order_is_wrong(cite):
            wrong.append(f"{where}: not the order of {cite.call}")
        body = body_of(cite.file, cite.function)
        if body is None:
            wrong.append(f"{where}: no function {cite.function} in {cite.file}")
            continue
        call = squeeze(cite.call)
        key = (cite.file, cite.function)
        at = body.find(call, places.get(key, 0))
        if at < 0 and (*key, call) in seen:
            at = body.find(call)  # another branch of the model repeats the steps
        if at < 0:
            problem = "in this order" if call in body else "any more"
            wrong.append(
                f"{where}: {cite.function} does not have {cite.call} {problem}"
            )
            continue
        seen.add((*key, call))
        places[key] = at + len(call)
    return len(seen), wrong
