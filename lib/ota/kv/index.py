"""Which keys the store holds and where: 6 bytes of RAM for each.

The index has 16 bits of a key's check and the offset of its latest operation; the key itself
is compared on flash.
"""

from array import array
from binascii import crc32

from .layout import HEAD, SET
from .log import Log

OWN = b"ota."  # keys that may use the reserved room


class Index(Log):
    """A log that knows its keys."""

    def __init__(self, region):
        Log.__init__(self, region)
        self.clear_index()

    def clear_index(self) -> None:
        """Forget every key."""
        self._hash = array("H")
        self._at = array("I")
        self._n = 0
        self._live = [0, 0]  # bytes of records of user keys, of our keys

    def live(self, op: int) -> bool:
        """True if the operation at op holds its key's value."""
        return self._index(op) >= 0

    def moved(self, op: int, to: int) -> None:
        """The live operation at op now is at `to`."""
        self._at[self._index(op)] = to

    def forget(self, start: int, end: int) -> None:
        """What still points into [start, end) is lost."""
        i = 0
        before = self._n
        while i < self._n:
            if start <= self._at[i] < end:
                self._remove(i)
            else:
                i += 1
        if self._n < before:
            self._count()

    def apply(self, op: int, kind: int, key: bytes, vlen: int) -> None:
        """The operation at op, SET or DEL, is the latest on key."""
        own = key.startswith(OWN)
        i = self._find(key)
        if i >= 0:
            self._live[own] -= self.align(HEAD + len(key) + self.vlen)
        if kind == SET:
            self._live[own] += self.align(HEAD + len(key) + vlen)
            if i >= 0:
                self._at[i] = op
                return
            if self._n == len(self._at):
                self._hash.append(0)
                self._at.append(0)
            self._hash[self._n] = crc32(key) & 0xFFFF
            self._at[self._n] = op
            self._n += 1
        elif i >= 0:
            self._remove(i)

    def _find(self, key: bytes) -> int:
        """Place of key in the index, -1 if it is not there; vlen is then that of its value."""
        h = crc32(key) & 0xFFFF
        n = HEAD + len(key)
        for i in range(self._n):
            if self._hash[i] == h:
                # From the check before the head, if it is a record of its own.
                at = self._at[i] - 4
                head = self._view[: min(n, self.region.size - at)]
                self.region.peek(at, head)  # may reach beyond a shorter record
                if head[6] == len(key) and head[HEAD:] == key:
                    self.vlen = head[4] | head[5] << 8
                    return i
        return -1

    def _index(self, op: int) -> int:
        for i in range(self._n):
            if self._at[i] == op:
                return i
        return -1

    def _remove(self, i: int) -> None:
        self._n -= 1
        self._hash[i] = self._hash[self._n]
        self._at[i] = self._at[self._n]

    def _count(self) -> None:
        self._live = [0, 0]
        head = bytearray(HEAD)
        for i in range(self._n):
            self.region.read(self._at[i], head)
            size = self.align(HEAD + head[2] + (head[0] | head[1] << 8))
            self._live[head[4:] == OWN] += size
