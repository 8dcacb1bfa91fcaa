"""Active and backup: the boot stage copies active to backup, then applies onto active.

A rollback copies the backup. Both copies and the apply are journalled.
"""

from .. import state
from ..compat import const
from ..delta import decoder
from ..errors import VerifyError
from ..modules import load
from ..package import chunks
from ..state.record import NONE, Image
from . import RegionReader, admit, holds, put, verified
from .staging import journal_region

if False:  # for type checkers
    from ota_hints import Callable, Device, Header, Record, Steps

_COPIED = const(1)  # block `index` is copied
_DONE = const(3)  # block number `index` of the payload is on the active slot
_BLOCK = const(4096)


def install(
    device: "Device", record: "Record", head: bytes, header: "Header", open_at: "Callable"
) -> "Steps":
    """Stage the package (receive.py)."""
    return load("strategy.receive").install(device, record, head, header, open_at)


def apply(device: "Device", record: "Record", header: "Header") -> "Steps":
    """Generator: carry out the rest of APPLY; leaves TRIAL. Yields (done, total) in blocks.

    Args:
        header: of the staged package, checked in this boot.
    Raises:
        OtaError: before the backup is complete nothing was changed; later the boot stage goes
            BACK.
    """
    active, backup = device.slot(0), device.slot(1)
    journal = _journal(device, record)
    journal.begin()
    if journal.kind != _DONE:
        admit(device, record, header)
        if record.image.size:  # in RESCUE there is nothing to save
            # If power goes after it, nothing is copied again; the backup is verified once more.
            yield from _save(device, record, active, backup, journal)
    yield from _write(device, header, active, backup, journal)
    device.free()
    verified(active, record.new, device.feed)
    record.old, record.image, record.new = record.image, record.new, Image()
    record.previous = 1 if record.old.size else NONE
    record.state = state.TRIAL
    record.tries = device.tries
    device.slots.save(record)


def _write(device, header, active, backup, journal):
    """Write the package's image to the active slot, after the last mark."""
    first = journal.index + 1 if journal.kind == _DONE else 0
    # A sector larger than a block is done again from its first block.
    first -= first % max(1, active.sector_size // header.block_size)
    again = first  # the block in progress when power went: written even if it looks right
    out = device.block()[: header.block_size]
    total = (header.image_size + header.block_size - 1) // header.block_size
    walk = chunks.Chunks(header)
    reader = RegionReader(device.region("ota"), header.length, header.payload_size)
    decode = decoder(header, backup)
    whole_sectors = header.block_size % active.sector_size == 0
    for step, index, length in chunks.blocks(
        walk, reader, device.inflater(header), decode, out, first
    ):
        device.feed()
        if step < first:
            continue
        at = index * header.block_size
        if step == again or not whole_sectors or not active.equal(at, out[:length]):
            # If power goes here, the backup is complete and this block is done again.
            put(active, at, out[:length])
            active.sync()
            journal.mark(_DONE, step)
        yield step + 1, total


def back(device: "Device", record: "Record") -> "Steps":
    """Generator: copy the backup onto the active slot; leaves IDLE.

    Yields (done, total) in blocks.

    Raises:
        VerifyError: "digest" if the backup is not intact.
    """
    active, backup = device.slot(0), device.slot(1)
    verified(backup, record.old, device.feed)
    journal = _journal(device, record)
    journal.begin()
    yield from _copy(device, backup, active, record.old.size, journal)
    verified(active, record.old, device.feed)
    record.image, record.old = record.old, Image()
    record.previous = NONE
    record.state = state.IDLE
    record.tries = 0
    device.slots.save(record)


def _journal(device, record):
    # Receiving needs none.
    return load("state.journal").Journal(journal_region(device), record.secret)


def _save(device, record, active, backup, journal):
    """Copy the active image to the backup slot and read it back."""
    if journal.kind == 0 and not holds(active, record.image, device.feed):
        raise VerifyError("digest", record.image.size)
    yield from _copy(device, active, backup, record.image.size, journal)
    # Only a backup that was read back correctly allows the first erase of the active slot.
    verified(backup, record.image, device.feed)


def _copy(device, source, target, size, journal):
    """Copy size bytes block by block, a mark after each; resumes after the last mark."""
    unit = max(target.sector_size, _BLOCK)
    step = min(unit, _BLOCK)
    total = (size + unit - 1) // unit
    first = journal.index + 1 if journal.kind == _COPIED else 0
    buf = device.block()
    for i in range(first, total):
        # If power goes here, the source is intact and this block is copied again.
        for at in range(i * unit, min(i * unit + unit, size), step):
            n = min(step, size - at)
            source.read(at, buf[:n])
            put(target, at, buf[:n])
        target.sync()
        journal.mark(_COPIED, i)
        device.feed()
        yield i + 1, total
