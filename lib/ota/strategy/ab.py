"""Two slots: the update streams straight into the inactive one, which then runs on trial.

A download resumes at the last restart point of the payload, which is kept in the KV.
"""

import struct

from .. import state
from ..compat import const
from ..delta import decoder
from ..errors import PolicyError, VerifyError
from ..package import chunks
from ..state.record import AT, NONE, PROGRESS, Image
from . import admit, geometry, holds, put, verified

if False:  # for type checkers
    from ota_hints import Callable, Device, Header, Record, Steps

_PROGRESS = const("<8sII16s")  # package, offset in it, number of the block there, chain digest


def install(
    device: "Device", record: "Record", head: bytes, header: "Header", open_at: "Callable"
) -> "Steps":
    """Generator: stream a genuine package into the inactive slot; leaves READY.

    Yields (done, total) in bytes of the image, or None while it waits.

    Args:
        open_at: generator function; open_at(offset) returns a reader that begins there.
    Raises:
        PolicyError, VerifyError, TransportError: what was written stays for the next attempt.
    """
    del head  # not needed here
    admit(device, record, header)
    slot = device.slot(1 - record.active)
    if header.image_size > slot.size:
        raise PolicyError("fit", header.image_size, slot.size)
    if header.ordered:
        raise PolicyError("strategy")  # it leaves out unchanged blocks
    geometry(slot, header.block_size, True)
    # The inactive slot is about to be erased: from here on no older image can run. If power
    # goes after this record, the active image stays and the download resumes.
    record.state = state.FETCH
    record.previous = NONE
    record.old = Image()
    record.package = header.digest[:8]
    record.new = Image(header.version, header.floor, header.image_size, header.image_digest)
    device.slots.save(record)
    # The longest piece, so allocated first, in the memory that the record has used.
    inflater = device.inflater(header)

    base = device.slot(record.active)
    out = device.block()[: header.block_size]
    decode = decoder(header, base)
    offset, step, expected = _load(device, header, slot.sector_size)
    walk = chunks.Chunks(header, offset, expected)
    reader = yield from open_at(offset or header.length)
    for block in chunks.blocks(walk, reader, inflater, decode, out):
        if block is None:
            yield None
            continue
        step, index, length = block
        if walk.restart and step == walk.first > 0:
            # Everything before this block is programmed. If power goes here, the blocks
            # since the restart point before are programmed again.
            _save(device, header.digest[:8], walk.start, step, walk.digest)
        put(slot, index * header.block_size, out[:length])
        device.feed()
        yield min((step + 1) * header.block_size, header.image_size), header.image_size
    reader.close()
    slot.sync()
    good = holds(slot, record.new, device.feed)
    # If power goes before READY is recorded, the next start streams again from the beginning.
    _save(device, b"", 0, 0, b"")
    if not good:
        raise VerifyError("digest", header.image_size)
    record.state = state.READY
    record.reason = 0
    device.slots.save(record)


def apply(device: "Device", record: "Record", header: "Header | None" = None) -> "Steps":
    """Generator: READY -> TRIAL; the slot is complete already. Raises VerifyError "digest"."""
    other = 1 - record.active
    verified(device.slot(other), record.new, device.feed)
    # After a rescue there is nothing older to go back to.
    record.previous, record.active = record.active if record.image.size else NONE, other
    record.old, record.image, record.new = record.image, record.new, Image()
    record.state = state.TRIAL
    record.tries = device.tries
    # The one write that changes what boots; before it the old image runs, after it the new.
    device.slots.save(record)
    yield 1, 1


def back(device: "Device", record: "Record") -> "Steps":
    """Generator: BACK -> IDLE with the previous slot. Raises VerifyError "digest"."""
    verified(device.slot(record.previous), record.old, device.feed)
    record.active, record.previous = record.previous, NONE
    record.image, record.old = record.old, Image()
    record.state = state.IDLE
    record.tries = 0
    device.slots.save(record)
    yield 1, 1


def _load(device, header, sector):
    """(offset, step, chain digest) to resume at; zeros for the beginning."""
    data = device.kv.get(device.slots.key + AT)
    if data and len(data) == PROGRESS:
        name, offset, step, expected = struct.unpack(_PROGRESS, data)
        edge = step * header.block_size % sector == 0
        if name == header.digest[:8] and header.length < offset < header.size and edge:
            return offset, step, expected
    return 0, 0, b""


def _save(device, name, offset, step, expected):
    data = struct.pack(_PROGRESS, name, offset, step, expected)
    device.kv.set(device.slots.key + AT, data)
