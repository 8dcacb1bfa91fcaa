"""Flash driver over any MicroPython block device, the one API that all ports share.

Uses only the calls that mean the same on all ports: reads and writes with an offset, which never
erase, and ioctl 6, which erases one block. The internal flash behind `pyb.Flash` is unsuitable:
there ioctl 6 does nothing, and every write rewrites a whole sector.
"""


class BlockDevFlash:
    """Flash driver over a block device.

    Args:
        dev: block device with the extended protocol (vfs.AbstractBlockDev), such as
            esp32.Partition or rp2.Flash.
        program_size: bytes, as the chip needs: 1; rp2 256; encrypted esp32 partitions 16.
        bounce: size in bytes of a RAM buffer to program from, a multiple of program_size. Needed
            if data may be in flash that is switched off while it is programmed (frozen bytes on
            rp2). 0: no buffer.
    Raises:
        OSError: as reported by the device.
        ValueError: invalid geometry.
    """

    def __init__(self, dev, program_size: int = 1, bounce: int = 0):
        # pyb.Flash reports its true block size only after this call; others ignore it.
        dev.ioctl(1, 1)
        self.dev = dev
        self.sector_size = dev.ioctl(5, 0) or 512
        self.size = (dev.ioctl(4, 0) or 0) * self.sector_size
        self.program_size = program_size
        if self.size <= 0 or self.sector_size % program_size or bounce % program_size:
            raise ValueError("program_size")
        self._bounce = memoryview(bytearray(bounce)) if bounce else None
        self._map = _view(dev)

    def read(self, offset: int, buf: bytearray | memoryview) -> None:
        """Fill `buf` from `offset`."""
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

    def program(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Program `data` at `offset`."""
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
        """Erase whole sectors."""
        first = offset // self.sector_size
        for n in range(first, first + length // self.sector_size):
            _check(self.dev.ioctl(6, n))

    def sync(self) -> None:
        """Return when everything is on the chip."""
        _check(self.dev.ioctl(3, 0))

    def buffer(self, offset: int, length: int) -> memoryview | None:
        """View of memory-mapped flash, None if the device has none."""
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
