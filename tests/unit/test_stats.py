"""lilcache.stats: a frozen snapshot under the core's names."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from lilcache import Stats

STATS_DEF = Path(__file__).resolve().parents[2] / "csrc" / "stats.def"
ROWS = re.findall(r'^X\((\w+), (\w+), "(.*)"\)$', STATS_DEF.read_text(), re.MULTILINE)


def test_names_are_those_of_the_table(make_cache: Any) -> None:
    stats = make_cache().stats()
    assert list(stats.as_dict()) == [name for name, _, _ in ROWS]
    for name, _, text in ROWS:
        assert isinstance(getattr(stats, name), int)
        assert Stats.describe(name) == text
        assert name in dir(stats)


def test_it_knows_whose_it_is(make_cache: Any) -> None:
    cache = make_cache()
    assert cache.stats().name == cache.name
    assert cache.name in repr(cache.stats())


def test_frozen() -> None:
    stats = Stats("shop", {"hits": 3, "misses": 1})
    with pytest.raises(AttributeError):
        stats.hits = 5
    with pytest.raises(AttributeError):
        del stats.hits
    stats.as_dict()["hits"] = 5
    assert stats.hits == 3
    with pytest.raises(AttributeError, match="'nonsense'"):
        stats.nonsense  # noqa: B018


def test_hit_ratio() -> None:
    assert Stats("shop", {"hits": 3, "misses": 1}).hit_ratio == 0.75
    assert Stats("shop", {"hits": 0, "misses": 0}).hit_ratio == 0.0


def test_pickling() -> None:
    stats = Stats("shop", {"hits": 3, "misses": 1})
    copy = pickle.loads(pickle.dumps(stats))
    assert copy.as_dict() == stats.as_dict()
    assert copy.name == "shop"
