"""Make the payload of a package: full images and patches (docs/format-delta.md).

`plan` decides what each output block is made of and in which order the blocks are written;
a `PatchWriter` serialises them one by one. How the stream is deflated, cut into chunks and
signed is build.py's; `decode` is what a device makes of it, by the device's own code.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from ota.codec import Inflater
from ota.delta.full import Full
from ota.delta.patch import Patch
from ota.delta.pointers import Pointers

from . import matcher
from .covers import Costs, Segment, bsdiff_covers, different_runs, merge, refine, whole
from .ordering import ORDERS, without_lost
from .pointers import Filter
from .pointers.kinds import candidates
from .varints import varint, zigzag

_ROUNDS = 3  # of a pointer filter: each finds more pointers by the copies of the one before
META_BOUND = 3072  # bytes of metadata in a block: what a device keeps for it
WBITS = 12  # window of the trial encodings

# No single setting wins; None takes the covers as they are, which keeps regular
# corrections together and so is best for images that hardly differ.
_TRIALS = (
    None,
    Costs(),
    Costs(literal=6.5, copy=42.0),
    Costs(literal=4.5),
    Costs(literal=2.5, copy=42.0),
    Costs(literal=8.0, run=12.0, more=6.0),
)


@dataclass
class BlockPlan:
    """What one output block is made of: new[start : start + length], by segments in turn."""

    index: int
    start: int
    length: int
    segments: list[Segment]


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


def best(
    old: bytes,
    new: bytes,
    block: int = 4096,
    in_place: bool = False,
    sector: int | None = None,
    thorough: bool = False,
) -> "PatchWriter":
    """The smallest known patch from old to new, with or without a pointer filter.

    Arguments and errors are those of plan().
    """
    plans = plan(old, new, block, in_place, sector, None, thorough)
    writer = PatchWriter(plans, old, new, block, in_place)
    size = deflated_size(writer)
    for candidate in candidates(old) if plans else ():
        segments = [s for p in plans for s in p.segments]
        for _ in range(_ROUNDS):
            found = candidate.moves(old, new, segments)
            candidate = candidate.fitted(*found)
            if not len(candidate.table.starts):
                break
            made = plan(old, new, block, in_place, sector, candidate, thorough)
            again = PatchWriter(made, old, new, block, in_place, candidate)
            small = deflated_size(again)
            segments = [s for p in made for s in p.segments]
            if small < size:
                writer, size = again, small
    return writer


def plan(
    old: bytes,
    new: bytes,
    block: int = 4096,
    in_place: bool = False,
    sector: int | None = None,
    filter: Filter | None = None,
    thorough: bool = False,
) -> list[BlockPlan]:
    """The smallest known patch from old to new, as block plans in write order.

    Args:
        old, new: the images. block: bytes in an output block.
        in_place: the new image overwrites the old one block by block; unchanged blocks are
            left out and the others ordered so that nothing is read after it was overwritten.
            At least one block comes, if the images differ.
        sector: erase unit of the place that is written, in bytes.
        filter: of the pointers that copies bring along, with its table.
        thorough: search all places of the old image by cost (matcher.py): some percent
            smaller, and seconds per 100 KB.
    Raises ValueError if a block cannot be written in place on such sectors.
    """
    if in_place and sector is not None and block % sector:
        raise ValueError("in place, a block must be made of whole sectors")
    if in_place and old[: len(new)] == new:
        # The end alone is cut off: a package needs a block to say so.
        return _cut([Segment(0, len(new), 0)], len(new), block)[-1:] if old != new else []
    source = Source(old, filter)
    was, now = old, new
    if filter:
        was, now = filter.normalised(old, True), filter.normalised(new, False)
    best: list[BlockPlan] = []
    best_size = -1
    seen: list[list[Segment]] = []
    for segments in matcher.segments(was, now) if thorough else _quick(was, now):
        if segments in seen:
            continue
        seen.append(segments)
        plain = _cut(segments, len(new), block)
        for candidate in _in_orders(old, new, plain, block) if in_place else (plain,):
            candidate = [_bounded(p, source, new, in_place) for p in candidate]
            size = deflated_size(PatchWriter(candidate, old, new, block, in_place, filter))
            if best_size < 0 or size < best_size:
                best, best_size = candidate, size
    return best


def _quick(old, new):
    """Ways to make new from old by the covers of bsdiff."""
    covers = bsdiff_covers(old, new)
    for costs in _TRIALS:
        yield refine(old, new, covers, costs) if costs else whole(new, covers)


class PatchWriter:
    """Serialises block plans (encoding 1), in write order.

    plans: from plan(), made with the same images, block, order and filter. `count`: blocks;
    `meta_max`: bytes, the longest metadata of a block or the table of the filter. `table`:
    the filter's, as it comes in front of the first block and at every restart.
    """

    def __init__(
        self,
        plans: Sequence[BlockPlan],
        old: bytes,
        new: bytes,
        block: int,
        ordered: bool,
        filter: Filter | None = None,
    ):
        if not ordered and [p.index for p in plans] != list(range(-(-len(new) // block))):
            raise ValueError("without an order of their own all blocks come, ascending")
        self.plans = plans
        self.count = len(plans)
        self.filter = filter
        self.table = filter.table.pack() if filter else b""
        self.source = source = Source(old, filter)
        self._new = new
        self._ordered = ordered
        # After i blocks: (index of the next block if it follows, diagonal).
        self._states = [(0, 0)] * (self.count + 1)
        self._restart = True
        self._start = -1  # block that the last restart chunk begins with
        self.meta_max = max(0, len(self.table) - 4)
        # Where restarts will be is not known yet, so each block is measured both ways.
        state = (0, 0)
        for p in plans:
            parts, after = _serialise(p, source, new, ordered, state)
            again, _ = _serialise(p, source, new, ordered, (0, 0))
            self.meta_max = max(self.meta_max, _meta_size(parts), _meta_size(again))
            state = after

    def restart(self) -> None:
        """The next block asked for starts a restart chunk: it builds on nothing before."""
        self._restart = True

    def block(self, i: int) -> bytes:
        """Block i in write order; ask in turn. The block asked last may be asked again."""
        if self._restart:
            self._restart = False
            self._states[i] = (0, 0)
            self._start = i
        parts, self._states[i + 1] = _serialise(
            self.plans[i], self.source, self._new, self._ordered, self._states[i]
        )
        control, gaps, values, literals = parts
        head = struct.pack("<HHH", len(control), len(gaps), len(values))
        table = self.table if i == self._start else b""
        return table + head + control + gaps + values + literals

    def index(self, i: int) -> int:
        """Which block of the image block i in write order is."""
        return self.plans[i].index


class FullWriter:
    """A full image (encoding 0) with the interface of PatchWriter."""

    meta_max = 0
    filter = None
    table = b""

    def __init__(self, new: bytes, block: int):
        self.count = -(-len(new) // block)
        self._new = new
        self._block = block

    def restart(self) -> None:
        """Nothing is kept between the blocks of a full image."""

    def block(self, i: int) -> bytes:
        """Block i."""
        return self._new[i * self._block : (i + 1) * self._block]

    def index(self, i: int) -> int:
        """Blocks come ascending."""
        return i


def stream(writer: PatchWriter | FullWriter, restart_blocks: int = 0, wbits: int = WBITS) -> bytes:
    """The whole payload as one raw-deflate stream; a restart every restart_blocks blocks."""
    z = zlib.compressobj(9, zlib.DEFLATED, -wbits, 9)
    writer.restart()
    out = []
    for i in range(writer.count):
        if i and restart_blocks and i % restart_blocks == 0:
            out.append(z.flush(zlib.Z_FULL_FLUSH))
            writer.restart()
        out.append(z.compress(writer.block(i)))
    out.append(z.flush())
    return b"".join(out)


def deflated_size(writer: PatchWriter | FullWriter) -> int:
    """Bytes of the payload as one raw-deflate stream, without chunks and restarts."""
    return len(stream(writer))


class Memory:
    """A base image in memory, as the decoder reads it."""

    def __init__(self, data):
        self.data = data

    def read(self, offset: int, buf) -> None:
        """Fill buf from offset."""
        if offset < 0 or offset + len(buf) > len(self.data):
            raise ValueError("read outside the base")
        buf[:] = self.data[offset : offset + len(buf)]


def decode(
    writer: PatchWriter | FullWriter,
    old: bytes,
    image_size: int,
    block: int,
    in_place: bool = False,
    restart_blocks: int = 0,
) -> bytes:
    """What a device makes of writer's payload, by the device's own code.

    In place the blocks overwrite the base as they come, the rest of a short last block with
    0xFF; unchanged blocks stay what they were.
    Raises VerifyError as the device would.
    """
    data = stream(writer, restart_blocks)
    inflater = Inflater(max(1, len(data)), 15)
    inflater.begin()
    inflater.write(data)
    inflater.ready(1 << 62)
    blocks = -(-image_size // block)
    flash = bytearray(old) + b"\xff" * max(0, blocks * block - len(old))
    image = flash if in_place else bytearray(blocks * block)
    decoder: Patch | Full
    if isinstance(writer, FullWriter):
        decoder = Full(image_size, block)
    else:
        done = bytearray((blocks + 7) // 8) if in_place else None
        moved = None
        if writer.filter:
            kind, count, base, low, high = struct.unpack("<BxHIII", writer.filter.field())
            moved = Pointers(kind, count, base, low, high, len(old))
        decoder = Patch(
            Memory(flash), len(old), image_size, block, writer.meta_max, in_place, done, moved
        )
    out = bytearray(block)
    for i in range(writer.count):
        if i == 0 or (restart_blocks and i % restart_blocks == 0):
            decoder.restart(i)
        index, length = decoder.block(inflater, memoryview(out))
        image[index * block : (index + 1) * block] = out[:length] + b"\xff" * (block - length)
    return bytes(image[:image_size])


def _cut(segments, size, block):
    """Cut segments at the edges of blocks."""
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


def _in_orders(old, new, plans, block):
    """The plans in each order worth trying, for writing in place."""
    changed = [
        p for p in plans if old[p.start : p.start + p.length] != new[p.start : p.start + p.length]
    ]
    seen = []
    for order in ORDERS:
        blocks = order({p.index: p.segments for p in changed}, block)
        if blocks in seen:
            continue
        seen.append(blocks)
        written: set[int] = set()
        ordered = []
        for index in blocks:
            p = plans[index]
            segments = without_lost(p.segments, block, written)
            ordered.append(BlockPlan(index, p.start, p.length, segments))
            written.add(index)
        yield ordered


def _bounded(p, source, new, ordered):
    """The plan with its metadata inside META_BOUND: the worst copies become literals."""
    segments = p.segments
    while True:
        p = BlockPlan(p.index, p.start, p.length, segments)
        # What a state can add is far less than the room kept here: 5 bytes of index, 5 of
        # diagonal.
        parts, _ = _serialise(p, source, new, ordered, (0, 0))
        if _meta_size(parts) + 10 <= META_BOUND:
            return p
        copies = [s for s in segments if s.old is not None]
        worst = max(copies, key=lambda s: _copy_meta(s, source, new) / s.length)
        segments = merge(Segment(s.new, s.length, None) if s is worst else s for s in segments)


def _copy_meta(s, source, new):
    """Roughly the bytes of metadata that a copy costs."""
    runs = different_runs(source.copy(s), new[s.new : s.new + s.length])
    return 3 + sum(1 + end - start for start, end in runs)


def _meta_size(parts):
    return sum(len(x) for x in parts[:3])


def _serialise(p, source, new, ordered, state):
    """((control, gaps, values, literals), state after) of one block."""
    following, diagonal = state
    control = bytearray()
    gaps = bytearray()
    values = bytearray()
    literals = bytearray()
    if ordered:
        control += varint(zigzag(p.index - following) << 1)
    last = p.start  # end of the last correction
    block_end = p.start + p.length
    for s in p.segments:
        end = s.new + s.length
        length = 0 if end == block_end else s.length
        if s.old is None:
            control += varint(length << 1)
            literals += new[s.new : end]
            continue
        change = zigzag(s.old - s.new - diagonal)
        diagonal = s.old - s.new
        control += varint(length << 1 | 1)
        control += varint(change << 1 if ordered else change)
        was = source.copy(s)
        now = new[s.new : end]
        for a, b in different_runs(was, now):
            run = b - a
            gap = s.new + a - last
            gaps += varint(gap << 1) if run == 1 else varint(gap << 1 | 1) + varint(run - 2)
            values += bytes((y - x) & 255 for x, y in zip(was[a:b], now[a:b], strict=True))
            last = s.new + b
    return (control, gaps, values, literals), (p.index + 1, diagonal)
