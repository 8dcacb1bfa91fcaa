"""Settling: what the boot stage does when the record demands work, or there is none yet.

Loaded by boot.py only then: a settled board boots without it. What is recorded when something
fails is in verdict.py, which an apply that goes well never loads.
"""

from . import state
from .compat import const
from .device import load, unload
from .errors import FlashError, ManifestError, OtaError, VerifyError, code
from .slots import NONE, Image
from .strategy import holds

_STEPS = const(8)  # moves one boot may make; a settled state needs none


def settle(device, record):
    """Carry out READY, APPLY and BACK until the state rests; returns the record.

    record: as it was loaded, None before the first boot. If power goes anywhere in here,
    the next boot goes on at the same place.
    """
    record = _adopt(device, record)
    if record.state in (state.READY, state.APPLY, state.BACK):
        device.prepare_kv()
        if device.strategy != "ab":
            device.block()  # long, so before modules that come and go leave holes
    header = None  # of the staged package, once it was checked
    for _ in range(_STEPS):
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


def _adopt(device, record):
    """Take what was put on flash from outside, if anything was; returns the record."""
    adopt = None
    if record is None:
        adopt = load("adopt")
        record = adopt.first(device)
    # Who asked for the factory image does not mean a package that lies about.
    wanted = record.state == state.RESCUE and record.reason == code("restore")
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


def _restore(device, record) -> bool:
    return "factory" in device.partitions and load("factory").restore(device, record)


def _runs(device, record) -> bool:
    return holds(device.slot(record.active), record.image, device.feed)


def _begin(device, record):
    """READY: look again at what is staged, then record that the apply begins.

    Returns the package's header, None if there is nothing to apply.
    """
    try:
        if device.strategy == "ab":
            for _ in load("strategy.ab").apply(device, record):
                device.feed()
            return None
        staging = load("strategy.staging")
        header = staging.genuine(device, device.region("ota"))
        if header.digest[:8] != record.package or header.image_digest != record.new.digest:
            raise ManifestError("header")
        staging.suits(device, record, header)
        number = _number(device, record, staging.journal_region(device))
    except OtaError as e:
        load("verdict").refuse(device, record, record.package, e)
        return None
    record.state = state.APPLY
    record.journal = number
    record.tries = device.tries
    if device.strategy == "pingpong":
        # The backup is about to be overwritten: there is nothing older to go back to.
        record.previous, record.old = NONE, Image()
    device.slots.save(record)
    return header


def _number(device, record, region) -> int:
    """Number for the next apply: above the record's and above every mark that is there.

    A KV that was lost starts to count again; marks of an earlier life must not count.
    """
    last = load("journal").Journal(region, record.journal).highest
    return max(record.journal, last) + 1 & 0xFFFFFFFF


def _apply(device, record, header) -> None:
    try:
        if header is None:  # power went meanwhile, and with it what this boot knows of flash
            staging = load("strategy.staging")
            header = staging.genuine(device, device.region("ota"))
            if header.digest[:8] != record.package:
                raise VerifyError("digest")
        # The checks are done and their memory is free: now what takes long pieces, and then
        # the code that uses them.
        device.unload_kv()
        device.inflater(header)
        for _ in load("strategy." + device.strategy).apply(device, record, header):
            device.feed()
        return
    except OtaError as e:
        error = e
    if record.image.size and _runs(device, record):
        load("verdict").refuse(device, record, record.package, error)  # nothing was changed yet
    elif _again(device, record, error):
        pass
    elif device.strategy == "pingpong" and record.image.size:
        record.old, record.image, record.previous = record.image, record.new, 1
        load("verdict").go_back(device, record, error.reason)
    else:
        record.reason = error.code
        record.seen = record.package
        load("verdict").rescue(device, record)


def _back(device, record) -> None:
    try:
        for _ in load("strategy." + device.strategy).back(device, record):
            device.feed()
    except OtaError as e:
        if _again(device, record, e):
            return
        if not record.reason:
            record.reason = e.code
        load("verdict").rescue(device, record)


def _again(device, record, error) -> bool:
    """True if the chip refused and what is to be done may be tried once more: what is done
    is marked, so that costs nothing."""
    if not isinstance(error, FlashError) or record.tries <= 1:
        return False
    record.tries -= 1
    if record.state == state.APPLY:  # a way back has its own reason
        record.reason = error.code
    device.slots.save(record)
    return True
