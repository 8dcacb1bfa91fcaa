"""Flash driver over a file: for boards without a flash driver, and for tests."""

import os

_PIECE = 256  # bytes handled at a time


class FileFlash:
    """Flash driver over a file, which is created or filled up with 0xFF as needed.

    Every program and erase is flushed to the operating system, whose own caches can still lose
    data in a power cut.

    Args:
        path: of the file.
        size, sector_size, program_size: bytes.
    Raises:
        OSError: the file cannot be opened.
        ValueError: invalid geometry.
    """

    def __init__(self, path: str, size: int, sector_size: int = 4096, program_size: int = 1):
        if size <= 0 or size % sector_size or sector_size % program_size:
            raise ValueError("size, sector_size, program_size")
        self.size = size
        self.sector_size = sector_size
        self.program_size = program_size
        try:
            there = os.stat(path)[6]
        except OSError:
            there = -1
        self._file = open(path, "w+b" if there < 0 else "r+b")
        self._fill(max(0, there), size)

    def read(self, offset: int, buf: bytearray | memoryview) -> None:
        """Fill `buf` from `offset`."""
        self._file.seek(offset)
        if self._file.readinto(buf) != len(buf):
            raise OSError(5)

    def program(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Program `data` at `offset`: bits are only cleared, as in NOR flash.

        Everything is read before anything is written: on littlefs a read after a write rewrites
        the rest of the file.
        """
        data = memoryview(data)
        old = memoryview(bytearray(min(_PIECE, len(data))))
        blank = True
        for at in range(0, len(data), _PIECE):
            place = old[: min(_PIECE, len(data) - at)]
            self.read(offset + at, place)
            blank = blank and not bytes(place).rstrip(b"\xff")
        if not blank:
            # The library only programs erased flash; other callers may not.
            there = bytearray(len(data))
            self.read(offset, there)
            both = int.from_bytes(there, "little") & int.from_bytes(bytes(data), "little")
            data = memoryview(both.to_bytes(len(data), "little"))
        self._file.seek(offset)
        self._file.write(data)
        self._file.flush()

    def erase(self, offset: int, length: int) -> None:
        """Erase whole sectors."""
        self._fill(offset, offset + length)

    def sync(self) -> None:
        """Flush everything to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Close the file; the driver cannot be used afterwards."""
        self._file.close()

    def _fill(self, start: int, end: int) -> None:
        if start >= end:
            return
        self._file.seek(start)
        blank = b"\xff" * _PIECE
        while start < end:
            self._file.write(blank[: end - start])
            start += _PIECE
        self._file.flush()
