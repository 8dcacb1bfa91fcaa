"""Flash in RAM with the rules of NOR, for tests and for trials without a board."""


class RamFlash:
    """A driver over a bytearray: program clears bits only, erase sets them.

    size, sector_size, program_size: bytes. buffer() makes it a memory-mapped flash.
    """

    def __init__(self, size: int, sector_size: int = 4096, program_size: int = 1):
        if size <= 0 or size % sector_size or sector_size % program_size:
            raise ValueError("size, sector_size, program_size")
        self.size = size
        self.sector_size = sector_size
        self.program_size = program_size
        self.data = bytearray(b"\xff" * size)

    def read(self, offset: int, buf) -> None:
        """Fill buf from offset."""
        buf[:] = memoryview(self.data)[offset : offset + len(buf)]

    def program(self, offset: int, data) -> None:
        """Program data at offset: the AND of what is there and data."""
        n = len(data)
        place = memoryview(self.data)[offset : offset + n]
        place[:] = and_bytes(place, data)

    def erase(self, offset: int, length: int) -> None:
        """Erase whole sectors."""
        for at in range(offset, offset + length, self.sector_size):
            self.data[at : at + self.sector_size] = b"\xff" * self.sector_size

    def sync(self) -> None:
        """Do nothing: RAM is written at once."""

    def buffer(self, offset: int, length: int):
        """View of length bytes at offset."""
        return memoryview(self.data)[offset : offset + length]


def and_bytes(a, b) -> bytes:
    """a AND b, both of the same length, as programming NOR combines them."""
    both = int.from_bytes(bytes(a), "little") & int.from_bytes(bytes(b), "little")
    return both.to_bytes(len(a), "little")
