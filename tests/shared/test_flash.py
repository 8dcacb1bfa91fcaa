import os
import unittest

import contract_flash
from nor import Nor
from ota.flash import Region
from ota.flash.blockdev import BlockDevFlash
from ota.flash.file import FileFlash
from ota.flash.mount import RegionBlockDev
from ota.flash.ram import RamFlash

try:
    import vfs
except ImportError:
    vfs = None

_PATH = (os.getenv("TMPDIR") or "/tmp") + "/ota-test-flash.bin"


class RamBlockDev:
    """A block device as MicroPython's documentation shows it, with the habits of ports."""

    def __init__(self, blocks, block_size=4096, fail=None):
        self.block_size = block_size
        self.data = bytearray(blocks * block_size)
        self.fail = fail
        self.calls = []

    def readblocks(self, n, buf, off=0):
        if off + len(buf) > self.block_size:
            return -22
        at = n * self.block_size + off
        buf[:] = memoryview(self.data)[at : at + len(buf)]
        return self.fail

    def writeblocks(self, n, buf, off=None):
        if off is None:
            self.ioctl(6, n)
            off = 0
        if off + len(buf) > self.block_size:
            return -22
        self.calls.append(len(buf))
        at = n * self.block_size + off
        self.data[at : at + len(buf)] = buf
        return self.fail

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.data) // self.block_size
        if op == 5:
            return self.block_size
        if op == 6:
            at = arg * self.block_size
            self.data[at : at + self.block_size] = b"\xff" * self.block_size
            return self.fail
        return 0


class _Calls:
    """A file that notes what is done with it."""

    def __init__(self, file):
        self._file = file
        self.calls = []

    def __getattr__(self, name):
        def call(*args):
            self.calls.append(name)
            return getattr(self._file, name)(*args)

        return call


class TestContract(unittest.TestCase):
    def test_mock(self):
        for program_size in (1, 8, 32, 256):
            contract_flash.check(Nor(16384, 4096, program_size))

    def test_ram(self):
        for program_size in (1, 8, 32, 256):
            contract_flash.check(RamFlash(16384, 4096, program_size))
        contract_flash.check(RamFlash(8192, 2048, 4))

    def test_block_device(self):
        for block_size in (512, 2048, 4096):
            dev = RamBlockDev(8, block_size)
            contract_flash.check(BlockDevFlash(dev))
            contract_flash.check(BlockDevFlash(dev, 16, 64))
        contract_flash.check(BlockDevFlash(RamBlockDev(8), 256, 256))

    def test_a_broken_driver_is_found(self):
        class Short(RamFlash):
            def program(self, offset, data):
                RamFlash.program(self, offset, memoryview(data)[: len(data) - 1])

        class Wide(RamFlash):
            def erase(self, offset, length):
                RamFlash.erase(self, 0, self.size)

        class Deaf(RamFlash):
            def erase(self, offset, length):
                self.data[offset] = 0

        for broken in (Short, Wide, Deaf):
            self.assertRaises(AssertionError, contract_flash.check, broken(16384))


class TestRam(unittest.TestCase):
    def test_program_only_clears_bits(self):
        flash = RamFlash(4096)
        flash.program(10, b"\xf0\x0f")
        flash.program(10, b"\x3c\xff")
        self.assertEqual(contract_flash.read(flash, 9, 4), b"\xff\x30\x0f\xff")

    def test_a_geometry_that_cannot_be(self):
        self.assertRaises(ValueError, RamFlash, 4097)
        self.assertRaises(ValueError, RamFlash, 4096, 4096, 3)


