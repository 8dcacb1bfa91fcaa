"""Which keys the store holds and where: 6 bytes of RAM for each.

The index has 16 bits of a key's check and the offset of its latest operation; the key itself
is compared on flash.
"""

from array import array
from binascii import crc32

from .layout import HEAD, SET

OWN = b"ota."  # keys that may use the reserved room


class Index:
    """The keys of a log.

    at: offset of the latest operation of each of the `count` keys. used: bytes of the records
    of user keys and of our keys. vlen: length of the value that find() found.
    """

    def __init__(self, log):
        self._log = log
        self.vlen = 0
        self.clear()

    def clear(self) -> None:
        """Forget every key."""
        self.hashes = array("H")
        self.at = array("I")
        self.count = 0
        self.used = [0, 0]

    def find(self, key: bytes) -> int:
        """Place of key in `at`, -1 if it is not there; vlen is then that of its value.

        The log's buffer begins with the check, head and key of a record of its own.
        """
        log = self._log
        h = crc32(key) & 0xFFFF
        n = HEAD + len(key)
        for i in range(self.count):
            if self.hashes[i] == h:
                # From the check before the head, if it is a record of its own.
                at = self.at[i] - 4
                head = log.view[: min(n, log.region.size - at)]
                log.region.peek(at, head)  # may reach beyond a shorter record
                if head[6] == len(key) and head[HEAD:] == key:
                    self.vlen = head[4] | head[5] << 8
                    return i
        return -1

    def live(self, op: int) -> bool:
        """True if the operation at op holds its key's value."""
        return self._place(op) >= 0

    def moved(self, op: int, to: int) -> None:
        """Move the live operation at op to `to`."""
        self.at[self._place(op)] = to

    def apply(self, op: int, kind: int, key: bytes, vlen: int) -> None:
        """Make the operation at op, SET or DEL, the latest on key."""
        own = key.startswith(OWN)
        i = self.find(key)
        if i >= 0:
            self.used[own] -= self._log.length(len(key) + self.vlen)
        if kind == SET:
            self.used[own] += self._log.length(len(key) + vlen)
            if i >= 0:
                self.at[i] = op
                return
            if self.count == len(self.at):
                self.hashes.append(0)
                self.at.append(0)
            self.hashes[self.count] = crc32(key) & 0xFFFF
            self.at[self.count] = op
            self.count += 1
        elif i >= 0:
            self._remove(i)

    def forget(self, start: int, end: int) -> None:
        """Drop the keys that still point into [start, end)."""
        i = 0
        before = self.count
        while i < self.count:
            if start <= self.at[i] < end:
                self._remove(i)
            else:
                i += 1
        if self.count < before:
            self._measure()

    def _place(self, op: int) -> int:
        for i in range(self.count):
            if self.at[i] == op:
                return i
        return -1

    def _remove(self, i: int) -> None:
        self.count -= 1
        self.hashes[i] = self.hashes[self.count]
        self.at[i] = self.at[self.count]

    def _measure(self) -> None:
        log = self._log
        self.used = [0, 0]
        head = bytearray(HEAD)
        for i in range(self.count):
            log.region.read(self.at[i], head)
            self.used[head[4:] == OWN] += log.length(head[2] + (head[0] | head[1] << 8))
