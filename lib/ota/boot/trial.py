"""Starting the application, and what it or a person says of it: confirm, rollback.

Frozen main.py calls start(). The try is counted here and not in the boot stage, because a
soft reset from mpremote runs boot.py and must not use up tries. A start on trial is in
boot/attempt.py, the deadline in boot/deadline.py, what is done with an application that fails in
boot/fallback.py: a settled board needs none of them.
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
# Main modules that are being started, 1: a second one is that which called; 0: restarts, and
# what is raised from then on is not the application's.
starts: list = []


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
                error = _device.error[0]
            elif record.state in (state.APPLY, state.BACK, state.RESCUE) or (
                record.image.floor < record.floor
            ):
                error = StateError("rescue", record.reason)
        except Exception as e:  # of the boot stage, which had no console yet on some ports
            error = e
        if error is not None:
            load("boot.attempt").rescue(device, error)
            return
        name = device.config.get("main", "main")
        if record.state == state.TRIAL:
            load("boot.attempt").attempt(device, record, name)
            return
        try:
            __import__(name)
            if len(starts) > 1:
                raise StateError("main", _SELF)  # which it caught
        except Exception as e:
            load("boot.attempt").ended(device, e, name)
    finally:
        starts.clear()


def confirm() -> bool:
    """The running image is good: keep it. True if it was on trial, False if already kept.

    Raises the floor to the image's. Safe to call at every start. Raises FlashError.
    """
    device = _device.get()
    record = device.slots.load()
    if record.state == state.TRIAL:
        device.feed()  # too late is too late, whatever became of the timer
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
    if record.state == state.IDLE and not load("boot.outcome").way_back(device, record):
        raise StateError("none")
    load("boot.outcome").go_back(device, record, "request")
    if restart:
        reset()


def reset() -> None:
    """Restart the board. Where there is none (CPython), raises StateError "request"."""
    if starts:
        starts.append(0)
    if machine is None or not hasattr(machine, "reset"):
        raise StateError("request")
    machine.reset()
