"""ota.aio on real MicroPython, over HTTP: no step does more in flash than erase one sector."""

import sys
from pathlib import Path

import pytest
from otatool import provision

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import memory  # noqa: E402
import steps  # noqa: E402


@pytest.mark.parametrize("strategy", provision.STRATEGIES)
def test_a_step_erases_one_sector_at_the_most(strategy, tmp_path):
    with steps.Board(tmp_path, strategy, *memory.images()) as board:
        for kind in ("update", "full"):
            rows = board.rows(kind, timing=False)
            assert {"ask", "decide", "stream", "arm"} == {row[0] for row in rows}
            assert max(erases for _, _, erases, _ in rows) == 1
            # A sector, and a note in the journal or the store.
            assert max(programs for *_, programs in rows) <= 3
