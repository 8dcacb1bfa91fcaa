"""Settling the store after a boot, so that a power cut is over once and for all.

After it every answer stays the same on every later boot, even where a cell is half
programmed; a second boot in a row programs and erases nothing.
"""

from binascii import crc32
from struct import unpack

from ..errors import FlashError
from .layout import ACTIVE, HEAD, OPEN, SYNC, VOID
from .ring import BORN, FREE
from .scan import OUTDONE, Scan


class Mount(Scan):
    """A ring that can be mounted: recover()."""

    def recover(self) -> None:
        """Bring the store into a settled state.

        Raises FlashError "io", "verify" (try again), "corrupt", "config", "magic".
        """
        # After a failed program its place is spent, even if it reads as erased. What failed
        # elsewhere, a header or an erase, takes no room of the log.
        if self.begun:
            self.spent = max(self.spent, (self.seq[self.newest], self.end))
            self.begun = False
        self.ram = b""
        self.ram_at = -1
        if not self.classify():
            self.clear_index()
            self.create()
            return
        floor = self.choose()
        if not floor:
            self.clear_index()
            self.create()
            return
        proven = self.replay()
        if self.last >= 0:
            self._hold(self.last)
        self._erase(floor)
        self._settle(proven)
        self.voids = []
        self.torn = []
        self.ram = b""
        self.ram_at = -1

    def _hold(self, at: int) -> None:
        """Read the last record once; it may read differently the next time."""
        head = bytearray(HEAD)
        self.region.read(at, head)
        _, vlen, klen, _ = unpack("<IHBB", head)
        ram = bytearray(min(HEAD + klen + vlen, (at // self.sector + 1) * self.sector - at))
        self.region.read(at, ram)
        stored = unpack("<I", ram[:4])[0]
        if crc32(memoryview(ram)[4:], self.seed(at)) != stored:
            raise FlashError("verify", at)
        self.ram = bytes(ram)
        self.ram_at = at
        self.forget(at, at + len(ram))
        self.apply_ram(at)

    # -- making it last

    def _erase(self, floor: int) -> None:
        """Erase every sector that is neither in use nor free."""
        cramped = not self.marker_fits()
        noted = -1
        for s in range(self.sectors):
            if cramped and self.state[s] == FREE:
                self.state[s] = BORN  # no room for a note: it may not be what it seems
            at = s * self.sector + self.header
            if self.seq[s] or self.state[s] == FREE or noted >= 0:
                continue
            head = self.read_header(at, OPEN)
            if head and head[0] < floor and self.marker_fits():
                # Superseded, and still there. The ACTIVE record that says so may be weak,
                # and once the erase began it is all that speaks for the newest sector.
                self.mark(self.end, ACTIVE, floor, s, self.wear[s] + 1)
                noted = s
        for s in range(self.sectors):
            if not self.seq[s] and self.state[s] != FREE:
                self.recycle(s, s == noted)
        if cramped or not self.marker_fits():
            self.advance()

    def _settle(self, proven: int) -> None:
        """Void what is torn, copy what may be weak, and prove both with a SYNC."""
        doubts = [v for v in self.voids[proven:] + self.torn if v[0] in self.seq]
        if not doubts and not self.ram and self.last != OUTDONE:
            return
        for q, start, end in doubts:
            at = self.room(self.marker)
            if q in self.seq:
                self.mark(at, VOID, q, start, end)
        if self.ram:
            self._again()
        self.put(self.room(self.align(HEAD), self.marker), SYNC, 0, 0, ())

    def _again(self) -> None:
        vlen, klen, kind = unpack("<HBB", self.ram[4:HEAD])
        at = self.room(self.align(len(self.ram)), 2 * self.marker)
        self.put(at, kind, klen, vlen, (memoryview(self.ram)[HEAD:],))
        self.settled_at(at)
