"""A package staged in the OTA partition: its place, and whether it is complete and genuine.

The package is stored at the start of the partition, byte for byte as transmitted; its reverse
package, if it has one and there is room, at the next sector boundary. The end of the partition
is used while applying: scratch, then journal.
"""

from .. import package
from ..compat import const
from ..errors import ManifestError, PolicyError, VerifyError
from ..package import chunks
from . import RegionReader, admit, geometry

if False:  # for type checkers
    from ota_hints import Any, Device, Header, Record, Region

_BUFFER = const(4096)
_JOURNAL_MAX = const(8)
_MARK = const(24)


class Plan:
    """How a package shares the OTA partition with its reverse package, stash, scratch, journal.

    reverse is the offset of the reverse package, 0 if there is none or no room for it; journal is
    a region; room() returns the rest. All follow from sizes alone, so every boot finds them in
    the same place.

    Raises:
        PolicyError: "fit".
    """

    def __init__(self, device, header):
        ota = device.region("ota")
        sector = ota.sector_size
        self.journal = journal_region(device)
        end = self.journal.offset - ota.offset
        need = device.in_place and _need(header)
        used = (header.size + sector - 1) // sector * sector
        self.reverse = 0
        if header.reverse_size:
            both = used + (header.reverse_size + sector - 1) // sector * sector
            if both + need <= end:
                self.reverse, used = used, both
        if used + need > end:
            raise PolicyError("fit", header.size, end)
        self._region = ota.sub(used, end - used) if need else None

    def room(self, header: "Header") -> tuple:
        """(stash or None, scratch) of an apply in place, as regions of whole blocks.

        Scratch is all that is left, at least one block.

        Args:
            header: of the package that is applied.
        Raises:
            PolicyError: "fit".
        """
        size = header.block_size
        stash = _need(header) - size
        region = self._region
        scratch = (region.size - stash) // size * size
        if scratch < size:
            raise PolicyError("fit", stash, region.size)
        return region.sub(0, stash) if stash else None, region.sub(stash, scratch)


def _need(header):
    """Bytes that an apply in place needs beside the package: stash and one block of scratch."""
    size = header.block_size
    stash = header.stash[0] if header.stash else 0
    return (stash + size - 1) // size * size + size


def journal_region(device: "Device") -> "Region":
    """The journal: the last sectors of the OTA partition, sized from the slot.

    Two marks per block, but a ring of 8 sectors is enough for any image.
    """
    ota = device.region("ota")
    sector = ota.sector_size
    per = sector // max(_MARK, ota.program_size)
    marks = 2 * (device.slot(0).size // min(sector, _BUFFER))
    count = max(2, min((marks + per - 1) // per, _JOURNAL_MAX, ota.size // sector // 4))
    return ota.sub(ota.size - count * sector, count * sector)


def suits(device: "Device", record: "Record", header: "Header") -> Plan:
    """Plan of a genuine package, if this device can stage and apply it in its present state.

    Raises:
        PolicyError: the words of admit(), "geometry", "strategy", "fit".
    """
    admit(device, record, header)
    # Blocks that come in an order of their own cannot share a sector.
    in_order = not device.in_place and not header.ordered
    geometry(device.slot(0), header.block_size, in_order)
    if device.in_place and header.encoding == package.PATCH and not header.ordered:
        raise PolicyError("strategy")
    return Plan(device, header)


def find(region: "Region", offset: int = 0) -> tuple:
    """(header, head) of the package that starts at offset of a region.

    Only reads and parses; package.check() verifies the signature. Raises ManifestError.
    """
    if offset + package.PREFIX > region.size:
        raise ManifestError("header", offset)
    prefix = bytearray(package.PREFIX)
    region.peek(offset, prefix)
    length, signatures = package.lengths(prefix)
    if offset + length + signatures > region.size:
        raise ManifestError("size", length, signatures)
    head = bytearray(length + signatures)
    region.peek(offset, head)
    return package.parse(head), head


def genuine(device: "Device", region: "Region", head: "Any" = None) -> "Header":
    """Header of the complete package at the start of a region, after checking its signature and
    every chunk from flash.

    The boot stage does not trust flash, which may read differently every time: the head is read
    once, and later reads are checked by the hash chain that starts in this header.

    Args:
        head: result of find(), if the caller has read it already.
    Raises:
        ManifestError, SignatureError: not a genuine package.
        VerifyError: "truncated".
        PolicyError: "fit".
    """
    header, head = head or find(region)
    package.check(head, device.keys)
    device.unload_keys()  # long buffers come next
    if durable(device, region, header) != header.size:
        raise VerifyError("truncated")
    return header


def reverse(device: "Device", header: "Header", offset: int) -> "Header":
    """Header of the reverse package staged at offset, after checking every chunk from flash.

    Args:
        header: of the verified package stored before it. It contains the reverse package's
            digest, so the signature of the reverse package need not be checked.
    Raises:
        ManifestError: not a package.
        VerifyError: "chain", "truncated".
        PolicyError: "fit".
    """
    ota = device.region("ota")
    back = find(ota, offset)[0]
    if back.digest != header.reverse_digest or back.size != header.reverse_size:
        raise VerifyError("chain", offset)
    if durable(device, ota, back, offset) != back.size:
        raise VerifyError("truncated")
    return back


def durable(device: "Device", region: "Region", header: "Header", offset: int = 0) -> int:
    """Verify the hash chain of the package at offset of a region.

    Returns:
        end of the last valid chunk, in bytes of the package.
    Raises:
        PolicyError: "fit".
    """
    if offset + header.size > region.size:
        raise PolicyError("fit", header.size, region.size)
    walk = chunks.Chunks(header)
    reader = RegionReader(region, offset + header.length, header.payload_size)
    good = header.length
    try:
        while not walk.done:
            for _ in walk.load(reader, drop):
                pass
            device.feed()
            good = walk.offset
    except VerifyError:
        pass
    return good


def drop(piece: memoryview) -> None:
    """Sink for chunks that are only checked."""
