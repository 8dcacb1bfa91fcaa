"""Starts an image on trial, which only Ctrl-C may end at a prompt, and the rescue module where no
image may run. Loaded by boot/trial.py only then.
"""

import sys

from .. import device as _device
from .. import state
from ..compat import const
from ..errors import StateError, word
from ..modules import load
from . import trial

if False:  # for type checkers
    from ota_hints import Device, Record

_SELF = const("the slot has none: this one calls ota.boot.trial.start()")
# Reasons that a failed try records; a start that ended otherwise records none.
_REASONS = const(" exception deadline memory main ")


def attempt(device: "Device", record: "Record", name: str) -> None:
    """Count the try, then import the application's module `name`; restart if that fails."""
    try:
        if not record.tries:
            # Why the last start failed, if it left a reason.
            last = " %s " % word(record.reason)
            last = last.strip() if last in _REASONS else "tries"
            load("boot.outcome").go_back(device, record, last)
            trial.reset()
        # If power goes after this record, the try counts although the image never started: an
        # image that causes the power cut itself must not run for ever.
        record.tries -= 1
        device.slots.save(record)
        load("boot.deadline").arm(device, trial.machine, trial.reset)
        __import__(name)
        if len(trial.starts) > 1:
            raise StateError("main", _SELF)  # which it caught
    except KeyboardInterrupt:
        if device.deadline:
            load("boot.deadline").disarm()  # a user is at the console
        raise
    except BaseException as e:
        if 0 in trial.starts:
            raise
        if _failed(device, e, name):
            trial.reset()
        if not isinstance(e, Exception):
            raise
        rescue(device, e)


def _failed(device, error, name) -> bool:
    """False if the application that raised error had been confirmed; else record the reason."""
    try:
        now = device.slots.load().state
        if now == state.TRIAL:
            report(error)
            load("boot.fallback").leave()  # its modules may fill the memory
            load("boot.fallback").tried(device, error, name)
        return now in (state.TRIAL, state.BACK, state.RESCUE)
    except Exception as e:
        report(e)
        return True  # the try is counted


def ended(device: "Device", error: Exception, name: str) -> None:
    """After a confirmed application failed, run another image or the rescue module."""
    if load("boot.fallback").started(device, error, name):
        report(error)
        trial.reset()
    rescue(device, error)


def rescue(device: "Device", error: Exception) -> None:
    """Run the module of config "rescue", without the slot; raise error if there is none.

    Args:
        device: None if the boot stage failed to create one.
    """
    config = device.config if device else (_device.error or (0, 0))[1]
    name = config.get("rescue") if isinstance(config, dict) else ""
    if not name:
        raise error
    report(error)
    load("boot.fallback").leave()
    __import__(name)


def report(e: BaseException) -> None:
    """Print a traceback."""
    if hasattr(sys, "print_exception"):
        sys.print_exception(e)
    else:
        print(repr(e))
