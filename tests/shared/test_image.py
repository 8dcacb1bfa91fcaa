import unittest

import vector_files
from ota import image
from ota.errors import FlashError
from ota.flash import Region


class _Device:
    """Flash that can only be read: data, and erased behind it."""

    sector_size = program_size = 1

    def __init__(self, data, size):
        self.data = data
        self.size = size

    def read(self, offset, buf):
        if self.data is None:
            raise OSError(5)
        data = self.data[offset : offset + len(buf)]
        buf[:] = data + b"\xff" * (len(buf) - len(data))


def _region(data, size=1 << 20):
    return Region(_Device(data, size), 0, size)


class TestImage(unittest.TestCase):
    def _is(self, kind, size, *args):
        region = _region(*args)
        self.assertEqual((image.kind(region), image.size(region)), (kind, size))

    def test_images_of_the_tool_are_recognised(self):
        for name, kind in (("app.romfs", "romfs"), ("app.lfs2", "lfs2")):
            data = vector_files.load("image/" + name)
            with self.subTest(name=name):
                self._is(kind, len(data), data)
                self._is(kind, len(data), data, len(data))
                self._is("", 0, data, len(data) - 1)

    def test_blank_and_unknown_content_is_no_image(self):
        for data in (b"", bytes(64), b"\xff" * 64, b"print('hello')\n" * 8, b"\xe9\x05\x02\x20"):
            self._is("", 0, data)
        self._is("", 0, b"", 1)

    def test_every_truncated_head_is_refused_or_bounded(self):
        for name in ("app.romfs", "app.lfs2"):
            data = vector_files.load("image/" + name)
            for n in range(1, 32):
                region = _region(data[:n], n)
                self.assertLessEqual(image.size(region), n)

    def test_romfs_lengths(self):
        magic = b"\xd2\xcd\x31"
        for tail, size in (
            (b"\x00", 4),
            (b"\x7f", 4 + 127),
            (b"\x80\x7f", 5 + 127),
            (b"\x81\x00", 5 + 128),
            (b"\x80\x80\x80\x80\x81\x00", 9 + 128),
            (b"\x80\x80\x80\x80\x80\x81\x00", 0),  # longer than any length of 32 bits
            (b"\xff\xff\xff\xff\xff\xff\xff\x7f", 0),
            (b"\x8f\xff\xff\xff\x7f", 0),  # 4 GiB
        ):
            with self.subTest(tail=tail):
                self._is("romfs" if size else "", size, magic + tail)

    def test_littlefs_sizes(self):
        data = vector_files.load("image/app.lfs2")
        for block, count, size in (
            (4096, 3, 12288),
            (0, 3, 0),
            (4096, 0, 0),
            (4096, 257, 0),
            (64, 100, 0),
            (4181, 3, 0),
            (0xFFFFFFFF, 0xFFFFFFFF, 0),
        ):
            head = data[:24] + block.to_bytes(4, "little") + count.to_bytes(4, "little")
            with self.subTest(block=block, count=count):
                self._is("lfs2" if size else "", size, head)

    def test_flash_that_cannot_be_read_is_an_error(self):
        with self.assertRaises(FlashError) as caught:
            image.size(_region(None))
        self.assertEqual(caught.exception.reason, "io")
