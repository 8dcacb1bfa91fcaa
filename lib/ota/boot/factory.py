"""The factory image: a signed full package in the partition "factory", put back on request, by a
pin, or when nothing else may run.

It may be older than the floor allows: it is there to update, and trial.start() then runs the
module of config "rescue" instead of "main". Floor, sequence and the application's keys stay.
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

PARTITION = const("factory")
_HELD_MS = const(5000)
_LOOK_MS = const(10)


def request(device, forget: bool = False) -> None:
    """Record that the factory image is to be restored: RESCUE, and the next boot does it.

    forget: delete the application's keys from the KV as well, before. Raises StateError
    "none" without a factory image, and what is wrong with it: a good image is not given up
    for a bad one.
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


def pressed(device) -> None:
    """As request(), if the pin of config "restore_pin" is held through its time at the start.

    {"pin": id, "level": 0 or 1 while held, "ms": time}. Nothing if the factory image is in
    place, whole: a pin that is stuck does not wear the flash.
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


def restore(device, record) -> bool:
    """RESCUE -> IDLE with the factory image, True; False if there is none that may run.

    If power goes in here, the record still says RESCUE and all of it is done again.
    """
    # With a slot to spare, what was in the active one stays until the end.
    number = (record.active + 1) % len(device.slot_order)
    try:
        header = _check(device)
        device.prepare_kv()
        # Decoded once without writing: a package that does not hold what it says wears nothing.
        h = sha256()
        for _, block in _blocks(device, header):
            h.update(block)
        if h.digest() != header.image_digest:
            raise VerifyError("digest", header.image_size)
        # Said twice before the slot changes: if a cut program also harms the record before it,
        # as it may on some chips, what comes back is not one that believes in the old image.
        record.renew()
        device.slots.save(record)
        _write(device, header, device.slot(number))
    except OtaError as e:
        if record.reason in (0, code("restore")):  # else what led here matters more
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
    """Header of the factory package, checked from flash; it must do on a board as new."""
    header = genuine(device, device.region(PARTITION))
    admit(device, Record(), header)  # which refuses a patch, too: it has no base there
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
        # Also where the slot looks right: a cell of a write that was cut may be weak.
        put(slot, at, block)
    slot.sync()
    device.free()
    if digest(slot, header.image_size, device.feed) != header.image_digest:
        raise VerifyError("digest", header.image_size)
