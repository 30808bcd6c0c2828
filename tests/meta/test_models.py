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
/* @code csrc/lc_read.c read_block_same */
FENCE({fence}); /* lc_fence_{fence_call}() */
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
    assert complaints(tmp_path, "\n".join([lines[0], lines[2], lines[1]]))
