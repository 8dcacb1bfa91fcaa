"""Append-only marks that make a step resumable: only the last one counts.

A ring of sectors. Each opens with a mark that repeats the last one, so a sector alone
tells where the apply stands; a full sector is followed by the next, erased then.

    mark (24 bytes, padded with 0xFF to program_size)
    journal number u32 | serial u32 | kind u8 | zero 3 | index u32 | value u32 | CRC-32 u32

The serial grows by one per mark: the highest valid mark of this journal number is the last.
Marks of other numbers are leftovers of older applies. A unit is never programmed twice: a
torn mark keeps its place, and after a reset one more place stays unused, because a torn
program may have left nothing to see.
"""

import struct
from binascii import crc32

from .compat import const
from .errors import FlashError

_MARK = const("<IIBxxxII")
_SIZE = const(24)
_START = const(255)  # kind of the first mark: nothing is done yet


class Journal:
    """Marks of one apply in region (at least 2 sectors); number: that of the apply.

    kind, index and value are the last mark (kind 0: none yet); highest: the highest number
    among all marks there. Raises FlashError "journal" if the region is too small.
    """

    def __init__(self, region, number: int):
        self._region = region
        self._number = number
        unit = region.program_size
        self._step = (_SIZE + unit - 1) // unit * unit
        self._per = region.sector_size // self._step
        self._count = region.size // region.sector_size
        if self._count < 2 or self._per < 2:
            raise FlashError("journal", region.size)
        self._buf = bytearray(self._step)
        self._blank = b"\xff" * self._step
        self.highest = 0
        self._serial = 0
        self._slot = -1
        self.kind = self.index = self.value = 0
        self._load()

    def begin(self) -> None:
        """Say once more where the apply stands, before it goes on. Raises FlashError.

        A mark that was cut may show in one boot and not in the next. What this boot found
        counts from here on: the mark written now is above one that did not show.
        """
        kind = self.kind
        self._serial += 1
        self.mark(kind or _START, self.index, self.value)
        self.kind = kind

    def mark(self, kind: int, index: int, value: int = 0) -> None:
        """Append a mark and read it back; it is the last one from now on.

        kind: 1..254. If power goes here, the mark before stays the last or this one is. A
        place that refuses the mark is left behind. Raises FlashError if a sector full of them
        does.
        """
        for left in range(self._per + 1, -1, -1):
            try:
                self._append(kind, index, value)
                return
            except FlashError as e:
                if e.reason not in ("io", "verify") or not left:
                    raise

    def _append(self, kind, index, value):
        if self._slot < 0:
            self._open(0, kind, index, value)
        elif self._slot % self._per == self._per - 1:
            self._open((self._slot // self._per + 1) % self._count, kind, index, value)
        else:
            self._slot += 1
            self._write(kind, index, value)

    def _open(self, sector, kind, index, value):
        # The sector being erased holds older marks only: the last one is in another
        # sector, so power may go between erase and program.
        size = self._region.sector_size
        self._region.erase(sector * size, size)
        self._slot = sector * self._per
        self._write(kind, index, value)

    def _write(self, kind, index, value):
        buf = self._buf
        self._serial += 1
        struct.pack_into(_MARK, buf, 0, self._number, self._serial, kind, index, value)
        struct.pack_into("<I", buf, _SIZE - 4, crc32(memoryview(buf)[: _SIZE - 4]))
        buf[_SIZE:] = self._blank[_SIZE:]
        self._region.program(self._offset(self._slot), buf)
        self._region.sync()
        self.kind, self.index, self.value = kind, index, value

    def _offset(self, slot):
        size = self._region.sector_size
        return slot // self._per * size + slot % self._per * self._step

    def _read(self, slot):
        """True if the place is not blank; takes the mark over if it is the newest."""
        buf = self._buf
        good = self._region.peek(self._offset(slot), buf)
        number, serial, kind, index, value = struct.unpack_from(_MARK, buf)
        crc = struct.unpack_from("<I", buf, _SIZE - 4)[0]
        good = good and crc32(memoryview(buf)[: _SIZE - 4]) == crc
        if good and number > self.highest:
            self.highest = number
        if good and number == self._number and kind and serial > self._serial:
            self._serial, self._slot = serial, slot
            self.kind, self.index, self.value = kind, index, value
            if kind == _START:
                self.kind = 0
        return buf != self._blank

    def _load(self):
        for slot in range(self._per * self._count):
            self._read(slot)
        if self._slot < 0:
            return
        # Places behind the last mark: skip every one that is not blank, and one more.
        end = self._slot // self._per * self._per + self._per - 1
        last = self._slot
        for slot in range(self._slot + 1, end + 1):
            if self._read(slot):
                last = slot
        self._slot = min(last + 1, end)
