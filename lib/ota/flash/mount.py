"""A Region as a read-only block device, so that MicroPython can mount an image in it."""

from ..compat import const
from ..errors import FlashError

_BLOCK_SIZE = const(24)  # where a superblock has it, see image.py
_EIO = const(5)
_EROFS = const(30)


class RegionBlockDev:
    """Block device over a region for vfs.VfsLfs2: `vfs.mount(VfsLfs2(dev), "/app")`.

    size: bytes of a littlefs2 image at the start of the region. Length and block size are those
    of the image: littlefs rejects a longer device, and blocks need not be sectors. Default: the
    whole region, by sectors. Reads outside, or that fail, raise OSError 5, all writes OSError 30.
    """

    def __init__(self, region, size: int = 0):
        self._region = region
        self._block = region.sector_size
        if size:
            head = bytearray(4)
            region.read(_BLOCK_SIZE, head)
            self._block = int.from_bytes(head, "little")
        self._count = (size or region.size) // self._block

    def readblocks(self, n: int, buf, offset: int = 0) -> None:
        """Fill buf from block n, byte offset."""
        at = n * self._block + offset
        if at + len(buf) > self._block * self._count:
            raise OSError(_EIO)
        try:
            self._region.read(at, buf)
        except FlashError:
            raise OSError(_EIO)

    def writeblocks(self, n: int, buf, offset: int = 0) -> None:
        """Raise OSError 30: an image is read-only."""
        raise OSError(_EROFS)

    def ioctl(self, op: int, arg: int):
        """Initialise, finish, sync: nothing to do. Block count, block size. No erase."""
        if op == 4:
            return self._count
        if op == 5:
            return self._block
        if op == 6:
            raise OSError(_EROFS)
        return 0
