"""Pointer filter: rewrites the pointers in a copy by a table before corrections are added.

The table precedes the first block and each block at a restart point in the stream
(docs/format-delta.md section 7): <HH count, length; `count` varints, differences of the starts;
`count` zigzag varints, differences of the shifts. Addresses from a start up to the next one
have moved by that shift; addresses below the first start have not moved.
"""

import struct
from array import array

from ...compat import const
from ...errors import VerifyError
from ...modules import load, unload
from ..varints import signed, varint

if False:  # for type checkers
    from ota_hints import Inflater, Writable

_LAST = const(0x7FFFFFFF)  # a 32-bit board calculates with signed numbers


class Pointers:
    """The filter of one patch.

    Args:
        kind: 1 Thumb, 2 RISC-V, 3 Xtensa.
        count: maximum number of table entries.
        base: address of the first byte of the image; size: bytes of the old image.
        low, high: a second range of addresses.
    """

    def __init__(self, kind, count, base, low, high, size):
        # range() needs no temporary zeros, which would leave holes in the heap.
        self._starts = array("I", range(count))
        self._shifts = array("i", range(count))
        self._limit = count
        self._count = 0
        self._base = base
        self._spans = array("I", (base, base + size, low, high))
        self._apply = _code(kind)

    def load(self, inflater: "Inflater", buf: "Writable") -> None:
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

    def apply(self, out: memoryview, at: int, n: int, old: int, new: int) -> None:
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
    # patch.py explains the errors.
    name = _name(kind)
    try:
        return load(name + "_viper").apply
    except (ImportError, SyntaxError, ValueError, NotImplementedError):
        return load(name).apply
