"""Reading all records after a boot: what the index holds then, and what is in doubt."""

from binascii import crc32
from struct import unpack

from ..compat import const
from .layout import ACTIVE, BATCH, COPY, ERASING, HEAD, IN_BATCH, SYNC, VOID
from .ring import BORN, FREE
from .scan import after, numbers

OUTDONE = const(-2)  # Replay.last: no SYNC proves the last data record, but a copy has its keys


class Replay:
    """What one reading of the log found.

    voids: [sequence, start, end] of each VOID; records that start there are ignored. torn: the
    same of places that are neither record nor erased, and in no VOID. proven: how many of voids
    a SYNC proves. last: place of the last data record that no SYNC proves, -1 or OUTDONE.
    """

    def __init__(self, ring):
        self.ring = ring
        self.voids: list = []
        self.torn: list = []
        self.proven = 0
        self.last = -1
        self._names: list = []  # the keys of that record
        self._body, self._body_at = None, -1  # the data record before, and where it is

    def run(self) -> None:
        """Index all records, again until no VOID is news."""
        ring = self.ring
        log = ring.log
        voids = self.voids
        while True:
            known = voids
            voids = self.voids = []
            self.torn = []
            self.proven = 0
            self.last = -1
            self._body, self._body_at = None, -1
            ring.index.clear()
            notes = [0] * log.sectors
            for q in sorted([q for q in log.seq if q]):
                s = log.seq.index(q)
                end = log.first(s)
                n = 0
                for at, n in log.scan(s):
                    end = after(log, at, n)
                    if n < 0:
                        self.torn.append([q, at, at - n])
                    elif not _covered(known, q, at, at):
                        self._take(at, notes)
            self._close(end, n < 0)
            if len(voids) <= len(known):
                break
        for s in range(log.sectors):
            # Born again fewer times than a note promised: that erase was cut.
            if ring.state[s] == FREE and ring.wear[s] < notes[s]:
                ring.state[s] = BORN
            elif not ring.state[s] and not log.seq[s]:
                ring.wear[s] = max(ring.wear[s], notes[s] - 1)
        self.torn = [t for t in self.torn if not _covered(voids, t[0], t[1], t[2])]

    def _close(self, end: int, torn: bool) -> None:
        """The newest sector was read up to end; what is skipped behind it is void as well."""
        ring = self.ring
        ring.end = max(ring.end, end)
        if torn:
            self.torn[-1][2] = ring.end
        elif end < ring.end:
            self.torn.append([ring.log.seq[ring.newest], end, ring.end])

    def _take(self, at: int, notes) -> None:
        log = self.ring.log
        kind = log.kind
        if kind == VOID:
            self.voids.append(list(numbers(log)))
        elif kind == SYNC:
            self.proven = len(self.voids)
            self.last = -1
        elif kind in (ACTIVE, ERASING):
            a, b, c = numbers(log)
            if kind == ERASING:
                a, b, c = 0, a, b
            if b < log.sectors:
                notes[b] = max(notes[b], c)
        else:
            self._take_data(at, kind, log.klen, log.vlen)

    def _take_data(self, at: int, kind: int, klen: int, vlen: int) -> None:
        log = self.ring.log
        if not kind & COPY:
            self.last = at
            self._names = []
        size = klen + vlen
        if size > len(log.view):
            self._same(at, kind, size, (klen, vlen, _body_crc(log)))
            for op, what, key, vlen in log.long:
                # A record of its own has its kind in its head.
                self._say(kind, op, what or kind & 0x7F, key, vlen)
            return
        # The check left key and value in the buffer: what was checked counts.
        body = bytes(log.view[:size])
        self._same(at, kind, size, body)
        if kind & 0x7F != BATCH:
            self._say(kind, at + 4, kind & 0x7F, body[:klen], vlen)
            return
        i = 0
        while i + 4 <= size:
            vlen, klen, what = unpack("<HBB", body[i : i + 4])
            key = body[i + 4 : i + 4 + klen]
            self._say(kind, at + HEAD + i, what & ~IN_BATCH, key, vlen)
            i += 4 + klen + vlen

    def _same(self, at: int, kind: int, size: int, body) -> None:
        """Note the body of a data record: bytes, or lengths and CRC where they are too many."""
        if body == self._body:
            # The copy of one whose bits may be weak: its keys may read differently now, so it
            # is found by its place.
            self.ring.index.forget(self._body_at, self._body_at + HEAD + size)
        if not kind & COPY:  # those of a compaction may stand between the two
            self._body, self._body_at = body, at

    def _say(self, kind: int, op: int, what: int, key: bytes, vlen: int) -> None:
        """Apply one operation of a data record of that kind."""
        if not kind & COPY:
            self._names.append(key)
        elif self.last >= 0 and key in self._names:
            # A copy holds what was live then: of a record behind the last one, which was weak
            # and does not show now, or of the last one itself. Nothing is to be repeated.
            self.last = OUTDONE
        self.ring.index.apply(op, what, key, vlen)


def _body_crc(log) -> int:
    """CRC-32 of key and value of the record just read, as they were read then."""
    # A CRC is linear: what the place and the head add to it comes out again by zeros.
    head, stored = log.sums
    n = log.klen + log.vlen
    plain = 0
    zeros = bytes(256)
    while n > 0:
        part = zeros[:n]
        head = crc32(part, head)
        plain = crc32(part, plain)
        n -= len(part)
    return stored ^ head ^ plain


def _covered(voids, q: int, start: int, end: int) -> bool:
    for void in voids:
        if void[0] == q and void[1] <= start <= end <= void[2] and start < void[2]:
            return True
    return False
