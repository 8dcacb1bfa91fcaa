"""Starts the application; confirms it or rolls it back.

Frozen main.py calls start(). Tries are counted here and not in the boot stage, because a soft
reset by mpremote runs boot.py and must not use up tries. A settled board needs none of
boot/attempt.py (start on trial), boot/deadline.py and boot/fallback.py (application that fails).
"""

from .. import device as _device
from .. import state
from ..compat import const
from ..errors import StateError
from ..modules import firmware, load
from ..state.record import NONE, Image

try:
    machine = firmware("machine")
except ImportError:
    machine = None

_SELF = const("the slot has none: this one calls ota.boot.trial.start()")
# One 1 per main module being started: with a second one, main called start() itself. A 0: the
# board restarts, and later exceptions are not the application's.
starts: list = []


def start() -> None:
    """Count the try if the image is on trial, then import `main` from the slot.

    On trial any exception of the application, or no confirm() in time, resets the board: the next
    boot tries again or goes back. Only Ctrl-C at the console leads to the prompt.
    If a confirmed image has no such module, the previous or the factory image runs. The module of
    config "rescue", which may update, runs instead if no image may run or be mounted, if that
    is the factory image below the floor, or if a confirmed application raises an exception.

    Raises:
        StateError: "rescue" if that module is needed and there is none; "main" if the module to
            import is the caller.
        Exception: without a rescue module, that of the boot stage or the application.
    """
    if starts:
        starts.append(1)
        raise StateError("main", _SELF)
    starts.append(1)
    try:
        device = record = error = None
        try:
            device = _device.get()
            record = device.slots.load()
            if device.failed:
                error = _device.error[0]  # type: ignore[index]
            elif record.state in (state.APPLY, state.BACK, state.RESCUE) or (
                record.image.floor < record.floor
            ):
                error = StateError("rescue", record.reason)
        except Exception as e:  # from the boot stage, which had no console yet on some ports
            error = e
        if error is not None:
            load("boot.attempt").rescue(device, error)
            return
        name = device.config.get("main", "main")  # type: ignore[union-attr]
        if record.state == state.TRIAL:  # type: ignore[union-attr]
            load("boot.attempt").attempt(device, record, name)
            return
        try:
            __import__(name)
            if len(starts) > 1:
                raise StateError("main", _SELF)  # main caught the first one
        except Exception as e:
            load("boot.attempt").ended(device, e, name)
    finally:
        starts.clear()


def confirm() -> bool:
    """Keep the running image, and raise the floor to its own. Safe to call at every start.

    Returns:
        True if it was on trial, False if it was confirmed before.
    Raises:
        FlashError: the record could not be written.
    """
    device = _device.get()
    record = device.slots.load()
    if record.state == state.TRIAL:
        device.feed()  # enforces the deadline even if the timer was lost
    if device.deadline:
        load("boot.deadline").disarm()
    if record.state != state.TRIAL:
        return False
    record.state = state.IDLE
    record.tries = 0
    record.reason = 0
    record.floor = max(record.floor, record.image.floor)
    record.new = Image()
    device.slots.save(record)
    return True


def rollback(restart: bool = True) -> None:
    """Revert the running image; the boot stage returns to the previous one.

    Args:
        restart: reset now.
    Raises:
        StateError: "none" if there is no previous image, "state" during an update.
    """
    device = _device.get()
    record = device.slots.load()
    if record.state not in (state.IDLE, state.TRIAL):
        raise StateError("state", record.state)
    if record.previous == NONE or record.old.floor < record.floor:
        raise StateError("none")
    # A confirmed image is not reverted to a damaged one.
    if record.state == state.IDLE and not load("boot.outcome").way_back(device, record):
        raise StateError("none")
    load("boot.outcome").go_back(device, record, "request")
    if restart:
        reset()


def reset() -> None:
    """Restart the board. Raises StateError "request" where that is impossible (CPython)."""
    if starts:
        starts.append(0)
    if machine is None or not hasattr(machine, "reset"):
        raise StateError("request")
    machine.reset()
