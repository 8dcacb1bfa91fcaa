"""The factory image: a signed full package in the partition "factory", restored on request, by a
pin, or when no other image may run.

It may be below the floor (the anti-rollback version), but then only to update: trial.start() runs
the module of config "rescue" instead of "main". Floor, sequence and the application's keys stay.
"""

from hashlib import sha256

from .. import state
from ..compat import const, sleep_ms
from ..delta import decoder
from ..errors import FlashError, OtaError, PolicyError, StateError, VerifyError, code
from ..modules import firmware
from ..package import chunks
from ..state.record import NONE, Image, Record
from ..strategy import RegionReader, admit, digest, geometry, holds, put
from ..strategy.staging import genuine
from .outcome import note, rescue

if False:  # for type checkers
    from ota_hints import Device

PARTITION = const("factory")
_HELD_MS = const(5000)
_LOOK_MS = const(10)


def request(device: "Device", forget: bool = False) -> None:
    """Record RESCUE, so that the next boot restores the factory image.

    Args:
        forget: delete the application's keys from the KV first.
    Raises:
        StateError: "none" if there is no factory image.
        OtaError: the factory image is damaged or not for this board: a good image is not
            replaced by a bad one.
    """
    record = device.slots.load()
    if record is None or PARTITION not in device.partitions:
        raise StateError("none")
    _check(device)
    if forget:
        # If power goes here, keys are gone but nothing is requested yet: ask again.
        for key in device.kv.keys():
            if not key.startswith("ota."):
                device.kv.delete(key)
    _ask(device, record)


def pressed(device: "Device") -> None:
    """Like request(), if the pin of config "restore_pin" is held long enough at the start.

    The configuration is {"pin": id, "level": 0 or 1 while held, "ms": time}. Does nothing if the
    factory image is in place and intact: a stuck pin does not wear the flash.
    """
    machine = firmware("machine")
    spec = device.config["restore_pin"]
    if not isinstance(spec, dict) or "pin" not in spec:
        raise FlashError("config", "restore_pin")
    level = spec.get("level", 0)
    pull = machine.Pin.PULL_DOWN if level else machine.Pin.PULL_UP
    pin = machine.Pin(spec["pin"], machine.Pin.IN, pull)
    for _ in range(spec.get("ms", _HELD_MS) // _LOOK_MS + 1):
        if pin.value() != level:
            return
        device.feed()
        sleep_ms(_LOOK_MS)
    record = device.slots.load()
    if record is None or record.state == state.RESCUE:
        return  # restored anyway
    try:
        header = _check(device)
        if (
            record.state != state.IDLE
            or record.image.digest != header.image_digest
            or not holds(device.slot(record.active), record.image, device.feed)
        ):
            _ask(device, record)
    except OtaError as e:
        note(device, record, e)


def _ask(device, record):
    # If power goes after this record, the next boot restores; before it, nothing happened.
    record.reason = code("restore")
    rescue(device, record)


def restore(device: "Device", record: "Record") -> bool:
    """Restore the factory image: RESCUE -> IDLE. False if there is none that may run.

    If power goes in here, the record still says RESCUE and all of it is done again.
    """
    # With a second slot, the active one is left as it is until the end.
    number = (record.active + 1) % len(device.slot_order)
    try:
        header = _check(device)
        device.prepare_kv()
        # Decode once without writing: a package with wrong content must not wear the flash.
        h = sha256()
        for _, block in _blocks(device, header):
            h.update(block)
        if h.digest() != header.image_digest:
            raise VerifyError("digest", header.image_size)
        # Record RESCUE twice before the slot changes: on some chips an interrupted program also
        # damages the record before it, and then none may come back that names the old image.
        record.renew()
        device.slots.save(record)
        _write(device, header, device.slot(number))
    except OtaError as e:
        if record.reason in (0, code("restore")):  # else the reason that led here is kept
            record.reason = e.code
            device.slots.save(record)
        return False
    record.state = state.IDLE
    record.active, record.previous = number, NONE
    record.tries = 0
    record.image = Image(header.version, header.floor, header.image_size, header.image_digest)
    record.old = record.new = Image()
    device.slots.save(record)
    return True


def _check(device):
    """Header of the factory package, checked from flash, for a board in its first state."""
    header = genuine(device, device.region(PARTITION))
    admit(device, Record(), header)  # rejects a patch, too: there is no base for it
    for number in range(len(device.slot_order)):
        slot = device.slot(number)
        geometry(slot, header.block_size, True)
        if header.image_size > slot.size:
            raise PolicyError("fit", header.image_size, slot.size)
    return header


def _blocks(device, header):
    """Yield (offset, bytes) of each block of the factory image."""
    device.free()
    inflater = device.inflater(header)
    out = device.block()[: header.block_size]
    region = device.region(PARTITION)
    reader = RegionReader(region, header.length, header.payload_size)
    for _, index, length in chunks.blocks(
        chunks.Chunks(header), reader, inflater, decoder(header, region), out
    ):
        device.feed()
        yield index * header.block_size, out[:length]


def _write(device, header, slot):
    for at, block in _blocks(device, header):
        # Also where the slot looks right: cells of an interrupted write may be weak.
        put(slot, at, block)
    slot.sync()
    device.free()
    if digest(slot, header.image_size, device.feed) != header.image_digest:
        raise VerifyError("digest", header.image_size)
