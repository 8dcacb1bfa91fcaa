"""Settling: what the boot stage does when the record demands work, or there is none yet.

Loaded by boot.py only then: a settled board boots without it. What is recorded when something
fails is in boot/outcome.py, which an apply that goes well never loads.
"""

from .. import state
from ..compat import collect, const
from ..errors import ManifestError, OtaError, RejectError, StateError, VerifyError, code
from ..modules import load
from ..state.record import NONE, Image
from ..strategy import holds

_STEPS = const(8)  # moves one boot may make, beside tries; a settled state needs none


def settle(device, record):
    """Carry out READY, APPLY and BACK until the state rests; returns the record.

    record: as it was loaded, None before the first boot. If power goes anywhere in here,
    the next boot goes on at the same place.
    """
    record = _take_in(device, record)
    header = None  # of the staged package, once it was checked
    for _ in range(_STEPS + 2 * device.tries):
        if record.state in (state.READY, state.APPLY, state.BACK):
            header = _tried(device, record, header) or header
        elif record.state == state.TRIAL and not _runs(device, record):
            load("boot.outcome").go_back(device, record, "digest")
        elif (
            record.state != state.RESCUE
            or "factory" not in device.partitions
            or not _tried(device, record, None)
        ):
            break
    # What was written came back: a boot after this one finds nothing to repair. And the
    # application has the memory.
    device.free()
    device.unload_kv()
    return record


def _tried(device, record, header):
    """What apply() gives; None if it failed and boot/outcome.py recorded what comes of that."""
    twice = record.state == state.READY
    while True:
        error: OtaError = StateError("memory")
        try:
            return apply(device, record, header)
        except OtaError as e:
            error = type(e)(*e.args)  # with its trace CPython would keep all buffers
        except MemoryError:
            pass
        device.free()  # what is to be recorded now needs some
        collect()
        if not twice or not isinstance(error, (RejectError, VerifyError)):
            break
        twice = False  # before it is given up it is read again: it may have been read wrong
    load("boot.outcome").failed(device, record, error)
    return None


def _take_in(device, record):
    """Take what was put on flash from outside, if anything was; returns the record."""
    intake = None
    if record is None:
        intake = load("boot.intake")
        record = intake.first(device)
    # Who asked for the factory image does not mean a package that lies about.
    wanted = record.state == state.RESCUE and record.reason == code("restore")
    if record.state == state.RESCUE and record.new.size:
        intake = load("boot.intake")
        intake.mend(device, record)
    if (
        record.state in (state.IDLE, state.FETCH, state.RESCUE)
        and "ota" in device.partitions
        and not wanted
    ):
        intake = intake or load("boot.intake")
        intake.by_hand(device, record)
    return record


def _runs(device, record) -> bool:
    return holds(device.slot(record.active), record.image, device.feed)


def apply(device, record, header):
    """Do what READY, APPLY, BACK or RESCUE is for; returns the header of the staged package, if
    one was checked, or if a factory image is back. header: what this returned before in this
    boot, None at first. Raises OtaError."""
    now = record.state
    if now == state.RESCUE:
        return load("boot.factory").restore(device, record)
    if now != state.APPLY or header is None:
        device.prepare_kv()
        if not device.streams:
            device.block()  # long, so before modules that come and go leave holes
        if now != state.READY and not any(record.secret):
            # Of an older library: its marks do not count, those of others neither.
            record.renew()
            device.slots.save(record)
    if now == state.BACK:
        steps = device.strategy.back(device, record)
    elif device.streams:
        steps = device.strategy.apply(device, record, None)
    elif now == state.READY or header is None:
        # Nothing on flash is trusted: at READY, and where power went and with it what this boot
        # knows of flash.
        staging = load("strategy.staging")
        header = staging.genuine(device, device.region("ota"))
        if header.digest[:8] != record.package or header.image_digest != record.new.digest:
            raise VerifyError("digest") if now == state.APPLY else ManifestError("header")
        if now == state.APPLY:
            return header
        staging.suits(device, record, header)
        record.state = state.APPLY
        record.renew()
        record.tries = device.tries
        if state.may(device.strategy_name, state.APPLY, state.BACK):
            # The backup is about to be overwritten: there is nothing older to go back to.
            record.previous, record.old = NONE, Image()
        # If power goes here, the package is checked again, or the apply begins without a mark.
        device.slots.save(record)
        return header
    else:
        # The checks are done and their memory is free: now what takes long pieces, and then
        # the code that uses them.
        device.unload_kv()
        device.inflater(header)
        steps = device.strategy.apply(device, record, header)
    for _ in steps:
        device.feed()
    return None
