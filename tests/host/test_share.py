"""The share of an update in the heap that docs/memory.md promises is enough, on the virtual board.

`python bench/share.py` finds the smallest; here each is played once, at the promised one.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import share  # noqa: E402

# KB by share.PACKAGES, as docs/memory.md has them: 64-bit objects, plain HTTP.
SHARES = {"ab": (23, 27, 25), "pingpong": (18, 18, 18), "inplace": (19, 19, 18)}


_TIERS = [s if s == "ab" else pytest.param(s, marks=pytest.mark.long) for s in SHARES]


@pytest.mark.parametrize("strategy", _TIERS)
def test_promised_share_is_enough(strategy, tmp_path):
    for package, promised in zip(share.PACKAGES, SHARES[strategy], strict=True):
        (tmp_path / package).mkdir()
        with share.Share(tmp_path / package, strategy, *share.pair(package)) as bench:
            kind = share.kind_of(package)
            assert bench.works(kind, promised << 10), f"{package}: {promised} KB are too few"
            if package == share.PACKAGES[0]:
                assert not bench.works(kind, bench.live(kind) - 4096), "less than is in use"


@pytest.mark.long
def test_blocks_of_1_kb_take_4_kb_less(tmp_path):
    for package, promised in zip(share.PACKAGES, SHARES["ab"], strict=True):
        (tmp_path / package).mkdir()
        with share.Share(tmp_path / package, "ab", *share.pair(package), 1024) as bench:
            assert bench.works(share.kind_of(package), (promised - 4) << 10), package


def test_shares_are_those_of_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "memory.md").read_text()
    for strategy, row in SHARES.items():
        assert f"| `{strategy}` | {' | '.join(map(str, row))} |" in text
