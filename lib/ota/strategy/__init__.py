"""What the strategies share: regions as readers, digests of slots, the check of a package.

A strategy is a module of this folder, named by config "strategy". What it is, FACTS, is a text of
words (the three of the library have theirs in state/__init__.py):

    how a package reaches its slot
        streams     straight into a slot that does not run: READY leads to TRIAL
        staged      by way of the partition "ota": READY leads to APPLY
        in-place    likewise, over the image it is made from: patches must be ordered, and
                    stash and scratch share that partition
    for each slot that may be active one digit, the slot before it; 2: in no slot
    for each state (state/__init__.py) those that may follow, "-" for none

What it does is in generators that resume from flash alone:

    install(device, record, head, header, open_at)  receive the package; leaves READY
    apply(device, record, header)                   carry out APPLY, once the staged package is
                                                    checked; streams: READY, header is None
    back(device, record)                            carry out BACK
    reversible(device, record) -> bool              whether back() can; only for a strategy whose
                                                    previous image is in no slot

A strategy works on its arguments (device.Device, record.Record) and never sees a source.
"""

import hashlib

from .. import package
from ..compat import const
from ..errors import FlashError, PolicyError, VerifyError
from ..modules import load

if False:  # for type checkers
    from ota_hints import Buffer, Callable, Device, Header, Image, Record, Region, Writable

_PIECE = const(512)


class RegionReader:
    """Reader over [offset, offset + length) of a region, for callers that verify the data."""

    def __init__(self, region, offset: int, length: int):
        self._region = region
        self._at = offset
        self._left = length

    def readinto(self, buf: "Writable") -> int:
        """Read into buf; return the number of bytes, 0 at the end."""
        n = min(len(buf), self._left)
        if n:
            self._region.peek(self._at, memoryview(buf)[:n])
            self._at += n
            self._left -= n
        return n

    def close(self) -> None:
        """Do nothing: a region needs no closing."""


def digest(region: "Region", size: int, feed: "Callable | None" = None) -> bytes:
    """SHA-256 of the first size bytes, read from flash; b"" if they cannot be read.

    Raises FlashError "bounds".
    """
    h = hashlib.sha256()
    buf = memoryview(bytearray(_PIECE))
    at = 0
    while at < size:
        n = min(_PIECE, size - at)
        if not region.peek(at, buf[:n]):
            return b""
        h.update(buf[:n])
        at += n
        if feed and not at & 0x7FFF:
            feed()
    return h.digest()


def holds(region: "Region", image: "Image", feed: "Callable | None" = None) -> bool:
    """True if region starts with exactly this image (record.Image).

    Read twice before the answer is False: a misread bit must not revert an image.
    """
    if not 0 < image.size <= region.size:
        return False
    for _ in range(2):
        if digest(region, image.size, feed) == image.digest:
            return True
    return False


def verified(region: "Region", image: "Image", feed: "Callable | None" = None) -> None:
    """Raise VerifyError "digest" unless region holds image, read back from flash; FlashError
    "bounds" if it cannot."""
    if image.size > region.size:
        raise FlashError("bounds", image.size, region.size)
    if not holds(region, image, feed):
        raise VerifyError("digest", image.size)


def admit(device: "Device", record: "Record", header: "Header") -> None:
    """Raise PolicyError unless a genuine package is for this device in its present state.

    Words: "product", "target", "floor", "hardware", "base", "fit".
    """
    if header.product != device.product:
        raise PolicyError("product")
    if header.target != device.component:
        raise PolicyError("target")
    if header.floor < record.floor:
        raise PolicyError("floor", header.floor, record.floor)
    if header.mpy and device.mpy and not _runs(header.mpy, device.mpy):
        raise PolicyError("hardware", header.mpy)
    if header.wbits > device.wbits or header.block_size > device.block_size:
        raise PolicyError("hardware", header.wbits, header.block_size)
    if header.encoding == package.PATCH and (
        header.base_digest != record.image.digest or header.base_size != record.image.size
    ):
        raise PolicyError("base", header.base_size)
    if header.image_size > device.slot(0).size:
        raise PolicyError("fit", header.image_size, device.slot(0).size)
    if header.pointers and not load("delta").decodable(header):
        raise PolicyError("hardware", header.pointers[0])


def _runs(mpy, ours):
    # Both as sys.implementation._mpy: the version, then two bits of a sub-version and the
    # architecture of native code, 0 where there is none. See py/persistentcode.h.
    if (mpy ^ ours) & 0xFF:
        return False
    arch, board = mpy >> 10 & 15, ours >> 10 & 15
    # A Thumb-2 core (armv6m to armv7emdp, 4 to 8) runs the code of the smaller ones.
    return not arch or not (mpy ^ ours) & 0x300 and (arch == board or 4 <= arch < board <= 8)


def geometry(region: "Region", block_size: int, in_order: bool) -> None:
    """Raise PolicyError "geometry" if blocks of this size cannot be written to region.

    A block is one or more whole sectors, or blocks come in order and fill larger sectors.
    """
    sector = region.sector_size
    if block_size % sector and not (in_order and sector % block_size == 0):
        raise PolicyError("geometry", block_size, sector)
    if block_size % region.program_size:
        raise PolicyError("geometry", block_size, region.program_size)


def put(region: "Region", offset: int, data: "Buffer") -> None:
    """Erase and program one block; a block inside a larger sector must find it erased.

    If power goes here, the block is done again: its mark or record is written afterwards.

    Args:
        data: bytes of the block; the last program is padded with 0xFF to program_size.
    """
    sector = region.sector_size
    n = len(data)
    if offset % sector == 0:
        region.erase(offset, (n + sector - 1) // sector * sector)
    whole = n // region.program_size * region.program_size
    if whole:
        region.program(offset, data[:whole])
    if whole != n:
        tail = bytearray(b"\xff" * region.program_size)
        tail[: n - whole] = data[whole:]
        region.program(offset + whole, tail)
