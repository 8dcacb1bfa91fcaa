"""Where the bytes of a patch go: what each byte of its payload is for.

`explain` reads a package as a device does (docs/format-delta.md) and takes note of every byte
of the stream: for which byte of the new image it stands, for which purpose, and how many bits
of the payload it took. `rows` and `parts` are the tables of it, inspect/picture.py draws it.
docs/report.md tells how to read them.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ota import image as device_image
from ota import package as fmt
from ota.delta.varints import signed, varint
from ota.errors import OtaError, VerifyError
from ota.package import chunks as device_chunks

from ..errors import ToolError
from ..image.build import describe
from ..image.memory import region
from ..patch.covers import Segment
from ..patch.matcher import bits_of
from ..patch.stream import HOME
from ..release import decode
from ..terminal import meanings

# What becomes of a byte of the new image: copied from its own place, copied from elsewhere,
# copied with a pointer rewritten by the filter, copied and corrected, or a literal.
SAME, MOVED, REWRITTEN, CORRECTED, LITERAL = KINDS = range(5)
# What a byte of the stream is for: lengths and index of a block, operations of copies, gaps and
# values of corrections, operations and bytes of literals, tables of pointers and of the stash.
HEADS, COPIES, CORRECTIONS, LITERALS, TABLE = PURPOSES = range(5)
PURPOSE_NAMES = ("block heads", "copies", "corrections", "literals", "tables")
CHUNKS, DEFLATE = "chunk headers", "deflate tables"  # framing: what is no byte of the stream
DIRECTORY, REST = "(directory)", "(behind the files)"
SIZE_MAX = 16 << 20  # bytes of an image or a stream that is taken apart
RANGES = 32  # rows of an image without files, at the most


class Span(NamedTuple):
    """image[start : end] belongs to a file, or to what holds the files together."""

    start: int
    end: int
    name: str
    is_file: bool = True


@dataclass
class Row:
    """A region of the new image, or framing. bytes: of the image; kinds: how many of them
    are of each of KINDS; payload: bytes, rounded so that the rows of a table sum up."""

    name: str
    bytes: int
    kinds: tuple[int, ...]
    payload: int
    is_file: bool = False


@dataclass
class Part:
    """What the payload is made of. count: of blocks, copies, runs, literals, entries or
    chunks; bytes: of the image that they make; payload: bytes, as in Row."""

    name: str
    count: int
    bytes: int
    payload: int


@dataclass
class Report:
    """A patch, taken apart. Sizes in bytes.

    header: package.Header. segments: where the new image comes from, ascending; kinds: of
    each of its bytes. where, purpose, bits: of each byte of the stream, the place in the new
    image that it is for (-1: none), one of PURPOSES, and what it took of the payload. counts:
    of the purposes; chunks: how many. old_files, new_files: spans that fill the images, empty
    where the files are not known. complete: the old image was given, so rewritten is known.
    """

    header: fmt.Header
    segments: list[Segment]
    kinds: np.ndarray
    where: np.ndarray
    purpose: np.ndarray
    bits: np.ndarray
    counts: Counter
    chunks: int
    old_files: list[Span]
    new_files: list[Span]
    complete: bool

    @property
    def payload(self) -> int:
        """Bytes of the payload."""
        return self.header.payload_size

    @property
    def framing(self) -> list[tuple[str, float]]:
        """(name, bits) of what is no byte of the stream."""
        headers = 8 * device_chunks.CHUNK * self.chunks
        return [(CHUNKS, headers), (DEFLATE, 8 * self.payload - headers - self.bits.sum())]


def explain(data: bytes, old: bytes | None = None) -> Report:
    """Take a patch package apart; what follows it (a reverse package) is not looked at.

    old: the image it starts from; with it the patch is applied too, so that names of files and
    rewritten pointers are known. Raises ToolError if the package is no patch, or broken, or
    made for another image.
    """
    try:
        h = decode.head(data)
        if h.encoding != fmt.PATCH:
            raise ToolError("this package is a full image: a report is about patches")
        if max(h.image_size, h.base_size) > SIZE_MAX:
            raise ToolError(f"images above {SIZE_MAX >> 20} MB are too large for a report")
        new = None if old is None else decode.decode(data, old)
        stored, restarts, count, chunks = _stored(h, data)
        reader = _Reader(h, _inflated(stored, h.wbits))
        for step in range(count):
            reader.block(step, step in restarts)
        segments = reader.finished()
    except OtaError as e:
        raise ToolError(f"the package is refused: {meanings.explain(e)}") from e
    kinds = _kinds(h, segments, reader.runs)
    report = Report(
        h, segments, kinds, reader.where, reader.purpose, bits_of(stored), reader.counts, chunks,
        [], [], old is not None,
    )  # fmt: skip
    if old is not None and new is not None:
        _compare(report, old, new)
        report.old_files, report.new_files = files(old), files(new)
    return report


def files(data: bytes) -> list[Span]:
    """The files of a ROMFS image, and what lies between; empty for any other image."""
    if device_image.kind(region(data)) != "romfs":
        return []
    try:
        found = describe(data)
    except ToolError:
        return []
    spans: list[Span] = []
    at = 0

    def gap(end, name):
        if end > at:
            spans.append(Span(at, end, name, False))

    for f in sorted(found["files"], key=lambda f: (f.offset, f.size)):
        end = f.offset + f.size
        if end > at:  # files may share their bytes; they are the first one's
            gap(f.offset, DIRECTORY)
            spans.append(Span(max(at, f.offset), end, printable(f.name)))
            at = end
    gap(found["size"], DIRECTORY)
    at = max(at, found["size"])
    gap(len(data), REST)
    return spans


def printable(text: str) -> str:
    """Text that a terminal and XML can take, whatever a name holds."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def rows(r: Report) -> list[Row]:
    """Where the payload goes: files or ranges of the new image in turn, then framing.

    The payloads sum up to that of the package, the bytes to the image.
    """
    spans = r.new_files or list(_ranges(r))
    starts = np.array([s.start for s in spans])
    placed = r.where >= 0
    region_of = np.searchsorted(starts, r.where[placed], side="right") - 1
    spent = np.bincount(region_of, r.bits[placed], len(spans))
    # Several spans may be one region: the directory lies between the files.
    found: dict[tuple[bool, str], list] = {}
    for s, bits in zip(spans, spent.tolist(), strict=True):
        kinds = np.bincount(r.kinds[s.start : s.end], minlength=len(KINDS))
        row = found.setdefault((s.is_file, s.name), [s.name, 0, 0 * kinds, 0.0, s.is_file])
        row[1] += s.end - s.start
        row[2] += kinds
        row[3] += bits
    none = np.zeros(len(KINDS), np.int64)
    table = r.bits[r.purpose == TABLE].sum()
    loose = [*([(PURPOSE_NAMES[TABLE], table)] if table else []), *r.framing]
    every = [*found.values(), *([name, 0, none, bits, False] for name, bits in loose)]
    shares = whole([row[3] for row in every], r.payload)
    return [
        Row(name, size, tuple(kinds.tolist()), share, is_file)
        for (name, size, kinds, _, is_file), share in zip(every, shares, strict=True)
    ]


