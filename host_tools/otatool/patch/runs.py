"""Long periodic runs of an image, such as erased flash, taken out before a search and put back.

Sorting suffixes and looking for the longest match cost the square of the length of such a run:
minutes for two nearly empty images of 4 MB. What is in a run is known without a search: so the
searches see images in which long runs are short, and what they find is written in places of
the whole images (`Trimmed`). Images without such runs are searched as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

PERIOD = 4096  # bytes, the longest that is searched for
_LEAST = 4096  # bytes of a run worth shortening
_ENDS = 256  # bytes that stay of each end, or a period
_DEAR = 1 << 33  # sum of the squares of the lengths from which a search takes seconds
_STEP = 2048  # bytes between the places where runs are searched for
_PROBE = 16  # bytes that come again one period on
_TRIES = 3  # probes at one place, each where the period of the one before ended


class Run(NamedTuple):
    """data[start : end] repeats itself every `period` bytes."""

    start: int
    end: int
    period: int


def find(data: bytes) -> list[Run]:
    """The runs of _LEAST bytes and more, in turn, without overlap."""
    out: list[Run] = []
    array = np.frombuffer(data, np.uint8)
    at = 0
    while at + _PROBE < len(data):
        run = _at(data, array, at, out[-1].end if out else 0)
        if run:
            out.append(run)
            at = max(at + _STEP, run.end)
        else:
            at += _STEP
    return out


def _at(data, array, place, low):
    """The run around a place, not before low; None if there is none."""
    at = place
    for _ in range(_TRIES):
        probe = data[at : at + _PROBE]
        again = data.find(probe, at + 1, at + PERIOD + _PROBE)
        if len(probe) < _PROBE or again < 0:
            return None
        period = again - at
        end = at + period + _equal(array[at:-period], array[at + period :])
        start = at - _equal(array[low:at][::-1], array[low + period : at + period][::-1])
        if end - start >= _LEAST:
            return Run(start, end, period)
        at = end - _PROBE // 2  # what ends a short period may come again with a longer one
    return None


def _equal(a, b):
    """How many bytes are equal from the beginning."""
    n, step, at = min(len(a), len(b)), 256, 0
    while at < n:
        differ = np.flatnonzero(a[at : min(n, at + step)] != b[at : min(n, at + step)])
        if len(differ):
            return at + int(differ[0])
        at += step
        step *= 2
    return n


@dataclass
class Short:
    """An image with its long runs shortened.

    Attributes:
        removed: (run, first byte that was taken out, bytes), in turn.
    """

    whole: bytes
    removed: list[tuple[Run, int, int]]
    data: bytes = field(init=False)

    def __post_init__(self):
        starts, ends = [0], []
        for _, first, count in self.removed:
            ends.append(first)
            starts.append(first + count)
        ends.append(len(self.whole))
        self._starts = np.array(starts, np.int64)  # of the pieces that stay
        lengths = np.array(ends, np.int64) - self._starts
        self._places = np.cumsum(lengths) - lengths  # of those pieces in data
        self._lengths = lengths
        self.data = b"".join(self.whole[a:b] for a, b in zip(starts, ends, strict=True))

    def to_whole(self, places: np.ndarray) -> np.ndarray:
        """Places in data as places in the whole image."""
        piece = np.searchsorted(self._places, places, "right") - 1
        return self._starts[piece] + places - self._places[piece]

    def to_short(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(places in data, which of them are there) of places in the whole image."""
        piece = np.searchsorted(self._starts, places, "right") - 1
        inside = places - self._starts[piece]
        return self._places[piece] + inside, inside < self._lengths[piece]

    def edges(self) -> list[int]:
        """Places in data where something was taken out."""
        return self._places[1:].tolist()

    def whole_edges(self) -> list[int]:
        """Places in the whole image where a piece that stays begins or ends."""
        return sorted({*self._starts.tolist(), *(self._starts + self._lengths).tolist()})


