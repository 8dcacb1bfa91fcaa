"""A package staged in the OTA partition: where it lies, whether it is whole and genuine.

The package lies at the start of the partition, byte for byte as it travels; its reverse
package, if it has one and there is room, from the next sector edge. The tail belongs to the
apply: scratch, then journal.
"""

from .. import package
from ..compat import const
from ..errors import ManifestError, PolicyError, VerifyError
from ..package import chunks
from . import RegionReader, admit, geometry

_BUFFER = const(4096)
_JOURNAL_MAX = const(8)
_MARK = const(24)


class Plan:
    """How a package shares the OTA partition with its reverse package, stash, scratch, journal.

    reverse: where the reverse package starts, 0 if there is none or no room for it. journal:
    region. room() has the rest. All follow from sizes alone, so every boot finds them in the
    same place. Raises PolicyError "fit".
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

    def room(self, header):
        """(stash or None, scratch) of an apply in place, regions of whole blocks.

        header: of the package that is applied. Scratch is all that is left, a block at least.
        Raises PolicyError "fit".
        """
        size = header.block_size
        stash = _need(header) - size
        region = self._region
        scratch = (region.size - stash) // size * size
        if scratch < size:
            raise PolicyError("fit", stash, region.size)
        return region.sub(0, stash) if stash else None, region.sub(stash, scratch)


def _need(header):
    """Bytes beside the package that an apply in place takes: stash, one block of scratch."""
    size = header.block_size
    stash = header.stash[0] if header.stash else 0
    return (stash + size - 1) // size * size + size


def journal_region(device):
    """The journal: the last sectors of the OTA partition, sized from the slot.

    Two marks per block, but a ring of 8 sectors is enough for any image.
    """
    ota = device.region("ota")
    sector = ota.sector_size
    per = sector // max(_MARK, ota.program_size)
    marks = 2 * (device.slot(0).size // min(sector, _BUFFER))
    count = max(2, min((marks + per - 1) // per, _JOURNAL_MAX, ota.size // sector // 4))
    return ota.sub(ota.size - count * sector, count * sector)


def suits(device, record, header):
    """Plan of a genuine package that this device can stage and apply as it stands.

    Raises PolicyError: the words of base.admit(), "geometry", "strategy", "fit".
    """
    admit(device, record, header)
    # Blocks that come in an order of their own cannot share a sector.
    in_order = not device.in_place and not header.ordered
    geometry(device.slot(0), header.block_size, in_order)
    if device.in_place and header.encoding == package.PATCH and not header.ordered:
        raise PolicyError("strategy")
    return Plan(device, header)


def find(region, offset: int = 0):
    """(header, head) of the package that starts at offset of a region.

    Only read and parsed; trust is package.check()'s business. Raises ManifestError.
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


def genuine(device, region, head=None):
    """Header of the whole package at the start of a region, its signature and every chunk
    checked from flash.

    This is how the boot stage looks at a package: nothing on flash is trusted, and it may read
    differently every time. The head is read once; head: what find() gave, if that was it. Who
    reads on does so by the chain that starts in the header returned here.
    Raises ManifestError, SignatureError, VerifyError "truncated", PolicyError "fit".
    """
    header, head = head or find(region)
    package.check(head, device.keys)
    device.unload_keys()  # what follows needs long pieces
    if durable(device, region, header) != header.size:
        raise VerifyError("truncated")
    return header


def reverse(device, header, offset: int):
    """Header of the reverse package staged at offset, every chunk checked from flash.

    header: of the package before it, checked: it names the reverse package by its digest,
    so that one's signature needs no look. Raises ManifestError, VerifyError "chain",
    "truncated", PolicyError "fit".
    """
    ota = device.region("ota")
    back = find(ota, offset)[0]
    if back.digest != header.reverse_digest or back.size != header.reverse_size:
        raise VerifyError("chain", offset)
    if durable(device, ota, back, offset) != back.size:
        raise VerifyError("truncated")
    return back


def durable(device, region, header, offset: int = 0) -> int:
    """How far the chain of the package at offset of a region holds, in bytes of the package:
    the end of the last good chunk. Raises PolicyError "fit".
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


def drop(piece) -> None:
    """Sink of a chunk that is only checked."""
