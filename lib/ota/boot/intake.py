"""What somebody put on flash from outside: the first image, a package staged by hand.

Loaded by boot/apply.py when there is no record yet, or something lies in the OTA partition.
"""

from .. import image, state
from ..errors import FlashError, ManifestError, OtaError, StateError, code
from ..modules import load
from ..package import version
from ..state.record import AT, PROGRESS, Image, Record
from ..strategy import RegionReader, digest, holds
from .outcome import note, refuse


def first(device):
    """Write and return the record of a board that has none: the slot's image is confirmed,
    its version that of table or layout. RESCUE "empty" if there is none."""
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
        # Made here, so that a stream later replaces it without the KV's code.
        device.kv.set(device.slots.key + AT, bytes(PROGRESS))
    return record


def mend(device, record) -> None:
    """The record made no sense (state/record.py). A confirmed image that it names, and that the
    slot holds, runs; else what was loaded stands, and the next boot sees the same."""
    image = record.new
    if holds(device.slot(record.active), image, device.feed):
        record.state, record.image, record.new = state.IDLE, image, Image()
        # If power goes here, the next boot does it again.
        device.slots.save(record)


def by_hand(device, record) -> None:
    """Take a package that somebody put into the OTA partition, if it is newer and genuine."""
    staging = load("strategy.staging")
    ota = device.region("ota")
    try:
        found = staging.find(ota)
    except ManifestError as e:
        if e.reason != "header":  # that is no package at all, most often blank flash
            note(device, record, e)
        return
    # Read once: this header is the one that is checked, and the one that is used.
    header = found[0]
    name = header.digest[:8]
    if record.state == state.FETCH and (name != record.package or not device.streams):
        return  # of a download; what is streamed from here goes on
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
            note(device, record, e)  # a whole copy of the same name may come
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
    """The staged package goes into the inactive slot as if it were fetched."""

    def open_at(offset):
        yield None
        return RegionReader(device.region("ota"), offset, header.size - offset)

    for _ in device.strategy.install(device, record, None, header, open_at):
        pass
