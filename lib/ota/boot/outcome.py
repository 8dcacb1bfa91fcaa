"""What is recorded when something failed: why, a package refused, an image given up, none left.

Below apply, intake, factory and trial; each of these is one write.
"""

from .. import state
from ..errors import PolicyError, code
from ..state.record import NONE, Image
from ..strategy import holds


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
    if record.previous > 1:  # no slot: only the strategy knows
        return device.strategy.reversible(device, record)
    return holds(device.slot(record.previous), record.old, device.feed)


def rescue(device, record) -> None:
    """No image may run: say so. The factory image or a full package helps from here."""
    record.state = state.RESCUE
    record.previous = NONE
    record.image, record.old = Image(), Image()
    device.slots.save(record)


def failed(device, record, error) -> None:
    """What comes of READY, APPLY, BACK or a restore that ended in error: another try, or the way
    to an image that is whole. error: an OtaError."""
    was = record.state
    if was == state.RESCUE:
        note(device, record, error)
    elif was == state.READY:
        refuse(device, record, record.package, error)
    elif _again(device, record, error):
        pass
    elif was == state.APPLY and record.image.size and _runs(device, record):
        refuse(device, record, record.package, error)  # nothing was changed yet
    elif _backed(device, record):
        record.old, record.image = record.image, record.new
        record.previous = int(device.slot_order[record.active])
        go_back(device, record, error.reason)
    else:
        if was == state.APPLY or not record.reason:
            record.reason = error.code
        if was == state.APPLY:
            record.refused = record.package
        rescue(device, record)


def _again(device, record, error) -> bool:
    """True if what failed may be tried once more: what is done is marked, so that costs nothing.

    Flash may have refused, or a bit was read wrong; of memory a start as new has more.
    """
    if isinstance(error, PolicyError) or record.tries <= 1:
        return False
    memory = error.reason == "memory"
    if memory and record.state == state.APPLY and record.image.size and _runs(device, record):
        return False  # nothing was changed yet: the old image runs at once
    record.tries -= 1
    if record.state == state.APPLY:  # a way back has its own reason
        record.reason = error.code
    # If power goes here, the next boot tries as often as it would have, or once less.
    device.slots.save(record)
    if memory:
        try:
            import machine

            machine.reset()
        except (AttributeError, ImportError):
            pass  # it goes on at once
    return True


def _backed(device, record):
    """True if the apply that failed copied the image that ran first, and may go BACK."""
    may = state.may(device.strategy_name, state.APPLY, state.BACK)
    return record.state == state.APPLY and may and record.image.size


def _runs(device, record):
    return holds(device.slot(record.active), record.image, device.feed)
