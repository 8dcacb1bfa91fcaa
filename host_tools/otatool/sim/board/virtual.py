"""The virtual board's flash: NOR rules over the memory that the launcher maps.

A driver as described at the head of ota/flash/__init__.py. It is stricter than the chips it
stands for: what is not erased cannot be programmed, and nothing is rounded. Every program
and erase is counted, and power can be made to go at any one of them.

It is compiled to machine code, in which nothing looks for Ctrl-C or for a timer that is due:
both come behind an operation, as with a driver in C.
"""

import gc
import time

import _control as _c

_EIO = 5
_EINVAL = 22
_PROGRAM_256_US = 400  # W25Q typical: page program, sector erase
_ERASE_US = 45_000


class Nor:
    """The board's flash, all of it. There is one; every Nor() is the same chip."""

    def __init__(self, **options):
        self.size = _c.words[_c.W_SIZE]
        self.sector_size = _c.words[_c.W_SECTOR]
        self.program_size = _c.words[_c.W_PROGRAM]

    @micropython.native  # noqa: F821
    def read(self, offset: int, buf) -> None:
        """Fill buf from offset. Raises OSError EINVAL out of range."""
        n = self._inside(offset, len(buf))
        buf[:] = _c.view[offset : offset + n]

    @micropython.native  # noqa: F821
    def program(self, offset: int, data) -> None:
        """Program data at offset, which must be erased.

        Raises OSError EINVAL out of range or misaligned, EIO if a byte there is not erased.
        """
        n = self._inside(offset, len(data), self.program_size)
        done = 0
        while done < n:
            step = min(n - done, _c.FF_SIZE)
            if _c.flash[offset + done : offset + done + step] != _c.ones[:step]:
                raise OSError(_EIO)
            done += step
        words = _c.words
        words[_c.W_PROGRAMS] += 1
        words[_c.W_PROGRAMMED] += n
        if self._begin():
            n //= 2
            _c.flash[offset : offset + n] = data[:n]
            _c.flash[offset + n] = data[n] | 0x5A  # some bits of the next byte came through
            _c.stop(_c.POWER_CUT)
        _c.flash[offset : offset + n] = data
        self._end((n + 255) // 256 * _PROGRAM_256_US)

    @micropython.native  # noqa: F821
    def erase(self, offset: int, length: int) -> None:
        """Erase [offset, offset + length). Raises OSError EINVAL out of range or misaligned."""
        self._inside(offset, length, self.sector_size)
        words = _c.words
        words[_c.W_ERASES] += 1
        for sector in range(offset // self.sector_size, (offset + length) // self.sector_size):
            _c.wear[sector] += 1
        if self._begin():
            self._fill(offset, length // 2)
            # The next bytes are on their way to 1: neither old nor erased.
            for i in range(offset + length // 2, offset + length // 2 + 16):
                _c.flash[i] |= 0xA5
            _c.stop(_c.POWER_CUT)
        self._fill(offset, length)
        self._end(length // self.sector_size * _ERASE_US)

    def sync(self) -> None:
        """Nothing waits: what was programmed survives the end of the process."""

    def buffer(self, offset: int, length: int):
        """The mapped flash itself. Writing to this view is a bus fault: the board crashes."""
        self._inside(offset, length)
        return _c.view[offset : offset + length]

    @micropython.native  # noqa: F821
    def _inside(self, offset, length, unit=1):
        if offset < 0 or length <= 0 or offset + length > self.size:
            raise OSError(_EINVAL)
        if offset % unit or length % unit:
            raise OSError(_EINVAL)
        return length

    @micropython.native  # noqa: F821
    def _fill(self, offset, length):
        done = 0
        while done < length:
            step = min(length - done, _c.FF_SIZE)
            _c.flash[offset + done : offset + done + step] = _c.ones[:step]
            done += step

    @micropython.native  # noqa: F821
    def _begin(self):
        # Count the operation; True if it is the one at which power goes half-way.
        words = _c.words
        words[_c.W_OPERATIONS] += 1
        if words[_c.W_COLLECT]:
            gc.collect()
        words[_c.W_PEAK] = max(words[_c.W_PEAK], gc.mem_alloc())
        if words[_c.W_OPERATIONS] != words[_c.W_CUT_AT]:
            return False
        if words[_c.W_CUT_EFFECT] == _c.BEFORE:
            _c.stop(_c.POWER_CUT)
        return words[_c.W_CUT_EFFECT] == _c.MIDDLE

    @micropython.native  # noqa: F821
    def _end(self, duration_us):
        words = _c.words
        if words[_c.W_OPERATIONS] == words[_c.W_CUT_AT]:
            _c.stop(_c.POWER_CUT)
        if words[_c.W_TIMING]:
            time.sleep_us(duration_us)


class Blocks:
    """Part of the flash as a block device, for the littlefs of the root directory."""

    def __init__(self, nor, offset: int, size: int):
        self._nor = nor
        self._offset = offset
        self._count = size // nor.sector_size

    @micropython.native  # noqa: F821
    def readblocks(self, block: int, buf, offset: int = 0) -> None:
        """Fill buf from a byte offset in a block."""
        self._nor.read(self._at(block, offset, len(buf)), buf)

    @micropython.native  # noqa: F821
    def writeblocks(self, block: int, buf, offset=None) -> None:
        """Program buf; without an offset, erase the blocks it fills first."""
        at = self._at(block, offset or 0, len(buf))
        if offset is None:
            self._nor.erase(at, len(buf))
        self._nor.program(at, buf)

    @micropython.native  # noqa: F821
    def ioctl(self, command: int, arg):
        """Block count (4), block size (5), erase (6); init, deinit and sync have no work."""
        if command == 4:
            return self._count
        if command == 5:
            return self._nor.sector_size
        if command == 6:
            self._nor.erase(self._at(arg, 0, self._nor.sector_size), self._nor.sector_size)
        return 0

    @micropython.native  # noqa: F821
    def _at(self, block, offset, length):
        at = block * self._nor.sector_size + offset
        if at < 0 or at + length > self._count * self._nor.sector_size:
            raise OSError(_EINVAL)
        return self._offset + at
