"""Append-only marks that make a step resumable: only the last one counts.

A ring of sectors. Each opens with a mark that repeats the last one, so a sector alone
tells where the apply stands; a full sector is followed by the next, erased then.

    mark (24 bytes, padded with 0xFF to program_size)
    serial u32 | kind u8 | zero 3 | index u32 | value u32 | proof 8

The proof is the beginning of SHA-256 over the secret of this apply, which the state record
keeps, and the 16 bytes before: marks of an earlier apply, or of whoever can write to this flash,
prove nothing. The serial grows by one per mark: the highest mark that is proven is the last. A
unit is never programmed twice: a torn mark keeps its place, and after a reset one more place
stays unused, because a torn program may have left nothing to see.
"""

import struct
from hashlib import sha256

from ..compat import const
from ..errors import FlashError

_MARK = const("<IBxxxII")
_BODY = const(16)
_SIZE = const(24)
_START = const(255)  # kind of the first mark: nothing is done yet
_SERIALS = const(0x7FFFFFF0)  # no ring lives that long, and no number wraps


class Journal:
    """Marks of one apply in region (at least 2 sectors); secret: that of the apply, bytes.

    kind, index and value are the last mark (kind 0: none yet). Raises FlashError "journal" if
    the region is too small.
    """

    def __init__(self, region, secret: bytes):
        self._region = region
        self.secret = secret
        unit = region.program_size
        self._step = (_SIZE + unit - 1) // unit * unit
        self._per = region.sector_size // self._step
        self._count = region.size // region.sector_size
        if self._count < 2 or self._per < 2:
            raise FlashError("journal", region.size)
        self._buf = bytearray(self._step)
        self._blank = b"\xff" * self._step
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
        struct.pack_into(_MARK, buf, 0, self._serial, kind, index, value)
        buf[_BODY:_SIZE] = self.digest()
        buf[_SIZE:] = self._blank[_SIZE:]
        self._region.program(self._offset(self._slot), buf)
        self._region.sync()
        self.kind, self.index, self.value = kind, index, value

    def _offset(self, slot):
        size = self._region.sector_size
        return slot // self._per * size + slot % self._per * self._step

    def digest(self) -> bytes:
        """What proves the mark in the buffer."""
        h = sha256(self.secret)
        h.update(memoryview(self._buf)[:_BODY])
        return h.digest()[: _SIZE - _BODY]

    def _read(self, slot):
        """True if the place is not blank; takes the mark over if it is the newest."""
        buf = self._buf
        at = self._offset(slot)
        for again in (False, True):
            good = self._region.peek(at, buf)
            if buf == self._blank:
                return False
            serial, kind, index, value = struct.unpack_from(_MARK, buf)
            newer = kind and self._serial < serial < _SERIALS
            if good and newer and buf[_BODY:_SIZE] == self.digest():
                self._serial, self._slot = serial, slot
                self.kind, self.index, self.value = kind, index, value
                if kind == _START:
                    self.kind = 0
                break
            # What proves nothing may have been read wrong: if it reads otherwise now, once more.
            if again or self._region.equal(at, buf):
                break
        return True

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
