"""A creator that is stopped for good: the others wait, but not for ever.

Their ten seconds pass while the other tests run; see conftest.py.
"""

from __future__ import annotations

from .conftest import Stuck
from .neighbours import finish, outcome, says


def test_a_stopped_creator_is_waited_for_ten_seconds(stuck: Stuck) -> None:
    for opener in stuck.openers:
        kind, text, seconds = finish(opener)
        assert kind == "SegmentNotReadyError", text
        says(text, stuck.name, "its creator is stopped")
        # Below 10 never; above only by what a busy machine adds.
        assert 9.9 < seconds < 30
    stuck.openers.clear()
    assert stuck.path.stat().st_size == 0
    stuck.resume()
    assert outcome(stuck.name)[0] == "created"
