"""Payload of a package: chunks received whole, checked against the chain, then inflated.

    chunk header (28 bytes)  stored length u16 | flags u8 | blocks u8 | inflated length u32 |
                             number of its first block u32 | digest of the next chunk 16
    stored bytes             raw deflate, ends with a sync flush on the edge of a block

The digest of the first chunk (16 bytes of SHA-256 over header and stored bytes) is in the
signed header, so only verified bytes reach the inflater. docs/format.md section 4.
"""

import hashlib
import struct

from ..compat import const
from ..errors import TransportError, VerifyError
from . import CHAIN, CHUNK, PREFIX, lengths

if False:  # for type checkers
    from ota_hints import Callable, Decoder, Inflater, Reader, Steps, Writable

RESTART = const(1)  # follows a full flush: decoding can start here
_LAYOUT = "<HBBII16s"
_PIECE = 512
_LAST = bytes(CHAIN)  # type: ignore[has-type]


def fill(reader: "Reader", buf: "Writable") -> "Steps":
    """Generator: fill buf from reader; yields while waiting.

    Raises TransportError "short" if the reader ends earlier.
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


def head(reader: "Reader") -> "Steps":
    """Generator: read a package's header with its signatures from a reader at its start; yields
    while waiting. Raises ManifestError, TransportError."""
    prefix = bytearray(PREFIX)
    yield from fill(reader, prefix)
    found = bytearray(sum(lengths(prefix)))
    found[:PREFIX] = prefix
    yield from fill(reader, memoryview(found)[PREFIX:])
    return found


class Chunks:
    """The chunks of one package, one at a time.

    header: package.Header. offset: where in the package reading resumes, bytes; expected: digest
    of the chunk there. Default: the first chunk.
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
        self._piece: memoryview | None = None

    @property
    def done(self) -> bool:
        """True after the last chunk."""
        return self.expected == _LAST

    def load(self, reader: "Reader", sink: "Callable", room: memoryview | None = None) -> "Steps":
        """Generator: receive the next chunk; its stored bytes go to sink(piece).

        Nothing that sink received may be used before load() has returned: only then is it
        verified. Afterwards stored, blocks, inflated, first, restart, start (its offset) and
        digest (its CHAIN bytes) describe the chunk, head holds its header, and offset is at the
        next one. Yields while waiting.

        Args:
            room: writable memoryview for the pieces; default: a buffer of 512 bytes.
        Raises:
            VerifyError: "chunk" (header), "chain" (digest); TransportError.
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


def blocks(
    chunks: "Chunks",
    reader: "Reader",
    inflater: "Inflater",
    decoder: "Decoder",
    out: memoryview,
    skip: int = 0,
) -> "Steps":
    """Generator over the output blocks of a payload.

    Yields None while waiting, else (number, index of the block in the image, its length). The
    block is in out until the next step, which may receive a chunk there.

    Args:
        inflater: inflate.Inflater with room for header.stored_max.
        decoder: delta.full.Full or delta.patch.Patch.
        skip: blocks with lower numbers are decoded without output.
    Raises:
        VerifyError: "chunk" if its blocks do not fill the inflated length, or do not continue
            where the previous chunk ended.
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
    # An ordered payload omits unchanged blocks; any other has every block.
    if not h.ordered and step != (h.image_size + h.block_size - 1) // h.block_size:
        raise VerifyError("chunk", chunks.offset)
