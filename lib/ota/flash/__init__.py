"""Region, a bounded part of a flash device: the library touches flash through it alone.

The seam for flash drivers is duck-typed and described here. A driver has

    size            bytes
    sector_size     bytes, smallest erasable unit
    program_size    bytes, smallest programmable unit, a power of two
    read(offset, buf)         fill buf from offset
    program(offset, data)     data is in RAM, its place is erased, offset and length are
                              multiples of program_size
    erase(offset, length)     offset and length are multiples of sector_size
    sync()                    return when everything is on the chip

and, where the flash is memory-mapped, `buffer(offset, length)`, a read-only view of it.
Offsets are bytes from the start of the device. A driver raises OSError when the hardware fails;
it need not check bounds or alignment, because Region does.
"""

from ..compat import const
from ..errors import FlashError

if False:  # for type checkers
    from ota_hints import Driver

_CHECK = const(256)  # bytes compared at a time when reading back


class Region:
    """A driver's bytes [offset, offset + size), addressed from 0.

    The start need not be on a sector boundary; such a region (a table of 32 bytes) can be read
    but not erased.

    Args:
        driver: flash driver, as described above.
        offset: start on the device in bytes.
        size: bytes.
    Raises:
        FlashError: "bounds" if the device is smaller.
    """

    def __init__(self, driver, offset: int, size: int):
        if offset < 0 or size <= 0 or offset + size > driver.size:
            raise FlashError("bounds", offset, size)
        self.driver = driver
        self.offset = offset
        self.size = size
        self.sector_size = driver.sector_size
        self.program_size = driver.program_size

    def sub(self, offset: int, size: int) -> "Region":
        """The part [offset, offset + size) as a region of its own."""
        self._inside(offset, size)
        return Region(self.driver, self.offset + offset, size)

    def read(self, offset: int, buf: bytearray | memoryview) -> None:
        """Fill `buf` from `offset`.

        Raises:
            FlashError: "bounds", "io".
        """
        self._inside(offset, len(buf))
        try:
            self.driver.read(self.offset + offset, buf)
        except OSError as e:
            raise FlashError("io", offset, e)

    def peek(self, offset: int, buf: bytearray | memoryview) -> bool:
        """Like read(), for callers that verify the data themselves.

        A unit that cannot be read, such as a half-programmed one on flash with ECC, is filled
        with zeros.

        Returns:
            True if every unit could be read.
        Raises:
            FlashError: "bounds".
        """
        n = len(buf)
        self._inside(offset, n)
        at = self.offset + offset
        try:
            self.driver.read(at, buf)
            return True
        except OSError:
            buf = memoryview(buf)
        done = 0
        while done < n:
            step = min(n - done, self.program_size - (at + done) % self.program_size)
            part = buf[done : done + step]
            try:
                self.driver.read(at + done, part)
            except OSError:
                part[:] = bytes(step)
            done += step
        return False

    def program(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Program `data` at `offset` and read it back; the place must be erased.

        Args:
            offset: bytes, a multiple of program_size.
            data: in RAM; its length is a multiple of program_size.
        Raises:
            FlashError: "bounds", "align", "io"; "verify" if other bytes are read back.
        """
        self._inside(offset, len(data))
        if (self.offset + offset) % self.program_size or len(data) % self.program_size:
            raise FlashError("align", offset, len(data))
        try:
            self.driver.program(self.offset + offset, data)
            if not self._same(offset, data):
                raise FlashError("verify", offset)
        except OSError as e:
            raise FlashError("io", offset, e)

    def erase(self, offset: int, length: int) -> None:
        """Erase `length` bytes at `offset`, both multiples of sector_size.

        Raises:
            FlashError: "bounds", "align", "io".
        """
        self._inside(offset, length)
        if (self.offset + offset) % self.sector_size or length % self.sector_size:
            raise FlashError("align", offset, length)
        try:
            self.driver.erase(self.offset + offset, length)
        except OSError as e:
            raise FlashError("io", offset, e)

    def sync(self) -> None:
        """Return when everything is on the chip.

        Raises:
            FlashError: "io".
        """
        try:
            self.driver.sync()
        except OSError as e:
            raise FlashError("io", 0, e)

    def equal(self, offset: int, data: bytes | bytearray | memoryview) -> bool:
        """True if flash at `offset` can be read and holds exactly `data`.

        Raises:
            FlashError: "bounds".
        """
        self._inside(offset, len(data))
        try:
            return self._same(offset, data)
        except OSError:
            return False

    def buffer(self, length: int = 0) -> memoryview | None:
        """Read-only view of the first `length` bytes (0: all) of memory-mapped flash; None if the
        flash is not mapped."""
        view = getattr(self.driver, "buffer", None)
        return view and view(self.offset, length or self.size)

    def _inside(self, offset: int, length: int) -> None:
        if offset < 0 or length <= 0 or offset + length > self.size:
            raise FlashError("bounds", offset, length)

    def _same(self, offset: int, data) -> bool:
        # Ports differ in how they report a failed program (rp2 and samd not at all), so compare
        # what is on the chip.
        data = memoryview(data)
        buf = memoryview(bytearray(min(_CHECK, len(data))))
        done = 0
        while done < len(data):
            n = min(len(buf), len(data) - done)
            self.driver.read(self.offset + offset + done, buf[:n])
            if buf[:n] != data[done : done + n]:
                return False
            done += n
        return True


def sector_aligned(driver: "Driver", offset: int, size: int) -> Region:
    """Region of the whole sectors inside [offset, offset + size); never rounded outwards.

    Raises:
        FlashError: "align" if there is no whole sector, "bounds" if outside the device.
    """
    s = driver.sector_size
    start = (offset + s - 1) // s * s
    end = (offset + size) // s * s
    if end <= start:
        raise FlashError("align", offset, size)
    return Region(driver, start, end - start)
