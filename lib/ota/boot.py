"""The boot stage: carries out what is recorded, chooses the slot, mounts it.

Frozen boot.py calls run(); it never counts a try (trial.py does) and never loads the network.
Decisions read the state record and flash contents, nothing else: no clock, no reset cause.
"""

import sys

from . import device as _device
from . import image, state
from .errors import FlashError, ManifestError, OtaError, code
from .flash.mount import RegionBlockDev
from .package.header import version
from .slots import NONE, Image, Record
from .strategy.base import RegionReader, admit, digest, holds

try:
    import vfs
except ImportError:
    vfs = None

_STEPS = 8  # moves one boot may make; a settled state needs none


def run(config, watchdog=None):
    """Settle the state, mount the slot that runs and put it on sys.path; returns the Device.

    config: dict or path of a JSON file (docs/config.md). Raises only what makes the board
    unusable: FlashError of its table or its KV.
    """
    device = _device.Device(config, watchdog)
    _device.current = device
    record = settle(device)
    if record.state != state.RESCUE:
        mount(device, device.slot(record.active))
    return device


def settle(device):
    """Carry out READY, APPLY and BACK until the state rests; returns the record.

    If power goes anywhere in here, the next boot goes on at the same place.
    """
    record = device.slots.load()
    if record is None:
        record = _first(device)
    if record.state in (state.IDLE, state.RESCUE) and "ota" in device.partitions:
        _by_hand(device, record)
    for _ in range(_STEPS):
        if record.state == state.READY:
            _begin(device, record)
        elif record.state == state.APPLY:
            _apply(device, record)
        elif record.state == state.BACK:
            _back(device, record)
        elif record.state == state.TRIAL and not _runs(device, record):
            go_back(device, record, "digest")
        else:
            break
    # What was written came back: a boot after this one finds nothing to repair.
    device.kv.sync()
    return record


def load(name):
    """A module of the package strategy: a board loads (and carries) only what it uses."""
    name = "ota.strategy." + name
    __import__(name)
    return sys.modules[name]


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
    record.journal += 1
    device.slots.save(record)


def mount(device, region) -> None:
    """Mount the image in region at config "mount" and put it on sys.path, in front.

    ROMFS from memory-mapped flash, littlefs read-only through a block device. What cannot be
    mounted (raw data, CPython) is left alone. Raises OSError from the file system.
    """
    where = device.config.get("mount", "/app")
    if vfs is None or not where:
        return
    kind = image.kind(region)
    if kind == "romfs":
        view = region.buffer(image.size(region))
        if view is None:
            raise FlashError("config", "romfs")
        vfs.mount(vfs.VfsRom(view), where)
    elif kind == "lfs2":
        vfs.mount(vfs.VfsLfs2(RegionBlockDev(region)), where, readonly=True)
    else:
        return
    sys.path[:0] = [where, where + "/lib"]


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
    return record


def _runs(device, record) -> bool:
    return holds(device.slot(record.active), record.image, device.feed)


def _by_hand(device, record) -> None:
    """Take a package that somebody put into the OTA partition, if it is newer and genuine."""
    staging = load("staging")
    try:
        header = staging.find(device)[0]
    except ManifestError:
        return
    running = record.image.version
    if record.seen in (header.digest[:8], header.image_digest[:8]) or (
        running and version(header.version) <= version(running)
    ):
        return
    try:
        staging.genuine(device)
        admit(device, record, header)
        if device.strategy == "ab":
            _stream(device, record, header)
        else:
            staging.Plan(device, header)
    except OtaError as e:
        if e.reason != "truncated":
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

    for _ in load("ab").install(device, record, None, header, open_at):
        pass


def _begin(device, record) -> None:
    """READY: look again at what is staged, then record that the apply begins."""
    try:
        if device.strategy == "ab":
            for _ in load(device.strategy).apply(device, record):
                device.feed()
            return
        header = load("staging").genuine(device)
        admit(device, record, header)
        if header.image_digest != record.new.digest:
            raise ManifestError("header")
    except OtaError as e:
        _refuse(device, record, None, e)
        return
    record.state = state.APPLY
    record.journal += 1
    record.tries = device.tries
    device.slots.save(record)


def _apply(device, record) -> None:
    try:
        for _ in load(device.strategy).apply(device, record):
            device.feed()
        return
    except OtaError as e:
        error = e
    if record.image.size and _runs(device, record):
        _refuse(device, record, None, error)  # nothing was changed yet
    elif isinstance(error, FlashError) and record.tries > 1:
        # The chip refused: what is done is marked, so trying again costs nothing.
        record.tries -= 1
        record.reason = error.code
        device.slots.save(record)
    elif device.strategy == "pingpong" and record.image.size:
        record.old, record.image, record.previous = record.image, record.new, 1
        go_back(device, record, error.reason)
    else:
        record.reason = error.code
        record.seen = record.package
        _rescue(device, record)


def _back(device, record) -> None:
    try:
        for _ in load(device.strategy).back(device, record):
            device.feed()
    except OtaError as e:
        if not record.reason:
            record.reason = e.code
        _rescue(device, record)


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
