"""A fourth strategy, all of it: packages are staged, then applied into the slot that does not run.

Going back is a change of slots, as with ab; only the boot stage writes slots, as with pingpong.
"""

from ota import state
from ota.delta import decoder
from ota.modules import load
from ota.package import chunks
from ota.state.record import NONE, Image
from ota.strategy import RegionReader, put, verified

FACTS = "staged 10 1256 026 0136 046 056 06 012"


def install(device, record, head, header, open_at):
    """Stage the package."""
    return load("strategy.receive").install(device, record, head, header, open_at)


def apply(device, record, header):
    """Generator: write the staged image into the other slot; leaves TRIAL."""
    other = 1 - record.active
    slot = device.slot(other)
    # If power goes after this record, the active image stays and all of this is done again.
    record.previous, record.old = NONE, Image()
    device.slots.save(record)
    out = device.block()[: header.block_size]
    reader = RegionReader(device.region("ota"), header.length, header.payload_size)
    inflater = device.inflater(header)
    decode = decoder(header, device.slot(record.active))
    walk = chunks.Chunks(header)
    for step, index, length in chunks.blocks(walk, reader, inflater, decode, out):
        # If power goes here, the next boot begins again with an erase of the first block.
        put(slot, index * header.block_size, out[:length])
        yield step, 0
    verified(slot, record.new, device.feed)
    record.previous, record.active = record.active if record.image.size else NONE, other
    record.old, record.image, record.new = record.image, record.new, Image()
    record.state = state.TRIAL
    record.tries = device.tries
    device.slots.save(record)


def back(device, record):
    """Generator: run the previous slot; leaves IDLE."""
    verified(device.slot(record.previous), record.old, device.feed)
    record.active, record.previous = record.previous, NONE
    record.image, record.old = record.old, Image()
    record.state = state.IDLE
    record.tries = 0
    device.slots.save(record)
    yield 1, 1
