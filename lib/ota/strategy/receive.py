"""Stages a package in the OTA partition; resumes from the contents of flash alone.

Used by strategies that do not stream into a slot. The boot stage never loads this.
"""

from .. import package, state
from ..compat import const
from ..errors import ManifestError, PolicyError, VerifyError
from ..package import chunks
from ..state.record import NONE, Image
from . import RegionReader
from .staging import drop, durable, find, suits

if False:  # for type checkers
    from ota_hints import Callable, Device, Header, Record, Steps

_BUFFER = const(4096)
_BLANK = const(64)


def resume(device: "Device", header: "Header", head: bytes | None = None, offset: int = 0) -> int:
    """Offset in the package where a download resumes; 0 for all of it, header.size if complete.

    The last sector is never trusted: power may have gone while it was programmed. It is written
    again as it was read once, and checked after that.

    Args:
        head: header with signatures; if the staged package begins otherwise, it is fetched anew.
    """
    at = _resume(device, header, head, offset)
    if at:
        ota = device.region("ota")
        last = (offset + at - 1) // ota.sector_size * ota.sector_size
        buf = device.block()[: ota.sector_size]
        if len(buf) == ota.sector_size:  # else _Writer rejects such sectors
            ota.peek(last, buf)
            # If power goes here, this sector is fetched again.
            ota.erase(last, len(buf))
            ota.program(last, buf)
            # Data that reads correctly only now is behind that sector, and was not rewritten.
            at = min(at, _resume(device, header, head, offset))
    return at


def _resume(device, header, head, offset):
    ota = device.region("ota")
    try:
        staged, whole = find(ota, offset)
        if staged.digest != header.digest or (head and whole != head):
            return 0
    except ManifestError:
        return 0
    good = durable(device, ota, header, offset)
    return good if good > header.length else 0


def install(
    device: "Device", record: "Record", head: bytes, header: "Header", open_at: "Callable"
) -> "Steps":
    """Generator: stage a genuine package; leaves READY, and the boot stage does the rest.

    Yields (done, total) in bytes, or None while it waits.

    Args:
        open_at: generator function; open_at(offset) returns a reader that begins there.
    Raises:
        PolicyError, VerifyError, TransportError: what was written stays for the next attempt.
    """
    plan = suits(device, record, header)
    total = header.size + (header.reverse_size if plan.reverse else 0)
    # If power goes after this record, the next start finds FETCH and what is staged.
    record.state = state.FETCH
    record.package = header.digest[:8]
    record.new = Image(header.version, header.floor, header.image_size, header.image_digest)
    if device.in_place:
        record.previous = NONE  # the reverse package is about to be overwritten
    device.slots.save(record)
    at = resume(device, header, head)
    reader = None
    if at != header.size:
        reader = yield from open_at(at or header.length)
        for done in _receive(device, head, header, reader, at, 0):
            yield done and (done, total)
    if plan.reverse:
        try:
            yield from _reverse(device, header, plan.reverse, open_at, total)
        except (ManifestError, VerifyError):
            # The package before it is complete: it must not be taken for one staged by hand.
            record.refused = header.digest[:8]
            device.slots.save(record)
            raise
    if reader:
        reader.close()
    # Read back: the head is byte for byte the one whose signature was verified, and the chain in
    # it covers the rest.
    ota = device.region("ota")
    if find(ota)[1] != head or durable(device, ota, header) != header.size:
        raise VerifyError("truncated")
    record.state = state.READY
    record.reason = 0
    device.slots.save(record)


def _reverse(device, header, base, open_at, total):
    """Stage the reverse package at base."""
    try:
        at = 0
        back = find(device.region("ota"), base)[0]
        if back.digest == header.reverse_digest:
            at = resume(device, back, offset=base)
            if at == back.size:
                return
    except ManifestError:
        pass
    reader = yield from open_at(header.size)
    head = yield from chunks.head(reader)
    back = package.parse(head)
    if back.digest != header.reverse_digest or back.size != header.reverse_size:
        raise VerifyError("chain", header.size)
    if at:
        reader.close()
        reader = yield from open_at(header.size + at)
    for done in _receive(device, head, back, reader, at, base):
        yield done and (header.size + done, total)
    reader.close()


def _receive(device, head, header, reader, at, base):
    """Write the chunks from offset `at` (0: all) to flash at base; yields done or None."""
    ota = device.region("ota")
    expected = b""
    if at:
        expected = _expected(ota, header, base, at)
    out = _Writer(ota, base + at, device.block())
    if not at:
        out.write(head)
    walk = chunks.Chunks(header, at, expected)
    piece = _Pieces(out, walk)
    while not walk.done:
        piece.begun = False
        yield from walk.load(reader, piece.write)
        device.feed()
        yield walk.offset
    out.flush()
    ota.sync()


def _expected(ota, header, base, at):
    """Digest that the chunk at `at` must have, from the chunk before."""
    walk = chunks.Chunks(header)
    reader = RegionReader(ota, base + header.length, at - header.length)
    while walk.offset < at:
        for _ in walk.load(reader, drop):
            pass
    return walk.expected


class _Pieces:
    """Sink of a chunk that writes the chunk's header before the first piece."""

    def __init__(self, out, walk):
        self._out = out
        self._walk = walk
        self.begun = False

    def write(self, piece):
        if not self.begun:
            self.begun = True
            self._out.write(self._walk.head)
        self._out.write(piece)


class _Writer:
    """Program a growing byte stream into a region through one sector buffer.

    If power goes here, the sectors flushed before stay; the next start finds them by the hash
    chain and fetches the rest again, from the start of a chunk.

    Args:
        at: offset where the stream resumes.
    """

    def __init__(self, region, at: int, buf):
        self._region = region
        self._sector = region.sector_size
        if self._sector > _BUFFER:
            raise PolicyError("geometry", self._sector)
        self._buf = buf[: self._sector]
        self._fill = at % self._sector
        self._base = at - self._fill
        if self._fill:
            region.read(self._base, self._buf[: self._fill])

    def write(self, data) -> None:
        """Append data; program each sector that is full."""
        i = 0
        while i < len(data):
            n = min(len(data) - i, self._sector - self._fill)
            self._buf[self._fill : self._fill + n] = data[i : i + n]
            self._fill += n
            i += n
            if self._fill == self._sector:
                self.flush()

    def flush(self) -> None:
        """Program the rest, padded with 0xFF."""
        if not self._fill:
            return
        blank = b"\xff" * _BLANK
        for i in range(self._fill, self._sector, _BLANK):
            n = min(_BLANK, self._sector - i)
            self._buf[i : i + n] = blank[:n]
        self._region.erase(self._base, self._sector)
        self._region.program(self._base, self._buf)
        self._base += self._sector
        self._fill = 0
