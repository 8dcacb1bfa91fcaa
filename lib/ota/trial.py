"""Starting the application, and what it or a person says of it: confirm, rollback.

Frozen main.py calls start(). The try is counted here and not in the boot stage, because a
soft reset from mpremote runs boot.py and must not use up tries. What is done with an
application that fails is in failed.py, the deadline in deadline.py.
"""

import sys

from . import apart, state
from . import device as _device
from .compat import const
from .device import firmware, load
from .errors import StateError, word
from .slots import NONE, Image

try:
    machine = firmware("machine")
except ImportError:
    machine = None

# Reasons that a try leaves; a start that ended otherwise leaves none.
_REASONS = const(" exception deadline memory main ")
_running = False  # the application is being started
_again = False  # and its module called start(), being the one that is running already
_restarts = False  # reset() was called: what is raised from now on is not the application's


def start():
    """Count the try if the image is on trial, then import `main` from the slot.

    During a trial whatever the application raises, or no confirm() in time, ends in a reset:
    the next boot tries again or goes back; only Ctrl-C at the console leads to the prompt. A
    confirmed image without that module gives way to the one before it or the factory image.
    Where no image may run or could be mounted, where that is the factory's and older than the
    floor, or where a confirmed application raises an exception, the module of config "rescue"
    runs instead: it may update. Raises, if there is none, StateError "rescue", what the boot
    stage raised, or whatever the application raised. Raises StateError "main" if the
    module it would import is the one that called it.
    """
    global _running, _again, _restarts
    if _running:
        _again = True
        raise StateError("main", "the slot has none: this one calls ota.trial.start()")
    _running, _again, _restarts = True, False, False
    try:
        _started()
    finally:
        _running = False


def _started():
    device = None
    try:
        device = _device.get()
        record = device.slots.load()
    except Exception as e:  # of the boot stage, which had no console yet on some ports
        _rescue(device, e)
        return
    if device.failed:
        _rescue(device, _device.error)
        return
    if record.state in (state.APPLY, state.BACK, state.RESCUE) or (
        record.image.floor < record.floor
    ):
        _rescue(device, StateError("rescue", record.reason))
        return
    name = device.config.get("main", "main")
    if record.state == state.TRIAL:
        _try(device, record, name)
        return
    try:
        _import(name)
    except Exception as e:
        if load("failed").started(device, e, name):
            _report(e)
            reset()
        _rescue(device, e)


def _try(device, record, name):
    try:
        if not record.tries:
            # Why the last start failed, if it left a reason.
            last = " %s " % word(record.reason)
            load("verdict").go_back(device, record, last.strip() if last in _REASONS else "tries")
            reset()
        # If power goes after this record, the start counts although it never happened: an
        # image that cuts the power itself must not run for ever.
        record.tries -= 1
        device.slots.save(record)
        load("deadline").arm(device, machine, reset)
        _import(name)
    except KeyboardInterrupt:
        _disarm(device)  # somebody is at the console
        raise
    except BaseException as e:
        if _restarts:
            raise
        if _failed(device, e, name):
            reset()
        if not isinstance(e, Exception):
            raise
        _rescue(device, e)


def _failed(device, error, name) -> bool:
    """False if the application that raised error had been confirmed; else keep why."""
    try:
        now = device.slots.load().state
        if now == state.TRIAL:
            _report(error)
            apart.leave()  # its modules may be all that fills the memory
            load("failed").tried(device, error, name)
        return now in (state.TRIAL, state.BACK, state.RESCUE)
    except Exception as e:
        _report(e)
        return True  # the try is counted


def _import(name):
    __import__(name)
    if _again:
        # It caught what start() raised.
        raise StateError("main", "the slot has none: this one calls ota.trial.start()")


def _rescue(device, error):
    """Run the module of config "rescue", without the slot; raises error if there is none."""
    name = device.config.get("rescue") if device else _device.rescue
    if not name:
        raise error
    _report(error)
    apart.leave()
    __import__(name)


def confirm() -> bool:
    """The running image is good: keep it. True if it was on trial, False if already kept.

    Raises the floor to the image's. Safe to call at every start. Raises FlashError.
    """
    device = _device.get()
    record = device.slots.load()
    if record.state == state.TRIAL:
        device.poll()  # too late is too late, whatever became of the timer
    _disarm(device)
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
    global _restarts
    _restarts = True
    if machine is None or not hasattr(machine, "reset"):
        raise StateError("request")
    machine.reset()


def _disarm(device):
    if device.deadline:
        load("deadline").disarm()


def _report(e):
    if hasattr(sys, "print_exception"):
        sys.print_exception(e)
    else:
        print(repr(e))
