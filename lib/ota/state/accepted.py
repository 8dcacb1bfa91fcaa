"""What a device keeps of the manifests it accepted, and of releases that it took again.

Two values in the KV beside the state record, docs/format.md section 5. If power goes while one
is written, the old or the new one is read, never a mix.
"""

import hashlib
import struct

from ..compat import const
from ..errors import FlashError, code

SEQUENCES = const(".seq")  # behind the key of the record: a byte of version, then the channels
_AGAIN = const(".again")
_CHANNELS = const(4)
_CHANNEL = const("<8sI")  # of the channel's SHA-256; sequence
# Of the digest of the image that was rolled back, or of the package that the boot stage refused;
# how often again; 1 until it is ready.
_TAKEN = const("<8sBB")
_SAME = const(2)  # times more under one manifest, for what may have failed by chance
_MOST = const(5)  # times more in all


def prepare(device) -> None:
    """Make room for the sequences, so that an update later writes them without the KV's code.

    If power goes here, they find their room when the first one is kept. Raises FlashError.
    """
    _save(device, SEQUENCES, bytes(1 + _CHANNELS * struct.calcsize(_CHANNEL)))


def bound(device, record) -> int:
    """Lowest sequence a manifest of the device's channel may have. Raises FlashError.

    A device that has no such value yet, or none that can be read, goes by its record.
    """
    found = _load(device)
    if found is None:
        return record.sequence
    mine = _name(device)
    for name, sequence in found:
        if name == mine:
            return sequence
    return 0


def keep(device, record, sequence: int) -> None:
    """A manifest of the device's channel was accepted, whatever comes of it.

    Written only when the sequence grew: once for a manifest. Of the channels, the four that
    were accepted last are kept. If power goes here, the same manifest is accepted again.
    Raises FlashError; a store that is full stops no update.
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


def again(device, record, choice) -> bool:
    """True if a release that was given up here, choice, is to be taken once more.

    Silence of the network is enough to keep a good release from being confirmed. So one that
    only was not confirmed in time is taken twice more, by a second question after the same
    start; any but one that was rolled back on request, once more for each manifest that names
    it under a higher sequence; five times in all. A package that only the boot stage refused is
    taken twice more at once (its memory, or what it read, may have been bad luck), else likewise;
    always where no image runs. Counted before it begins: if power goes here, it counts although
    it did not happen.
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
        return True  # the last time it did not even come whole
    if count >= _MOST or (record.reason == code("request") and not refused):
        return False
    if choice.sequence == record.sequence:
        late = record.reason in (code("tries"), code("deadline"))
        if not (late or refused) or count >= _SAME:
            return False
        # Not at once: a bad one would go round and round.
        if not refused and device.refused != record.seen:
            device.refused = record.seen
            return False
    return _save(device, _AGAIN, struct.pack(_TAKEN, mine, count + 1, 1))


def armed(device) -> None:
    """What again() let through waits for its trial: the next time counts.

    If power goes here, or flash refuses, one time is not counted.
    """
    key = device.slots.key + _AGAIN
    try:
        data = device.kv.get(key)
        if data and data[-1]:
            device.kv.set(key, data[:-1] + b"\0")
    except FlashError:
        pass  # the image waits for its start all the same


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
