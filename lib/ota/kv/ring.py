"""The sectors of the key-value store as a ring: which are valid, what is copied, what is erased.

One sector is always free. Records are appended to the newest; when it is full, the live records
of the oldest are copied to the free one, an ACTIVE record says so, and the oldest is erased:
strictly first in, first out, so wear is even. docs/format-kv.md has the reasons.
"""

from struct import pack

from ..compat import const
from ..errors import FlashError
from .layout import ACTIVE, BATCH, BIRTH, COPY, ERASING, HEAD, OPEN, SET

if False:  # for type checkers
    from ota_hints import Parts

FREE = const(2)  # birth header valid, all else erased
BORN = const(1)  # birth header valid
UNFIT = b"NOE\x01"  # header of a flash that does not erase to 0xFF
_LOOK = const(256)


class Ring:
    """A log that never ends, and the index of what it holds.

    newest, end: sector and offset where the next record goes. spent: sequence number and end of
    the log when a program failed.
    """

    def __init__(self, log, index):
        self.log, self.index = log, index
        self.state = bytearray(log.sectors)
        self.wear = [0] * log.sectors  # erases
        self.newest = self.end = 0
        self.next_seq = 1
        self.doubt = -1  # a sector that rejected its header
        self.odd = False  # an erase left more than it took
        self.begun = False  # a record's program has not come back: its place is spent
        self.spent = (0, 0)

    def oldest(self) -> int:
        """Lowest sequence number in use."""
        return min([q for q in self.log.seq if q])

    # -- appending

    def room(self, size: int, spare: int = 0) -> int:
        """Offset for a record of size bytes that leaves `spare` bytes in its sector.

        Raises FlashError "full" if no sector has room, "io", "verify".
        """
        sector = self.log.sector
        for _ in range(self.log.sectors + 1):
            if self.end + size + spare <= (self.newest + 1) * sector:
                return self.end
            self.advance()
        raise FlashError("full", size)

    def put(self, at: int, kind: int, klen: int, vlen: int, parts: "Parts") -> None:
        """Program a record at `at`, the end of the log; parts as for Log.emit()."""
        # Before the program: if it fails its place is spent. If power goes in it, the next boot
        # finds the record whole, or a torn place that it voids.
        self.end = at + self.log.length(klen + vlen)
        self.begun = True
        self.log.emit(at, kind, klen, vlen, parts)
        self.begun = False

    def mark(self, at: int, kind: int, a: int, b: int, c: int) -> None:
        """Program a marker at `at`, the end of the log."""
        self.put(at, kind, 0, 12, (pack("<III", a, b, c),))

    def marker_fits(self) -> bool:
        """True if the newest sector has room for one more marker."""
        return self.end + self.log.marker <= (self.newest + 1) * self.log.sector

    # -- sectors

    def open(self, s: int) -> None:
        """Take the free sector s into use as the newest."""
        log = self.log
        log.seq[s] = self.next_seq
        self.next_seq += 1
        self.state[s] = BORN
        # A cut program that shows nothing makes a chip with ECC reject the next one there:
        # if this fails the sector is not free, whatever it reads as.
        self.doubt = s
        # If power goes here, the next boot finds the sector free, or erases it since it has no
        # ACTIVE record yet.
        log.write_header(s * log.sector + log.header, OPEN, log.seq[s], self.wear[s])
        self.doubt = -1
        self.newest = s
        self.end = log.first(s)

    def recycle(self, s: int, noted: bool = False) -> None:
        """Erase sector s, read it back and make it free. Raises FlashError "io", "verify"."""
        log = self.log
        # An erase that is cut may spare the birth header and clear the rest: the sector
        # would look free and is not. A note with a higher erase count gives it away.
        if self.state[s] and not noted and self.marker_fits():
            self.mark(self.end, ERASING, s, self.wear[s] + 1, 0)
        at = s * log.sector
        if log.held_at // log.sector == s:
            log.held_at = -1
        log.seq[s] = self.state[s] = 0
        # If power goes here, the next boot finds no birth header, or a note, and erases again.
        log.region.erase(at, log.sector)
        if log.tail(at, at + log.sector) != at:
            raise FlashError("verify", at)
        self.wear[s] += 1
        self.doubt = -1
        # If power goes here, the next boot finds no birth header and erases again.
        log.write_header(at, BIRTH, log.sector, self.wear[s])
        self.state[s] = FREE

    def fresh(self) -> int:
        """The free sector with the fewest erases, the next in the ring among equals."""
        best = -1
        count = self.log.sectors
        for i in range(1, count + 1):
            s = (self.newest + i) % count
            if self.state[s] == FREE and (best < 0 or self.wear[s] < self.wear[best]):
                best = s
        if best < 0:
            raise FlashError("corrupt")
        return best

    def advance(self) -> None:
        """Open the next sector; if it is the last free one, free the oldest."""
        log = self.log
        target = self.fresh()
        old = -1
        if sum([x == FREE for x in self.state]) == 1:
            old = log.seq.index(self.oldest())
        self.open(target)
        if old < 0:
            self.mark(self.end, ACTIVE, self.oldest(), log.sectors, 0)
            return
        self._copy(old)
        self._keep(old)
        # All below this number are superseded; from here on `old` may be erased.
        floor = min([q for q in log.seq if q > log.seq[old]])
        self.mark(self.end, ACTIVE, floor, old, self.wear[old] + 1)
        self.index.forget(old * log.sector, (old + 1) * log.sector)
        self.recycle(old, True)

    def clear(self) -> None:
        """Drop all records at once: one ACTIVE record supersedes every other sector."""
        log = self.log
        self.open(self.fresh())
        self.mark(self.end, ACTIVE, log.seq[self.newest], log.sectors, 0)
        for s in range(log.sectors):
            if log.seq[s] and s != self.newest:
                self.recycle(s)
        self.index.clear()

    def create(self) -> None:
        """Make an empty store out of anything. Raises FlashError "erased"."""
        log = self.log
        self.index.clear()
        for s in range(log.sectors):
            try:
                self.recycle(s, True)
            except FlashError as e:
                if e.reason == "verify":
                    self._fit(s * log.sector)
                raise
        self.newest = log.sectors - 1
        self.open(self.fresh())
        self.mark(self.end, ACTIVE, log.seq[self.newest], log.sectors, 0)

    def _fit(self, at: int) -> None:
        """Raise FlashError "erased" if this flash never erases to 0xFF.

        Encrypted flash then reads as noise, some chips as zeros, and both accept a
        program. A header tells later boots, which would otherwise erase again for nothing.
        """
        log = self.log
        piece = log.view[:_LOOK]
        log.region.read(at, piece)
        if 2 * bytes(piece).count(b"\xff") > _LOOK:
            return  # a bit or some that stick
        if not self.odd:
            self.odd = True  # or an erase that did nothing: seen twice it is none
            return
        # If power goes here, the next boot finds out again.
        log.write_header(at, UNFIT, 0, 0)
        raise FlashError("erased", at)

    def _copy(self, old: int) -> None:
        log = self.log
        index = self.index
        end = (self.newest + 1) * log.sector
        for at, n in log.scan(old):
            if n < 0 or log.kind & 0x7F not in (SET, BATCH):
                continue
            batch = log.kind & 0x7F == BATCH
            kept = [(op, klen, vlen) for op, _, klen, vlen in log.ops(at) if index.live(op)]
            if not kept:
                continue
            new = self.end
            if new + n > end:
                raise FlashError("corrupt", at)
            if len(kept) == 1:
                op, klen, vlen = kept[0]
                self.put(new, SET | COPY, klen, vlen, (log.part(op + 4, klen + vlen),))
                index.moved(op, new + 4)
            elif batch:
                parts = [log.part(op, 4 + klen + vlen) for op, klen, vlen in kept]
                size = sum([4 + klen + vlen for _, klen, vlen in kept])
                self.put(new, BATCH | COPY, 0, size, parts)
                new += HEAD
                for op, klen, vlen in kept:
                    index.moved(op, new)
                    new += 4 + klen + vlen

    def _keep(self, old: int) -> None:
        """Copy the held record, which may be unstable, if it supersedes values of sector old:
        a stable copy must exist before that sector is erased."""
        log = self.log
        if log.held_at < 0 or log.held_at // log.sector == old:
            return
        if self.end + log.take_held() + 2 * log.marker <= (self.newest + 1) * log.sector:
            self.repeat(self.end, COPY)

    # -- the record that may be unstable, as it was read once

    def repeat(self, at: int, flag: int = 0) -> None:
        """Program the held record at `at`, the end of the log, where it will read reliably."""
        log = self.log
        log.take_held()
        self.put(at, log.kind | flag, log.klen, log.vlen, (memoryview(log.held)[HEAD:],))
        if log.held_at >= 0:
            # By its place: its key on flash may read differently every time.
            self.index.forget(log.held_at, log.held_at + len(log.held))
        log.held_at = at
        self.apply_held()

    def apply_held(self) -> None:
        """Index the operations of the held record."""
        log = self.log
        log.take_held()
        for op, kind, klen, vlen in log.ops(log.held_at):
            self.index.apply(op, kind, bytes(log.part(op + 4, klen)), vlen)
