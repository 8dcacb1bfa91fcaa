"""Stash: bytes of the base that are saved before an apply in place overwrites them.

Its table precedes the first block of the stream (docs/format-delta.md section 3): <HH count,
length; for each range, ascending, two varints: bytes from the end of the previous one, length.
The stash holds the ranges one after the other.
"""

import struct
from array import array

from ..errors import VerifyError
from .varints import varint

if False:  # for type checkers
    from ota_hints import Base, Inflater, Steps, Writable


class Stash:
    """The stash of one patch.

    Args:
        size: bytes in total; count: ranges; base_size: bytes of the base.
        store: has read(offset, buf), optionally equal(offset, buf), and holds the bytes that
            pieces() yielded; None before that, then read() only checks that they will be there.
    """

    def __init__(self, size, count, base_size, store):
        self.size = size
        self._count = count
        self._base_size = base_size
        self._store = store
        self._starts = array("I", range(count))
        self._places = array("I", range(count + 1))  # in the store; the last one: the end

    def load(self, inflater: "Inflater", buf: "Writable") -> None:
        """Read the table; buf: room for its bytes. Raises VerifyError "patch", "inflate"."""
        head = buf[:4]
        if len(head) < 4:
            raise VerifyError("patch", len(head))
        inflater.readinto(head)
        count, length = struct.unpack("<HH", head)
        if count != self._count or length > len(buf) or length < 2 * count:
            raise VerifyError("patch", count, length)
        if length:
            inflater.readinto(buf[:length])
        at = start = place = 0
        for i in range(count):
            at, gap = varint(buf, at, length)
            at, size = varint(buf, at, length)
            start += gap
            if not size or start + size > self._base_size:
                raise VerifyError("patch", i)
            self._starts[i] = start
            self._places[i] = place
            start += size
            place += size
        if at != length or place != self.size:
            raise VerifyError("patch", at, place)
        self._places[count] = place

    def pieces(self, base: "Base", buf: "Writable") -> "Steps":
        """Generator: fill buf with the contents of the store in turn; yields the bytes in buf."""
        used = 0
        for i in range(self._count):
            at = self._starts[i]
            left = self._places[i + 1] - self._places[i]
            while left:
                n = min(left, len(buf) - used)
                base.read(at, buf[used : used + n])
                at += n
                left -= n
                used += n
                if used == len(buf):
                    yield used
                    used = 0
        if used:
            yield used

    def read(self, source: int, out: memoryview) -> None:
        """Fill out with bytes of the base from source on. Raises VerifyError "order" if they are
        not all in one range, "patch" if they read differently twice."""
        first = 0
        end = self._count
        while first < end:
            middle = first + end >> 1
            if self._starts[middle] <= source:
                first = middle + 1
            else:
                end = middle
        if first:
            place = self._places[first - 1] + source - self._starts[first - 1]
            if place + len(out) <= self._places[first]:
                if self._store:
                    self._store.read(place, out)
                    # No other check detects a bit read wrong here.
                    equal = getattr(self._store, "equal", None)
                    if equal and not equal(place, out):
                        raise VerifyError("patch", place)
                return
        raise VerifyError("order", source)
