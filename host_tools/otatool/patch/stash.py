"""Bytes of the old image that are put aside before it is overwritten in place.

The device's side is ota/delta/stash.py; docs/format-delta.md section 3. Which order of blocks
loses how much is patch/ordering.py's.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .covers import Segment, merge
from .ordering import pieces
from .stream import BlockPlan
from .varints import varint

RANGES = 512  # maximum: 8 bytes of RAM each on the device
_JOIN = 8  # bytes between ranges that cost less than another range, and
_JOIN_MOST = 256  # what they may take where there is room: flash to write, for 4 bytes of patch
_WORTH = 12  # bytes lost that are worth a range


class Range(NamedTuple):
    """old[start : end]"""

    start: int
    end: int


def needed(plans: Iterable[BlockPlan], block: int, spare: int = 0) -> list[Range]:
    """What copies of blocks in write order want of blocks that are written before.

    Args:
        spare: bytes that the stash may have; what is left of it joins ranges that are apart, for
            each takes some bytes of the patch.
    """
    written: set[int] = set()
    lost = []
    for p in plans:
        lost += _lost(p.segments, block, written)
        written.add(p.index)
    join = _JOIN
    ranges = _joined(lost, join)
    while len(ranges) > 1:
        join *= 2
        joined = _joined(lost, join)
        # What is left of the last block of stash is erased in any case.
        room = spare if join <= _JOIN_MOST else min(spare, size(ranges) + -size(ranges) % block)
        if len(ranges) <= RANGES and size(joined) > room // block * block:
            break
        ranges = joined
    return ranges


def size(ranges: Iterable[Range]) -> int:
    """Bytes of all."""
    return sum(r.end - r.start for r in ranges)


def pack(ranges: Sequence[Range]) -> bytes:
    """The table as it stands in the payload."""
    body = b""
    at = 0
    for r in ranges:
        body += varint(r.start - at) + varint(r.end - r.start)
        at = r.end
    return struct.pack("<HH", len(ranges), len(body)) + body


def kept(plans: Sequence[BlockPlan], block: int, spare: int) -> list[BlockPlan]:
    """The plans in write order with literals for what would be copied out of written blocks and
    does not fit in spare bytes of stash."""
    written: set[int] = set()
    lost: list[Range] = []
    for p in plans:
        lost += _lost(p.segments, block, written)
        written.add(p.index)
    stash = _chosen(lost, spare // block * block)
    written = set()
    out = []
    for p in plans:
        segments: list[Segment] = []
        for s in p.segments:
            if s.old is None:
                segments.append(s)
                continue
            for at, n in pieces(s, block):
                if at // block not in written:
                    segments.append(Segment(s.new + at - s.old, n, at))
                else:
                    segments += _out_of(stash, s, at, n)
        out.append(BlockPlan(p.index, p.start, p.length, merge(segments)))
        written.add(p.index)
    return out


def _lost(segments, block, written):
    return [
        Range(at, at + n)
        for s in segments
        if s.old is not None
        for at, n in pieces(s, block)
        if at // block in written
    ]


def _joined(ranges, join=_JOIN):
    """Ranges in turn, those with less than `join` bytes between them as one."""
    out: list[Range] = []
    for r in sorted(ranges):
        if out and r.start - out[-1].end < join:
            out[-1] = Range(out[-1].start, max(out[-1].end, r.end))
        else:
            out.append(r)
    return out


def _chosen(lost, spare):
    """Ranges of at most spare bytes that save most of what is lost."""
    if not spare:
        return []
    found = _joined(lost)
    saved = [0] * len(found)
    i = 0
    for r in sorted(lost):
        while r.start >= found[i].end:
            i += 1
        saved[i] += r.end - r.start
    by_worth = sorted(
        (i for i in range(len(found)) if saved[i] >= _WORTH),
        key=lambda i: (-saved[i] / (found[i].end - found[i].start), found[i].start),
    )
    out = []
    left = spare
    for i in by_worth[:RANGES]:
        r = found[i]
        n = min(left, r.end - r.start)
        if n >= _WORTH:
            out.append(Range(r.start, r.start + n))
            left -= n
    return sorted(out)


def _out_of(stash, s, at, n):
    """A piece of copy s that begins at `at` of the old image and is written over: copied where
    it is in the stash, else literal."""
    out = []
    end = at + n
    for r in stash:
        if r.end <= at or r.start >= end:
            continue
        if r.start > at:
            out.append(Segment(s.new + at - s.old, r.start - at, None))
            at = r.start
        stop = min(end, r.end)
        out.append(Segment(s.new + at - s.old, stop - at, at))
        at = stop
    if at < end:
        out.append(Segment(s.new + at - s.old, end - at, None))
    return out
