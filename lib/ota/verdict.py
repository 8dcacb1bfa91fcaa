"""What is recorded when something failed: why, a package refused, an image given up, none left.

Below settle, adopt, factory and trial, which decide; each of these is one write.
"""

from . import state
from .device import load
from .errors import code
from .slots import NONE, Image
from .strategy import holds


def note(device, record, error) -> None:
    """Note why something was left alone, once, and not over what matters more."""
    if not record.reason:
        record.reason = error.code
        device.slots.save(record)


def refuse(device, record, name: bytes, error) -> None:
    """Back to the image that runs, the reason kept, the package not looked at again.

    name: first 8 bytes of the package's digest. What was rolled back here stays known.
    """
    record.state = state.IDLE if record.image.size else state.RESCUE
    record.reason = error.code
    record.refused = name
    record.new = Image()
    device.slots.save(record)


def go_back(device, record, word: str) -> None:
    """Record that the running image is given up: BACK, or RESCUE; word: the reason.

    The image is remembered: no update takes it again by itself.
    """
    record.reason = code(word)
    record.seen = record.image.digest[:8]
    if record.previous == NONE or record.old.floor < record.floor:
        rescue(device, record)
        return
    record.state = state.BACK
    record.tries = device.tries
    record.renew()
    device.slots.save(record)


def way_back(device, record) -> bool:
    """True if the image before this one, record.previous, is there and whole."""
    if device.strategy == "inplace":
        return load("strategy.inplace").reversible(device, record)
    return holds(device.slot(record.previous), record.old, device.feed)


def rescue(device, record) -> None:
    """No image may run: say so. The factory image or a full package helps from here."""
    record.state = state.RESCUE
    record.previous = NONE
    record.image, record.old = Image(), Image()
    device.slots.save(record)
