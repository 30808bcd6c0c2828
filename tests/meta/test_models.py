"""The models cite calls that the code still makes, in their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import cites

MODELS = sorted(
    path
    for path in (cites.ROOT / "tests/models").glob("*.pml")
    if path.stem not in ("memory", "litmus")
)

CITE = """\
#define no_fence 1 /* @twin !wrong  no fence */
/* @code csrc/lc_read.c read_block_same */
FENCE(WEAK(no_fence, {fence})); /* lc_fence_{fence_call}() */
LOAD(RELAXED, GENERATION, after); /* {load} */
"""
LOAD = "lc_load_relaxed(&shard->blocks[hit->block].bl_generation)"


def complaints(tmp_path: Path, text: str) -> list[str]:
    model = tmp_path / "model.pml"
    model.write_text(text)
    return cites.check(model)[1]


def test_there_are_models() -> None:
    assert len(MODELS) > 3


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_cites_hold(model: Path) -> None:
    cited, wrong = cites.check(model)
    assert not wrong
    assert cited > 5


def test_a_true_cite_passes(tmp_path: Path) -> None:
    text = CITE.format(fence="ACQUIRE", fence_call="acquire", load=LOAD)
    assert not complaints(tmp_path, text)


def test_a_call_that_the_code_lost_is_noticed(tmp_path: Path) -> None:
    text = CITE.format(fence="SEQ_CST", fence_call="seq_cst", load=LOAD)
    assert complaints(tmp_path, text)


def test_a_step_of_another_order_is_noticed(tmp_path: Path) -> None:
    text = CITE.format(fence="RELEASE", fence_call="acquire", load=LOAD)
    assert complaints(tmp_path, text)


def test_calls_in_another_order_are_noticed(tmp_path: Path) -> None:
    lines = CITE.format(fence="ACQUIRE", fence_call="acquire", load=LOAD).splitlines()
    lines[2], lines[3] = lines[3], lines[2]
    assert complaints(tmp_path, "\n".join(lines))


def test_a_step_without_a_cite_is_noticed(tmp_path: Path) -> None:
    assert complaints(tmp_path, "STORE(RELEASE, SLOT, 1);")
    assert complaints(tmp_path, "FENCE(ACQUIRE);")
    assert not complaints(tmp_path, "STORE(RELEASE, SLOT, 1); /* @uncited a test's */")


PLAIN = """\
/* @code csrc/lc_index.c index_arm */
STORE({order}, OLD, 1); /* in->in_old = */
STORE({order}, NEW, 1); /* in->in_new = */
"""


def test_plain_assignments_are_relaxed(tmp_path: Path) -> None:
    assert not complaints(tmp_path, PLAIN.format(order="RELAXED"))
    assert complaints(tmp_path, PLAIN.format(order="RELEASE"))


BORROWED = """\
/* @code csrc/lc_read.c read_block_same */
FENCE(ACQUIRE); /* lc_fence_acquire(){} */
"""
BROKEN = """\
#define no_fence 1 /* @{} !wrong  no fence */
/* @code csrc/lc_read.c {} */
FENCE(WEAK(no_fence, ACQUIRE)); /* lc_fence_acquire() */
"""


def test_a_fence_without_a_twin_is_noticed(tmp_path: Path) -> None:
    assert complaints(tmp_path, BORROWED.format(""))
    borrowed = BORROWED.format(" @elsewhere other no_fence")
    assert complaints(tmp_path, borrowed)
    other = tmp_path / "other.pml"
    other.write_text(BROKEN.format("twin", "read_block_same"))
    assert not complaints(tmp_path, borrowed)
    assert complaints(tmp_path, borrowed.replace("no_fence", "another"))
    other.write_text(BROKEN.format("spare", "read_block_same"))
    assert complaints(tmp_path, borrowed)
    other.write_text(BROKEN.format("twin", "read_pages_same"))
    assert complaints(tmp_path, borrowed)


def test_every_fence_of_the_core_has_a_twin() -> None:
    assert len(cites.fences_of_code()) > 12
    assert not cites.check_fences(MODELS)


@pytest.mark.parametrize("name", ["fork", "grow", "pin", "recover"])
def test_a_fence_that_no_model_has_is_noticed(name: str) -> None:
    assert cites.check_fences([model for model in MODELS if model.stem != name])