def parts(r: Report) -> list[Part]:
    """What the payload is made of, by purpose; sums up to it as rows() does."""
    spent = np.bincount(r.purpose, r.bits, len(PURPOSES)).tolist()
    literal = int((r.kinds == LITERAL).sum())
    makes = {
        COPIES: len(r.kinds) - literal,
        CORRECTIONS: int((r.kinds == CORRECTED).sum()),
        LITERALS: literal,
    }
    found = [
        (PURPOSE_NAMES[p], r.counts[p], makes.get(p, 0), spent[p])
        for p in (COPIES, CORRECTIONS, LITERALS, HEADS, TABLE)
        if p != TABLE or r.counts[TABLE]
    ]
    found += [(name, r.chunks, 0, bits) for name, bits in r.framing]
    shares = whole([bits for *_, bits in found], r.payload)
    return [Part(*row[:3], share) for row, share in zip(found, shares, strict=True)]


def whole(bits: Sequence[float], total: int) -> list[int]:
    """Bits as whole bytes that sum up to total; what took nothing stays nothing."""
    ends = np.rint(np.cumsum(bits) / 8).astype(np.int64)
    return np.diff(np.minimum(ends, total), prepend=0).tolist()


# -- the stream -------------------------------------------------------------------------


def _stored(h, data):
    """(deflated bytes, numbers of blocks that begin a restart, blocks, chunks) of a payload."""
    stored = bytearray()
    restarts = set()
    count = chunks = 0
    for chunk in decode.walk(data, h, stored.extend):
        if chunk.first != count or not (count or chunk.restart):
            raise VerifyError("chunk", chunk.start)
        if chunk.restart:
            restarts.add(count)
        count += chunk.blocks
        chunks += 1
    return bytes(stored), restarts, count, chunks


def _inflated(stored, wbits):
    z = zlib.decompressobj(-wbits)
    try:
        stream = z.decompress(stored, SIZE_MAX)
    except zlib.error as e:
        raise VerifyError("inflate") from e
    if not z.eof or z.unused_data:
        raise VerifyError("inflate", len(stream))
    return stream


class _Reader:
    """Reads the blocks of a patch from its stream and notes what each byte is for.

    All that this file knows of the grammar (docs/format-delta.md) is here. Errors are the
    device's. segments, runs: what was read, copies and literals, and (start, end) of corrections.
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
        """Read block number step in write order. Raises VerifyError "patch"."""
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


# -- the images -------------------------------------------------------------------------


def _kinds(h, segments, runs):
    """What becomes of each byte of the new image, as far as the stream tells."""
    kinds = np.zeros(h.image_size, np.uint8)
    for start, end in runs:
        kinds[start:end] = CORRECTED
    for s in segments:
        piece = kinds[s.new : s.new + s.length]
        if s.old is None:
            piece[:] = LITERAL
        elif s.old != s.new:
            piece[piece == SAME] = MOVED
    return kinds


def _compare(r, old, new):
    """Find what the pointer filter rewrote: copied, not corrected, and yet different."""
    was, now = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
    for s in r.segments:
        if s.old is not None:
            piece = r.kinds[s.new : s.new + s.length]
            differs = was[s.old : s.old + s.length] != now[s.new : s.new + s.length]
            piece[differs & (piece != CORRECTED)] = REWRITTEN
    if not r.header.pointers and (r.kinds == REWRITTEN).any():
        raise ToolError("the report does not fit the patch: please report this")


def _ranges(r):
    """Equal ranges of whole blocks; those in which nothing differs are joined."""
    block = r.header.block_size
    blocks = -(-len(r.kinds) // block)
    step = -(-blocks // RANGES) * block
    begin = 0
    for start in range(0, len(r.kinds), step):
        end = min(start + step, len(r.kinds))
        quiet = not r.kinds[begin:end].any()
        if end < len(r.kinds) and quiet and not r.kinds[end : end + step].any():
            continue
        yield Span(begin, end, f"{begin:#08x}-{end - 1:#08x}", False)
        begin = end
