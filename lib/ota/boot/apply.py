"""Settling: the boot stage's work when the record demands any, or there is no record yet.

Loaded only then: a settled board boots without it. boot/outcome.py records failures; an apply
that succeeds never loads it.
"""

from .. import state
from ..compat import collect, const
from ..errors import ManifestError, OtaError, RejectError, StateError, VerifyError, code
from ..modules import load
from ..state.record import NONE, Image
from ..strategy import holds

if False:  # for type checkers
    from ota_hints import Any, Device, Record

_STEPS = const(8)  # moves one boot may make, beside tries; a settled state needs none


def settle(device: "Device", record: "Record | None") -> "Record":
    """Carry out READY, APPLY and BACK until the state rests; return the record.

    If power goes anywhere in here, the next boot resumes at the same place.

    Args:
        record: as it was loaded, None before the first boot.
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
    # Proves what was written, so that the next boot finds nothing to repair, and leaves the
    # memory to the application.
    device.free()
    device.unload_kv()
    return record


def _tried(device, record, header):
    """Result of apply(); None if it failed and boot/outcome.py recorded the consequence."""
    twice = record.state == state.READY
    while True:
        error: OtaError = StateError("memory")
        try:
            return apply(device, record, header)
        except OtaError as e:
            error = type(e)(*e.args)  # with its trace CPython would keep all buffers
        except MemoryError:
            pass
        device.free()  # recording the failure needs memory
        collect()
        if not twice or not isinstance(error, (RejectError, VerifyError)):
            break
        twice = False  # read it again before rejecting it: it may have been misread
    load("boot.outcome").failed(device, record, error)
    return None


def _take_in(device, record):
    """Take in what was put on flash from outside, if anything; return the record."""
    intake = None
    if record is None:
        intake = load("boot.intake")
        record = intake.first(device)
    elif device.repaired and not device.streams and record.state in (state.IDLE, state.FETCH):
        intake = load("boot.intake")
        intake.compare(device, record)
    # A request for the factory image takes precedence over a staged package.
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


def apply(device: "Device", record: "Record", header: "Any") -> "Any":
    """Carry out READY, APPLY, BACK or RESCUE once.

    Args:
        header: what this returned before in this boot, None at first.
    Returns:
        header of the staged package if it was checked, else None; in RESCUE True if the factory
        image was restored.
    Raises:
        OtaError: it failed; nothing was recorded about that yet.
    """
    now = record.state
    if now == state.RESCUE:
        return load("boot.factory").restore(device, record)
    if now != state.APPLY or header is None:
        device.prepare_kv()
        if not device.streams:
            device.block()  # long, so before temporary modules fragment the heap
        if now != state.READY and not any(record.secret):
            # Written by an older library: without a secret no marks count.
            record.renew()
            device.slots.save(record)
    if now == state.BACK:
        steps = device.strategy.back(device, record)
    elif device.streams:
        steps = device.strategy.apply(device, record, None)
    elif now == state.READY or header is None:
        # Nothing on flash is trusted: check the package at READY, and again after a power cut.
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
            # The backup is about to be overwritten: no older image remains.
            record.previous, record.old = NONE, Image()
        # If power goes here, the package is checked again, or the apply begins without a mark.
        device.slots.save(record)
        return header
    else:
        # The checks are done and their memory is free: allocate the long buffers first, then
        # load the code that uses them.
        device.unload_kv()
        device.inflater(header)
        steps = device.strategy.apply(device, record, header)
    for _ in steps:
        device.feed()
    return None
