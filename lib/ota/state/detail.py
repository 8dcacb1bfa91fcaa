"""The text of a failure beside its code, kept over the reset for ota.status()."""

from ..compat import const

if False:  # for type checkers
    from ota_hints import Device

_KEY = const(".why")  # behind the state's key
_BYTES = const(48)


def keep(device: "Device", number: int, error: Exception) -> None:
    """Keep what was raised beside the reason with this code.

    If power goes here, the text before it is there, which names another code or, at worst, an
    earlier failure of the same. Nothing of it may stop the way back.
    """
    try:
        text = repr(error)[:_BYTES].encode()[:_BYTES]
        value = bytes((number & 0xFF, number >> 8)) + text + bytes(_BYTES - len(text))
        device.kv.set(device.slots.key + _KEY, value)
        device.unload_kv()
    except Exception:
        pass


def detail(device: "Device", number: int) -> str:
    """What was kept of the failure with this code, "" for nothing. Raises FlashError."""
    data = device.kv.get(device.slots.key + _KEY) or b"\0\0"
    try:
        return data[2:].rstrip(b"\0").decode() if data[0] | data[1] << 8 == number else ""
    except ValueError:
        return ""  # cut in a character
