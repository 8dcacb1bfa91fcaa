"""A strict NOR flash in RAM that can lose power at any operation.

Stricter than hardware on purpose: what some chip would refuse, or what only works by luck, is
a Misuse. A power cut leaves what a real cut may leave. One source for both interpreters.
"""

import errno

try:
    import uctypes
except ImportError:
    uctypes = None

_POOL = 16384  # bytes of noise; random bits for whole sectors are slices of it


class Misuse(BaseException):
    """The flash was used in a way that no library code may catch."""


class PowerCut(BaseException):
    """Power was lost; only power_on() helps."""


def _noise(state):
    out = bytearray(_POOL)
    for i in range(_POOL):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        out[i] = state >> 16 & 0xFF
    return bytes(out)


_NOISE = _noise(20260101)
CUTS = ("before", "middle", "after")  # what a suite runs through; "weak" is the fourth


class Nor:
    """A driver with NOR rules: erased is 0xFF, a unit is programmed once between erases.

    size, sector_size, program_size: bytes; program_size is a power of two, 1..256.
    seed: of the random part of cuts. settled: a weak bit keeps one value from power_on() to
    power_on() instead of changing at every read.

    Counters: ops (programs + erases, one per sector erased), programs, programmed_bytes,
    erases, reads, read_bytes, and wear[sector].
    """

    def __init__(self, size, sector_size=4096, program_size=8, seed=1, settled=False):
        if sector_size <= 0 or size <= 0 or size % sector_size:
            raise ValueError("size is a multiple of sector_size")
        if program_size not in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            raise ValueError("program_size is a power of two, 1..256")
        if sector_size % program_size:
            raise ValueError("sector_size is a multiple of program_size")
        self.size = size
        self.sector_size = sector_size
        self.program_size = program_size
        self.settled = settled
        self.data = bytearray(size)
        for at in range(0, size, sector_size):  # a large flash has no room for a second one
            self.data[at : at + sector_size] = b"\xff" * sector_size
        self._view = memoryview(self.data)
        self._used = bytearray(size // program_size)  # 1: programmed since its last erase
        self._free = bytes(sector_size // program_size)
        self._blank = b"\xff" * sector_size
        self._weak = []  # [offset, length, mask, value of this boot or None]
        self._random = seed
        self._half = 0
        self._at = 0
        self._effect = None
        self._off = False
        self._base = None
        self._dirty = set()
        self.wear = [0] * (size // sector_size)
        self.ops = self.programs = self.programmed_bytes = self.erases = 0
        self.reads = self.read_bytes = 0

    # -- the driver

    def read(self, offset, buf):
        """Fill buf from offset."""
        n = len(buf)
        self._check(offset, n, 1, "read")
        self.reads += 1
        self.read_bytes += n
        buf[:] = self._view[offset : offset + n]
        if self._weak:
            self._read_weak(offset, buf)

    def program(self, offset, data):
        """Program data at offset: erased units, whole units, from RAM."""
        n = len(data)
        self._check(offset, n, self.program_size, "program")
        if self._is_flash(data):
            raise Misuse("program from a view of the flash")
        unit = offset // self.program_size
        units = n // self.program_size
        if self._used[unit : unit + units] != bytes(units):
            raise Misuse("program of a unit that is not erased", offset, n)
        self.ops += 1
        self.programs += 1
        self.programmed_bytes += n
        for s in range(offset // self.sector_size, (offset + n - 1) // self.sector_size + 1):
            self._dirty.add(s)
        effect = self._due()
        if effect == "error":
            raise OSError(errno.EIO)
        if effect in ("middle", "weak"):
            self._tear(effect, offset, data)
        elif effect != "before":
            if effect != "stuck":
                self.data[offset : offset + n] = data
                if self._weak:
                    self._solid(offset, n)
            self._used[unit : unit + units] = b"\x01" * units
        self._cut(effect)

    def erase(self, offset, length):
        """Erase whole sectors; each sector is an operation of its own."""
        self._check(offset, length, self.sector_size, "erase")
        for at in range(offset, offset + length, self.sector_size):
            self._erase(at)

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

    # -- power

    def cut_at(self, n, effect="before"):
        """Do effect at the n-th program or erase from now; 1 is the next one. None: never.

        "before": nothing done. "middle": a part done, for a program a prefix of the bytes
        and some bits of the next, for an erase by turns a prefix, a suffix, or half of the
        sector with random zeros. "after": all done. "weak": a part done, its edge reads
        differently from time to time. All four raise PowerCut. Without a cut: "stuck"
        (silently nothing done) and "error" (nothing done, OSError).
        """
        if n is not None and n < 1:
            raise ValueError("n counts from 1")
        if effect not in ("before", "middle", "after", "weak", "stuck", "error"):
            raise ValueError(effect)
        self._at = 0 if n is None else self.ops + n
        self._effect = effect

    def power_on(self):
        """Power is back; a cut that was not reached is forgotten."""
        self._off = False
        self._at = 0
        for area in self._weak:
            area[3] = self._bits(area[1]) if self.settled else None

    # -- snapshots

    def snapshot(self):
        """The whole state, to be given to restore() any number of times."""
        n = self.sector_size
        sectors = []  # in small pieces: a large flash has no room for a second one
        for at in range(0, self.size, n):
            piece = bytes(self._view[at : at + n])
            sectors.append(self._blank if piece == self._blank else piece)
        self._base = (
            sectors,
            bytes(self._used),
            list(self.wear),
            [list(area) for area in self._weak],
            (self._random, self._half, self._off, self._at, self._effect),
            (self.ops, self.programs, self.programmed_bytes, self.erases),
            (self.reads, self.read_bytes),
        )
        self._dirty = set()
        return self._base

    def restore(self, s):
        """Back to snapshot s; cheap if s is the last one taken or restored."""
        sectors, used, wear, weak, state, counts, reads = s
        n = self.sector_size
        m = n // self.program_size
        for i in self._dirty if s is self._base else range(len(sectors)):
            self.data[i * n : i * n + n] = sectors[i]
            self._used[i * m : i * m + m] = memoryview(used)[i * m : i * m + m]
        self._base = s
        self._dirty = set()
        self.wear = list(wear)
        self._weak = [list(area) for area in weak]
        self._random, self._half, self._off, self._at, self._effect = state
        self.ops, self.programs, self.programmed_bytes, self.erases = counts
        self.reads, self.read_bytes = reads

    # -- inside

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
        return self._effect if self.ops == self._at else None

    def _cut(self, effect):
        if effect in ("before", "middle", "after", "weak"):
            self._off = True
            raise PowerCut(effect, self.ops)

    def _rand(self, n):
        self._random = (self._random * 1103515245 + 12345) & 0x7FFFFFFF
        return (self._random >> 8) % n

    def _bits(self, n):
        """n random bytes as an integer."""
        out = 0
        while n > 0:
            k = min(n, _POOL // 2)
            at = self._rand(_POOL - k)
            out = out << 8 * k | int.from_bytes(_NOISE[at : at + k], "little")
            n -= k
        return out

    def _tear(self, effect, offset, data):
        n = len(data)
        size = self.program_size
        if effect == "middle":
            k = self._rand(n)
            self.data[offset : offset + k] = memoryview(data)[:k]
            self.data[offset + k] = data[k] | self._rand(256)
            solid = k // size
            torn = solid + 1
        else:
            solid = self._rand(n // size)
            k = solid * size
            self.data[offset : offset + k] = memoryview(data)[:k]
            torn = min(n // size, solid + 1 + self._rand(2))
            k2 = torn * size
            ones = int.from_bytes(self._blank[: k2 - k], "little")
            mask = (ones ^ int.from_bytes(bytes(data[k:k2]), "little")) & self._bits(k2 - k)
            if mask:
                self._weak.append([offset + k, k2 - k, mask, None])
        first = offset // size
        for u in range(first, first + torn):
            # A torn unit that shows nothing cannot be told from an erased one, by anybody.
            seen = self.data[u * size : u * size + size] != self._blank[:size]
            if u < first + solid or seen:
                self._used[u] = 1

    def _erase(self, at):
        n = self.sector_size
        s = at // n
        m = n // self.program_size
        self.ops += 1
        self.erases += 1
        self.wear[s] += 1
        self._dirty.add(s)
        effect = self._due()
        if effect == "error":
            raise OSError(errno.EIO)
        if effect in (None, "after"):
            self._solid(at, n)
            self.data[at : at + n] = self._blank
            self._used[s * m : s * m + m] = self._free
        elif effect in ("middle", "weak"):
            # Whatever it reads as now, only a completed erase makes it programmable again.
            self._used[s * m : s * m + m] = b"\x01" * m
            if effect == "middle":
                self._tear_erase(at, n)
            else:
                ones = int.from_bytes(self._blank, "little")
                old = int.from_bytes(bytes(self.data[at : at + n]), "little")
                mask = (ones ^ old) & self._bits(n)
                self._solid(at, n)
                self.data[at : at + n] = self._blank
                self._weak.append([at, n, mask, None])
        self._cut(effect)

    def _tear_erase(self, at, n):
        self._half = (self._half + 1) % 3
        k = 1 + self._rand(n - 1)
        if self._half == 1:
            self.data[at : at + k] = self._blank[:k]
        elif self._half == 2:
            self.data[at + k : at + n] = self._blank[k:]
        else:
            k = n // 2
            start = at + self._rand(2) * (n - k)
            old = int.from_bytes(bytes(self.data[start : start + k]), "little")
            self.data[start : start + k] = (old & self._bits(k)).to_bytes(k, "little")

    def _solid(self, offset, n):
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

    def _read_weak(self, offset, buf):
        n = len(buf)
        for start, length, mask, value in self._weak:
            a = max(start, offset)
            b = min(start + length, offset + n)
            if a >= b:
                continue
            if value is None:
                value = self._bits(length)
            flip = (mask & value) >> 8 * (a - start) & ((1 << 8 * (b - a)) - 1)
            old = int.from_bytes(bytes(buf[a - offset : b - offset]), "little")
            buf[a - offset : b - offset] = (old ^ flip).to_bytes(b - a, "little")
