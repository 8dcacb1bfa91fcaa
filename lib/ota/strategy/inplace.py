"""One slot: the boot stage rewrites the active image block by block, where it lies.

Each changed block goes to scratch first, then over its old content; two marks per block say
how far it is. A block that reads bytes of another comes before that one is overwritten: the
package's order says so and the decoder checks it. The way back is a reverse package.
"""

from binascii import crc32

from .. import state
from ..compat import const
from ..delta import decoder
from ..errors import FlashError, OtaError, StateError, VerifyError
from ..journal import Journal
from ..package import chunks
from ..slots import NONE, Image
from . import RegionReader, digest, holds, put
from .staging import Plan, genuine, reverse

REVERSE = const(2)  # record.previous: the way back is the staged reverse package
_SAVED = const(1)  # block number `index` is whole in scratch, value: its CRC-32
_DONE = const(2)  # it is on the active slot


def apply(device, record, header):
    """Generator: carry out APPLY as far as it is not done; leaves TRIAL.

    header: of the staged package, checked in this boot. Yields (done, total) in blocks.
    Raises OtaError; FlashError "journal" when neither
    scratch nor slot holds the block in progress.
    """
    plan = Plan(device, header)
    yield from _rewrite(device, record, header, 0, plan, record.image, record.new)
    device.free()
    record.previous = NONE
    if _leads(device, header, plan, record.new, record.image):
        record.previous = REVERSE
    record.old, record.image, record.new = record.image, record.new, Image()
    record.state = state.TRIAL
    record.tries = device.tries
    device.slots.save(record)


def back(device, record):
    """Generator: apply the reverse package; leaves IDLE.

    Yields (done, total) in blocks. Raises StateError "none" if there is none.
    """
    header = genuine(device, device.region("ota"))
    plan = Plan(device, header)
    if record.previous != REVERSE or not _leads(device, header, plan, record.image, record.old):
        raise StateError("none")
    header = reverse(device, header, plan.reverse)
    yield from _rewrite(device, record, header, plan.reverse, plan, record.image, record.old)
    record.image, record.old = record.old, Image()
    record.previous = NONE
    record.state = state.IDLE
    record.tries = 0
    device.slots.save(record)


def reversible(device, record) -> bool:
    """True if the reverse package lies there, genuine, and leads to the image before."""
    try:
        header = genuine(device, device.region("ota"))
        plan = Plan(device, header)
    except OtaError:
        return False
    return _leads(device, header, plan, record.image, record.old)


def _leads(device, header, plan, here, there):
    """True if the reverse package behind header's is whole, and an ordered patch that leads
    from image here to image there."""
    try:
        back = plan.reverse and reverse(device, header, plan.reverse)
    except OtaError:
        return False
    return (
        bool(back)
        and back.ordered
        and back.product == device.product
        and back.target == device.component
        and back.base_digest == here.digest
        and back.image_digest == there.digest
    )


def _rewrite(device, record, header, offset, plan, old, new):
    """Turn the active slot from image old into image new by the package at offset."""
    slot = device.slot(0)
    journal = Journal(plan.journal, record.journal)
    fresh = journal.kind == 0
    journal.begin()
    if fresh:
        # After a rescue there is no image; a full package needs none.
        if old.size and not holds(slot, old, device.feed):
            raise VerifyError("digest", old.size)
        # Decode all of it once without writing: whatever is wrong with the package shows
        # while the running image is still whole.
        for _ in _blocks(device, header, offset, 0):
            device.feed()
    first = journal.index + 1 if journal.kind == _DONE else journal.index
    size = header.block_size
    spares = plan.scratch.size // size
    total = (header.image_size + size - 1) // size
    out = device.block()[:size]
    for step, index, length in _blocks(
        device, header, offset, first + 1 if journal.kind == _SAVED else first
    ):
        device.feed()
        spare = step % spares * size
        if step < first:
            continue
        if step == first and journal.kind == _SAVED:
            _finish(slot, plan.scratch, spare, index * size, out[:length], journal)
        elif not slot.equal(index * size, out[:length]):
            # If power goes here, the slot is as it was and the block is made again.
            put(plan.scratch, spare, out[:length])
            plan.scratch.sync()
            journal.mark(_SAVED, step, crc32(out[:length]))
            # If power goes here, scratch holds the block: _finish() does this again.
            put(slot, index * size, out[:length])
            slot.sync()
            journal.mark(_DONE, step)
        yield step + 1, total
    if digest(slot, new.size, device.feed) != new.digest:
        raise VerifyError("digest", new.size)


def _finish(slot, scratch, spare, at, out, journal):
    """Redo the block whose scratch copy is marked; it is written even if it looks right."""
    scratch.peek(spare, out)
    if crc32(out) == journal.value:
        put(slot, at, out)
        slot.sync()
    else:
        # Scratch is already used for the next block, so this one had been marked done and
        # that mark did not last; then the slot must hold it.
        if not slot.peek(at, out) or crc32(out) != journal.value:
            raise FlashError("journal", at)
    journal.mark(_DONE, journal.index)


def _blocks(device, header, offset, skip):
    slot = device.slot(0)
    done = bytearray((header.image_size // header.block_size + 8) // 8)
    reader = RegionReader(device.region("ota"), offset + header.length, header.payload_size)
    return chunks.blocks(
        chunks.Chunks(header), reader, device.inflater(header), decoder(header, slot, done),
        device.block()[: header.block_size], skip,
    )  # fmt: skip
