"""Promoting and reverting while answers are being written: nobody gets a wrong answer, and none is lost."""

from __future__ import annotations

import pytest

from tests import swaps


@pytest.mark.slow
def test_whoever_asks_while_adapters_are_swapped_is_answered_by_his_own_and_by_one_alone(tmp_path):
    with swaps.served(tmp_path, tenants=4, streams=8) as (url, game):
        answers = swaps.play(url, game, turns=40, streams=8, every=0.1)
    # How soon a swap is seen hangs on the machine; that a request sent after it sees it does not.
    assert [problem for answer in answers if (problem := game.wrong(answer, seconds=0.0))] == []
    assert len({answer.adapter_id for answer in answers}) > 4
