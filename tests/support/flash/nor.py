"""A strict NOR flash in RAM that can lose power at any operation.

Stricter than hardware on purpose: what some chip would refuse, or what only works by luck, is
a Misuse. A power cut leaves what a real cut may leave (faults.py). One source for both
interpreters.
"""

import errno

from faults import (
    CUTS,
    EFFECTS,
    FAILURES,
    FAINT,
    STUCK,
    TEARS,
    TORN,
    USED,
    Random,
    tear_erase,
    tear_program,
)

try:
    import uctypes
except ImportError:
    uctypes = None

# bytes.count() of MicroPython takes no numbers
_USED, _TORN, _FAINT, _STUCK = bytes([USED]), bytes([TORN]), bytes([FAINT]), bytes([STUCK])

__all__ = ("CUTS", "EFFECTS", "Misuse", "Nor", "PowerCut")


class Misuse(BaseException):
    """The flash was used in a way that no library code may catch."""


class PowerCut(BaseException):
    """Power was lost; only power_on() helps."""


class Nor:
    """A driver with NOR rules: erased is 0xFF, a unit is programmed once between erases.

    size, sector_size, program_size: bytes; program_size is a power of two, 1..256.
    seed: of the random part of cuts. settled: a weak bit keeps one value from power_on() to
    power_on() instead of changing at every read.
    uneven: sizes of the sectors in turn, where they differ; size and sector_size are then
    not given, and area() gives the parts whose sectors are equal as drivers of their own.
    page: bytes; a longer program is one operation per page that it touches. ecc: reading
    half a unit, or programming one that was begun, is an OSError. erased: 0xFF or 0x00, what
    an erased byte reads as. endurance: erases of a sector until they fail, 0 for ever.

    Counters: ops (programs + erases, one per sector erased), programs, programmed_bytes,
    erases, reads, read_bytes, and wear[sector]. log: a list that gets each operation that
    is begun, ("program", offset, data) or ("erase", offset), or None.
    """

    def __init__(
        self,
        size=0,
        sector_size=4096,
        program_size=8,
        seed=1,
        settled=False,
        uneven=None,
        page=0,
        ecc=False,
        erased=0xFF,
        endurance=0,
    ):
        if uneven is None and (sector_size <= 0 or size <= 0 or size % sector_size):
            raise ValueError("size is a multiple of sector_size")
        if program_size not in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            raise ValueError("program_size is a power of two, 1..256")
        lengths = uneven or [sector_size] * (size // sector_size)
        self.sectors = []  # (offset, length)
        at = 0
        for length in lengths:
            if length <= 0 or length % program_size:
                raise ValueError("a sector is a multiple of program_size")
            self.sectors.append((at, length))
            at += length
        if page % program_size or erased not in (0, 0xFF):
            raise ValueError("page, erased")
        self.size = at
        self.sector_size = max(lengths)
        self.program_size = program_size
        self.settled = settled
        self.page = page
        self.ecc = ecc
        self.endurance = endurance
        self._flip = (1 << 8) - 1 if erased == 0 else 0
        self._uniform = uneven is None
        self.data = bytearray(at)
        self._blank = b"\xff" * self.sector_size
        for start, length in self.sectors:  # a large flash has no room for a second one
            self.data[start : start + length] = self.erased(length)
        self._view = memoryview(self.data)
        self._unit = bytearray(at // program_size)
        self._torn = 0  # units whose reading may fail
        self._weak = []  # [offset, length, mask, value of this boot or None]
        self.dice = Random(seed)
        self._half = 0
        self._at = 0
        self._effect = None
        self._off = False
        self._base = None
        self._dirty = set()
        self._budget = None
        self.log = None
        self.wear = [0] * len(self.sectors)
        self.ops = self.programs = self.programmed_bytes = self.erases = 0
        self.reads = self.read_bytes = 0

    # -- the driver

    def read(self, offset, buf):
        """Fill buf from offset."""
        n = len(buf)
        if self._off or not n or not 0 <= offset <= self.size - n:  # most calls are reads
            self._check(offset, n, 1, "read")
        self.reads += 1
        self.read_bytes += n
        if self._torn:
            self._readable(offset, n)
        buf[:] = self._view[offset : offset + n]
        if self._weak:
            self._read_weak(offset, buf)
        if self._flip:
            _invert(buf)

    def program(self, offset, data):
        """Program data at offset: erased units, whole units, from RAM."""
        n = len(data)
        self._check(offset, n, self.program_size, "program")
        if self._is_flash(data):
            raise Misuse("program from a view of the flash")
        if self._flip:
            data = bytearray(data)
            _invert(data)
        page = self.page or n
        done = 0
        while done < n:
            k = min(n - done, page - (offset + done) % page) if self.page else n
            self._program(offset + done, memoryview(data)[done : done + k])
            done += k

    def erase(self, offset, length):
        """Erase whole sectors; each sector is an operation of its own."""
        self._check(offset, length, 1, "erase")
        if self._uniform and (offset % self.sector_size or length % self.sector_size):
            raise Misuse("erase not aligned", offset, length)
        s = self.sector_of(offset)
        end = offset + length
        last = self.sectors[self.sector_of(end - 1)]
        if self.sectors[s][0] != offset or last[0] + last[1] != end:
            raise Misuse("erase not on the edges of sectors", offset, length)
        while offset < end:
            self._erase(s)
            offset += self.sectors[s][1]
            s += 1

    def sync(self):
        """Nothing is held back; there must be power, though."""
        if self._off:
            raise Misuse("sync after a power cut")

    def buffer(self, offset=0, length=None):
        """A view of the flash, as memory-mapped flash gives it."""
        if length is None:
            length = self.size - offset
        self._check(offset, length, 1, "buffer")
        view = self._view[offset : offset + length]
        return view.toreadonly() if hasattr(view, "toreadonly") else view

    def area(self, first, count):
        """A driver over `count` sectors of equal size from sector number `first`."""
        return Area(self, first, count)

    # -- power and other mishaps

    def cut_at(self, n, effect="before"):
        """Do effect at the n-th program or erase from now; 1 is the next one. None: never.

        One of EFFECTS, where power goes; "middle" is one of "prefix", "bits", "suffix" and
        "zeros"; or of FAILURES, where it does not: "stuck" (silently nothing done) and
        "error" (nothing done, OSError).
        """
        if n is not None and n < 1:
            raise ValueError("n counts from 1")
        if effect not in EFFECTS + FAILURES and effect != "middle":
            raise ValueError(effect)
        self._at = 0 if n is None else self.ops + n
        self._effect = effect

    def power_on(self):
        """Power is back; a cut that was not reached is forgotten."""
        self._off = False
        self._at = 0
        for area in self._weak:
            area[3] = self.dice.bits(area[1]) if self.settled else None

    def budget(self, erases=None, programmed=None):
        """From now on more than so many erases, or bytes programmed, are a Misuse."""
        self._budget = (
            None if erases is None else self.erases + erases,
            None if programmed is None else self.programmed_bytes + programmed,
        )

    @property
    def weak(self):
        """True if there are bits that may read either way."""
        return bool(self._weak)

    # -- snapshots

    def snapshot(self):
        """The whole state, to be given to restore() any number of times."""
        pieces = []  # in small pieces: a large flash has no room for a second one
        units = []
        m = self.program_size
        for at, n in self.sectors:
            piece = bytes(self._view[at : at + n])
            pieces.append(self._blank if piece == self._blank else piece)
            units.append(bytes(memoryview(self._unit)[at // m : (at + n) // m]))
        self._base = (
            pieces,
            units,
            list(self.wear),
            [list(area) for area in self._weak],
            (self.dice.state, self._half, self._off, self._at, self._effect, self._torn),
            (self.ops, self.programs, self.programmed_bytes, self.erases),
            (self.reads, self.read_bytes),
        )
        self._dirty = set()
        return self._base

    def restore(self, s):
        """Back to snapshot s; cheap if s is the last one taken or restored."""
        pieces, units, wear, weak, state, counts, reads = s
        m = self.program_size
        for i in self._dirty if s is self._base else range(len(pieces)):
            at, n = self.sectors[i]
            self.data[at : at + n] = pieces[i]
            self._unit[at // m : (at + n) // m] = units[i]
        self._base = s
        self._dirty = set()
        self.wear = list(wear)
        self._weak = [list(area) for area in weak]
        self.dice.state, self._half, self._off, self._at, self._effect, self._torn = state
        self.ops, self.programs, self.programmed_bytes, self.erases = counts
        self.reads, self.read_bytes = reads

    # -- what faults.py does to the cells

    def erased(self, n):
        """n bytes as they are after an erase."""
        return self._blank[:n] if n <= len(self._blank) else b"\xff" * n

    def put(self, at, data):
        """These bytes are there now."""
        self.data[at : at + len(data)] = data

    def mark(self, unit, count, what):
        """State of count units."""
        if what == TORN and self.ecc:
            self._torn += count
        for u in range(unit, unit + count):
            self._unit[u] = what

    def weaken(self, offset, length, mask):
        """The bits of mask read either way from now on."""
        self._weak.append([offset, length, mask, None])

    def wipe(self, at, n):
        """A completed erase."""
        self.solid(at, n)
        m = self.program_size
        units = memoryview(self._unit)[at // m : (at + n) // m]
        if self._torn:
            self._torn -= bytes(units).count(_TORN)
        units[:] = bytes(len(units))
        self.data[at : at + n] = self.erased(n)

    def solid(self, offset, n):
        """The bits of [offset, offset + n) are certain from now on."""
        if not self._weak:
            return
        kept = []
        for area in self._weak:
            a = max(area[0], offset)
            b = min(area[0] + area[1], offset + n)
            if a < b:
                i = 8 * (a - area[0])
                area[2] &= ~(((1 << 8 * (b - a)) - 1) << i)
            if area[2]:
                kept.append(area)
        self._weak = kept

    def sector_of(self, at):
        """Number of the sector that holds the byte at `at`."""
        if self._uniform:
            return at // self.sector_size
        low, high = 0, len(self.sectors) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.sectors[middle][0] <= at:
                low = middle
            else:
                high = middle - 1
        return low

    # -- inside

    def _program(self, offset, data):
        n = len(data)
        first = offset // self.program_size
        units = bytes(memoryview(self._unit)[first : first + n // self.program_size])
        if units.count(_USED) or units.count(_TORN):
            raise Misuse("program of a unit that is not erased", offset, n)
        self.ops += 1
        self.programs += 1
        self.programmed_bytes += n
        self._spend()
        for s in range(self.sector_of(offset), self.sector_of(offset + n - 1) + 1):
            self._dirty.add(s)
        if self.log is not None:
            kept = bytearray(data)
            if self._flip:
                _invert(kept)  # as it was handed over
            self.log.append(("program", offset, bytes(kept)))
        effect = self._due()
        refused = self.ecc and units.count(_FAINT)
        if refused and effect in EFFECTS:
            self._cut(effect)
        if refused or effect == "error":
            raise OSError(errno.EIO)
        if effect == "stuck":
            self.mark(first, len(units), USED)
            return
        if effect is not None:
            tear_program(self, effect, offset, data)
            self._cut(effect)
        if units.count(_STUCK):
            old = int.from_bytes(bytes(self.data[offset : offset + n]), "little")
            data = (old & int.from_bytes(bytes(data), "little")).to_bytes(n, "little")
        self.data[offset : offset + n] = data
        if self._weak:
            self.solid(offset, n)
        self._unit[first : first + len(units)] = b"\x01" * len(units)

    def _erase(self, s):
        at, n = self.sectors[s]
        if self.endurance and self.wear[s] >= self.endurance:
            raise OSError(errno.EIO)
        self.ops += 1
        self.erases += 1
        self.wear[s] += 1
        self._spend()
        self._dirty.add(s)
        if self.log is not None:
            self.log.append(("erase", at))
        effect = self._due()
        if effect == "error":
            raise OSError(errno.EIO)
        if effect == "stuck":
            self.mark(at // self.program_size, n // self.program_size, STUCK)
        elif effect is None:
            self.wipe(at, n)
        else:
            tear_erase(self, effect, at, n)
            self._cut(effect)

    def _check(self, offset, length, unit, what):
        if self._off:
            raise Misuse(what + " after a power cut")
        if length <= 0:
            raise Misuse(what + " of nothing", offset, length)
        if offset < 0 or offset + length > self.size:
            raise Misuse(what + " out of range", offset, length)
        if offset % unit or length % unit:
            raise Misuse(what + " not aligned", offset, length)

    def _is_flash(self, data):
        if uctypes is None:
            return isinstance(data, memoryview) and data.obj is self.data
        at = uctypes.addressof(data) - uctypes.addressof(self.data)
        return 0 <= at < self.size

    def _due(self):
        if self.ops != self._at:
            return None
        if self._effect != "middle":
            return self._effect
        self._half = (self._half + 1) % len(TEARS)
        return TEARS[self._half]

    def _cut(self, effect):
        self._off = True
        raise PowerCut(effect, self.ops)

    def _spend(self):
        if self._budget:
            erases, programmed = self._budget
            if erases is not None and self.erases > erases:
                raise Misuse("more erases than the budget", self.erases)
            if programmed is not None and self.programmed_bytes > programmed:
                raise Misuse("more bytes programmed than the budget", self.programmed_bytes)

    def _readable(self, offset, n):
        m = self.program_size
        units = memoryview(self._unit)[offset // m : (offset + n - 1) // m + 1]
        if bytes(units).count(_TORN):
            raise OSError(errno.EIO)

    def _read_weak(self, offset, buf):
        n = len(buf)
        for start, length, mask, value in self._weak:
            a = max(start, offset)
            b = min(start + length, offset + n)
            if a >= b:
                continue
            if value is None:
                value = self.dice.bits(length)
            flip = (mask & value) >> 8 * (a - start) & ((1 << 8 * (b - a)) - 1)
            old = int.from_bytes(bytes(buf[a - offset : b - offset]), "little")
            buf[a - offset : b - offset] = (old ^ flip).to_bytes(b - a, "little")


class Area:
    """Sectors of one size of a Nor as a driver; offsets count from the first of them."""

    def __init__(self, nor, first, count):
        lengths = {length for _, length in nor.sectors[first : first + count]}
        if len(lengths) != 1:
            raise ValueError("sectors of one size")
        self._nor = nor
        self._offset = nor.sectors[first][0]
        self.sector_size = lengths.pop()
        self.size = count * self.sector_size
        self.program_size = nor.program_size
        self.sync = nor.sync

    def read(self, offset, buf):
        """Fill buf from offset."""
        self._nor.read(self._inside(offset, len(buf)), buf)

    def program(self, offset, data):
        """As Nor.program()."""
        self._nor.program(self._inside(offset, len(data)), data)

    def erase(self, offset, length):
        """As Nor.erase()."""
        self._nor.erase(self._inside(offset, length), length)

    def _inside(self, offset, n):
        if offset < 0 or offset + n > self.size:
            raise Misuse("out of range", offset, n)
        return self._offset + offset


class Inverted:
    """Driver of a chip whose erased value is 0x00, for a library to which it is 0xFF."""

    def __init__(self, nor):
        self._nor = nor
        self.size = nor.size
        self.sector_size = nor.sector_size
        self.program_size = nor.program_size
        self.erase = nor.erase
        self.sync = nor.sync

    def read(self, offset, buf):
        """Fill buf from offset."""
        self._nor.read(offset, buf)
        _invert(buf)

    def program(self, offset, data):
        """As Nor.program()."""
        data = bytearray(data)
        _invert(data)
        self._nor.program(offset, data)


def _invert(buf):
    n = len(buf)
    ones = (1 << 8 * n) - 1
    buf[:] = (int.from_bytes(bytes(buf), "little") ^ ones).to_bytes(n, "little")
