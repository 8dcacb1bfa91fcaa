"""Candidates for a patch: which bytes of a new image are copied from where in the old one.

The search is patch/lattice.py's. It goes by estimated costs: so each of its results is deflated as
a patch would be, the bits that every byte of the stream really took are read off, and the
search is repeated with what was learnt.
"""

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from . import covers as given
from . import runs
from .covers import Cover, Segment, different_runs
from .lattice import FAR_GAP, LITERAL, Costs, Lattice, change_size
from .stream import Source, corrections, cut, gap, operations
from .varints import varint

ROUNDS = 6
_TRIES = 2  # the smallest, of which one may be larger in blocks or in another order
_EFFORT = 4 << 20  # bytes to search in all rounds together, about
_STARTS = (5.5, 3.0)  # bits of a literal to begin with: machine code, text
_BLOCK, _WBITS = 4096, 12  # of the streams that are measured
_CERTAIN = 64  # bytes from the ends of an equal run: inside it, no other diagonal is tried
_LEARN = 0.6  # how far costs move towards what was measured
_LEAN = -0.6  # bits of a literal to move away from that, at first
_RARE = 1.0  # bits that one more correction costs above the mean
_SEEN = 0.3  # how much a byte that was a literal counts by what it cost, the rest by its value
_PRIOR = 8.0  # how often something must be seen to count as much as what was assumed
# Bits assumed of operations: copies by the size of the change of diagonal, _RESUME, _STOP.
_OPERATIONS = np.array([18.0, 25.0, 32.0, 39.0, 16.0, 9.0])
_RESUME, _STOP = 4, 5
_SETTLED = LITERAL - 1


def search(
    old: bytes,
    new: bytes,
    costs: Costs | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[float], None] = lambda part: None,
) -> tuple[list[list[Segment]], Costs | None]:
    """(ways to make new from old, the most promising first, each from end to end; costs).

    Encode all and keep the smallest: which it is depends on blocks, order and filters.
    Always the same for the same images.

    Args:
        old, new: the images, or what a filter made of them. costs: that an earlier search of
            the same images, with another filter, has returned. rounds: of learning, at most;
            large images get fewer. progress: called with the part that is done.
    """
    covers = given.bsdiff_covers(old, new)
    ways: list[list[Segment]] = []
    if old and new:
        tries = _searched(old, new, covers, costs, rounds, progress)
        if costs:
            return [tries[0].way], tries[0].costs
        costs = tries[0].costs
        ways += [t.way for t in tries[:_TRIES]]
    for way in given.whole(new, covers), given.refine(old, new, covers, given.Costs()):
        if way not in ways:
            ways.append(way)
    return ways, costs


class _Try(NamedTuple):
    size: int  # bytes of the patch
    way: list[Segment]
    stream: "_Stream"
    costs: Costs