class TestFile(unittest.TestCase):
    def tearDown(self):
        try:
            os.remove(_PATH)
        except OSError:
            pass

    setUp = tearDown

    def test_contract(self):
        flash = FileFlash(_PATH, 16384, 4096, 8)
        contract_flash.check(flash)
        flash.close()

    def test_nothing_is_read_once_writing_began(self):
        # On littlefs a read behind a write is a flush, and that rewrites the rest of the file.
        flash = FileFlash(_PATH, 16384, 4096)
        flash._file = file = _Calls(flash._file)
        for offset, n in ((0, 4096), (4096, 1), (5000, 700), (8192, 8192)):
            file.calls = []
            flash.program(offset, bytes(n))
            kinds = [c for c in file.calls if c != "seek"]
            self.assertEqual(kinds[-2:], ["write", "flush"])
            self.assertEqual(set(kinds[:-2]), {"readinto"})
            self.assertEqual(len(kinds), 2 + (n + 255) // 256)
        # Also where it is not erased, which the library never does.
        file.calls = []
        flash.program(0, b"\xff" * 600)
        kinds = [c for c in file.calls if c != "seek"]
        self.assertEqual(kinds.count("write"), 1)
        self.assertEqual(kinds[-2:], ["write", "flush"])
        flash.close()

    def test_program_only_clears_bits(self):
        flash = FileFlash(_PATH, 4096)
        flash.program(10, b"\xf0\x0f")
        flash.program(10, b"\x3c\xff")
        self.assertEqual(contract_flash.read(flash, 9, 4), b"\xff\x30\x0f\xff")
        flash.program(300, bytes(range(256)) * 3)
        flash.program(299, b"\x7f" * 700)
        wanted = bytes([0x7F]) + bytes(b & 0x7F for b in bytes(range(256)) * 3)[:699]
        self.assertEqual(contract_flash.read(flash, 299, 700), wanted)
        flash.close()

    def test_contents_stay_and_a_short_file_grows(self):
        flash = FileFlash(_PATH, 4096)
        flash.program(100, b"\x0f")
        flash.close()
        flash = FileFlash(_PATH, 8192)
        flash.program(100, b"\xfc")
        self.assertEqual(contract_flash.read(flash, 99, 3), b"\xff\x0c\xff")
        self.assertEqual(contract_flash.read(flash, 8191, 1), b"\xff")
        self.assertRaises(OSError, flash.read, 8190, bytearray(4))
        flash.close()


class TestBlockDev(unittest.TestCase):
    def test_every_failing_result_is_an_error(self):
        for result, number in ((-5, 5), (22, 22), (True, 5)):
            dev = RamBlockDev(4)
            flash = BlockDevFlash(dev)
            dev.fail = result
            for call in (
                lambda: flash.read(0, bytearray(4)),
                lambda: flash.program(0, bytearray(4)),
                lambda: flash.erase(0, 4096),
            ):
                with self.assertRaises(OSError) as caught:
                    call()
                self.assertEqual(caught.exception.args[0], number)

    def test_none_zero_and_false_are_success(self):
        for result in (None, 0, False):
            flash = BlockDevFlash(RamBlockDev(4, fail=result))
            flash.erase(0, 4096)
            flash.program(0, bytearray(4))
            self.assertEqual(contract_flash.read(flash, 0, 5), b"\0\0\0\0\xff")

    def test_bounce_buffer_limits_each_write(self):
        dev = RamBlockDev(4)
        flash = BlockDevFlash(dev, 16, 64)
        flash.erase(0, 8192)
        flash.program(4096 - 96, b"0123456789abcdef" * 12)
        self.assertEqual(dev.calls, [64, 32, 64, 32])
        self.assertEqual(contract_flash.read(flash, 4096 - 96, 192), b"0123456789abcdef" * 12)

    def test_no_view_without_buffer_protocol(self):
        self.assertIsNone(BlockDevFlash(RamBlockDev(4)).buffer(0, 16))

    def test_a_view_where_the_device_has_one(self):
        class Mapped(bytearray):
            def ioctl(self, op, arg):
                return 4096 if op == 5 else len(self) // 4096

        view = BlockDevFlash(Mapped(8192)).buffer(4096, 16)
        if view is None:
            self.skipTest("subclasses of bytearray have no buffer protocol here")
        self.assertEqual(bytes(view), bytes(16))

    def test_wrong_program_size(self):
        self.assertRaises(ValueError, BlockDevFlash, RamBlockDev(4), 3)
        self.assertRaises(ValueError, BlockDevFlash, RamBlockDev(4), 16, 24)


class TestMount(unittest.TestCase):
    def test_block_device_of_a_region(self):
        flash = RamFlash(16384)
        flash.program(8192 + 5, b"image")
        dev = RegionBlockDev(Region(flash, 8192, 8192))
        self.assertEqual((dev.ioctl(4, 0), dev.ioctl(5, 0)), (2, 4096))
        buf = bytearray(5)
        dev.readblocks(0, buf, 5)
        self.assertEqual(buf, b"image")
        block = bytearray(4096)
        dev.readblocks(0, block)
        self.assertEqual(block[:11], b"\xff" * 5 + b"image\xff")
        for call, number in (
            (lambda: dev.writeblocks(0, buf, 0), 30),
            (lambda: dev.writeblocks(0, block), 30),
            (lambda: dev.ioctl(6, 0), 30),
            (lambda: dev.readblocks(2, buf, 0), 5),
        ):
            with self.assertRaises(OSError) as caught:
                call()
            self.assertEqual(caught.exception.args[0], number)
        for op in (1, 2, 3):
            self.assertEqual(dev.ioctl(op, 0), 0)

    def test_littlefs_image_is_mounted_and_stays_as_it_is(self):
        if vfs is None:
            self.skipTest("littlefs is mounted by MicroPython's vfs module")
        ram = RamBlockDev(8, 512, 0)
        vfs.VfsLfs2.mkfs(ram)
        fs = vfs.VfsLfs2(ram)
        with fs.open("main.py", "w") as f:
            f.write("print('hello')\n" * 40)
        fs.umount()
        flash = RamFlash(16384, 512)
        flash.data[1024 : 1024 + len(ram.data)] = ram.data
        before = bytes(flash.data)
        dev = RegionBlockDev(Region(flash, 1024, 4096))
        vfs.mount(vfs.VfsLfs2(dev), "/ota-image", readonly=True)
        try:
            with open("/ota-image/main.py") as f:
                self.assertEqual(f.read(), "print('hello')\n" * 40)
            self.assertRaises(OSError, open, "/ota-image/new", "w")
        finally:
            vfs.umount("/ota-image")
        self.assertEqual(bytes(flash.data), before)
