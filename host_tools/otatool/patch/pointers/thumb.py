"""Thumb code (Cortex-M): targets of BL, and words that hold addresses.

The same rules as ota/delta/pointers/thumb.py, which runs on the device, but many places at a time.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..covers import Segment
from . import Filter

_RAM = (0x20000000, 0x20100000)


class _Found(NamedTuple):
    """Halfwords of a piece from byte `odd` on, and what was found in them: places of BL with
    their targets, places of words with their values."""

    halves: np.ndarray
    odd: int
    calls: np.ndarray
    targets: np.ndarray
    words: np.ndarray
    values: np.ndarray


class Thumb(Filter):
    """Filter of Thumb code."""

    kind = 1

    def __init__(self, base: int, size: int):
        super().__init__(base, *_RAM, size)

    def predict(self, piece: bytes, old: int, new: int) -> bytes:
        """As in Filter."""
        moved = new - old
        if moved & 1:
            return piece
        at = self.base + old
        found = self._scan(piece, at, not moved & 3, True)
        if not len(found.calls) and not len(found.words):
            return piece
        out = found.halves.copy()
        k = found.calls
        distance = found.targets - (at + found.odd + 2 * k + 4)
        distance += self.table.look(found.targets) - moved
        out[k], out[k + 1] = _encode(distance, found.halves[k + 1])
        self._put(out, found.words, found.values + self.table.look(found.values))
        return _bytes(piece, found, out)

    def moves(
        self, old: bytes, new: bytes, segments: Iterable[Segment]
    ) -> tuple[np.ndarray, np.ndarray]:
        """As in Filter."""
        values, shifts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        end = self.base + len(new)
        for s in segments:
            if s.old is None or s.length < 4 or (s.new - s.old) & 1:
                continue
            at = self.base + s.old
            found = self._scan(old[s.old : s.old + s.length], at, not (s.new - s.old) & 3, False)
            now = _halves(new[s.new + found.odd : s.new + s.length])
            k = found.calls
            target = self.base + s.new + found.odd + 2 * k + 4 + _distance(now[k], now[k + 1])
            same = _is_call(now[k], now[k + 1]) & (target >= self.base) & (target < end)
            values.append(found.targets[same])
            shifts.append((target - found.targets)[same])
            k = found.words
            value = now[k] | now[k + 1] << 16
            same = self.inside(value, len(new))
            values.append(found.values[same])
            shifts.append((value - found.values)[same])
        return np.concatenate(values), np.concatenate(shifts)

    def normalised(self, image: bytes, is_old: bool) -> bytes:
        """As in Filter."""
        found = self._scan(image, self.base, True, False)
        look = self.table.look if is_old else np.zeros_like
        out = found.halves.copy()
        k = found.calls
        targets = found.targets + look(found.targets) - self.base
        out[k], out[k + 1] = _encode(targets, found.halves[k + 1])
        self._put(out, found.words, found.values + look(found.values))
        return _bytes(image, found, out)

    def _scan(self, piece: bytes, at: int, words: bool, only_moved: bool) -> _Found:
        """Find the pointers of a piece at an address, from its first even one on.

        words: look for words, too; only_moved: only for those that the table moves, as the
        device does: any other is looked into for the first half of a call.
        """
        odd = at & 1
        h = _halves(piece[odd:])
        none = np.zeros(0, np.int64)
        if len(h) < 2:
            return _Found(h, odd, none, none, none, none)
        first, second = h[:-1], h[1:]
        calls = np.nonzero(_is_call(first, second))[0]
        targets = at + odd + 2 * calls + 4 + _distance(h[calls], h[calls + 1])
        own = (targets >= self.base) & (targets < self.base + self.size)
        calls, targets = calls[own], targets[own]
        places, values = none, none
        if words:
            places = np.arange(-(at + odd) % 4 // 2, len(h) - 1, 2)
            values = h[places] | h[places + 1] << 16
            own = self.inside(values)
            if only_moved:
                own &= self.table.look(values) != 0
            places, values = places[own], values[own]
        kept = _in_turn(calls, places)
        c, w = kept[kept < len(calls)], kept[kept >= len(calls)] - len(calls)
        return _Found(h, odd, calls[c], targets[c], places[w], values[w])

    @staticmethod
    def _put(out, places, values):
        out[places] = values & 0xFFFF
        out[places + 1] = values >> 16 & 0xFFFF


def _in_turn(calls, words):
    """Which of calls and words (numbered on) count: none begins inside another before it; at
    the same place a call goes first."""
    places = np.concatenate([calls, words])
    order = np.lexsort((np.arange(len(places)) >= len(calls), places))
    at = places[order]
    if len(at) < 2 or np.diff(at).min() >= 2:
        return order
    kept = []
    end = -1
    for i, place in enumerate(at.tolist()):
        if place >= end:
            kept.append(i)
            end = place + 2
    return order[kept]


def _halves(data):
    return np.frombuffer(data[: len(data) // 2 * 2], "<u2").astype(np.int64)


def _bytes(piece, found, out):
    body = out.astype("<u2").tobytes()
    return piece[: found.odd] + body + piece[found.odd + len(body) :]


def _is_call(first, second):
    return (first >> 11 == 30) & (second & 0xD000 == 0xD000)


def _distance(first, second):
    """The distance of a BL (encoding T1 of the ARMv7-M manual)."""
    s = first >> 10 & 1
    i1 = 1 - (second >> 13 & 1 ^ s)
    i2 = 1 - (second >> 11 & 1 ^ s)
    d = s << 24 | i1 << 23 | i2 << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
    return np.where(s == 1, d - (1 << 25), d)


def _encode(distance, second):
    s = distance >> 24 & 1
    j1 = 1 - (distance >> 23 & 1) ^ s
    j2 = 1 - (distance >> 22 & 1) ^ s
    return (
        0xF000 | s << 10 | distance >> 12 & 0x3FF,
        second & 0xD000 | j1 << 13 | j2 << 11 | distance >> 1 & 0x7FF,
    )


def bases(old: bytes) -> Iterator[Thumb]:
    """A filter at the address where the old image seems to lie, if it looks like Thumb code."""
    h = _halves(old)
    if len(h) < 256:
        return
    calls = np.nonzero(_is_call(h[:-1], h[1:]))[0]
    targets = 2 * calls + 4 + _distance(h[calls], h[calls + 1])
    inside = (targets >= 0) & (targets < len(old))
    # Text and other code have a few such pairs by chance; Thumb code has one in 20 halfwords.
    if inside.sum() * 400 < len(h) or inside.sum() * 2 < len(calls):
        return
    yield Thumb(_base(old, targets[inside]), len(old))


def _base(image, functions):
    """The multiple of 4096 that the words of the image, taken as addresses, speak for.

    functions: positions that are called. First the pages: where a window of the image's size
    holds most words; of the bases about there the one at which most words are the address of
    a function, plus one as Thumb has it.
    """
    words = np.frombuffer(image[: len(image) // 4 * 4], "<u4").astype(np.int64)
    words = words[words < 0x60000000]
    # A number that happens to occur a lot is no address.
    pages = np.minimum(np.bincount(words >> 12, minlength=1), 64)
    size = -(-len(image) // 4096)
    before = np.append(0, np.cumsum(np.append(pages, np.zeros(size, np.int64))))
    sums = before[size:] - before[:-size]
    near = np.nonzero(sums * 10 >= sums.max() * 9)[0]
    pointing = words[words & 1 == 1] - 1
    functions = np.unique(functions)
    scores = [(np.isin(pointing - (int(b) << 12), functions).sum(), -int(b)) for b in near[:512]]
    return -max(scores)[1] << 12 if scores else 0
