"""Settling: what the boot stage does when the record demands work, or there is none yet.

Loaded by boot.py only then, and to give an image up: a settled board boots without it.
"""

from . import image, state
from .compat import const
from .device import load
from .errors import FlashError, ManifestError, OtaError, VerifyError, code
from .package import version
from .slots import AT, NONE, PROGRESS, Image, Record
from .strategy import RegionReader, digest, holds

_STEPS = const(8)  # moves one boot may make; a settled state needs none


def settle(device, record):
    """Carry out READY, APPLY and BACK until the state rests; returns the record.

    record: as it was loaded, None before the first boot. If power goes anywhere in here,
    the next boot goes on at the same place.
    """
    if record is None:
        record = _first(device)
    if record.state in (state.IDLE, state.FETCH, state.RESCUE) and "ota" in device.partitions:
        _by_hand(device, record)
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
            go_back(device, record, "digest")
        else:
            break
    # What was written came back: a boot after this one finds nothing to repair. And the
    # application has the memory.
    device.free()
    device.unload_kv()
    return record


def go_back(device, record, word: str) -> None:
    """Record that the running image is given up: BACK, or RESCUE; word: the reason.

    The image is remembered: no update takes it again by itself.
    """
    record.reason = code(word)
    record.seen = record.image.digest[:8]
    if record.previous == NONE or record.old.floor < record.floor:
        _rescue(device, record)
        return
    record.state = state.BACK
    record.tries = device.tries
    record.journal = record.journal + 1 & 0xFFFFFFFF
    device.slots.save(record)


def way_back(device, record) -> bool:
    """True if the image before this one, record.previous, is there and whole."""
    if device.strategy == "inplace":
        return load("strategy.inplace").reversible(device, record)
    return holds(device.slot(record.previous), record.old, device.feed)


def _first(device):
    """The record of a board that has none: its version is that of table or layout."""
    record = Record()
    slot = device.slot(0)
    size = device.config.get("image_size") or image.size(slot)
    if 0 < size <= slot.size:
        text = device.partitions.version or "0"
        version(text)
        record.image = Image(text, 0, size, digest(slot, size, device.feed))
    else:
        record.state = state.RESCUE
        record.reason = code("empty")
    device.slots.save(record)
    if device.strategy == "ab":
        # Made here, so that a stream later replaces it without the KV's code.
        device.kv.set(device.slots.key + AT, bytes(PROGRESS))
    return record


def _runs(device, record) -> bool:
    return holds(device.slot(record.active), record.image, device.feed)


def _by_hand(device, record) -> None:
    """Take a package that somebody put into the OTA partition, if it is newer and genuine."""
    staging = load("strategy.staging")
    try:
        header = staging.find(device)[0]
    except ManifestError as e:
        if e.reason != "header":  # that is no package at all, most often blank flash
            _why(device, record, e)
        return
    if record.state == state.FETCH and (
        device.strategy != "ab" or header.digest[:8] != record.package
    ):
        return  # of a download; what ab streams from here goes on
    running = record.image.version
    if record.seen in (header.digest[:8], header.image_digest[:8]) or (
        running and version(header.version) <= version(running)
    ):
        return
    try:
        staging.genuine(device)
        if device.strategy == "ab":
            _stream(device, record, header)
        else:
            staging.suits(device, record, header)
    except OtaError as e:
        if e.reason in ("truncated", "signature"):
            _why(device, record, e)  # a whole copy of the same name may come
        else:
            _refuse(device, record, header, e)
        return
    if device.strategy != "ab":
        record.state = state.READY
        record.package = header.digest[:8]
        record.reason = 0
        record.new = Image(header.version, header.floor, header.image_size, header.image_digest)
        device.slots.save(record)


def _stream(device, record, header):
    """Strategy ab: the staged package goes into the inactive slot as if it were fetched."""

    def open_at(offset):
        yield None
        return RegionReader(device.region("ota"), offset, header.size - offset)

    for _ in load("strategy.ab").install(device, record, None, header, open_at):
        pass


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
        header = staging.genuine(device)
        if header.digest[:8] != record.package or header.image_digest != record.new.digest:
            raise ManifestError("header")
        staging.suits(device, record, header)
        number = _number(device, record, staging.journal_region(device))
    except OtaError as e:
        _refuse(device, record, None, e)
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
            header = load("strategy.staging").genuine(device)
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
        _refuse(device, record, None, error)  # nothing was changed yet
    elif _again(device, record, error):
        pass
    elif device.strategy == "pingpong" and record.image.size:
        record.old, record.image, record.previous = record.image, record.new, 1
        go_back(device, record, error.reason)
    else:
        record.reason = error.code
        record.seen = record.package
        _rescue(device, record)


def _back(device, record) -> None:
    try:
        for _ in load("strategy." + device.strategy).back(device, record):
            device.feed()
    except OtaError as e:
        if _again(device, record, e):
            return
        if not record.reason:
            record.reason = e.code
        _rescue(device, record)


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


def _why(device, record, error) -> None:
    """Note why a package was left alone, once, and not over something that matters more."""
    if not record.reason:
        record.reason = error.code
        device.slots.save(record)


def _rescue(device, record) -> None:
    """No image may run: say so; only a full package helps from here."""
    record.state = state.RESCUE
    record.previous = NONE
    record.image, record.old = Image(), Image()
    device.slots.save(record)


def _refuse(device, record, header, error) -> None:
    """Back to the image that runs, the reason kept, the package not looked at again."""
    record.state = state.IDLE if record.image.size else state.RESCUE
    record.reason = error.code
    record.seen = header.digest[:8] if header else record.package
    record.new = Image()
    device.slots.save(record)
