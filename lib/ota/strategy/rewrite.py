"""Rewrites the active slot from one image to another, block by block, in place.

Each changed block is written to scratch first, then over its old content; two marks per block
record the progress. A block that reads bytes of another one comes before that one is overwritten,
or those bytes are in the stash, which is filled before the first block: the decoder checks this.
"""

from binascii import crc32

from ..compat import const
from ..delta import decoder
from ..errors import FlashError, VerifyError
from ..package import chunks
from ..state.journal import Journal
from . import RegionReader, holds, put, verified

if False:  # for type checkers
    from ota_hints import Device, Header, Image, Plan, Record, Region, Steps

_SAVED = const(1)  # block number `index` is whole in scratch, value: its CRC-32
_DONE = const(2)  # it is on the active slot


def rewrite(
    device: "Device",
    record: "Record",
    header: "Header",
    offset: int,
    plan: "Plan",
    old: "Image",
    new: "Image",
) -> "Steps":
    """Generator: rewrite the active slot from image old to image new with the package at offset.

    Resumes where the journal says. Yields (done, total) in blocks.

    Args:
        header: of that package, checked.
        plan: staging.Plan.
    Raises:
        PolicyError: "fit".
        VerifyError: before the slot is written; only "digest" comes at the very end.
        FlashError: "journal" if neither scratch nor slot holds the block in progress.
    """
    slot = device.slot(0)
    store, scratch = plan.room(header)
    size = header.block_size
    journal = Journal(plan.journal, record.secret)
    checks = None
    fresh = journal.kind == 0
    journal.begin()
    if fresh:
        # After RESCUE there is no image; a full package needs none.
        if old.size and not holds(slot, old, device.feed):
            raise VerifyError("digest", old.size)
        checks = prepare(device, header, offset, store)
    first = journal.index + 1 if journal.kind == _DONE else journal.index
    spares = scratch.size // size
    total = (header.image_size + size - 1) // size
    out = device.block()[:size]
    skip = first + 1 if journal.kind == _SAVED else first
    for step, index, length in _blocks(device, header, offset, skip, store)[1]:
        device.feed()
        spare = step % spares * size
        if step < first:
            continue
        check = crc32(out[:length])
        if checks and check != int.from_bytes(checks[step * 4 : step * 4 + 4], "little"):
            raise VerifyError("patch", index)  # a bit of its base was misread
        if step == first and journal.kind == _SAVED:
            _finish(slot, scratch, spare, index * size, out[:length], journal)
        elif not slot.equal(index * size, out[:length]):
            # If power goes here, the slot is as it was and the block is made again.
            put(scratch, spare, out[:length])
            scratch.sync()
            journal.mark(_SAVED, step, check)
            # If power goes here, scratch holds the block: _finish() does this again.
            put(slot, index * size, out[:length])
            slot.sync()
            journal.mark(_DONE, step)
        yield step + 1, total
    verified(slot, new, device.feed)


def prepare(
    device: "Device", header: "Header", offset: int, store: "Region | None"
) -> bytearray | None:
    """Decode the package once without writing, then fill the stash.

    An invalid package fails here, while the running image is still intact. Returns the CRC-32 of
    each block in the order of writing, None if there is a stash.
    """
    # The stash is not read yet: its place may hold a torn write, and so be unreadable.
    code, walk = _blocks(device, header, offset, 0, None)
    checks = bytearray((header.image_size // header.block_size + 1) * 4)
    out = device.block()
    for step, _, length in walk:
        checks[step * 4 : step * 4 + 4] = crc32(out[:length]).to_bytes(4, "little")
        device.feed()
    if store:
        slot = device.slot(0)
        out = device.block()[: header.block_size]
        at = 0
        # If power goes here, the slot is intact and no block is marked: all this is done again.
        for n in code.stash.pieces(slot, out):
            put(store, at, out[:n])
            at += n
            device.feed()
        store.sync()
        return None
    return checks


def _finish(slot, scratch, spare, at, out, journal):
    """Redo the block whose scratch copy is marked, even if the slot looks right."""
    scratch.peek(spare, out)
    if crc32(out) == journal.value:
        put(slot, at, out)
        slot.sync()
    else:
        # Scratch is already used for the next block, so this one was marked done and the mark did
        # not last; then the slot must hold it.
        if not slot.peek(at, out) or crc32(out) != journal.value:
            raise FlashError("journal", at)
    journal.mark(_DONE, journal.index)


def _blocks(device, header, offset, skip, store):
    """(decoder, generator over the blocks) of the package at offset."""
    slot = device.slot(0)
    done = bytearray((header.image_size // header.block_size + 8) // 8)
    reader = RegionReader(device.region("ota"), offset + header.length, header.payload_size)
    inflater = device.inflater(header)  # first: its memory is the largest piece
    code = decoder(header, slot, done, store)
    return code, chunks.blocks(
        chunks.Chunks(header), reader, inflater, code,
        device.block()[: header.block_size], skip,
    )  # fmt: skip
