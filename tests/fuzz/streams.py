"""Grammar of patch streams: well-formed ones from choices, broken at any level.

make() gives a case of fuzz_run. Nothing here decides whether a stream is good: what is meant
to be good is so by construction, and reference.py says what the rest is.
"""

import struct
import zlib

import delta_stream as ds
import fuzz_run
import vector_files
from ota import package as fmt

KINDS = tuple(range(1, fmt._KINDS + 1))  # of pointers
VECTORS = ("patch", "in_place", "thumb", "thumb_in_place")  # of tests/vectors/delta
_WORDY = 12  # one number in so many takes more bytes than it needs
_LIMIT = 0x80000000
_HIGHEST = fmt._ADDRESS  # of addresses


class Maker:
    """One stream. wrecks: how many things may go wrong; 0 for a good stream.

    levels: where, by names; one of them is chosen, or "" for anywhere. level is set by who is
    at work.
    """

    def __init__(self, choices, wrecks, levels=("",)):
        self.c = choices
        self.wrecks = wrecks
        self.level = "stream"
        self.only = choices.pick(levels) if wrecks else ""

    def wreck(self, n):
        """Whether to break what comes now: once in n times, as long as there are wrecks left."""
        if self.only and self.only != self.level:
            return False
        if self.wrecks and self.c.rarely(max(2, n // 4) if self.only else n):
            self.wrecks -= 1
            return True
        return False

    def number(self, value):
        """A varint, now and then a wordy or a broken one."""
        c = self.c
        if self.wreck(200):
            return c.pick(
                (b"\x80" * 5 + b"\0", b"\xff" * 5 + b"\x7f", b"\x80", b"", b"\xff" * 4 + b"\x0f",
                 ds.varint(c.near(value & 0xFFFF) & 0xFFFFFFFF), b"\xff" * 4 + b"\x7f")
            )  # fmt: skip
        out = bytearray(ds.varint(value))
        if c.rarely(_WORDY) and len(out) < 5:
            out[-1] |= 128
            out += b"\x80" * c.below(5 - len(out)) + b"\0"
        return bytes(out)

    def signed(self, value):
        """A zigzag varint."""
        return self.number(ds.zigzag(value))

    # -- tables

    def table(self, count, body):
        """Count and length in front of the rest of a table."""
        length = len(body)
        if self.wreck(12):
            count = self.c.pick((count + 1, max(0, count - 1), 0, 65535))
        if self.wreck(12):
            length = self.c.pick((length + 1, max(0, length - 1), 0, 65535))
        return struct.pack("<HH", count, length) + body

    def pointers(self, old):
        """Field and table of a filter."""
        c = self.c
        kind = c.pick(KINDS)
        base = c.pick((0, 0x20000000, 4096, _HIGHEST - len(old), 0x08000000, 0x420000))
        low = c.pick((0x20000000, 0, _HIGHEST, base))
        high = c.pick((low, min(_HIGHEST, low + 4096), _HIGHEST))
        steps = []
        last = 0
        for i in range(c.below(200) if c.rarely(20) else c.below(6)):
            step = c.below(512) + (i > 0) if i or c.below(2) else base + c.below(len(old))
            if self.wreck(30):
                step = c.pick((0, _LIMIT - 1, 0xFFFFFFFF))
            elif last + step >= _LIMIT:
                break
            last += step
            steps.append(step)
        count = len(steps)
        starts = b"".join(map(self.number, steps))
        shifts = b""
        last = 0
        for _ in range(count):
            shift = c.pick((4, -4, 2, 256, 1, -1000, _LIMIT - 1, -_LIMIT))
            if self.wreck(30):
                shift = c.pick((_LIMIT, -_LIMIT - 1, last + _LIMIT))
            shift = max(last - _LIMIT, min(shift, last + _LIMIT - 1))  # one number tells no more
            shifts += self.signed(shift - last)
            last = shift
        limit = count + c.below(3)
        if self.wreck(10):
            limit = max(0, count - 1)
        return (kind, limit, base, low, high), self.table(count, starts + shifts)

    def stash(self, old):
        """(bytes, ranges) of the field, table, ranges."""
        c = self.c
        ranges = []
        end = 0
        body = b""
        for _ in range(1 + c.below(4)):
            start = end + c.below(max(1, len(old) // 3))
            size = 1 + c.below(c.pick((16, 700, 64)))
            if start + size > len(old) and not self.wreck(2):
                break
            if self.wreck(15):
                size = c.pick((0, 0x7FFFFFFF, len(old)))
            ranges.append((start, start + size))
            body += self.number(start - end) + self.number(size)
            end = start + size
        if not ranges:
            ranges, body = [(0, 1)], self.number(0) + self.number(1)
        size, count = min(len(old), sum(b - a for a, b in ranges)), len(ranges)
        table = self.table(count, body)
        if self.wreck(10):
            size = max(1, min(c.near(size, 3), len(old)))
        if self.wreck(10):
            count = max(1, c.near(count, 1))
        return (size, count), table, ranges

    # -- blocks

    def make(self, name, size, image, block, ordered, wants):
        """A case: a patch of base name[:size]. wants: (pointers, stash)."""
        c = self.c
        old = fuzz_run.base(name)[:size]
        self.size, self.image, self.block, self.ordered = size, image, block, ordered
        self.written, self.ranges, self.meta = set(), [], 0
        pointers = stash = None
        head = first = b""
        self.level = "tables"
        if wants[0]:
            pointers, head = self.pointers(old)
        if wants[1] and ordered:
            stash, first, self.ranges = self.stash(old)
        self.level = "stream"
        self.meta = max(len(head), len(first), 4) - 4
        todo = self._order(-(-image // block))
        parts = []
        self.next = self.diagonal = self.home = 0
        self.down = False
        while todo:
            fresh = not parts or c.rarely(3)
            if self.wreck(40):
                fresh = not fresh
            number = 1 + c.below(3)
            group, todo = todo[:number], todo[number:]
            if fresh:
                self.next, self.diagonal, self.home = group[0] if not ordered else 0, 0, 0
                self.down = False
            body = head if fresh else b""
            body += first if not parts else b""
            body += b"".join([self._block(i) for i in group])
            if self.wreck(25):
                body = self.spoilt(body)
            number = len(group)
            if self.wreck(40):
                number = max(1, c.near(number, 1))
            parts.append([fresh, number, body])
        meta = self.meta
        if self.wreck(24):
            meta = max(0, min(c.pick((meta - 1, 0, meta // 2)), 4096))
        elif c.rarely(4):
            meta = min(4096, meta + c.below(40))
        return {
            "kind": "stream", "base": name, "size": size, "image": image, "block": block,
            "meta": min(meta, 4096), "ordered": ordered, "pointers": pointers, "stash": stash,
            "skip": c.below(len(parts) + 1), "parts": parts,
        }  # fmt: skip

    def _order(self, count):
        if not self.ordered:
            return list(range(count))
        c = self.c
        todo = list(range(count))
        out = []
        while todo:
            i = todo.pop(c.below(len(todo)) if c.below(2) else -1 if c.below(2) else 0)
            if not c.rarely(6):
                out.append(i)
            if self.wreck(20):
                out.append(i)
        return out or [0]

    def spoilt(self, data):
        """data with some bytes changed, gone or more."""
        c = self.c
        at = c.below(len(data) + 1)
        return c.pick(
            (
                lambda: data[:at],
                lambda: data[:at] + bytes([c.below(256)]) + data[at + 1 :],
                lambda: data[:at] + data[at + 1 :],
                lambda: data[:at] + c.bytes(1 + c.below(8)) + data[at:],
                lambda: data[at:],
                lambda: data + c.bytes(1 + c.below(4)),
                lambda: (
                    data[:at] + bytes([data[at] ^ 1 << c.below(8)]) + data[at + 1 :]
                    if at < len(data)
                    else data
                ),
            )
        )()

    def _block(self, index):
        c = self.c
        start = index * self.block
        length = max(0, min(self.block, self.image - start))
        control = literals = b""
        told = self.ordered and (index != self.next - 2 * self.down or c.rarely(8))
        if told:
            to = index
            if self.wreck(25):
                to = c.pick((-1, -(-self.image // self.block), 1 << 30, -(1 << 31), index - 1))
            control += self.signed(max(-(1 << 31), min(to - self.next, (1 << 31) - 1)))
        down = self.down = self.ordered and index + 1 < self.next  # from its end on
        self.next = index + 1
        left = length
        while left:
            n = min(left, c.pick((left, 1 + c.below(left), 1, 4, 64, 63)))
            place = left - n if down else length - left
            if n == left and self._valid(start + place, n, self.diagonal) and c.below(2):
                # No operation: all that is missing comes along the diagonal.
                if n >= 64:
                    self.home = self.diagonal
                break
            coded = 0 if n == left and c.below(4) else n
            if self.wreck(40):
                coded = c.pick((left + 1, left + 64, (1 << 30) - 1, 1 << 30, 4096))
            diagonal = self._diagonal(start + place, n)
            if diagonal is None:
                control += self.number(coded << 2)
                literals += c.bytes(n)
            else:
                control += self._copy(coded, diagonal)
                if n >= 64:
                    self.home = diagonal
            left -= n
        if self.wreck(25):
            control += c.pick((b"\0", b"\1", b"\x80", b"\2\0"))
        gaps, values = self._corrections(length)
        self.meta = max(self.meta, min(4096, len(control) + len(gaps) + len(values)))
        self.written.add(index)
        return self._head(control, gaps, values, told) + control + gaps + values + literals

    def _head(self, control, gaps, values, told):
        lengths = [len(control), len(gaps), len(values)]
        if self.ordered:
            lengths[0] = lengths[0] << 1 | told
            if self.wreck(30):
                lengths[0] ^= 1
        if self.wreck(25):
            i = self.c.below(3)
            lengths[i] = self.c.pick(
                (lengths[i] + 1, max(0, lengths[i] - 1), 4096, 65535, 0xFFFFFFFF)
            )
        head = b"".join([self.number(n) for n in lengths])
        return head if len(head) <= 9 or self.wreck(2) else b"".join([*map(ds.varint, lengths)])

    def _valid(self, new, n, diagonal):
        at = new + diagonal
        if at < 0 or at + n > self.size:
            return False
        for i in range(at // self.block, (at + n - 1) // self.block + 1):
            if self.ordered and i in self.written:
                a, b = max(at, i * self.block), min(at + n, (i + 1) * self.block)
                if not any(s <= a and b <= e for s, e in self.ranges):
                    return False
        return True

    def _diagonal(self, new, n):
        """Where a copy comes from, None for literals."""
        c = self.c
        tries = (
            lambda: self.diagonal,
            lambda: self.home,
            lambda: 0,
            lambda: c.below(self.size) - new,
            lambda: self.diagonal + c.pick((2, 4, -4, 1)),
            lambda: self.size - n - new,
            lambda: -new,
            lambda: (c.pick(self.ranges)[0] if self.ranges else 0) - new,
            lambda: (c.pick(self.ranges)[1] if self.ranges else 0) - n + c.below(2) - new,
        )
        if c.rarely(4):
            return None
        diagonal = c.pick(tries)()
        if self.wreck(30):
            return c.pick((-new - 1, self.size - n - new + 1, 1 << 30, -(1 << 30)))
        if self._valid(new, n, diagonal) or self.wreck(3):
            return diagonal
        return None

    def _copy(self, coded, diagonal):
        c = self.c
        before, self.diagonal = self.diagonal, diagonal
        if diagonal == before and c.below(8):
            return self.number(coded << 2 | 1)
        if diagonal == self.home or c.rarely(3):
            return self.number(coded << 2 | 3) + self.signed(diagonal - self.home)
        return self.number(coded << 2 | 2) + self.signed(diagonal - before)

    def _corrections(self, length):
        c = self.c
        gaps = values = b""
        at = 0
        for _ in range(c.below(4) if not c.rarely(25) else c.below(40)):
            left = length - at
            if left < 1:
                break
            skip = c.below(c.pick((min(left, 8), left)))
            n = min(left - skip, 1 if c.below(2) else 1 + c.below(40))
            if self.wreck(20):
                skip = c.pick((left, left + 1, 4096, (1 << 30) - 1, (1 << 31) - 1))
            if n == 1:
                gaps += self.number(skip << 1)
            else:
                more = n - 2 if not self.wreck(15) else c.pick((n - 1, length, 0xFFFFFFFE))
                gaps += self.number(skip << 1 | 1) + self.number(more)
            values += bytes([1 + c.below(255) for _ in range(n)]) if n < 5 else c.bytes(n)
            at += skip + n
        if self.wreck(20):
            gaps, values = c.pick(
                ((gaps, values + b"\1"), (gaps, values[:-1]), (gaps[:-1], values), (b"", b"\1"),
                 (gaps + b"\0", values))
            )  # fmt: skip
        return gaps, values


def make(c):
    """A stream by itself, of any small geometry."""
    budget = c.pick((0, 1, 2, 1, 3))
    maker = Maker(c, budget, ("", "stream", "tables"))
    name = c.pick(fuzz_run.BASES[:-1])
    old = len(fuzz_run.base(name))
    size = old if c.below(2) else 1 + c.below(old)
    block = c.pick((256, 64, 16, 128, 512))
    image = max(1, block * c.below(6) + c.pick((0, 1, block - 1, c.below(block))))
    ordered = bool(c.below(2))
    case = maker.make(name, size, image, block, ordered, (c.rarely(3), c.below(2)))
    case["good"] = not budget
    if maker.wreck(5):
        case["skip"] = c.below(8)
    # Last, so that choices kept from before these were there still are what they were.
    return own(c) if c.rarely(8) else case


def own(c):
    """One of the project's vectors, changed or not."""
    budget = c.below(3)
    maker = Maker(c, budget)
    name = c.pick(VECTORS)
    vector = vector_files.load_json("delta/" + name + ".json")
    flow = zlib.decompressobj(-vector["wbits"])
    parts = []
    for restart, _, blocks, _, stored in vector["chunks"]:
        body = flow.decompress(bytes.fromhex(stored))
        if maker.wreck(4):
            body = maker.spoilt(body)
        parts.append([restart, blocks, body])
    pointers = vector.get("pointers")
    if pointers and maker.wreck(6):
        pointers = [c.pick(KINDS), *pointers[1:]]
    size = len(vector["old"]) // 2
    return {
        "kind": "stream", "base": name, "size": size if not maker.wreck(6) else size - 300,
        "image": len(vector["new"]) // 2, "block": vector["block"], "meta": vector["meta_max"],
        "ordered": vector["ordered"], "pointers": pointers, "stash": None,
        "skip": c.below(len(parts) + 1), "parts": parts,
        "good": not budget,
    }  # fmt: skip
