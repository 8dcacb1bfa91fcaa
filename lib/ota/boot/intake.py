"""Takes in what was put on flash from outside: the first image, a package staged by hand.

Loaded by boot/apply.py if there is no record yet, or the OTA partition holds something.
"""

from .. import image, state
from ..errors import FlashError, ManifestError, OtaError, StateError, code
from ..modules import load
from ..package import version
from ..state.record import AT, PROGRESS, Image, Record
from ..strategy import RegionReader, digest, holds
from .outcome import note, refuse, rescue

if False:  # for type checkers
    from ota_hints import Device


def first(device: "Device") -> "Record":
    """Write and return the first record of a board.

    The image in the slot counts as confirmed, with the version of the table or layout; RESCUE
    "empty" if there is no image.
    """
    record = Record()
    slot = device.slot(0)
    size = device.config.get("image_size") or image.size(slot)
    if 0 < size <= slot.size:
        text = device.partitions.version or "0"
        try:
            version(text)
        except ManifestError as e:
            raise FlashError("config", "version", e)
        record.image = Image(text, 0, size, digest(slot, size, device.feed))
    else:
        record.state = state.RESCUE
        record.reason = code("empty")
    device.slots.save(record)
    load("state.accepted").prepare(device)
    if device.streams:
        # Created here, so that a stream can replace it later without the KV's code.
        device.kv.set(device.slots.key + AT, bytes(PROGRESS))
    return record


def mend(device: "Device", record: "Record") -> None:
    """Repair a record that made no sense (state/record.py): run the confirmed image that it
    names, if the slot holds that; else leave the record as it was loaded."""
    image = record.new
    if holds(device.slot(record.active), image, device.feed):
        record.state, record.image, record.new = state.IDLE, image, Image()
        # If power goes here, the next boot does it again.
        device.slots.save(record)


def compare(device: "Device", record: "Record") -> None:
    """Check the running image after the KV was repaired, where an apply rewrites its slot.

    A cut program that damages its whole sector takes the last records with it: an older one then
    names another image than the one in the slot. Then none runs, but the one of the lost update if
    it is whole: see mend(). If power goes before this is recorded, the next boot starts what is
    there.
    """
    if not holds(device.slot(record.active), record.image, device.feed):
        record.reason = code("digest")
        rescue(device, record)


def by_hand(device: "Device", record: "Record") -> None:
    """Take a package that was put into the OTA partition by hand, if it is newer and genuine."""
    staging = load("strategy.staging")
    ota = device.region("ota")
    try:
        found = staging.find(ota)
    except ManifestError as e:
        if e.reason != "header":  # no package at all, usually blank flash
            note(device, record, e)
        return
    # Read once: the header that is checked is the one that is used.
    header = found[0]
    name = header.digest[:8]
    if record.state == state.FETCH and (name != record.package or not device.streams):
        return  # belongs to a download; only one that is streamed from here resumes
    running = record.image.version
    if (
        record.refused == name
        or record.seen == header.image_digest[:8]
        or (running and version(header.version) <= version(running))
    ):
        return
    try:
        staging.genuine(device, ota, found)
        found = None
        if device.streams:
            _stream(device, record, header)
        else:
            staging.suits(device, record, header)
    except OtaError as e:
        if e.reason in ("truncated", "signature"):
            note(device, record, e)  # a complete copy of the same package may follow
        else:
            refuse(device, record, name, e)
        return
    except MemoryError:
        device.free()
        refuse(device, record, name, StateError("memory"))
        return
    if not device.streams:
        record.state = state.READY
        record.package = name
        record.reason = 0
        record.new = Image(header.version, header.floor, header.image_size, header.image_digest)
        device.slots.save(record)


def _stream(device, record, header):
    """Stream the staged package into the inactive slot, as a download would."""

    def open_at(offset):
        yield None
        return RegionReader(device.region("ota"), offset, header.size - offset)

    for _ in device.strategy.install(device, record, None, header, open_at):
        pass
