"""Records failures: the reason, a rejected package, a reverted image, or RESCUE when no image is
left. Each is one write of the state record.
"""

from .. import state
from ..errors import PolicyError, code
from ..state.record import NONE, Image
from ..strategy import holds

if False:  # for type checkers
    from ota_hints import Device, OtaError, Record


def note(device: "Device", record: "Record", error: "OtaError") -> None:
    """Record why a step was not carried out, unless another reason is recorded already."""
    if not record.reason:
        record.reason = error.code
        device.slots.save(record)


def refuse(device: "Device", record: "Record", name: bytes, error: "OtaError") -> None:
    """Reject a package: keep the running image, record the reason, ignore the package.

    Args:
        name: first 8 bytes of the package's digest.
    """
    record.state = state.IDLE if record.image.size else state.RESCUE
    record.reason = error.code
    record.refused = name
    record.new = Image()
    device.slots.save(record)


def go_back(device: "Device", record: "Record", word: str) -> None:
    """Revert the running image: record BACK, or RESCUE if there is no previous one.

    The image is remembered, so that it is not reinstalled more often than docs/states.md allows.

    Args:
        word: the reason.
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


def way_back(device: "Device", record: "Record") -> bool:
    """True if the previous image, record.previous, is there and intact."""
    if record.previous > 1:  # in no slot: only the strategy knows
        return device.strategy.reversible(device, record)
    return holds(device.slot(record.previous), record.old, device.feed)


def rescue(device: "Device", record: "Record") -> None:
    """Record that no image may run. The factory image or a full package leads out of RESCUE."""
    record.state = state.RESCUE
    record.previous = NONE
    record.image, record.old = Image(), Image()
    device.slots.save(record)


def failed(device: "Device", record: "Record", error: "OtaError") -> None:
    """Record the consequence of an OtaError in READY, APPLY, BACK or a restore: retry, fall
    back to an intact image, or RESCUE."""
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
    """True if the failed step may be tried again; finished blocks are marked, so that is cheap.

    The flash chip may have failed once, or a bit was misread; after a restart more memory is free.
    """
    if isinstance(error, PolicyError) or record.tries <= 1:
        return False
    memory = error.reason == "memory"
    if memory and record.state == state.APPLY and record.image.size and _runs(device, record):
        return False  # nothing was changed yet: the old image runs at once
    record.tries -= 1
    if record.state == state.APPLY:  # BACK keeps the reason that led to it
        record.reason = error.code
    # If power goes here, the next boot tries as often as it would have, or once less.
    device.slots.save(record)
    if memory:
        try:
            import machine

            machine.reset()
        except (AttributeError, ImportError):
            pass  # try again at once
    return True


def _backed(device, record):
    """True if the failed apply copied the running image to the backup first, so it can go BACK."""
    may = state.may(device.strategy_name, state.APPLY, state.BACK)
    return record.state == state.APPLY and may and record.image.size


def _runs(device, record):
    return holds(device.slot(record.active), record.image, device.feed)