class Trimmed:
    """Two images with their long runs shortened.

    Args:
        old, new: Short.
        filled: (place in new, place in old or None, bytes) of what was taken out of new: a copy
            from a run of old with the same bytes, or nothing to copy.
    """

    def __init__(self, old: bytes, new: bytes, of_old: list[Run], of_new: list[Run]):
        self.old = Short(old, _removed(of_old))
        self.new = Short(new, _removed(of_new))
        self.filled: list[tuple[int, int | None, int]] = []
        diagonal = 0
        for run, first, count in self.new.removed:
            pieces = list(_copies(old, new, of_old, run, first, count, diagonal))
            self.filled += pieces
            at, source, _ = pieces[-1]
            diagonal = diagonal if source is None else source - at

    def split(self, covers: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """(place in new, place in old, bytes) in the whole images, of such in the short ones."""
        edges_new, edges_old = self.new.edges(), self.old.edges()
        out = []
        for new, old, length in covers:
            for a, b in _between(new, old, length, edges_new, edges_old):
                x, y = (
                    self.new.to_whole(np.array([new + a])),
                    self.old.to_whole(np.array([old + a])),
                )
                out.append((int(x[0]), int(y[0]), b - a))
        return out

    def around(self) -> list[tuple[int, int, int]]:
        """filled, with the ends of their runs and what is between two: worth trying there."""
        out = []
        for new, old, n in self.filled:
            if old is not None:
                before = min(new, old, PERIOD + _ENDS)
                behind = min(
                    len(self.new.whole) - new - n, len(self.old.whole) - old - n, PERIOD + _ENDS
                )
                out.append((new - before, old - before, before + n + behind))
        return out

    def shortened(self, covers: Sequence[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """The other way round: what of covers of the whole images is in both short ones."""
        edges_new, edges_old = self.new.whole_edges(), self.old.whole_edges()
        out = []
        for new, old, length in covers:
            for a, b in _between(new, old, length, edges_new, edges_old):
                x, there = self.new.to_short(np.array([new + a]))
                y, here = self.old.to_short(np.array([old + a]))
                if there[0] and here[0]:
                    out.append((int(x[0]), int(y[0]), b - a))
        return out


def trimmed(old: bytes, new: bytes) -> Trimmed | None:
    """The images with their runs shortened; None if a search does without."""
    if len(old) ** 2 + len(new) ** 2 < _DEAR:
        return None
    of_old, of_new = find(old), find(new)
    if sum((r.end - r.start) ** 2 for r in (*of_old, *of_new)) < _DEAR:
        return None
    return Trimmed(old, new, of_old, of_new)


def _between(new, old, length, edges_new, edges_old):
    """(begin, end) in a cover of what is between the edges of either image."""
    cuts = {0, length}
    cuts.update(e - new for e in edges_new if new < e < new + length)
    cuts.update(e - old for e in edges_old if old < e < old + length)
    at = sorted(cuts)
    return zip(at, at[1:], strict=False)


def _removed(runs):
    out = []
    for run in runs:
        ends = max(_ENDS, run.period)
        count = (run.end - run.start - 2 * ends) // run.period * run.period
        if count > 0:
            out.append((run, run.start + ends, count))
    return out


def _copies(old, new, runs, run, first, count, diagonal):
    """Where the bytes new[first : first + count] of a run are in old; diagonal: of the last."""
    unit = new[first : first + run.period]
    best = None
    for r in runs:
        if r.period == run.period and (not best or r.end - r.start > best[0].end - best[0].start):
            shift = old.find(unit, r.start, r.start + 2 * r.period - 1)
            if shift >= 0:
                best = r, shift - r.start
    if not best:
        yield first, None, count
        return
    r, shift = best
    # On the diagonal of the run before, or on that on which both runs begin, if there are the
    # same bytes: most copies continue then.
    for start in (first + diagonal, first - run.start + r.start):
        if r.start <= start <= r.end - count and (start - r.start - shift) % r.period == 0:
            shift = start - r.start
            break
    at = 0
    while at < count:
        n = min(count - at, r.end - r.start - shift)
        yield first + at, r.start + shift, n
        at += n
        shift = (shift + n) % r.period
