"""Who takes a release first: a part of all devices, drawn by a hash. Pure, also on MicroPython."""

import hashlib

WHOLE = 10000  # a share is counted in hundredths of a percent


def chosen(device_id: bytes, salt: bytes, share: int) -> bool:
    """True if the device is among the first share/100 % of all devices.

    device_id: what is unique about the device, such as machine.unique_id(). salt: what is
    unique about the release, so that not the same devices go first each time. share:
    0..10000. A device that a small share takes in, any larger one takes in as well.
    """
    rest = 0
    for byte in hashlib.sha256(device_id + salt).digest():
        rest = (rest * 256 + byte) % WHOLE  # big-endian, and no number longer than 22 bits
    return rest < share
