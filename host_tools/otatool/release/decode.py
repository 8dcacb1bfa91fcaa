"""Reads packages with the device's own code: head, chunks of the hash chain, image."""

import hashlib
from collections.abc import Callable, Iterator

from ota import package as fmt
from ota.crypto import Keys
from ota.delta import decoder
from ota.delta.patch import Patch
from ota.errors import OtaError
from ota.package import chunks
from ota.package.inflate import Inflater
from ota.transport.stream import Memory

from ..errors import ToolError
from ..terminal import meanings

CHUNK_MAX = 4224  # stored bytes of a chunk, its header included; tables come on top


def head(data: bytes, keys: Keys | None = None) -> fmt.Header:
    """The header of a package.

    Args:
        data: begins with the package.
        keys: check the signature, too.
    Raises:
        OtaError: as on the device.
    """
    length, signatures = fmt.lengths(data)
    signed = data[: length + signatures]
    h = fmt.parse(signed)
    if keys is not None:
        fmt.check(signed, keys)
    return h


def signers(data: bytes) -> list[str]:
    """Ids of the keys that the head of a package claims it is signed by; nothing is checked."""
    at, length = fmt.lengths(data)
    out = []
    end = at + length
    while at + 10 <= end:
        out.append(data[at : at + 8].hex())
        at += 10 + int.from_bytes(data[at + 8 : at + 10], "little")
    return out


def walk(
    data: bytes, h: fmt.Header, take: Callable[[memoryview], object] = len
) -> Iterator[chunks.Chunks]:
    """The chunks of a package, each after it was checked.

    Args:
        take: called with the stored bytes of a chunk, piece by piece.
    Raises:
        OtaError: a chunk is not the one that the chain demands.
    """
    each = chunks.Chunks(h)
    reader = Memory(data[h.length : h.size])
    while not each.done:
        for _ in each.load(reader, take):
            pass
        yield each


def whole(data: bytes, h: fmt.Header) -> int:
    """Check chain, length and reverse package; return the number of chunks.

    Raises:
        ToolError, OtaError: the first thing that is wrong.
    """
    want = h.size + h.reverse_size
    if len(data) != want:
        raise ToolError(f"the file has {len(data)} bytes, but its header says {want}")
    count = sum(1 for _ in walk(data, h))
    if h.reverse_size:
        behind = data[h.size :]
        reverse = head(behind)
        if reverse.digest != h.reverse_digest:
            raise ToolError("the reverse package after it is not the one that its header names")
        count += whole(behind, reverse)
    return count


def decode(data: bytes, old: bytes | None, keys: Keys | None = None) -> bytes:
    """The image that a device makes of a package.

    Args:
        old: image it starts from; None for a full package.
        keys: check the signature, too.
    Raises:
        ToolError: the device's error, in words.
    """
    try:
        h = head(data, keys)
        if h.encoding == fmt.PATCH:
            if old is None:
                raise ToolError("this package is a patch: it needs the old image")
            if len(old) != h.base_size or hashlib.sha256(old).digest() != h.base_digest:
                raise ToolError("this patch was made for another old image")
        new = _image(data, h, old or b"")
        if hashlib.sha256(new).digest() != h.image_digest:
            raise ToolError("the patched image is not the one that the package names")
        return new
    except OtaError as e:
        raise ToolError(f"the package is invalid: {meanings.explain(e)}") from e


def _image(data: bytes, h: fmt.Header, old: bytes) -> bytes:
    size = -(-max(h.image_size, len(old)) // h.block_size) * h.block_size
    flash = bytearray(old).ljust(size, b"\xff")
    done = bytearray((h.image_size // h.block_size + 8) // 8) if h.ordered else None
    # In order, the new image has a place of its own; in place, it overwrites the old.
    image = flash if h.ordered else bytearray(size)
    spare = bytearray(h.stash[0]) if h.stash else bytearray()
    base = _Flash(flash)
    block_decoder = decoder(h, base, done, _Flash(spare))
    out = memoryview(bytearray(h.block_size))
    steps = chunks.blocks(
        chunks.Chunks(h),
        Memory(data[h.length : h.size]),
        Inflater(CHUNK_MAX, h.wbits),
        block_decoder,
        out,
    )
    for step, index, n in steps:
        if not step and h.stash:
            # Nothing is overwritten yet; the stash is as long as the buffer.
            assert isinstance(block_decoder, Patch)
            assert list(block_decoder.stash.pieces(base, memoryview(spare)))
        at = index * h.block_size
        image[at : at + n] = out[:n]
    return bytes(image[: h.image_size])


class _Flash:
    """An image in memory, as a decoder reads it."""

    def __init__(self, data: bytearray):
        self._data = data

    def read(self, offset: int, buf) -> None:
        """Fill buf from offset."""
        if offset < 0 or offset + len(buf) > len(self._data):
            raise ValueError("read outside the base")
        buf[:] = self._data[offset : offset + len(buf)]
