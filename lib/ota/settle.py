"""Settling: what the boot stage does when the record demands work, or there is none yet.

Loaded by boot.py only then: a settled board boots without it. What is recorded when something
fails is in verdict.py, which an apply that goes well never loads.
"""

from . import state
from .compat import collect, const
from .device import load, unload
from .errors import (
    ManifestError,
    OtaError,
    PolicyError,
    RejectError,
    StateError,
    VerifyError,
    code,
)
from .slots import NONE, Image
from .strategy import holds

_STEPS = const(8)  # moves one boot may make, beside tries; a settled state needs none


def settle(device, record):
    """Carry out READY, APPLY and BACK until the state rests; returns the record.

    record: as it was loaded, None before the first boot. If power goes anywhere in here,
    the next boot goes on at the same place.
    """
    record = _adopt(device, record)
    header = None  # of the staged package, once it was checked
    for _ in range(_STEPS + 2 * device.tries):
        if record.state == state.READY:
            header = _begin(device, record)
        elif record.state == state.APPLY:
            _apply(device, record, header)
        elif record.state == state.BACK:
            _back(device, record)
        elif record.state == state.TRIAL and not _runs(device, record):
            load("verdict").go_back(device, record, "digest")
        elif record.state != state.RESCUE or not _restore(device, record):
            break
    # What was written came back: a boot after this one finds nothing to repair. And the
    # application has the memory.
    device.free()
    device.unload_kv()
    return record


def _tried(device, call, *args):
    """(what call gives, None) or (None, the error it ended in); one of them is that memory ran
    out."""
    error: OtaError = StateError("memory")
    try:
        return call(*args), None
    except OtaError as e:
        error = e
    except MemoryError:
        pass
    device.free()  # what is to be recorded now needs some
    collect()
    return None, error


def _adopt(device, record):
    """Take what was put on flash from outside, if anything was; returns the record."""
    adopt = None
    if record is None:
        adopt = load("adopt")
        record = adopt.first(device)
    # Who asked for the factory image does not mean a package that lies about.
    wanted = record.state == state.RESCUE and record.reason == code("restore")
    if record.state == state.RESCUE and record.reason == code("corrupt"):
        _mend(device, record)
    if (
        record.state in (state.IDLE, state.FETCH, state.RESCUE)
        and "ota" in device.partitions
        and not wanted
    ):
        adopt = adopt or load("adopt")
        adopt.by_hand(device, record)
    if adopt:
        unload("adopt")
    return record


def _mend(device, record):
    """The record made no sense. A confirmed image that it names, and that the slot holds, runs."""
    image = record.new
    if image.size and holds(device.slot(record.active), image, device.feed):
        record.state, record.image, record.new = state.IDLE, image, Image()
        device.slots.save(record)
    # Else what was loaded stands: the next boot sees the same.


def _restore(device, record) -> bool:
    if "factory" not in device.partitions:
        return False
    done, error = _tried(device, load("factory").restore, device, record)
    if error:
        load("verdict").note(device, record, error)
    return bool(done)


def _runs(device, record) -> bool:
    return holds(device.slot(record.active), record.image, device.feed)


def _prepare(device, record):
    """What is long comes first, before modules that come and go leave holes."""
    device.prepare_kv()
    if device.strategy != "ab":
        device.block()
    if record.state != state.READY and not any(record.secret):
        # Of an older library, which had none: its marks do not count, those of others neither.
        record.renew()
        device.slots.save(record)


def _begin(device, record):
    """READY: look again at what is staged, then record that the apply begins.

    Returns the package's header, None if there is nothing to apply.
    """
    header, error = _tried(device, _checked, device, record)
    if isinstance(error, (RejectError, VerifyError)):
        # Before it is given up it is read again: it may have been read wrong.
        header, error = _tried(device, _checked, device, record)
    if error:
        load("verdict").refuse(device, record, record.package, error)
    if header is None:
        return None
    record.state = state.APPLY
    record.renew()
    record.tries = device.tries
    if device.strategy == "pingpong":
        # The backup is about to be overwritten: there is nothing older to go back to.
        record.previous, record.old = NONE, Image()
    # If power goes here, the package is checked again, or the apply begins without a mark.
    device.slots.save(record)
    return header


def _checked(device, record):
    """Header of the staged package of READY; None with ab, which is on trial then."""
    _prepare(device, record)
    if device.strategy == "ab":
        for _ in load("strategy.ab").apply(device, record):
            device.feed()
        return None
    header = _staged(device, record)
    load("strategy.staging").suits(device, record, header)
    return header


def _staged(device, record):
    """Header of the package that the record means, read once and checked from flash."""
    header = load("strategy.staging").genuine(device, device.region("ota"))
    if header.digest[:8] != record.package or header.image_digest != record.new.digest:
        raise VerifyError("digest") if record.state == state.APPLY else ManifestError("header")
    return header


def _apply(device, record, header) -> None:
    _, error = _tried(device, _carry_out, device, record, header)
    if error is None or _again(device, record, error):
        return
    if record.image.size and _runs(device, record):
        load("verdict").refuse(device, record, record.package, error)  # nothing was changed yet
    elif device.strategy == "pingpong" and record.image.size:
        record.old, record.image, record.previous = record.image, record.new, 1
        load("verdict").go_back(device, record, error.reason)
    else:
        record.reason = error.code
        record.refused = record.package
        load("verdict").rescue(device, record)


def _carry_out(device, record, header):
    if header is None:  # power went meanwhile, and with it what this boot knows of flash
        _prepare(device, record)
        header = _staged(device, record)
    # The checks are done and their memory is free: now what takes long pieces, and then
    # the code that uses them.
    device.unload_kv()
    device.inflater(header)
    for _ in load("strategy." + device.strategy).apply(device, record, header):
        device.feed()


def _back(device, record) -> None:
    _, error = _tried(device, _go_back, device, record)
    if error is None or _again(device, record, error):
        return
    if not record.reason:
        record.reason = error.code
    load("verdict").rescue(device, record)


def _go_back(device, record):
    _prepare(device, record)
    for _ in load("strategy." + device.strategy).back(device, record):
        device.feed()


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
        _restart()
    return True


def _restart():
    """Reset the board where that can be done; else it goes on at once."""
    try:
        import machine

        machine.reset()
    except (AttributeError, ImportError):
        pass
