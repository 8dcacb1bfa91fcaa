"""Xtensa code (ESP8266, ESP32, S2, S3): targets of CALL and L32R, and words that hold addresses.

The same rules as ota/delta/pointers/xtensa.py on the device, but many places at a time.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..covers import Segment
from . import Filter

AFTER_WORD = 4  # instructions that a word which is an address counts as, see _scan
CALL_AFTER, LOAD_AFTER = 2, 6  # instructions before one that is believed
_CALL, _LOAD = 5, 1
_CALLS, _WORDS = 1000, 2000  # bytes of code that have a call; words of which one is in a range
_LEAST = 10000  # bytes of code that are worth a filter
# Where chips map code; and what words hold besides: RAM of ESP8266; mapped data and RAM of ESP32,
# of the S2 and of the S3.
_CODE = 0x40000000, 0x44000000
_OUTSIDE = (
    (0x3FFE8000, 0x40140000), (0x3F400000, 0x3F800000), (0x3FF80000, 0x400C0000),
    (0x3F000000, 0x3F400000), (0x3FF90000, 0x40080000), (0x3C000000, 0x3E000000),
    (0x3FC80000, 0x403E0000),
)  # fmt: skip
_RANGES = 2  # that are tried
_DATA = (3, 4, 14, 15)  # what code seldom has and text often: floats, MAC16, nothing yet
_SHORT = range(8, 14)  # of 16 bits; all by the lowest four bits


def _first(kinds):
    values = (b for b in range(256) if b & 15 in kinds)
    return b"[" + b"".join(b"\\x%02x" % b for b in values) + b"]"


_INSTRUCTION = re.compile(
    _first(_SHORT) + b".|" + _first(set(range(16)) - set(_SHORT)) + b"..", re.DOTALL
)


class _Found(NamedTuple):
    """Places of CALL and L32R with their targets, of words with their values."""

    code: np.ndarray
    targets: np.ndarray
    words: np.ndarray
    held: np.ndarray


class Xtensa(Filter):
    """Filter of Xtensa code."""

    kind = 3

    def __init__(self, base: int, size: int, outside: tuple[int, int] = _OUTSIDE[0]):
        super().__init__(base, *outside, size)

    def predict(self, piece: bytes, old: int, new: int) -> bytes:
        """As in Filter."""
        moved = new - old
        at = self.base + old
        found = self._scan(piece, at, not moved & 3)
        if not len(found.code) + len(found.words):
            return piece
        out = np.frombuffer(piece, np.uint8).copy()
        targets = found.targets + self.table.look(found.targets)
        even = targets & 3 == 0
        k = found.code[even]
        _put(out, k, targets[even], at + moved + k)
        _put_words(out, found.words, found.held + self.table.look(found.held))
        return out.tobytes()

    def moves(
        self, old: bytes, new: bytes, segments: Iterable[Segment]
    ) -> tuple[np.ndarray, np.ndarray]:
        """As in Filter."""
        values, shifts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for s in segments:
            if s.old is None or s.length < 4:
                continue
            at = self.base + s.old
            found = self._scan(old[s.old : s.old + s.length], at, not (s.new - s.old) & 3)
            was, now = _bytes(old[s.old : s.old + s.length]), _bytes(new[s.new : s.new + s.length])
            k = found.code
            value = _targets(now, k, self.base + s.new + k)
            same = (now[k] ^ was[k]) & np.where(was[k] & 15 == _CALL, 0x3F, 0xFF) == 0
            same &= (value >= self.base) & (value < self.base + len(new))
            values.append(found.targets[same])
            shifts.append((value - found.targets)[same])
            value = _words(now, found.words)
            same = self.inside(value, len(new))
            values.append(found.held[same])
            shifts.append((value - found.held)[same])
        return np.concatenate(values), np.concatenate(shifts)

    def normalised(self, image: bytes, is_old: bool) -> bytes:
        """As in Filter."""
        found = self._scan(image, self.base, True)
        look = self.table.look if is_old else np.zeros_like
        out = np.frombuffer(image, np.uint8).copy()
        _put(out, found.code, found.targets + look(found.targets), None)
        _put_words(out, found.words, found.held + look(found.held))
        return out.tobytes()

    def _scan(self, piece: bytes, at: int, words: bool) -> _Found:
        """Find the pointers of a piece at an address.

        Code is read from the start of the piece on, and anew after each word. What it is
        read from may be data or between instructions, so CALL and L32R are believed after
        some others in turn that code is made of.
        """
        data = _bytes(piece)
        places, held = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if words and len(piece) >= 4:
            places = np.arange(-at & 3, len(piece) - 3, 4)
            held = _words(data, places)
            own = self.inside(held)
            places, held = places[own], held[own]
        bounds = np.concatenate(([0], places + 4)), np.concatenate((places, [len(piece)]))
        gaps = [np.zeros(0, np.int64)]
        first = []
        count = 0
        for start, end in zip(*(b.tolist() for b in bounds), strict=True):
            if end - start >= 2:
                sizes = [len(x) for x in _INSTRUCTION.findall(piece, start, end)]
                first.append((count, AFTER_WORD if start else 0))
                count += len(sizes)
                gaps.append(np.cumsum([start, *sizes[:-1]]) if sizes else gaps[0])
        k = np.concatenate(gaps)
        believed = self._in_code(data, k, first)
        k, believed = k[believed > 0], believed[believed > 0]
        load = data[k] & 15 == _LOAD
        k = k[np.where(load, believed > LOAD_AFTER, believed > CALL_AFTER)]
        targets = _targets(data, k, at + k)
        own = (targets >= self.base) & (targets < self.base + self.size)
        return _Found(k[own], targets[own], places, held)

    @staticmethod
    def _in_code(data, k, first):
        """For each instruction that may be a CALL or L32R: one more than those before it that
        code is made of; else 0. first: (number of the first one of each run, count it has)."""
        if not len(k):
            return k
        kind = data[k] & 15
        odd = np.isin(kind, _DATA)
        inside = k < len(data) - 1
        odd[inside] |= (data[k[inside]] == 0) & (data[k[inside] + 1] == 0)
        event = np.append(True, odd[:-1])
        given = np.zeros(len(k), np.int64)
        numbers, counts = np.array(first, np.int64).T
        exist = numbers < len(k)
        event[numbers[exist]], given[numbers[exist]] = True, counts[exist]
        number = np.arange(len(k))
        last = np.maximum.accumulate(np.where(event, number, 0))
        pointer = (kind == _CALL) | (kind == _LOAD)
        return np.where(pointer & (k + 3 <= len(data)), number - last + given[last] + 1, 0)


def _bytes(data):
    return np.frombuffer(data, np.uint8).astype(np.int64)


def _words(data, places):
    return data[places] | data[places + 1] << 8 | data[places + 2] << 16 | data[places + 3] << 24


def _targets(data, k, at):
    """Where the instructions at places k of data lead; at: addresses of them."""
    call = data[k] >> 6 | data[k + 1] << 2 | data[k + 2] << 10
    call = (at & ~3) + 4 + 4 * (call - ((call & 0x20000) << 1))
    load = ((at + 3) & ~3) + 4 * ((data[k + 1] | data[k + 2] << 8) - 0x10000)
    return np.where(data[k] & 15 == _CALL, call, load)


def _put(out, k, targets, at):
    """Have the instructions at places k of out lead to targets; at: addresses of them, None:
    write the targets themselves."""
    call = out[k] & 15 == _CALL
    if at is not None:
        targets = targets - np.where(call, (at & ~3) + 4, (at + 3) & ~3)
    i, t = k[call], targets[call] >> 2
    out[i] = out[i] & 0x3F | (t & 3) << 6
    out[i + 1], out[i + 2] = t >> 2 & 0xFF, t >> 10 & 0xFF
    i, t = k[~call], targets[~call] >> 2
    out[i + 1], out[i + 2] = t & 0xFF, t >> 8 & 0xFF


def _put_words(out, places, values):
    for i in range(4):
        out[places + i] = values >> 8 * i & 0xFF


def bases(old: bytes) -> Iterator[Xtensa]:
    """Filters at the address where the code of the old image seems to lie, one for each range of
    other addresses that may matter, if it looks like Xtensa code."""
    found = Xtensa(0, len(old), (0, 0))._scan(old, 0, False)
    calls = found.targets[_bytes(old)[found.code] & 15 == _CALL]
    functions, count = np.unique(calls, return_counts=True)
    # Code calls the same functions again and again; what is read from other bytes does not.
    if len(calls) * _CALLS < max(len(old), _LEAST) or count[count > 2].sum() * 4 < len(calls):
        return
    words = np.frombuffer(old[: len(old) // 4 * 4], "<u4").astype(np.int64)
    base = _base(np.unique(words[(words >= _CODE[0]) & (words < _CODE[1])]), functions)
    words = words[(words < base) | (words >= base + len(old))]
    inside = [((words >= low) & (words < high)).sum() for low, high in _OUTSIDE]
    for i in np.argsort(inside)[: -_RANGES - 1 : -1].tolist():
        if inside[i] * _WORDS >= len(words):
            yield Xtensa(base, len(old), _OUTSIDE[i])


def _base(words, functions):
    """The multiple of 4096 at which most words are the address of a function."""
    order = np.argsort(functions & 0xFFF, kind="stable")
    functions = functions[order]
    low = functions & 0xFFF
    first = np.searchsorted(low, words & 0xFFF, "left")
    count = np.searchsorted(low, words & 0xFFF, "right") - first
    step = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    pages = (np.repeat(words, count) - functions[np.repeat(first, count) + step]) >> 12
    pages, votes = np.unique(pages[pages >= 0], return_counts=True)
    return int(pages[votes.argmax()]) << 12 if len(pages) else 0
