"""Images of long runs: what the searches see of them is short, and the patch is right."""

import random

import bsdiff4.core
import numpy as np
import pytest
from images import image
from otatool.patch import covers, runs
from otatool.release import diff

_SIZE = 160_000


def _edited(data, seed=1):
    r = random.Random(seed)
    out = bytearray(data)
    for _ in range(5):
        out[r.randrange(len(out))] ^= 1
    return bytes(out[5:])


def _periodic(period, size=_SIZE):
    unit = random.Random(period).randbytes(period)
    return (unit * (size // period + 1))[:size]


_CODE = image(1, 20_000)
_EMPTY = _CODE + b"\xff" * (_SIZE - len(_CODE))
_SPARSE = bytearray(b"\xff" * _SIZE)
_SPARSE[::40_000] = b"1234"
PAIRS = {
    "zeros": (bytes(_SIZE), bytes(_SIZE - 1) + b"x"),
    "erased": (b"\xff" * _SIZE, b"\xff" * (_SIZE + 100)),
    "nothing in common": (bytes(_SIZE), b"\xff" * _SIZE),
    "nearly empty": (_EMPTY, (image(2, 20_000) + b"\xff" * _SIZE)[:_SIZE]),
    "empty before": (_EMPTY[::-1], _edited(_EMPTY[::-1])),
    "sparse": (bytes(_SPARSE), _edited(_SPARSE)),
    "grown from a short run": (b"\xff" * 6000 + _CODE, _CODE + b"\xff" * _SIZE),
    "to an image": (b"\xff" * _SIZE, _CODE),
    "from an image": (_CODE, b"\xff" * _SIZE),
    **{f"period {n}": (_periodic(n), _edited(_periodic(n))) for n in (2, 3, 255, 1000, 4096)},
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_search_sees_little_of_a_long_run(name, monkeypatch):
    old, new = PAIRS[name]
    seen = []
    for function in ("diff", "suffix_array"):
        real = getattr(bsdiff4.core, function)

        def watched(*data, real=real):
            seen.append(sum(map(len, data)))
            return real(*data)

        monkeypatch.setattr(bsdiff4.core, function, watched)
    patch, summary = diff.make(old, new)  # decoded by the device's code
    assert seen
    assert max(seen) < 120_000
    full = 100 + summary.image // 300
    assert len(patch) < min(full, 1500) or name in ("to an image", "nearly empty")
    assert len(patch) < 8000


@pytest.mark.parametrize("name", ["nearly empty", "period 1000", "sparse"])
def test_in_place_too(name):
    old, new = PAIRS[name]
    patch, _ = diff.make(old, new, in_place=True, quick=True)
    assert len(patch) < 8000


def test_runs_are_found_with_their_period():
    r = random.Random(5)
    for period in (1, 2, 7, 16, 100, 4096):
        a, b = r.randbytes(3000), r.randbytes(3000)
        middle = _periodic(period, 50_000)
        (run,) = runs.find(a + middle + b)
        assert run.period == period
        # The random bytes beside it may go on with it by chance.
        assert abs(run.start - len(a)) < 8
        assert abs(run.end - len(a + middle)) < 8
    # One whose period holds a run of its own, too short to matter.
    unit = b"\xff" * 1500 + r.randbytes(500)
    (run,) = runs.find(unit * 30)
    assert run == (0, 60_000, 2000)


def test_places_lead_there_and_back():
    old, new = PAIRS["nearly empty"]
    trim = runs.trimmed(old, new)
    for short in (trim.old, trim.new):
        places = np.arange(len(short.data))
        there = short.to_whole(places)
        assert bytes(np.frombuffer(short.whole, np.uint8)[there]) == short.data
        back, inside = short.to_short(there)
        assert inside.all()
        assert (back == places).all()
        _, inside = short.to_short(np.arange(len(short.whole)))
        assert inside.sum() == len(short.data)


@pytest.mark.parametrize("name", PAIRS)
def test_what_was_taken_out_is_copied_as_it_is(name):
    old, new = PAIRS[name]
    trim = runs.trimmed(old, new)
    for at, source, n in trim.filled:
        assert n > 0
        if source is not None:
            assert new[at : at + n] == old[source : source + n]
    at = 0
    for c in covers.bsdiff_covers(old, new):
        assert at <= c.new
        assert 0 <= c.old <= c.old + c.length <= len(old)
        at = c.new + c.length
    assert at <= len(new)


def test_ordinary_images_are_searched_as_they_are():
    one, two = image(1, 300_000), image(2, 300_000)
    assert runs.trimmed(one, two) is None
    # As large, with the empty space that firmware has inside.
    assert runs.trimmed(one + b"\xff" * 30_000 + two, two + bytes(30_000) + one) is None
