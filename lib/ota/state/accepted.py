"""Remembers the accepted manifests, and the releases that were installed again after a failure.

Two values in the KV beside the state record, docs/format.md section 5. If power goes while one
is written, the old or the new one is read, never a mix.
"""

import hashlib
import struct

from ..compat import const
from ..errors import FlashError, code

if False:  # for type checkers
    from ota_hints import Choice, Device, Record

SEQUENCES = const(".seq")  # behind the key of the record: a byte of version, then the channels
_AGAIN = const(".again")
_CHANNELS = const(4)
_CHANNEL = const("<8sI")  # of the channel's SHA-256; sequence
# Start of the digest of the reverted image, or of the package that the boot stage rejected; how
# often it was installed again; 1 until it is ready.
_TAKEN = const("<8sBB")
_SAME = const(2)  # further attempts under one manifest, after failures that may be chance
_MOST = const(5)  # further attempts in all


def prepare(device: "Device") -> None:
    """Make room for the sequences, so that an update can write them without the KV's code.

    If power goes here, the first accepted manifest makes that room. Raises FlashError.
    """
    _save(device, SEQUENCES, bytes(1 + _CHANNELS * struct.calcsize(_CHANNEL)))


def bound(device: "Device", record: "Record") -> int:
    """Lowest sequence a manifest of the device's channel may have. Raises FlashError.

    Without a readable value that of the state record applies.
    """
    found = _load(device)
    if found is None:
        return record.sequence
    mine = _name(device)
    for name, sequence in found:
        if name == mine:
            return sequence
    return 0


def keep(device: "Device", record: "Record", sequence: int) -> None:
    """Remember the sequence of a manifest that was accepted, whether it is installed or not.

    Written only if the sequence grew; the four channels accepted last are kept. If power goes
    here, the same manifest is accepted again. Raises FlashError, but not if the store is full.
    """
    if sequence <= bound(device, record):
        return
    mine = _name(device)
    kept = [(mine, sequence)] + [one for one in _load(device) or () if one[0] != mine]
    data = bytearray(1 + _CHANNELS * struct.calcsize(_CHANNEL))
    data[0] = 1
    for i, (name, last) in enumerate(kept[:_CHANNELS]):
        struct.pack_into(_CHANNEL, data, 1 + i * struct.calcsize(_CHANNEL), name, last)
    _save(device, SEQUENCES, bytes(data))


def again(device: "Device", record: "Record", choice: "Choice") -> bool:
    """True if a release that failed here before, choice, is to be installed once more.

    - A release that was not confirmed in time may have been good, with the network down: twice
      more, at the second check after the same start.
    - Any release, unless rolled back on request: once more for each manifest with a higher
      sequence that names it.
    - A package that the boot stage rejected may have met a misread or a lack of memory: twice more
      at once, then as above.
    - At most five times in all; always if no image runs.

    Counted before it begins: if power goes here, it counts although it did not happen.
    """
    mine = record.seen
    refused = choice.image_digest[:8] != mine
    if refused:
        mine = choice.digest[:8]
        if not record.image.size:
            return True
    data = device.kv.get(device.slots.key + _AGAIN)
    name, count, begun = b"", 0, 0
    if data and len(data) == struct.calcsize(_TAKEN):
        name, count, begun = struct.unpack(_TAKEN, data)
    if name != mine:
        count = begun = 0
    if begun:
        return True  # the last attempt was not even downloaded completely
    if count >= _MOST or (record.reason == code("request") and not refused):
        return False
    if choice.sequence == record.sequence:
        late = record.reason in (code("tries"), code("deadline"))
        if not (late or refused) or count >= _SAME:
            return False
        # Not at once: a bad release would loop.
        if not refused and device.refused != record.seen:
            device.refused = record.seen
            return False
    return _save(device, _AGAIN, struct.pack(_TAKEN, mine, count + 1, 1))


def armed(device: "Device") -> None:
    """Note that a release let through by again() is ready, so that the next attempt counts.

    If power goes here, or the flash fails, one attempt is not counted.
    """
    key = device.slots.key + _AGAIN
    try:
        data = device.kv.get(key)
        if data and data[-1]:
            device.kv.set(key, data[:-1] + b"\0")
    except FlashError:
        pass  # the image is ready all the same


def _name(device):
    return hashlib.sha256(device.channel.encode()).digest()[:8]


def _load(device):
    """[(name of a channel, sequence)], the last accepted first; None if there is no such value."""
    data = device.kv.get(device.slots.key + SEQUENCES)
    size = struct.calcsize(_CHANNEL)
    if not data or data[0] != 1 or len(data) != 1 + _CHANNELS * size:
        return None
    found = [struct.unpack_from(_CHANNEL, data, i) for i in range(1, len(data), size)]
    return [one for one in found if one[1]]


def _save(device, name, data) -> bool:
    saved = True
    try:
        device.kv.set(device.slots.key + name, data)
    except FlashError as e:
        if e.reason != "full":
            raise
        saved = False
    if device.kv.loaded:  # a download comes next
        device.unload_kv()
    return saved
