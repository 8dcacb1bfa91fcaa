"""Starting the application, and what it or a person says of it: confirm, rollback.

Frozen main.py calls start(). The try is counted here and not in the boot stage, because a
soft reset from mpremote runs boot.py and must not use up tries.
"""

import sys

from . import device as _device
from . import state
from .device import load
from .errors import StateError, code
from .slots import NONE, Image

try:
    import machine
except ImportError:
    machine = None

_CONFIRM_MS = 120000
_deadline = None


def start():
    """Count the try if the image is on trial, then import `main` from the slot.

    During a trial an exception of the application, or no confirm() in time, ends in a reset:
    the next boot tries again or goes back. Where no image may run, or only the factory's and
    that is older than the floor, it imports the module of config "rescue" instead: it may
    update. Raises StateError "rescue" if there is none, and whatever a confirmed
    application raises.
    """
    device = _device.get()
    record = device.slots.load()
    if record.state == state.RESCUE or record.image.floor < record.floor:
        name = device.config.get("rescue")
        if not name:
            raise StateError("rescue", record.reason)
        __import__(name)
        return
    trial = record.state == state.TRIAL
    if trial:
        if not record.tries:
            load("verdict").go_back(
                device, record, "exception" if record.reason == code("exception") else "tries"
            )
            reset()
        # If power goes after this record, the start counts although it never happened: an
        # image that cuts the power itself must not run for ever.
        record.tries -= 1
        device.slots.save(record)
        _arm(device)
    name = device.config.get("main", "main")
    if not trial:
        __import__(name)
        return
    try:
        __import__(name)
    except KeyboardInterrupt:
        _disarm()  # somebody is at the console
        raise
    except Exception as e:
        _report(e)
        record = device.slots.load()
        if record.state != state.TRIAL:
            raise
        record.reason = code("exception")
        device.slots.save(record)
        reset()


def confirm() -> bool:
    """The running image is good: keep it. True if it was on trial, False if already kept.

    Raises the floor to the image's. Safe to call at every start. Raises FlashError.
    """
    device = _device.get()
    record = device.slots.load()
    _disarm()
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
    """Give up the running image; the boot stage returns to the one before it.

    restart: reset now. Raises StateError "none" if there is no image to go back to, "state"
    while an update is under way.
    """
    device = _device.get()
    record = device.slots.load()
    if record.state not in (state.IDLE, state.TRIAL):
        raise StateError("state", record.state)
    if record.previous == NONE or record.old.floor < record.floor:
        raise StateError("none")
    # A confirmed image is not given up for one that is damaged.
    if record.state == state.IDLE and not load("verdict").way_back(device, record):
        raise StateError("none")
    load("verdict").go_back(device, record, "request")
    if restart:
        reset()


def reset() -> None:
    """Restart the board. Where there is none (CPython), raises StateError "request"."""
    if machine is None or not hasattr(machine, "reset"):
        raise StateError("request")
    machine.reset()


def _arm(device):
    global _deadline
    ms = device.config.get("confirm_ms", _CONFIRM_MS)
    if ms and machine is not None and hasattr(machine, "Timer"):
        _deadline = machine.Timer(device.config.get("timer", -1))
        _deadline.init(period=ms, mode=machine.Timer.ONE_SHOT, callback=_late)


def _disarm():
    global _deadline
    if _deadline is not None:
        _deadline.deinit()
        _deadline = None


def _late(timer):
    reset()


def _report(e):
    if hasattr(sys, "print_exception"):
        sys.print_exception(e)
    else:
        print(repr(e))
