"""Flash driver over RAM that behaves like NOR flash: for tests and experiments."""


class RamFlash:
    """Flash driver over a bytearray: programming only clears bits, erasing sets them.

    Its buffer() makes it memory-mapped flash.

    Args:
        size, sector_size, program_size: bytes.
    Raises:
        ValueError: invalid geometry.
    """

    def __init__(self, size: int, sector_size: int = 4096, program_size: int = 1):
        if size <= 0 or size % sector_size or sector_size % program_size:
            raise ValueError("size, sector_size, program_size")
        self.size = size
        self.sector_size = sector_size
        self.program_size = program_size
        self.data = bytearray(b"\xff" * size)

    def read(self, offset: int, buf: bytearray | memoryview) -> None:
        """Fill `buf` from `offset`."""
        buf[:] = memoryview(self.data)[offset : offset + len(buf)]

    def program(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Program `data` at `offset`: bits are only cleared."""
        n = len(data)
        place = memoryview(self.data)[offset : offset + n]
        place[:] = and_bytes(place, data)

    def erase(self, offset: int, length: int) -> None:
        """Erase whole sectors."""
        for at in range(offset, offset + length, self.sector_size):
            self.data[at : at + self.sector_size] = b"\xff" * self.sector_size

    def sync(self) -> None:
        """Nothing to do."""

    def buffer(self, offset: int, length: int) -> memoryview:
        """View of `length` bytes at `offset`."""
        return memoryview(self.data)[offset : offset + length]


def and_bytes(a: bytes | bytearray | memoryview, b: bytes | bytearray | memoryview) -> bytes:
    """`a` AND `b`, of the same length: the result of programming `b` over `a` in NOR flash."""
    both = int.from_bytes(bytes(a), "little") & int.from_bytes(bytes(b), "little")
    return both.to_bytes(len(a), "little")
