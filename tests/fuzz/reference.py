"""A patch decoder written after docs/format-delta.md alone, to judge the device's by.

It takes whole streams and whole images, is slow, and shares nothing with the library but
the pointer filters of the host tools, which are an independent form of the device's.
"""

import struct

import numpy as np
from otatool.patch.pointers import Filter, Table, kinds

_FILTERS = {c.kind: c for c in Filter.__subclasses__()}
assert kinds and _FILTERS  # kinds has imported every filter


class Refused(Exception):
    """The stream breaks a rule of the format; the word of docs/errors.md."""


class Stream:
    """Bytes that are taken from the front."""

    def __init__(self, data):
        self.data = data

    def take(self, n):
        """The next n bytes."""
        if n > len(self.data):
            raise Refused("inflate")
        part, self.data = self.data[:n], self.data[n:]
        return part


class Numbers:
    """Varints of one section."""

    def __init__(self, data):
        self.data = data

    def next(self):
        """The next number."""
        for n in range(1, 6):
            if n > len(self.data):
                break
            if self.data[n - 1] < 128:
                part, self.data = self.data[:n], self.data[n:]
                return sum((b & 127) << 7 * i for i, b in enumerate(part))
        raise Refused("patch")

    def signed(self):
        """The next number, which is a zigzag one."""
        n = self.next()
        return -(n + 1) // 2 if n % 2 else n // 2


class Decoder:
    """A whole patch: blocks(parts) gives (index, bytes) of each block, or is Refused."""

    def __init__(self, old, case):
        self.old = old
        self.image, self.block, self.meta = case["image"], case["block"], case["meta"]
        self.ordered, self.pointers, self.stash = case["ordered"], case["pointers"], case["stash"]
        self.count = -(-self.image // self.block)
        self.written = set()
        self.ranges = []
        self.table = Table()
        self.room = max(self.meta, 9)  # a head needs nine bytes anyway

    def blocks(self, parts):
        """Generator over the blocks of parts, [(restart, blocks, bytes), ...]."""
        step = 0
        self._restart()
        tables = True
        for restart, number, body in parts:
            stream = Stream(body)
            if restart:
                self._restart(0 if self.ordered else step)
                tables = True
            for _ in range(number):
                if tables:
                    self._tables(stream, step == 0)
                    tables = False
                yield self._block(stream)
                step += 1
            if stream.data:
                raise Refused("chunk")

    def _restart(self, index=0):
        self.diagonal = self.home = 0
        self.last, self.step = index - 1, 1

    def _table(self, stream):
        count, length = struct.unpack("<HH", stream.take(4))
        if length > self.room:
            raise Refused("patch")
        return count, length

    def _tables(self, stream, first):
        if self.pointers:
            count, length = self._table(stream)
            if count > self.pointers[1] or length < 2 * count:
                raise Refused("patch")
            numbers = Numbers(stream.take(length))
            steps = [numbers.next() for _ in range(count)]
            starts = np.cumsum(np.array(steps, np.int64))
            if count and (starts[-1] >= 1 << 31 or 0 in steps[1:]):
                raise Refused("patch")
            shifts = np.cumsum(np.array([numbers.signed() for _ in range(count)], np.int64))
            if numbers.data or (np.abs(shifts * 2 + 1) > 0xFFFFFFFF).any():
                raise Refused("patch")
            self.table = Table(starts, shifts)
        if self.stash and first:
            count, length = self._table(stream)
            if count != self.stash[1] or length < 2 * count:
                raise Refused("patch")
            numbers = Numbers(stream.take(length))
            end = 0
            for _ in range(count):
                start = end + numbers.next()
                end = start + numbers.next()
                if end == start or end > len(self.old):
                    raise Refused("patch")
                self.ranges.append((start, end))
            if numbers.data or sum(b - a for a, b in self.ranges) != self.stash[0]:
                raise Refused("patch")

    def _head(self, stream):
        head = b""
        while len([b for b in head if b < 128]) < 3:
            if len(head) == 9:
                raise Refused("patch")
            head += stream.take(1)
        numbers = Numbers(head)
        lengths = [numbers.next() for _ in range(3)]
        if self.ordered:
            lengths[0], self.named = divmod(lengths[0], 2)
        if sum(lengths) > self.room:
            raise Refused("patch")
        return [stream.take(n) for n in lengths]

    def _block(self, stream):
        control, gaps, values = self._head(stream)
        control = Numbers(control)
        index = self.last + self.step
        if self.ordered and self.named:
            index = self.last + 1 + control.signed()
        if not 0 <= index < self.count:
            raise Refused("patch")
        if self.ordered and index in self.written:
            raise Refused("order")
        # Below the block before, this one is described from its end on.
        backwards = index < self.last
        self.last, self.step = index, -1 if backwards else 1
        start = index * self.block
        size = min(self.block, self.image - start)
        out = b""
        while len(out) < size:
            kind, n = 1, 0
            if control.data:
                op = control.next()
                kind, n = op & 3, op >> 2
            missing = size - len(out)
            if n > missing:
                raise Refused("patch")
            n = n or missing
            if kind == 0:
                out = stream.take(n) + out if backwards else out + stream.take(n)
                continue
            if kind == 2:
                self.diagonal += control.signed()
            elif kind == 3:
                self.diagonal = self.home + control.signed()
            if n >= 64:
                self.home = self.diagonal
            if backwards:
                out = self._copy(start + missing - n, n) + out
            else:
                out += self._copy(start + len(out), n)
        if control.data:
            raise Refused("patch")
        out = bytearray(out)
        self._correct(out, Numbers(gaps), values)
        self.written.add(index)
        return index, bytes(out)

    def _copy(self, new, n):
        at = new + self.diagonal
        if at < 0 or at + n > len(self.old):
            raise Refused("patch")
        if self.ordered:
            for i in range(at // self.block, (at + n - 1) // self.block + 1):
                a, b = max(at, i * self.block), min(at + n, (i + 1) * self.block)
                if i in self.written and not any(s <= a and b <= e for s, e in self.ranges):
                    raise Refused("order")
        piece = self.old[at : at + n]
        if self.pointers and len(self.table.starts):
            kind, _, base, low, high = self.pointers
            form = object.__new__(_FILTERS[kind])
            Filter.__init__(form, base, low, high, len(self.old))
            form.table = self.table
            piece = form.predict(piece, at, new)
        return piece

    def _correct(self, out, gaps, values):
        at = 0
        while gaps.data:
            g = gaps.next()
            n = gaps.next() + 2 if g & 1 else 1
            at += g >> 1
            if at + n > len(out) or n > len(values):
                raise Refused("patch")
            for k in range(n):
                out[at + k] = (out[at + k] + values[k]) % 256
            at += n
            values = values[n:]
        if values:
            raise Refused("patch")


def decode(old, case):
    """(word, blocks), as fuzz_run.decode()."""
    blocks = []
    try:
        for block in Decoder(old, case).blocks(case["parts"]):
            blocks.append(block)
    except Refused as e:
        return str(e), blocks
    return "ok", blocks
