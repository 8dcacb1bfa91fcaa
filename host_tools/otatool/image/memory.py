"""Bytes in memory as the flash region that the device's code reads."""

from ota.flash import Region


class _Bytes:
    sector_size = program_size = 1

    def __init__(self, data: bytes):
        self._data = data
        self.size = len(data)

    def read(self, offset: int, buf) -> None:
        buf[:] = self._data[offset : offset + len(buf)]


def region(data: bytes) -> Region:
    """A read-only region that holds data, which is not empty."""
    return Region(_Bytes(data), 0, len(data))
