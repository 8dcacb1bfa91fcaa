"""Driver over any MicroPython block device, the API that all ports share.

Uses only what means the same on all ports: reads and writes with an offset, which never erase,
and ioctl 6, which erases one block. Internal flash behind `pyb.Flash` is not suitable: its
ioctl 6 does nothing and every write rewrites a whole sector.
"""


class BlockDevFlash:
    """Driver over a block device with the extended protocol (vfs.AbstractBlockDev).

    Args:
        dev: such as rp2.Flash(), esp32.Partition.
        program_size: bytes that the chip programs at once: rp2 256, encrypted esp32 partitions
            16, else 1.
        bounce: bytes of a RAM buffer to program from, a multiple of program_size; needed where
            data may be in flash that is off during programming (frozen bytes on rp2). 0: none.
    Raises:
        OSError: of the device; ValueError for an impossible geometry.
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

    def read(self, offset: int, buf) -> None:
        """Fill buf from offset. Raises OSError."""
        n, at = divmod(offset, self.sector_size)
        if at + len(buf) <= self.sector_size:
            _check(self.dev.readblocks(n, buf, at))
            return
        buf = memoryview(buf)
        done = 0
        # stm32 rejects an offset beyond the block.
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
