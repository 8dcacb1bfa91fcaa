"""What a board does while something is called: states, places, operations."""

import struct

from ota import package as fmt
from ota import state
from ota.errors import OtaError
from ota.state import record as slots
from packer import Package
from scenes import TWO


def moves_during(call, *args):
    """States that were recorded while call ran, in order."""
    saved = []
    save = slots.Slots.save

    def watched(one, record):
        saved.append(state.name(record.state))
        save(one, record)

    slots.Slots.save = watched
    try:
        call(*args)
    except OtaError:
        pass
    finally:
        slots.Slots.save = save
    return saved


def place(rig, name, offset=0):
    """Offset on the flash of a byte of a partition."""
    return rig.config["partitions"][name]["offset"] + offset


def at_erase(rig, offset, what, call, *args):
    """Call something; what() is done right before each erase that begins at offset."""
    erase = rig.nor.erase

    def watched(at, length):
        if at == offset:
            what()
        erase(at, length)

    rig.nor.erase = watched
    try:
        return call(*args)
    finally:
        del rig.nor.erase


def operations(rig, call):
    """How many programs and erases call makes; the flash is then as before."""
    base = rig.nor.snapshot()
    ops = rig.nor.ops
    call()
    ops = rig.nor.ops - ops
    rig.nor.restore(base)
    return ops


def lie():
    """A package whose image is not the one that it promises."""
    package = Package(TWO, None)
    package.set(fmt.IMAGE, struct.pack("<I32s", len(TWO), b"?" * 32))
    return package.data()
