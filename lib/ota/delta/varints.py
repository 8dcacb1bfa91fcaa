"""Varints of patches (docs/format-delta.md section 2)."""

from ..errors import VerifyError

if False:  # for type checkers
    from ota_hints import Writable


def varint(buf: "Writable", at: int, end: int) -> tuple:
    """Read the varint at buf[at]; returns (index after it, value).

    Raises VerifyError "patch" unless it ends before `end`.
    """
    value = shift = 0
    while True:
        if at >= end or shift > 28:
            raise VerifyError("patch", at)
        byte = buf[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return at, value
        shift += 7


def signed(value: int) -> int:
    """Zigzag: 0, 1, 2, 3 ... are 0, -1, 1, -2 ..."""
    return (value >> 1) ^ -(value & 1)
