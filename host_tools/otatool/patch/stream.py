"""The stream of a block of a patch (docs/format-delta.md section 2), written.

Everything that writes or measures such streams goes by these functions.
"""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .covers import Segment, different_runs
from .pointers import Filter
from .varints import varint, zigzag

HOME = 64  # bytes, the shortest copy whose diagonal becomes home


class State(NamedTuple):
    """What carries over from block to block.

    Attributes:
        following: the index behind the last one.
        diagonal: of the last copy.
        home: of the last copy of HOME bytes or more.
        down: blocks descend.
    """

    following: int = 0
    diagonal: int = 0
    home: int = 0
    down: bool = False


class Operation(NamedTuple):
    """code: as it stands in the control bytes. change: of the diagonal as it is written there,
    0 where it stays, None for literals."""

    code: bytes
    change: int | None


class Contents(NamedTuple):
    """The sections of a block but for control."""

    gaps: bytes
    values: bytes
    literals: list[bytes]


class Parts(NamedTuple):
    """The sections of a block.

    Attributes:
        told: the length of control as it is written.
    """

    told: int
    control: bytes
    gaps: bytes
    values: bytes
    literals: bytes

    @property
    def meta_size(self) -> int:
        """Bytes of metadata."""
        return len(self.control) + len(self.gaps) + len(self.values)

    @property
    def data(self) -> bytes:
        """The stream of the block."""
        head = varint(self.told) + varint(len(self.gaps)) + varint(len(self.values))
        return b"".join((head, *self[1:]))


@dataclass
class BlockPlan:
    """What one output block is made of: new[start : start + length], by segments in turn."""

    index: int
    start: int
    length: int
    segments: list[Segment]
    _contents: tuple = field(default=(), repr=False, compare=False)

    def contents(self, source: "Source", new: bytes) -> "Contents":
        """What does not depend on the blocks before; the last answer is remembered."""
        asked = source.old, source.filter, new
        if not self._contents or any(map(operator.is_not, asked, self._contents)):
            runs, values = corrections(self.segments, source, new)
            gaps = b"".join(gap(*r) for r in runs)
            literals = [new[s.new : s.new + s.length] for s in self.segments if s.old is None]
            self._contents = *asked, Contents(gaps, values, literals)
        return self._contents[-1]


class Source:
    """The old image as copies bring it: with its pointers rewritten, if there is a filter."""

    def __init__(self, old: bytes, filter: Filter | None = None):
        self.old, self.filter = old, filter
        self._seen: dict[Segment, bytes] = {}

    def copy(self, s: Segment) -> bytes:
        """What copy s brings."""
        assert s.old is not None
        piece = self.old[s.old : s.old + s.length]
        if self.filter is None:
            return piece
        if s not in self._seen:
            self._seen[s] = self.filter.predict(piece, s.old, s.new)
        return self._seen[s]


def cut(segments: Iterable[Segment], size: int, block: int) -> list[BlockPlan]:
    """Segments that fill an image of that size, cut at the edges of blocks."""
    plans = [
        BlockPlan(i, i * block, min(block, size - i * block), []) for i in range(-(-size // block))
    ]
    for s in segments:
        at, end = s.new, s.new + s.length
        while at < end:
            p = plans[at // block]
            n = min(end, p.start + p.length) - at
            p.segments.append(Segment(at, n, None if s.old is None else s.old + at - s.new))
            at += n
    return plans


def operations(
    segments: Sequence[Segment], diagonal: int, home: int, down: bool = False
) -> tuple[list[Operation], int, int]:
    """(one operation for each segment of a block, diagonal, home after it).

    Args:
        down: the block is below the last one, so its segments come from the last to the first.
            The code of the last operation is empty where it is what comes without any.
    """
    out = []
    last = segments[0] if down else segments[-1]
    for s in reversed(segments) if down else segments:
        length = 0 if s is last else s.length
        if s.old is None:
            out.append(Operation(varint(length << 2), None))
            continue
        new = s.old - s.new
        change, homeward = new - diagonal, new - home
        code = varint(zigzag(change))
        home_code = varint(zigzag(homeward))
        if not change:
            out.append(Operation(varint(length << 2 | 1) if length else b"", 0))
        elif len(home_code) < len(code):
            out.append(Operation(varint(length << 2 | 3) + home_code, homeward))
        else:
            out.append(Operation(varint(length << 2 | 2) + code, change))
        diagonal = new
        if s.length >= HOME:
            home = new
    return out, diagonal, home


def corrections(
    segments: Iterable[Segment], source: Source, new: bytes
) -> tuple[list[tuple[int, int]], bytes]:
    """((gap before, length) of each run of corrections in a block, what is added there)."""
    runs: list[tuple[int, int]] = []
    values = bytearray()
    last = -1
    for s in segments:
        if last < 0:
            last = s.new
        if s.old is None:
            continue
        was, now = source.copy(s), new[s.new : s.new + s.length]
        for a, b in different_runs(was, now):
            runs.append((s.new + a - last, b - a))
            values += bytes((y - x) & 255 for x, y in zip(was[a:b], now[a:b], strict=True))
            last = s.new + b
    return runs, bytes(values)


def gap(before: int, length: int) -> bytes:
    """A run of corrections as it stands in the gaps."""
    return varint(before << 1) if length == 1 else varint(before << 1 | 1) + varint(length - 2)


def serialise(
    plan: BlockPlan, source: Source, new: bytes, ordered: bool, state: State
) -> tuple[Parts, State]:
    """(the sections of one block, the state after it)."""
    down = ordered and plan.index + 1 < state.following
    done, diagonal, home = operations(plan.segments, state.diagonal, state.home, down)
    control = b"".join(o.code for o in done)
    told = len(control)
    if ordered:
        goes_on = plan.index == state.following - 2 * state.down
        if not goes_on:
            control = varint(zigzag(plan.index - state.following)) + control
        told = len(control) << 1 | (not goes_on)
    gaps, values, literals = plan.contents(source, new)
    parts = Parts(told, control, gaps, values, b"".join(literals[::-1] if down else literals))
    return parts, State(plan.index + 1, diagonal, home, down)
