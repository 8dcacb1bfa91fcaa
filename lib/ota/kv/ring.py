"""The sectors of the key-value store as a ring: which count, what is copied, what is erased.

One sector is always free. Appending goes on in the newest; when it is full, the live records
of the oldest are copied to the free one, an ACTIVE record says so, and the oldest is erased:
strictly first in, first out, so wear is even. docs/format-kv.md has the reasons.
"""

from struct import pack, unpack

from ..compat import const
from ..errors import FlashError
from .index import Index
from .layout import ACTIVE, BATCH, BIRTH, COPY, DEL, ERASING, HEAD, IN_BATCH, OPEN, SET

FREE = const(2)  # birth header valid, all else erased
BORN = const(1)  # birth header valid
UNFIT = b"NOE\x01"  # header of a flash that does not erase to 0xFF
_LOOK = const(256)


class Ring(Index):
    """A log that never ends."""

    def __init__(self, region):
        Index.__init__(self, region)
        self.state = bytearray(self.sectors)
        self.newest = self.end = 0
        self.next_seq = 1
        self.doubt = -1  # a sector that refused its header
        self.odd = False  # an erase left more than it took
        self.begun = False  # a record's program has not come back: its place is spent
        self.ram = b""  # the record that may be unstable, as it was read once
        self.ram_at = -1

    def oldest(self) -> int:
        """The sector in use with the lowest sequence number."""
        return min([q for q in self.seq if q])

    def ops(self, at: int):
        """Yield (offset, kind, klen, vlen) for each SET and DEL in the record just read."""
        kind = self.kind & 0x7F
        if kind in (SET, DEL):
            yield at + 4, kind, self.klen, self.vlen
        elif kind == BATCH:
            at += HEAD
            end = at + self.vlen
            head = bytearray(4)
            while at + 4 <= end:
                self._read(at, head)
                vlen, klen, kind = unpack("<HBB", head)
                if at + 4 + klen + vlen > end:
                    return
                yield at, kind & ~IN_BATCH, klen, vlen
                at += 4 + klen + vlen

    # -- appending

    def room(self, size: int, spare: int = 0) -> int:
        """Offset for a record of size bytes that leaves spare in its sector.

        Raises FlashError "full" if no sector has room, "io", "verify".
        """
        for _ in range(self.sectors + 1):
            if self.end + size + spare <= (self.newest + 1) * self.sector:
                return self.end
            self.advance()
        raise FlashError("full", size)

    def put(self, at: int, kind: int, klen: int, vlen: int, parts) -> None:
        """Program a record at `at`, the end of the log."""
        # Before the program: if it fails its place is spent.
        self.end = at + self.align(HEAD + klen + vlen)
        self.begun = True
        self.emit(at, kind, klen, vlen, parts)
        self.begun = False

    def mark(self, at: int, kind: int, a: int, b: int, c: int) -> None:
        """Program a marker at `at`, the end of the log."""
        self.put(at, kind, 0, 12, (pack("<III", a, b, c),))

    def marker_fits(self) -> bool:
        """True if the newest sector has room for one more marker."""
        return self.end + self.marker <= (self.newest + 1) * self.sector

    # -- sectors

    def open(self, s: int) -> None:
        """Take the free sector s into use as the newest."""
        self.seq[s] = self.next_seq
        self.next_seq += 1
        self.state[s] = BORN
        # A cut program that shows nothing makes a chip with ECC refuse the next one there:
        # if this fails the sector is not free, whatever it reads as.
        self.doubt = s
        self.write_header(s * self.sector + self.header, OPEN, self.seq[s], self.wear[s])
        self.doubt = -1
        self.newest = s
        self.end = self.first(s)

    def recycle(self, s: int, noted: bool = False) -> None:
        """Erase sector s, look at it and make it free. Raises FlashError "io", "verify"."""
        # An erase that is cut may spare the birth header and clear the rest: the sector
        # would look free and is not. A note with a higher erase count gives it away.
        if self.state[s] and not noted and self.marker_fits():
            self.mark(self.end, ERASING, s, self.wear[s] + 1, 0)
        at = s * self.sector
        if self.ram_at // self.sector == s:
            self.ram_at = -1
        self.seq[s] = self.state[s] = 0
        self.region.erase(at, self.sector)
        if self.tail(at, at + self.sector) != at:
            raise FlashError("verify", at)
        self.wear[s] += 1
        self.doubt = -1
        self.write_header(at, BIRTH, self.sector, self.wear[s])
        self.state[s] = FREE

    def fresh(self) -> int:
        """The free sector with the fewest erases, the next in the ring among equals."""
        best = -1
        for i in range(1, self.sectors + 1):
            s = (self.newest + i) % self.sectors
            if self.state[s] == FREE and (best < 0 or self.wear[s] < self.wear[best]):
                best = s
        if best < 0:
            raise FlashError("corrupt")
        return best

    def advance(self) -> None:
        """Go on in a new sector; when it is the last free one, free the oldest."""
        target = self.fresh()
        old = -1
        if sum([x == FREE for x in self.state]) == 1:
            old = self.seq.index(self.oldest())
        self.open(target)
        if old < 0:
            self.mark(self.end, ACTIVE, self.oldest(), self.sectors, 0)
            return
        self._copy(old)
        self._keep(old)
        # All below this number are superseded; from here on `old` may be erased.
        floor = min([q for q in self.seq if q > self.seq[old]])
        self.mark(self.end, ACTIVE, floor, old, self.wear[old] + 1)
        self.forget(old * self.sector, (old + 1) * self.sector)
        self.recycle(old, True)

    def clear(self) -> None:
        """Forget all records at once: one ACTIVE record supersedes every other sector."""
        self.open(self.fresh())
        self.mark(self.end, ACTIVE, self.seq[self.newest], self.sectors, 0)
        for s in range(self.sectors):
            if self.seq[s] and s != self.newest:
                self.recycle(s)

    def create(self) -> None:
        """Make an empty store out of anything. Raises FlashError "erased"."""
        for s in range(self.sectors):
            try:
                self.recycle(s, True)
            except FlashError as e:
                if e.reason == "verify":
                    self._fit(s * self.sector)
                raise
        self.newest = self.sectors - 1
        self.open(self.fresh())
        self.mark(self.end, ACTIVE, self.seq[self.newest], self.sectors, 0)

    def _fit(self, at: int) -> None:
        """An erase left something. Raises FlashError "erased" if that is this flash's way.

        Encrypted flash then reads as noise, some chips as zeros, and both take a program. A
        header says so to the next boots, which would erase once more for nothing.
        """
        piece = self._view[:_LOOK]
        self.region.read(at, piece)
        if 2 * bytes(piece).count(b"\xff") > _LOOK:
            return  # a bit or some that stick
        if not self.odd:
            self.odd = True  # or an erase that did nothing: seen twice it is none
            return
        # If power goes here, the next boot finds out again.
        self.write_header(at, UNFIT, 0, 0)
        raise FlashError("erased", at)

    def _copy(self, old: int) -> None:
        end = (self.newest + 1) * self.sector
        for at, n in self.scan(old):
            if n < 0 or self.kind & 0x7F not in (SET, BATCH):
                continue
            batch = self.kind & 0x7F == BATCH
            kept = [(op, klen, vlen) for op, _, klen, vlen in self.ops(at) if self.live(op)]
            if not kept:
                continue
            new = self.end
            if new + n > end:
                raise FlashError("corrupt", at)
            if len(kept) == 1:
                op, klen, vlen = kept[0]
                self.put(new, SET | COPY, klen, vlen, (self._part(op + 4, klen + vlen),))
                self.moved(op, new + 4)
            elif batch:
                parts = [self._part(op, 4 + klen + vlen) for op, klen, vlen in kept]
                size = sum([4 + klen + vlen for _, klen, vlen in kept])
                self.put(new, BATCH | COPY, 0, size, parts)
                new += HEAD
                for op, klen, vlen in kept:
                    self.moved(op, new)
                    new += 4 + klen + vlen

    def _keep(self, old: int) -> None:
        """The record that may be unstable supersedes values of the sector that goes: when that
        is gone, a sure copy of it must be there."""
        n = self.align(len(self.ram))
        at = self.end
        room = at + n + 2 * self.marker <= (self.newest + 1) * self.sector
        if self.ram_at < 0 or self.ram_at // self.sector == old or not room:
            return
        vlen, klen, kind = unpack("<HBB", self.ram[4:HEAD])
        self.put(at, kind | COPY, klen, vlen, (memoryview(self.ram)[HEAD:],))
        self.settled_at(at)

    # -- the record that may be unstable is read once; later reads may differ

    def settled_at(self, at: int) -> None:
        """The record that may be unstable is at `at` as well now, and sure there."""
        if self.ram_at >= 0:
            # By its place: its key on flash may read differently every time.
            self.forget(self.ram_at, self.ram_at + len(self.ram))
        self.ram_at = at
        self.apply_ram(at)

    def apply_ram(self, at: int) -> None:
        """What that record says holds, with its operations at `at`."""
        self.vlen, self.klen, self.kind = unpack("<HBB", self.ram[4:HEAD])
        for op, what, klen, vlen in self.ops(at):
            self.apply(op, what, bytes(self._part(op + 4, klen)), vlen)

    def record(self, at: int, end: int) -> int:
        """As in Log; the record that may be unstable is judged by what was read once."""
        if at != self.ram_at:
            return Index.record(self, at, end)
        self.vlen, self.klen, self.kind = unpack("<HBB", self.ram[4:HEAD])
        return self.align(len(self.ram))

    def _inside(self, at: int) -> bool:
        return 0 <= self.ram_at <= at < self.ram_at + len(self.ram)

    def _part(self, at: int, n: int):
        if self._inside(at):
            return memoryview(self.ram)[at - self.ram_at : at - self.ram_at + n]
        return at, n

    def _read(self, at: int, buf) -> None:
        if self._inside(at):
            buf[:] = self._part(at, len(buf))
        else:
            self.region.read(at, buf)