def _searched(old, new, covers, costs, rounds, progress):
    """What each round of the search found, the smallest first."""
    certain = _certain(old, new, covers)
    places = np.flatnonzero(certain == LITERAL)
    lattice = Lattice(old, new, given.stretches(old, new, covers, places), certain)
    starts = [costs] if costs else [Costs.typical(x) for x in _STARTS]
    rounds = min(rounds, max(2, _EFFORT // max(1, len(places))))
    tries: list[_Try] = []

    def attempt(costs):
        way = _as_segments(lattice.cheapest(costs))
        stream = _Stream(old, new, way)
        tries.append(_Try(stream.size, way, stream, costs))
        progress(len(tries) / (len(starts) + rounds))
        return tries[-1]

    best = min((attempt(x) for x in starts), key=lambda t: t.size)
    lean, step = 0.0, _LEAN
    for i in range(rounds):
        now_costs = best.stream.learnt(best.costs, _LEARN if i or costs else 1.0)
        leaning = lean + (step if i else 0.0)
        now = attempt(
            replace(
                now_costs,
                literal=now_costs.literal + leaning,
                at=None if now_costs.at is None else now_costs.at + leaning,
                more=now_costs.more + _RARE,
            )
        )
        if now.size < best.size:
            best, lean = now, leaning
        elif i:
            step *= -0.6
    return sorted(tries, key=lambda t: t.size)


def _certain(old: bytes, new: bytes, covers: list[Cover]) -> np.ndarray:
    """For each byte of new the diagonal that needs no search, _SETTLED for a literal that needs
    none, or LITERAL."""
    out = np.full(len(new), LITERAL, np.int64)
    trim = runs.trimmed(old, new)
    if trim:
        for at, source, n in trim.filled:
            out[at : at + n] = _SETTLED if source is None else source - at
    for c in covers:
        at = 0
        was, now = old[c.old : c.old + c.length], new[c.new : c.new + c.length]
        for start, end in (*different_runs(was, now), (c.length, c.length)):
            if start - at > 2 * _CERTAIN:
                out[c.new + at + _CERTAIN : c.new + start - _CERTAIN] = c.old - c.new
            at = end
    return out


def _as_segments(diagonals: np.ndarray) -> list[Segment]:
    """The segments of a diagonal for each byte."""
    diagonals[diagonals == _SETTLED] = LITERAL
    turns = np.flatnonzero(diagonals[1:] != diagonals[:-1]) + 1
    starts, ends = np.append(0, turns), np.append(turns, len(diagonals))
    columns = (x.tolist() for x in (starts, ends, diagonals[starts]))
    return [
        Segment(a, b - a, None if d == LITERAL else a + d)
        for a, b, d in zip(*columns, strict=True)
    ]


class _Stream:
    """The stream of a patch (docs/format-delta.md), not ordered, and what its bytes are for."""

    def __init__(self, old: bytes, new: bytes, way: list[Segment]):
        self._new = new
        self._source = Source(old)
        # (first byte in the stream, bytes, kind): operations, gaps; literals with their place.
        self._operations: list[tuple[int, int, int]] = []
        self._gaps: list[tuple[int, int, int]] = []
        self._literals: list[tuple[int, int, int]] = []
        self._first: list[int] = []  # places of the first value of each run,
        self._more: list[int] = []  # and of the others
        self._out = bytearray()
        diagonal = home = 0
        for p in cut(way, len(new), _BLOCK):
            diagonal, home = self._block(p.segments, diagonal, home)
        z = zlib.compressobj(9, zlib.DEFLATED, -_WBITS, 9)
        self._data = z.compress(self._out) + z.flush()
        self.size = len(self._data)

    def _block(self, block, diagonal, home):
        """Write one block; returns diagonal and home after it."""
        out = self._out
        done, diagonal, home = operations(block, diagonal, home)
        runs, values = corrections(block, self._source, self._new)
        gaps = [gap(*r) for r in runs]
        control = b"".join(o.code for o in done)
        sizes = (len(control), sum(map(len, gaps)), len(values))
        out += b"".join(map(varint, sizes))
        at = len(out)
        for code, change in done:
            kind = int(change_size(change)) if change else _STOP if change is None else _RESUME
            self._operations.append((at, len(code), kind))
            at += len(code)
        for code, (before, length) in zip(gaps, runs, strict=True):
            self._gaps.append((at, len(code), 2 * min(before, FAR_GAP) + (length > 1)))
            at += len(code)
        for _, length in runs:
            self._first.append(at)
            self._more.extend(range(at + 1, at + length))
            at += length
        out += control + b"".join(gaps) + values
        for s in block:
            if s.old is None:
                self._literals.append((len(out), s.length, s.new))
                out += self._new[s.new : s.new + s.length]
        return diagonal, home

    def learnt(self, costs: Costs, part: float) -> Costs:
        """Costs that go `part` of the way from these to what this stream cost."""
        stream, bits = np.frombuffer(self._out, np.uint8), bits_of(self._data)
        so_far = np.append(0.0, np.cumsum(bits))

        def mixed(before, now):
            return before * (1 - part) + now * part

        def of(items, assumed):
            at, size, kind = _columns(items)
            return _mean(kind, so_far[at + size] - so_far[at], assumed)

        def by_value(places, dearer):
            kind, spent = stream[places], bits[places]
            mean = _mean(np.zeros(len(kind), np.int64), spent, np.array([6.0]))
            return _mean(kind, spent, np.full(256, mean[0] + dearer))

        operations = of(self._operations, _OPERATIONS)
        near = [x for x in self._gaps if x[2] < 2 * FAR_GAP]
        gap = of([(*x[:2], x[2] & 1) for x in near], np.array([6.0, 11.0]))
        gap = np.append(np.tile(gap, FAR_GAP), gap + 6.0)
        at, size, place = _columns(self._literals)
        step = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        at, place = np.repeat(at, size) + step, np.repeat(place, size) + step
        literal = mixed(costs.literal, by_value(at, 0.5))
        known = np.full(len(self._new), np.nan)
        known[place] = _SEEN * bits[at] + (1 - _SEEN) * literal[stream[at]]
        return Costs(
            first=mixed(costs.first, by_value(np.array(self._first, np.int64), 2.0)),
            more=mixed(costs.more, by_value(np.array(self._more, np.int64), 2.0)),
            gap=mixed(costs.gap, of(self._gaps, gap)),
            open=mixed(costs.open, operations[:_RESUME]),
            resume=mixed(costs.resume, operations[_RESUME]),
            stop=mixed(costs.stop, operations[_STOP]),
            literal=literal,
            at=known,
        )


def _columns(items):
    return np.array(items, np.int64).reshape(-1, 3).T


def _mean(kind, bits, assumed):
    """Mean bits of each kind of thing, as if each had been seen _PRIOR times as assumed."""
    count = np.bincount(kind, minlength=len(assumed))
    return (np.bincount(kind, bits, len(assumed)) + _PRIOR * assumed) / (count + _PRIOR)


# Reading deflate, RFC 1951: (base, extra bits) of the codes of lengths from 257 on and of
# distances; only the extra bits of the latter count here.
_LENGTHS = [(3 + i, 0) for i in range(8)]
_LENGTHS += [(((4 + i) << e) + 3, e) for e in range(1, 6) for i in range(4)] + [(258, 0)]
_DISTANCES = [0, 0, 0, 0, *(e for e in range(1, 14) for _ in (0, 1))]
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
_REPEATS = {16: (3, 2), 17: (3, 3), 18: (11, 7)}  # least, bits of what is added
_FIXED = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8, [5] * 30


def bits_of(data: bytes) -> np.ndarray:
    """The bits of raw deflate data that every byte of its content takes.

    Those of a repetition are shared among its bytes; headers of blocks count for nothing.
    """
    data += bytes(8)
    lengths: list[int] = []
    bits: list[int] = []
    at, final = 0, 0

    def peek():
        return int.from_bytes(data[at >> 3 : (at >> 3) + 8], "little") >> (at & 7)

    while not final:
        head = peek()
        final, kind = head & 1, head >> 1 & 3
        at += 3
        if kind == 0:
            at = (at + 7) & ~7
            stored = peek() & 0xFFFF
            lengths += [1] * stored
            bits += [8] * stored
            at += 32 + 8 * stored
            continue
        sizes, far_sizes = _FIXED
        if kind == 2:
            head = peek()
            counts = (head & 31) + 257, (head >> 5 & 31) + 1
            at += 14
            small = [0] * 19
            for i in range((head >> 10 & 15) + 4):
                small[_ORDER[i]] = peek() & 7
                at += 3
            table, mask = _decoder(small)
            sizes = []
            while len(sizes) < sum(counts):
                word = peek()
                code, size = table[word & mask]
                least, extra = _REPEATS.get(code, (1, 0))
                times = least + (word >> size & ((1 << extra) - 1))
                sizes += [sizes[-1] if code == 16 else code if code < 16 else 0] * times
                at += size + extra
            sizes, far_sizes = sizes[: counts[0]], sizes[counts[0] :]
        table, mask = _decoder(sizes)
        far_table, far_mask = _decoder(far_sizes)
        while True:
            word = int.from_bytes(data[at >> 3 : (at >> 3) + 8], "little") >> (at & 7)
            code, size = table[word & mask]
            length = 1
            if code > 256:
                length, extra = _LENGTHS[code - 257]
                length += word >> size & ((1 << extra) - 1)
                size += extra
                code, far_size = far_table[word >> size & far_mask]
                size += far_size + _DISTANCES[code]
            at += size
            if code == 256:
                break
            lengths.append(length)
            bits.append(size)
    each = np.array(lengths, np.int64)
    return np.repeat(np.array(bits) / each, each)


def _decoder(sizes):
    """(code, its bits) by the next bits of the data, and the mask for those."""
    most = max(*sizes, 1)
    table = [(0, 1)] * (1 << most)
    code = 0
    for size in range(1, most + 1):
        for symbol, s in enumerate(sizes):
            if s == size:
                backwards = int(format(code, f"0{size}b")[::-1], 2)
                table[backwards :: 1 << size] = [(symbol, size)] * (1 << (most - size))
                code += 1
        code <<= 1
    return table, (1 << most) - 1
