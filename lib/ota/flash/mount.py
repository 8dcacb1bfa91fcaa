"""A Region as a read-only block device, so that MicroPython can mount an image in it."""

from ..compat import const
from ..errors import FlashError

_EIO = const(5)
_EROFS = const(30)


class RegionBlockDev:
    """Block device over a region for vfs.VfsLfs2: `vfs.mount(VfsLfs2(dev), "/app")`.

    Reads of what lies outside the region, or that the flash refuses, raise OSError 5, all
    writes OSError 30. The block size is the region's sector size.
    """

    def __init__(self, region):
        self._region = region

    def readblocks(self, n: int, buf, offset: int = 0) -> None:
        """Fill buf from block n, byte offset."""
        try:
            self._region.read(n * self._region.sector_size + offset, buf)
        except FlashError:
            raise OSError(_EIO)

    def writeblocks(self, n: int, buf, offset: int = 0) -> None:
        """Refused: an image is read-only."""
        raise OSError(_EROFS)

    def ioctl(self, op: int, arg: int):
        """Initialise, finish, sync: nothing to do. Block count, block size. No erase."""
        if op == 4:
            return self._region.size // self._region.sector_size
        if op == 5:
            return self._region.sector_size
        if op == 6:
            raise OSError(_EROFS)
        return 0
