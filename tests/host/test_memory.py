"""The heaps that docs/memory.md promises are enough, on the virtual board: 64-bit objects.

`python bench/memory.py` finds the smallest; here each stage is played once, at the promised one.
"""

import sys
from pathlib import Path

import pytest
from otatool.product import provision

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import memory  # noqa: E402

# KB of heap, as docs/memory.md has them.
START, UPDATE, APPLY, APPLY_FULL, TLS = 42, 108, 76, 80, 154
APPLY_CODE = 92  # with a pointer filter and a stash
HEAPS = {
    "start": START,
    "update": UPDATE,
    "apply": APPLY,
    "back": APPLY,
    "full": UPDATE,
    "apply full": APPLY_FULL,
    "update, TLS": TLS,
    "full, TLS": TLS,
    "update, KV full": UPDATE,
    "apply, KV full": APPLY,
}


@pytest.mark.parametrize("strategy", provision.STRATEGIES)
def test_promised_heap_is_enough(strategy, tmp_path):
    with memory.Bench(tmp_path, strategy, *memory.images()) as bench:
        for stage, heap in HEAPS.items():
            assert bench.passes(stage, heap), f"{stage} does not work in {heap} KB"


@pytest.mark.long
@pytest.mark.parametrize("strategy", provision.STRATEGIES)
def test_promised_heap_is_enough_for_code(strategy, tmp_path):
    options = {"spare": memory.SPARE, "quick": True}
    with memory.Bench(tmp_path, strategy, *memory.code(), **options) as bench:
        for stage, heap in (("update", UPDATE), ("apply", APPLY_CODE), ("back", APPLY_CODE)):
            assert bench.passes(stage, heap), f"{stage} does not work in {heap} KB"


def test_every_stage_has_a_promise():
    assert set(memory.STAGES) - {"first"} == set(HEAPS)


def test_heaps_are_those_of_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "memory.md").read_text()
    assert f"| {START} | {UPDATE} | {TLS}, of which 41 are" in text
    assert f"| {APPLY} | {APPLY_FULL} | {APPLY_CODE} |" in text
