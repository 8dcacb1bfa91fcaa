"""Reads the stream of a patch and notes for every byte which byte of the image it is for, and why.

All that inspect/ knows of the grammar (docs/format-delta.md) is here.
"""

import struct
from collections import Counter
from collections.abc import Iterator

import numpy as np
from ota.delta.varints import signed, varint
from ota.errors import VerifyError

from ..patch.covers import Segment
from ..patch.stream import HOME

# What a byte of the stream is for: lengths and index of a block, operations of copies, gaps and
# values of corrections, operations and bytes of literals, tables of pointers and of the stash.
HEADS, COPIES, CORRECTIONS, LITERALS, TABLE = PURPOSES = range(5)


class Tracer:
    """Reads the blocks of a patch from its stream and notes what each byte is for.

    Errors are the device's.

    Attributes:
        where: for each byte of the stream, the place in the image that it is for; -1: none.
        purpose: for each byte of the stream, one of PURPOSES.
        segments: copies and literals that were read, by the index of their block.
        runs: (start, end) of corrections.
        counts: how often each purpose came.
    """

    def __init__(self, h, stream: bytes):
        self.where = np.full(len(stream), -1, np.int64)
        self.purpose = np.full(len(stream), TABLE, np.uint8)
        self.segments: dict[int, list[Segment]] = {}  # by index of the block
        self.runs: list[tuple[int, int]] = []
        self.counts: Counter = Counter()
        self._h = h
        self._stream = stream
        self._at = 0
        self._next = self._diagonal = self._home = 0
        self._down = False

    def block(self, step: int, restart: bool) -> None:
        """Read block number step in write order.

        Raises:
            VerifyError: "patch".
        """
        h = self._h
        if restart:
            self._next = 0 if h.ordered else step
            self._diagonal = self._home = 0
            self._down = False
            for table in (h.pointers, h.stash if step == 0 else None):
                if table:
                    entries, length = struct.unpack("<HH", self._take(4))
                    self._take(length)
                    self.counts[TABLE] += entries
        begin = self._at
        control, gaps, values = (self._number(len(self._stream)) for _ in range(3))
        told = h.ordered and control & 1
        control = self._at + (control >> 1 if h.ordered else control)
        index = self._next - 2 * self._down
        if told:
            index = self._next + signed(self._number(control))
        if not 0 <= index < -(-h.image_size // h.block_size) or index in self.segments:
            raise VerifyError("patch", index)
        down = self._down = index + 1 < self._next
        self._next = index + 1
        start = index * h.block_size
        end = min(start + h.block_size, h.image_size)
        self._mark(begin, start, HEADS)
        self.counts[HEADS] += 1
        found = list(self._operations(start, end, control, down))
        self.segments[index] = found[::-1] if down else found
        self._corrections(start, end, gaps, values)
        for s in found:
            if s.old is None:
                self._each(self._at, s.new, s.length, LITERALS)
                self._take(s.length)

    def _operations(self, start: int, end: int, control: int, down: bool) -> Iterator[Segment]:
        """The segments of a block as they come; control: where its operations end; down: they
        come from the last to the first."""
        while start < end:
            begin = self._at
            op = self._number(control) if begin < control else 1  # a copy of what is missing
            kind, n = op & 3, op >> 2 or end - start
            place = end - n if down else start
            if kind > 1:
                diagonal = self._diagonal if kind == 2 else self._home
                self._diagonal = diagonal + signed(self._number(control))
            if kind and n >= HOME:
                self._home = self._diagonal
            source = place + self._diagonal
            if n > end - start or (kind and not 0 <= source <= self._h.base_size - n):
                raise VerifyError("patch", place)
            purpose = COPIES if kind else LITERALS
            self._mark(begin, place, purpose)
            self.counts[purpose] += 1
            yield Segment(place, n, source if kind else None)
            if down:
                end -= n
            else:
                start += n
        if self._at != control:
            raise VerifyError("patch", start)

    def _corrections(self, place: int, end: int, gaps: int, values: int) -> None:
        value = self._at + gaps
        last = value + values
        gaps = value
        while self._at < gaps:
            begin = self._at
            gap = self._number(gaps)
            run = self._number(gaps) + 2 if gap & 1 else 1
            place += gap >> 1
            if place + run > end or value + run > last:
                raise VerifyError("patch", place)
            self._mark(begin, place, CORRECTIONS)
            self._each(value, place, run, CORRECTIONS)
            self.counts[CORRECTIONS] += 1
            self.runs.append((place, place + run))
            place += run
            value += run
        if value != last:
            raise VerifyError("patch", place)
        self._take(values)

    def finished(self) -> list[Segment]:
        """The segments of the whole image; blocks that were left out stayed what they were."""
        h = self._h
        if self._at != len(self._stream):
            raise VerifyError("chunk", self._at)
        out = []
        for index in range(-(-h.image_size // h.block_size)):
            start = index * h.block_size
            length = min(h.block_size, h.image_size - start)
            if index not in self.segments and (not h.ordered or start + length > h.base_size):
                raise VerifyError("chunk", index)
            out += self.segments.get(index, [Segment(start, length, start)])
        return out

    def _take(self, n):
        at = self._at
        if at + n > len(self._stream):
            raise VerifyError("inflate", at)
        self._at += n
        return self._stream[at : at + n]

    def _number(self, end):
        """The next varint, which ends before end."""
        self._at, value = varint(self._stream, self._at, min(end, len(self._stream)))
        return value

    def _mark(self, begin, place, purpose):
        """All from begin to here is for one byte of the image."""
        self.where[begin : self._at] = place
        self.purpose[begin : self._at] = purpose

    def _each(self, at, place, n, purpose):
        """n bytes of the stream are for as many bytes of the image."""
        n = max(0, min(n, len(self._stream) - at))
        self.where[at : at + n] = np.arange(place, place + n)
        self.purpose[at : at + n] = purpose
