"""Pointers that moved: a copy is rewritten as a table says before its corrections are added.

Table in the stream, in front of the first block and of each block at a restart point
(docs/format-delta.md section 7): <HH count, length; `count` varints, differences of the
starts; `count` zigzag varints, differences of the shifts. What lies from a start on, up to the
next one, has moved by that shift; what lies before the first one has not.
"""

import struct
from array import array

from ...compat import const
from ...errors import VerifyError
from ...modules import load, unload
from ..varints import signed, varint

_LAST = const(0x7FFFFFFF)  # a 32-bit board calculates with signed numbers


class Pointers:
    """The table of a patch and the code of its kind.

    kind: 1 Thumb, 2 RISC-V, 3 Xtensa. count: entries at the most. base: address of the image's
    first byte, size: bytes of the old image. low, high: a second range of addresses.
    """

    def __init__(self, kind, count, base, low, high, size):
        # range() brings no zeros of its own that would leave holes behind.
        self._starts = array("I", range(count))
        self._shifts = array("i", range(count))
        self._limit = count
        self._count = 0
        self._base = base
        self._spans = array("I", (base, base + size, low, high))
        self._apply = _code(kind)

    def load(self, inflater, buf) -> None:
        """Read the table; buf: room for its bytes. Raises VerifyError "patch", "inflate"."""
        head = buf[:4]
        if len(head) < 4:
            raise VerifyError("patch", len(head))
        inflater.readinto(head)
        count, length = struct.unpack("<HH", head)
        if count > self._limit or length > len(buf) or length < 2 * count:
            raise VerifyError("patch", count, length)
        if length:
            inflater.readinto(buf[:length])
        at = value = 0
        for i in range(count):
            at, step = varint(buf, at, length)
            value += step
            if value > _LAST or (i and not step):
                raise VerifyError("patch", i)
            self._starts[i] = value
        value = 0
        for i in range(count):
            at, step = varint(buf, at, length)
            value += signed(step)
            if not -0x80000000 <= value <= 0x7FFFFFFF:
                raise VerifyError("patch", i)
            self._shifts[i] = value
        if at != length:
            raise VerifyError("patch", at)
        self._count = count

    def apply(self, out, at: int, n: int, old: int, new: int) -> None:
        """Rewrite out[at : at + n], copied from position old of the image to position new."""
        if self._count:
            self._apply(
                out, at, n, self._base + old, new - old, self._spans,
                self._starts, self._shifts, self._count,
            )  # fmt: skip


def available(kind: int) -> bool:
    """True if the code of a kind is installed; it does not stay in memory."""
    try:
        return bool(_code(kind))
    except ImportError:
        return False
    finally:
        unload(_name(kind) + "_viper")
        unload(_name(kind))


def _name(kind):
    names = ("", "thumb", "riscv", "xtensa")
    if not 0 < kind < len(names):
        raise VerifyError("patch", kind)
    return "delta.pointers." + names[kind]


def _code(kind):
    # The errors are explained at the head of patch.py.
    name = _name(kind)
    try:
        return load(name + "_viper").apply
    except (ImportError, SyntaxError, ValueError, NotImplementedError):
        return load(name).apply
