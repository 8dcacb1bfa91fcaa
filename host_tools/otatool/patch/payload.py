"""The payload of a package: blocks one by one, their stream, and what a device makes of it.

docs/format-delta.md. How the stream is deflated into chunks and signed is not decided here.
"""

import struct
import zlib
from collections.abc import Sequence

from ota.delta.full import Full
from ota.delta.patch import Patch
from ota.delta.pointers import Pointers
from ota.delta.stash import Stash
from ota.package.inflate import Inflater

from . import stash
from .pointers import Filter
from .stash import Range
from .stream import BlockPlan, Source, State, serialise

WBITS = 12  # window of the trial encodings


class PatchWriter:
    """Serialises block plans (encoding 1), in write order.

    Args:
        plans: from find.plan(), made with the same images, block, order, filter and spare.

    Attributes:
        count: blocks.
        meta_max: bytes, the longest metadata of a block or the longest table; final once all
            blocks were asked for.
        stash: what the old image loses before a later block wants it.
    """

    def __init__(
        self,
        plans: Sequence[BlockPlan],
        old: bytes,
        new: bytes,
        block: int,
        ordered: bool,
        filter: Filter | None = None,
        spare: int = 0,
    ):
        if not ordered and [p.index for p in plans] != list(range(-(-len(new) // block))):
            raise ValueError("without an order of their own all blocks come, ascending")
        self.plans = plans
        self.count = len(plans)
        self.filter = filter
        self.stash = stash.needed(plans, block, spare) if ordered else []
        self.source = source = Source(old, filter)
        self._new = new
        self._ordered = ordered
        self._states = [State()] * (self.count + 1)  # after i blocks
        self._restart = True
        self._start = -1  # block that the last restart chunk begins with
        self._moved = filter.table.pack() if filter else b""
        self._kept = stash.pack(self.stash) if self.stash else b""
        self.meta_max = max(0, len(self._moved) - 4, len(self._kept) - 4)
        state = State()
        for p in plans:
            parts, state = serialise(p, source, new, ordered, state)
            self.meta_max = max(self.meta_max, parts.meta_size)

    def restart(self) -> None:
        """The next block asked for starts a restart chunk: it builds on nothing before."""
        self._restart = True

    def front(self, i: int) -> bytes:
        """The tables that come in front of block i if it starts a restart chunk."""
        return self._moved if i else self._moved + self._kept

    def block(self, i: int) -> bytes:
        """Block i in write order; ask in turn. The block asked last may be asked again."""
        if self._restart:
            self._restart = False
            self._states[i] = State()
            self._start = i
        parts, self._states[i + 1] = serialise(
            self.plans[i], self.source, self._new, self._ordered, self._states[i]
        )
        # Behind a restart a block may take some bytes more.
        self.meta_max = max(self.meta_max, parts.meta_size)
        return (self.front(i) if i == self._start else b"") + parts.data

    def index(self, i: int) -> int:
        """Which block of the image block i in write order is."""
        return self.plans[i].index


class FullWriter:
    """A full image (encoding 0) with the interface of PatchWriter."""

    meta_max = 0
    filter = None
    stash: Sequence[Range] = ()

    def __init__(self, new: bytes, block: int):
        self.count = -(-len(new) // block)
        self._new = new
        self._block = block

    def restart(self) -> None:
        """Nothing is kept between the blocks of a full image."""

    def front(self, i: int) -> bytes:
        """A full image has no tables."""
        return b""

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

    def read(self, offset: int, buf: bytearray | memoryview) -> None:
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

    In place the blocks overwrite the base as they come, the rest of a short last block with 0xFF;
    unchanged blocks stay what they were.

    Raises:
        VerifyError: as the device would.
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
    kept = None
    if isinstance(writer, FullWriter):
        decoder = Full(image_size, block)
    else:
        done = bytearray((blocks + 7) // 8) if in_place else None
        moved = None
        if writer.filter:
            kind, count, base, low, high = struct.unpack("<BxHIII", writer.filter.field())
            moved = Pointers(kind, count, base, low, high, len(old))
        if writer.stash:
            size = stash.size(writer.stash)
            spare = bytearray(size)
            kept = Stash(size, len(writer.stash), len(old), Memory(spare))
        decoder = Patch(
            Memory(flash), len(old), image_size, block, writer.meta_max, in_place,
            done, moved, kept,
        )  # fmt: skip
    out = bytearray(block)
    for i in range(writer.count):
        if i == 0 or (restart_blocks and i % restart_blocks == 0):
            decoder.restart(i)
        index, length = decoder.block(inflater, memoryview(out))
        if i == 0 and kept:
            # Nothing is overwritten yet; the stash is as long as the buffer.
            assert list(kept.pieces(Memory(flash), memoryview(spare))) == [len(spare)]
        image[index * block : (index + 1) * block] = out[:length] + b"\xff" * (block - length)
    return bytes(image[:image_size])
