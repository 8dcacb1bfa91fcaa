"""Where the bytes of a patch go: what each byte of its payload is for.

`explain` reads a package as a device does (docs/format-delta.md) and takes note of every byte
of the stream: for which byte of the new image it stands, for which purpose, and how many bits
of the payload it took. `rows` and `parts` are the tables of it, inspect/picture.py draws it.
docs/report.md explains how to read them.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ota import image as device_image
from ota import package as fmt
from ota.errors import OtaError, VerifyError
from ota.package import chunks as device_chunks

from ..errors import ToolError
from ..image.build import describe
from ..image.memory import region
from ..patch.covers import Segment
from ..patch.matcher import bits_of
from ..release import decode
from ..terminal import meanings
from .tracer import COPIES, CORRECTIONS, HEADS, LITERALS, PURPOSES, TABLE, Tracer

# What becomes of a byte of the new image: copied from its own place, copied from elsewhere,
# copied with a pointer rewritten by the filter, copied and corrected, or a literal.
SAME, MOVED, REWRITTEN, CORRECTED, LITERAL = KINDS = range(5)
PURPOSE_NAMES = ("block heads", "copies", "corrections", "literals", "tables")
CHUNKS, DEFLATE = "chunk headers", "deflate tables"  # framing: what is no byte of the stream
DIRECTORY, REST = "(directory)", "(behind the files)"
SIZE_MAX = 16 << 20  # bytes of an image or a stream that is taken apart
RANGES = 32  # maximum rows of an image without files


class Span(NamedTuple):
    """image[start : end] belongs to a file, or to what holds the files together."""

    start: int
    end: int
    name: str
    is_file: bool = True


@dataclass
class Row:
    """A region of the new image, or framing.

    Attributes:
        bytes: of the image.
        kinds: how many of them are of each of KINDS.
        payload: bytes, rounded so that the rows of a table sum up.
    """

    name: str
    bytes: int
    kinds: tuple[int, ...]
    payload: int
    is_file: bool = False


@dataclass
class Part:
    """What the payload is made of.

    Attributes:
        count: of blocks, copies, runs, literals, entries or chunks.
        bytes: of the image that they make.
        payload: bytes, as in Row.
    """

    name: str
    count: int
    bytes: int
    payload: int


@dataclass
class Report:
    """A patch, taken apart. Sizes in bytes.

    Attributes:
        header: package.Header.
        segments: where the new image comes from, ascending.
        kinds: of each of its bytes.
        where, purpose, bits: of each byte of the stream, the place in the new image that it is for
            (-1: none), one of PURPOSES, and what it took of the payload.
        counts: of the purposes.
        chunks: how many.
        old_files, new_files: spans that fill the images, empty where the files are not known.
        complete: the old image was given, so rewritten is known.
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
    """Take a patch package apart; what follows it (a reverse package) is ignored.

    Args:
        old: the image it starts from; with it the patch is applied too, so that names of files and
            rewritten pointers are known.

    Raises:
        ToolError: the package is not a patch, is damaged, or was made for another image.
    """
    try:
        h = decode.head(data)
        if h.encoding != fmt.PATCH:
            raise ToolError("this package is a full image: a report is about patches")
        if max(h.image_size, h.base_size) > SIZE_MAX:
            raise ToolError(f"images above {SIZE_MAX >> 20} MB are too large for a report")
        new = None if old is None else decode.decode(data, old)
        stored, restarts, count, chunks = _stored(h, data)
        reader = Tracer(h, _inflated(stored, h.wbits))
        for step in range(count):
            reader.block(step, step in restarts)
        segments = reader.finished()
    except OtaError as e:
        raise ToolError(f"the package is invalid: {meanings.explain(e)}") from e
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
    """The files of a ROMFS image, and the gaps between them; empty for any other image."""
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
    # Several spans may be one region: the directory is between the files.
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


# -- the images -------------------------------------------------------------------------


def _kinds(h, segments, runs):
    """What becomes of each byte of the new image, as far as the stream says."""
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
