"""Payload of a package: chunks received whole, checked against the chain, then inflated.

    chunk header (28 bytes)  stored length u16 | flags u8 | blocks u8 | inflated length u32 |
                             number of its first block u32 | digest of the next chunk 16
    stored bytes             raw deflate, ends with a sync flush on the edge of a block

The first chunk's digest (16 bytes of SHA-256 over header and stored bytes) stands in the
signed header, so nothing that is not ours reaches the inflater. docs/format.md section 4.
"""

import hashlib
import struct

from ..compat import const
from ..errors import TransportError, VerifyError
from . import CHAIN, CHUNK, PREFIX, lengths

RESTART = const(1)  # follows a full flush: decoding can start here
_LAYOUT = "<HBBII16s"
_PIECE = 512
_LAST = bytes(CHAIN)


def fill(reader, buf):
    """Generator: fill buf from reader; yields while there is nothing yet.

    Raises TransportError "short" when the reader ends before.
    """
    mv = memoryview(buf)
    got = 0
    while got < len(mv):
        n = reader.readinto(mv[got:])
        if n is None:
            yield None
        elif not n:
            raise TransportError("short", got, len(mv))
        else:
            got += n


def head(reader):
    """Generator: the head of a package with its signatures, from a reader that stands at its
    beginning; yields while there is nothing yet. Raises ManifestError, TransportError."""
    prefix = bytearray(PREFIX)
    yield from fill(reader, prefix)
    found = bytearray(sum(lengths(prefix)))
    found[:PREFIX] = prefix
    yield from fill(reader, memoryview(found)[PREFIX:])
    return found


class Chunks:
    """The chunks of one package, one at a time.

    header: package.Header. offset: bytes into the package where reading goes on,
    expected: digest of the chunk there; both left out start at the first chunk.
    """

    def __init__(self, header, offset: int = 0, expected: bytes = b""):
        self.header = header
        self.offset = offset or header.length
        self.expected = expected or header.first
        self.start = self.offset
        self.digest = self.expected
        self.stored = self.blocks = self.inflated = self.first = 0
        self.restart = False
        self.head = bytearray(CHUNK)
        self._piece = None

    @property
    def done(self) -> bool:
        """True behind the last chunk."""
        return self.expected == _LAST

    def load(self, reader, sink, room=None):
        """Generator: take the next chunk whole; its stored bytes go to sink(piece).

        room: writable memoryview that pieces come in; left out, one of 512 bytes is made.
        Yields while waiting. Afterwards stored, blocks, inflated, first, restart, start (its
        offset) and digest (its CHAIN bytes) describe it and offset is behind it. What sink
        got must not be used before load() has returned: only then is it checked. head
        holds the chunk's header.
        Raises VerifyError "chunk" (header), "chain" (digest); TransportError.
        """
        h = self.header
        yield from fill(reader, self.head)
        stored, flags, blocks, inflated, first, following = struct.unpack(_LAYOUT, self.head)
        end = h.length + h.payload_size
        last = following == _LAST
        if (
            not 0 < stored <= h.stored_max
            or flags & ~RESTART
            or not blocks
            or not inflated
            or self.offset + CHUNK + stored > end
            or last != (self.offset + CHUNK + stored == end)
            or first + blocks > (h.image_size + h.block_size - 1) // h.block_size
        ):
            raise VerifyError("chunk", self.offset)
        digest = hashlib.sha256(self.head)
        if room is None:
            room = self._piece = self._piece or memoryview(bytearray(_PIECE))
        left = stored
        while left:
            piece = room[: min(left, len(room))]
            yield from fill(reader, piece)
            digest.update(piece)
            sink(piece)
            left -= len(piece)
        if digest.digest()[:CHAIN] != self.expected:
            raise VerifyError("chain", self.offset)
        self.stored, self.blocks, self.inflated = stored, blocks, inflated
        self.first = first
        self.restart = bool(flags & RESTART)
        self.start, self.digest = self.offset, self.expected
        self.expected = following
        self.offset += CHUNK + stored


def blocks(chunks, reader, inflater, decoder, out, skip: int = 0):
    """Generator over the output blocks of a payload.

    Yields None while waiting, else (number, index of the block in the image, its length);
    the block lies in out until the next step, which may begin with a chunk received there.
    Blocks with a number below skip are read past. inflater: inflate.Inflater with room for
    header.stored_max; decoder: delta.full.Full or delta.patch.Patch.
    Raises VerifyError "chunk" when a chunk's blocks do not fill its inflated length, or do
    not go on where the chunk before ended.
    """
    # Only a reader that starts in the middle takes the first number from the chunk.
    step = 0 if chunks.offset == chunks.header.length else -1
    begun = False
    while not chunks.done:
        inflater.begin()
        yield from chunks.load(reader, inflater.write, out)
        inflater.ready(chunks.inflated)
        if step < 0:
            step = chunks.first
        if chunks.first != step or not (begun or chunks.restart):
            raise VerifyError("chunk", chunks.offset)
        begun = True
        if chunks.restart:
            decoder.restart(step)
        for _ in range(chunks.blocks):
            if step < skip:
                index, length = decoder.skip(inflater)
            else:
                index, length = decoder.block(inflater, out)
            yield step, index, length
            step += 1
        if inflater.left:
            raise VerifyError("chunk", chunks.offset)
    h = chunks.header
    # An ordered payload leaves unchanged blocks out; any other brings every block.
    if not h.ordered and step != (h.image_size + h.block_size - 1) // h.block_size:
        raise VerifyError("chunk", chunks.offset)
