"""Do the models still stand for the code that they cite?

A model names a function in a comment of its own line, and behind a step, on the step's
line, the call of the function that the step stands for:

    /* @code csrc/lc_read.c read_block_same */
    FENCE(ACQUIRE); /* lc_fence_acquire() */
    LOAD(RELAXED, GENERATION, after); /* lc_load_relaxed(&block->bl_generation) */

The function must contain the calls in this order, and each step must have the memory
order that its call names, so that neither the code nor the model can change alone.
Plain assignments are cited up to their `=`; @has cites any other text of the function.

No store, exchange or fence goes without a cite, unless @uncited gives a reason. Each
fence has a twin in its step, or names the model and twin that show what it is for:

    FENCE(RELEASE); /* lc_fence_release() @elsewhere read enter_fence */

and no fence of csrc/ is without such a step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CODE = re.compile(r"/\* @code (\S+) (\w+) \*/")
STEP = re.compile(
    r"\b(LOAD|STORE|ADD|SWAP|EXCHANGE|FENCE|PLAIN|LOCK\w*)\(.*?"
    r"/\* (\w+(?:\(|->|\[).*?)(?: @elsewhere (\w+) (\w+))? \*/\s*\\?$"
)
HAS = re.compile(r"/\* @has (.*?) \*/")
# What must not go without a cite. What only a twin does stands for no code.
BARE = re.compile(r"\b(?:STORE|ADD|SWAP|EXCHANGE|FENCE)\(")
UNCITED = re.compile(r"/\* @uncited \w.*\*/|INSTEAD\(|^inline |^#define ")
NO_CODE = "@no-code"
TWIN = re.compile(r"#define (\w+) +(\d+) +/\* @(twin|spare)( +!\w+)? +(.*?) \*/")
FENCE_CALL = re.compile(r"\blc_fence_\w+\(\)")
HEAD = re.compile(r"^[a-z][^;{}()=]*\b(\w+)\([^;{}]*\)\s*\{", re.MULTILINE)
ORDER = re.compile(r"\b(RELAXED|ACQUIRE|RELEASE|SEQ_CST|DEATH)\b")
CALL = re.compile(r"lc_(load|store|add|swap|exchange|fence)_(\w+?)(?:16|32)?$")
KIND = {
    "load": "LOAD",
    "store": "STORE",
    "add": "ADD",
    "swap": "SWAP",
    "exchange": "EXCHANGE",
    "fence": "FENCE",
}
# Accesses without an order of their own.
PLAIN = {"memcpy", "memset", "lc_copy_racy", "lc_equal_racy"}


@dataclass(frozen=True)
class Cite:
    """One step of a model and the call it stands for."""

    file: str
    function: str
    line: int
    kind: str
    step: str
    call: str
    elsewhere: tuple[str, str] | None = None


def bare_steps(line: str) -> int:
    """Return how many stores, exchanges and fences of a line need a cite."""
    code = line.split("/*")[0]
    return 0 if UNCITED.search(line.strip()) else len(BARE.findall(code))


def cites_of(model: Path) -> tuple[list[Cite], list[str]]:
    """Return the cites of a model, and what is wrong with the way they are written."""
    found: list[Cite] = []
    wrong: list[str] = []
    file = function = ""
    text = model.read_text()
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{model.name}:{number}"
        named = CODE.search(line)
        if named:
            file, function = named[1], named[2]
            continue
        step = STEP.search(line)
        has = HAS.search(line)
        bare = 0 if NO_CODE in text else bare_steps(line)
        if step and function:
            elsewhere = (step[3], step[4]) if step[3] else None
            code = line[: step.start(2)]
            cite = Cite(file, function, number, step[1], code, step[2], elsewhere)
            found.append(cite)
            bare -= 1
        elif has and function:
            found.append(Cite(file, function, number, "", "", has[1]))
        elif "/* lc_" in line and "@code" not in line:
            wrong.append(f"{where}: cites a call, but not of a function")
        if bare > 0:
            wrong.append(f"{where}: a store, exchange or fence without a cite")
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
    orders = ORDER.findall(cite.step)
    if not cite.kind:
        return False
    if " =" in cite.call:
        return cite.kind != "STORE" or "RELAXED" not in orders
    if name in PLAIN:
        return cite.kind not in ("LOAD", "STORE") or "RELAXED" not in orders
    call = CALL.match(name)
    if not call:
        return cite.kind in ("STORE", "ADD", "SWAP", "EXCHANGE", "FENCE")
    # The last order of a step is that of the code, the others are the twins'.
    return KIND.get(call[1]) != cite.kind or call[2].upper() not in orders[-1:]


def located(cites: list[Cite]) -> list[tuple[Cite, int | None, str]]:
    """Return where in its function each cite stands, or what is wrong with it."""
    places: dict[tuple[str, str], int] = {}
    seen: set[tuple[str, str, str]] = set()
    found: list[tuple[Cite, int | None, str]] = []
    for cite in cites:
        body = body_of(cite.file, cite.function)
        if body is None:
            found.append((cite, None, f"no function {cite.function} in {cite.file}"))
            continue
        call = squeeze(cite.call)
        key = (cite.file, cite.function)
        at = body.find(call, places.get(key, 0))
        if at < 0 and (*key, call) in seen:
            at = body.find(call)  # another branch of the model repeats the steps
        if at < 0:
            problem = "in this order" if call in body else "any more"
            problem = f"{cite.function} does not have {cite.call} {problem}"
            found.append((cite, None, problem))
            continue
        seen.add((*key, call))
        places[key] = at + len(call)
        found.append((cite, at, ""))
    return found


def twins_of(model: Path) -> set[str]:
    """Return the names of a model's twins, those that must fail."""
    return {twin[1] for twin in TWIN.finditer(model.read_text()) if twin[3] == "twin"}


