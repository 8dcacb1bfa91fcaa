"""Flash behind any MicroPython block device: the one API that every port shares.

Only the forms that mean the same on all ports are used: reads and writes with an offset,
which never erase, and ioctl 6, which erases one block. Internal flash behind `pyb.Flash` is
not fit for it: there ioctl 6 does nothing and every write rewrites a whole sector.
"""


class BlockDevFlash:
    """A driver over a block device `dev` with the extended protocol (vfs.AbstractBlockDev).

    program_size: bytes, what the chip wants: 1, rp2 256, encrypted esp32 partitions 16.
    bounce: bytes, a multiple of program_size, of an own RAM buffer through which data is
    programmed; needed where data may lie in flash that is switched off meanwhile (frozen
    bytes on rp2). 0: data is handed on as it is.
    Raises OSError if the device reports one, ValueError for a geometry that cannot be.
    """

    def __init__(self, dev, program_size: int = 1, bounce: int = 0):
        # pyb.Flash tells its true block size only after this call; others ignore it.
        dev.ioctl(1, 1)
        self.dev = dev
        self.sector_size = dev.ioctl(5, 0) or 512
        self.size = (dev.ioctl(4, 0) or 0) * self.sector_size
        self.program_size = program_size
        if self.size <= 0 or self.sector_size % program_size or bounce % program_size:
            raise ValueError("program_size")
        self._bounce = memoryview(bytearray(bounce)) if bounce else None
        self._map = _view(dev)

    def read(self, offset: int, buf) -> None:
        """Fill buf from offset. Raises OSError."""
        n, at = divmod(offset, self.sector_size)
        if at + len(buf) <= self.sector_size:
            _check(self.dev.readblocks(n, buf, at))
            return
        buf = memoryview(buf)
        done = 0
        # Not every port accepts a block number and an offset beyond that block (stm32).
        while done < len(buf):
            n, at = divmod(offset + done, self.sector_size)
            part = buf[done : done + self.sector_size - at]
            _check(self.dev.readblocks(n, part, at))
            done += len(part)

    def program(self, offset: int, data) -> None:
        """Program data at offset. Raises OSError."""
        data = memoryview(data)
        bounce = self._bounce
        done = 0
        while done < len(data):
            n, at = divmod(offset + done, self.sector_size)
            part = data[done : done + self.sector_size - at]
            if bounce:
                part = part[: len(bounce)]
                bounce[: len(part)] = part
                part = bounce[: len(part)]
            _check(self.dev.writeblocks(n, part, at))
            done += len(part)

    def erase(self, offset: int, length: int) -> None:
        """Erase whole sectors. Raises OSError."""
        first = offset // self.sector_size
        for n in range(first, first + length // self.sector_size):
            _check(self.dev.ioctl(6, n))

    def sync(self) -> None:
        """Return when everything is on the chip. Raises OSError."""
        _check(self.dev.ioctl(3, 0))

    def buffer(self, offset: int, length: int):
        """View of mapped flash, or None if the device offers none."""
        return self._map[offset : offset + length] if self._map else None


def _view(dev):
    try:
        return memoryview(dev)
    except TypeError:
        return None


def _check(result) -> None:
    # rp2 and samd return None, stm32 a negative errno, mimxrt something true on failure.
    if result:
        raise OSError(abs(result) if type(result) is int else 5)
