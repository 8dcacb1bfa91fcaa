"""The heaps that docs/memory.md promises are enough, on the virtual board: 64-bit objects.

`python bench/memory.py` finds the smallest; here each stage is played once, at the promised one.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import memory  # noqa: E402

# KB of heap, as docs/memory.md has them: a little above what bench/memory.py finds.
HEAPS = {
    "ab": {"start": 35, "update": 106, "apply": 64},
    "pingpong": {"start": 35, "update": 100, "apply": 80},
    "inplace": {"start": 35, "update": 100, "apply": 80},
}


@pytest.mark.parametrize("strategy", HEAPS)
def test_promised_heap_is_enough(strategy, tmp_path):
    old, new = memory.applications(tmp_path, None)
    with memory.Bench(tmp_path, strategy, old, new) as bench:
        for stage, heap in HEAPS[strategy].items():
            assert bench.passes(stage, heap), f"{stage} does not work in {heap} KB"


def test_heaps_are_those_of_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "memory.md").read_text()
    for strategy, heaps in HEAPS.items():
        row = " | ".join(str(heaps[stage]) for stage in ("start", "update", "apply"))
        assert f"| `{strategy}` | {row} |" in text