def twins_in(cite: Cite, twins: set[str]) -> set[str]:
    """Return the twins that weaken a step."""
    return twins & set(re.findall(r"\w+", cite.step))


def fence_is_wrong(model: Path, cite: Cite) -> str:
    """Return why nothing shows what a fence of a model is for."""
    if twins_in(cite, twins_of(model)):
        return ""
    if not cite.elsewhere:
        return "a fence without a twin"
    name, twin = cite.elsewhere
    other = model.parent / f"{name}.pml"
    if not other.exists():
        return f"no model {name}"
    for step in cites_of(other)[0]:
        same = (step.file, step.function, step.call) == (
            cite.file,
            cite.function,
            cite.call,
        )
        if same and twins_in(step, twins_of(other) & {twin}):
            return ""
    return f"no twin {twin} of this fence in {name}"


def check(model: Path) -> tuple[int, list[str]]:
    """Return the number of calls a model cites, and what does not hold."""
    cites, wrong = cites_of(model)
    seen = set()
    for cite, at, problem in located(cites):
        where = f"{model.name}:{cite.line}"
        if order_is_wrong(cite):
            wrong.append(f"{where}: not the order of {cite.call}")
        if cite.kind == "FENCE" and (without := fence_is_wrong(model, cite)):
            wrong.append(f"{where}: {without}")
        if at is None:
            wrong.append(f"{where}: {problem}")
        else:
            seen.add((cite.file, cite.function, squeeze(cite.call)))
    return len(seen), wrong


def fences_of_code() -> set[tuple[str, str, int]]:
    """Return every fence of csrc/: file, function and place in it."""
    found = set()
    for path in sorted((ROOT / "csrc").glob("*.[ch]")):
        if path.name == "lc_atomic.h":
            continue
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        file = f"csrc/{path.name}"
        names = {
            [head[1] for head in HEAD.finditer(text, 0, call.start())][-1]
            for call in FENCE_CALL.finditer(text)
        }
        places = {
            (file, name, call.start())
            for name in names
            for call in FENCE_CALL.finditer(body_of(file, name) or "")
        }
        assert len(places) == len(FENCE_CALL.findall(text)), f"functions of {file}"
        found |= places
    return found


def check_fences(models: list[Path]) -> list[str]:
    """Return the fences of csrc/ that no model shows to be needed."""
    shown = set()
    for model in models:
        twins = twins_of(model)
        for cite, at, _ in located(cites_of(model)[0]):
            if cite.kind == "FENCE" and at is not None and twins_in(cite, twins):
                shown.add((cite.file, cite.function, at))
    return [
        f"{file}: a fence of {function} has no twin in any model"
        for file, function, _ in sorted(fences_of_code() - shown)
    ]
