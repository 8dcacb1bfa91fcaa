"""Finding out what is on flash, whatever a power cut left: sectors, records, doubts."""

from struct import unpack

from ..compat import const
from ..errors import FlashError
from .layout import (
    ACTIVE,
    BATCH,
    BIRTH,
    COPY,
    ERASING,
    HEAD,
    IN_BATCH,
    OPEN,
    READS,
    SYNC,
    VOID,
)
from .ring import BORN, FREE, UNFIT, Ring

OUTDONE = const(-2)  # Scan.last: no SYNC proves the last data record, but a copy has its keys


class Scan(Ring):
    """A ring that is read from flash.

    damaged: places found at the last mount that were neither record nor erased. spent:
    sequence number and end of the log at a program that failed.
    """

    def __init__(self, region):
        Ring.__init__(self, region)
        self.damaged = 0
        self.voids = []  # [sequence, start, end]: records that start there are ignored
        self.torn = []
        self.last = -1  # place of the last data record that no SYNC proves
        self._names = []  # its keys
        self._body, self._body_at = None, -1  # the data record before, and where it is
        self.spent = (0, 0)

    def classify(self) -> bool:
        """Read all headers; True if this is a store of ours."""
        self.readable = False
        units = []
        if self.read_header(0, UNFIT):
            raise FlashError("erased", 0)
        for s in range(self.sectors):
            birth = self.read_header(s * self.sector, BIRTH)
            if birth:
                if birth[0] != self.sector or birth[2] % self.region.program_size:
                    raise FlashError("config", s * self.sector)
                units.append(birth[2])
        unit = units[0] if units else self.region.program_size
        if unit != self.unit:
            self.use_unit(unit)
        ours = alive = False
        for s in range(self.sectors):
            at = s * self.sector
            birth = self.read_header(at, BIRTH)
            self.state[s] = BORN if birth else 0
            self.wear[s] = birth[1] if birth else max(self.wear)
            found = self.read_header(at + self.header, OPEN)
            self.seq[s] = found[0] if found else 0
            if found:
                ours = True
                self.wear[s] = max(found[1], birth[1] if birth else 0)
                self.next_seq = max(self.next_seq, found[0] + 1)
            elif birth:
                start = at + self.header
                if s != self.doubt and self.tail(start, at + self.sector, READS) == start:
                    self.state[s] = FREE
            if not found and self._was_open(s):
                alive = True
        if not self.readable:
            raise FlashError("io", 0)  # a chip that is not there is not blank
        if alive and not ours:
            # A store whose every sector lost its header is damaged, not foreign.
            raise FlashError("corrupt", 0)
        return ours

    def _was_open(self, s: int) -> bool:
        head = bytearray(4)
        self.region.peek(s * self.sector + self.header, head)
        if sum([head[i] == OPEN[i] for i in range(4)]) < 3:
            return False
        return self.tail(self.first(s), (s + 1) * self.sector) > self.first(s)

    def choose(self) -> int:
        """Find the newest sector and the end of the log; return the lowest valid sequence.

        0 if no sector holds anything.
        """
        dropped = False
        while True:
            top = max(self.seq)
            if not top:
                return 0
            s = self.newest = self.seq.index(top)
            floor = own = copies = 0
            self.end = self.first(s)
            for at, n in self.scan(s, READS):
                self.end = self._reach(at, n)
                if n > 0 and self.kind == ACTIVE:
                    floor = self._args()[0]
                elif n > 0 and self.kind & COPY:
                    copies = 1
                elif n > 0:
                    own = 1
            if self.spent[0] == top:
                self.end = max(self.end, self.resume(self.spent[1], self.spent[1], s))
            if floor and not self._given_up(s):
                break
            if floor:
                self.seq[s] = 0
                dropped = True
                continue
            # No ACTIVE. With nothing but copies, and its source still there: an interrupted
            # copy, its source is complete. Otherwise the record itself was damaged.
            used = sum([q > 0 for q in self.seq])
            if dropped or own or (copies and used < self.sectors):
                floor = self.oldest()
                break
            start = self.first(s) + self.marker
            if used == 1 and self.tail(start, (s + 1) * self.sector) != start:
                raise FlashError("corrupt", start)
            self.seq[s] = 0
            dropped = True
        for s in range(self.sectors):
            if self.seq[s] < floor:
                self.seq[s] = 0
        return floor

    def _given_up(self, s: int) -> bool:
        """True if an earlier boot began to erase sector s: its ACTIVE record was weak, did not
        show then and does now. The sector before it, which it was copied from, is whole."""
        rest = [q for q in self.seq if 0 < q < self.seq[s]]
        if rest:
            for _, n in self.scan(self.seq.index(max(rest))):
                if n > 0 and self.kind == ERASING:
                    which, count, _ = self._args()
                    if which == s and count > self.wear[s]:
                        return True
        return False

    def _reach(self, at: int, n: int) -> int:
        return at + n if n > 0 else self.resume(at, at - n, at // self.sector)

    def _args(self):
        # Of the marker just read: as it was checked. A weak bit may read differently now.
        return unpack("<III", self._view[:12])

    # -- what the records say

    def replay(self) -> int:
        """Index all records; return how many of self.voids a SYNC proves."""
        voids = self.voids = []
        while True:
            known = voids
            voids = self.voids = []
            self.torn = []
            self.last = -1
            self._body, self._body_at = None, -1
            self.clear_index()
            proven = 0
            notes = [0] * self.sectors
            for q in sorted([q for q in self.seq if q]):
                s = self.seq.index(q)
                end = self.first(s)
                n = 0
                for at, n in self.scan(s):
                    end = self._reach(at, n)
                    if n < 0:
                        self.torn.append([q, at, at - n])
                    elif not _covered(known, q, at, at):
                        proven = self._take(at, proven, notes)
            self._close(end, n < 0)
            if len(voids) <= len(known):
                break
        for s in range(self.sectors):
            # Born again fewer times than a note promised: that erase was cut.
            if self.state[s] == FREE and self.wear[s] < notes[s]:
                self.state[s] = BORN
            elif not self.state[s] and not self.seq[s]:
                self.wear[s] = max(self.wear[s], notes[s] - 1)
        self.torn = [t for t in self.torn if not _covered(voids, t[0], t[1], t[2])]
        self.damaged = len(self.torn)
        return proven

    def _close(self, end: int, torn: bool) -> None:
        """The newest sector was read up to end; what is skipped behind it is void as well."""
        self.end = max(self.end, end)
        if torn:
            self.torn[-1][2] = self.end
        elif end < self.end:
            self.torn.append([self.seq[self.newest], end, self.end])

    def _take(self, at: int, proven: int, notes) -> int:
        kind = self.kind
        if kind == VOID:
            self.voids.append(list(self._args()))
        elif kind == SYNC:
            proven = len(self.voids)
            self.last = -1
        elif kind in (ACTIVE, ERASING):
            a, b, c = self._args()
            if kind == ERASING:
                a, b, c = 0, a, b
            if b < self.sectors:
                notes[b] = max(notes[b], c)
        else:
            if not kind & COPY:
                self.last = at
                self._names = []
            size = self.klen + self.vlen
            if size <= len(self._view):
                # The check left key and value in the buffer: what was checked counts.
                body = bytes(self._view[:size])
                self._same(at, size, body)
                if kind & 0x7F != BATCH:
                    self._say(kind, at + 4, kind & 0x7F, body[: self.klen], self.vlen)
                    return proven
                i = 0
                while i + 4 <= size:
                    vlen, klen, what = unpack("<HBB", body[i : i + 4])
                    key = body[i + 4 : i + 4 + klen]
                    self._say(kind, at + HEAD + i, what & ~IN_BATCH, key, vlen)
                    i += 4 + klen + vlen
                return proven
            self._same(at, size, (self.klen, self.vlen, self.body_crc()))
            for op, what, key, vlen in self.long:
                # A record of its own has its kind in its head.
                self._say(kind, op, what or kind & 0x7F, key, vlen)
        return proven

    def _same(self, at: int, size: int, body) -> None:
        """Note the body of a data record: bytes, or lengths and CRC where they are too many."""
        if body == self._body:
            # The copy of one whose bits may be weak: its keys may read differently now, so it
            # is found by its place.
            self.forget(self._body_at, self._body_at + HEAD + size)
        if not self.kind & COPY:  # those of a compaction may stand between the two
            self._body, self._body_at = body, at

    def _say(self, kind: int, op: int, what: int, key: bytes, vlen: int) -> None:
        """Apply one operation of a data record of that kind."""
        if not kind & COPY:
            self._names.append(key)
        elif self.last >= 0 and key in self._names:
            # A copy holds what was live then: of a record behind the last one, which was weak
            # and does not show now, or of the last one itself. Nothing is to be repeated.
            self.last = OUTDONE
        self.apply(op, what, key, vlen)


def _covered(voids, q: int, start: int, end: int) -> bool:
    for void in voids:
        if void[0] == q and void[1] <= start <= end <= void[2] and start < void[2]:
            return True
    return False
