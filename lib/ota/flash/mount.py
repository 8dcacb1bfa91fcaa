"""A Region as a read-only block device, so that MicroPython can mount the image in it."""

from ..compat import const
from ..errors import FlashError

_BLOCK_SIZE = const(24)  # its offset in the superblock, see image.py
_EIO = const(5)
_EROFS = const(30)


class RegionBlockDev:
    """Read-only block device over a region for vfs.VfsLfs2: `vfs.mount(VfsLfs2(dev), "/app")`.

    Reads outside the device, or that the flash cannot serve, raise OSError 5 (EIO); all writes
    raise OSError 30 (EROFS).

    Args:
        region: Region with the image.
        size: length in bytes of a littlefs2 image at its start. The device then has the length
            and the block size of the image, because littlefs rejects a longer device. 0: the
            whole region, in blocks of a sector.
    Raises:
        FlashError: the image's superblock cannot be read.
    """

    def __init__(self, region, size: int = 0):
        self._region = region
        self._block = region.sector_size
        if size:
            head = bytearray(4)
            region.read(_BLOCK_SIZE, head)
            self._block = int.from_bytes(head, "little")
        self._count = (size or region.size) // self._block

    def readblocks(self, n: int, buf: bytearray | memoryview, offset: int = 0) -> None:
        """Fill `buf` from byte `offset` of block `n`."""
        at = n * self._block + offset
        if at + len(buf) > self._block * self._count:
            raise OSError(_EIO)
        try:
            self._region.read(at, buf)
        except FlashError:
            raise OSError(_EIO)

    def writeblocks(self, n: int, buf: bytes | bytearray | memoryview, offset: int = 0) -> None:
        """Raise OSError 30: an image is read-only."""
        raise OSError(_EROFS)

    def ioctl(self, op: int, arg: int) -> int:
        """Block count (4), block size (5) or 0; erase (6) raises OSError 30."""
        if op == 4:
            return self._count
        if op == 5:
            return self._block
        if op == 6:
            raise OSError(_EROFS)
        return 0
