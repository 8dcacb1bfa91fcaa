import unittest

from nor import Nor
from ota.errors import FlashError
from ota.flash import Region, sector_aligned


class TestRegion(unittest.TestCase):
    def setUp(self):
        self.nor = Nor(16384, 4096, 8)
        self.region = Region(self.nor, 4096, 8192)

    def refused(self, word, call, *args):
        with self.assertRaises(FlashError) as caught:
            call(*args)
        self.assertEqual(caught.exception.reason, word)

    def test_addresses_count_from_its_start(self):
        self.region.program(8, b"12345678")
        self.assertEqual(bytes(self.nor.data[4104:4112]), b"12345678")
        buf = bytearray(4)
        self.region.read(10, buf)
        self.assertEqual(buf, b"3456")
        self.region.erase(0, 4096)
        self.assertEqual(self.nor.wear, [0, 1, 0, 0])

    def test_bounds(self):
        r = self.region
        self.refused("bounds", Region, self.nor, 8192, 8193)
        self.refused("bounds", Region, self.nor, -1, 8)
        self.refused("bounds", Region, self.nor, 0, 0)
        for offset, n in ((-8, 8), (8192, 8), (8184, 16), (0, 0)):
            self.refused("bounds", r.read, offset, bytearray(n))
            self.refused("bounds", r.program, offset, bytearray(n))
            self.refused("bounds", r.equal, offset, bytearray(n))
        self.refused("bounds", r.erase, 4096, 8192)
        self.refused("bounds", r.sub, 4096, 4097)
        self.assertEqual(self.nor.ops, 0)

    def test_alignment(self):
        self.refused("align", self.region.program, 4, bytes(8))
        self.refused("align", self.region.program, 8, bytes(7))
        self.refused("align", self.region.erase, 8, 4096)
        self.refused("align", self.region.erase, 0, 100)
        odd = Region(self.nor, 100, 32)
        odd.read(1, bytearray(3))
        self.refused("align", odd.erase, 0, 32)
        self.assertEqual(self.nor.ops, 0)

    def test_a_driver_error_is_io(self):
        self.nor.cut_at(1, "error")
        self.refused("io", self.region.program, 0, bytes(8))
        self.nor.cut_at(1, "error")
        self.refused("io", self.region.erase, 0, 4096)

        class Dead(Nor):
            def read(self, offset, buf):
                raise OSError(5)

            def sync(self):
                raise OSError(5)

        dead = Region(Dead(4096, 4096, 8), 0, 4096)
        self.refused("io", dead.read, 0, bytearray(8))
        self.assertFalse(dead.equal(0, bytearray(8)))
        buf = bytearray(b"12345678")
        self.assertFalse(dead.peek(0, buf))
        self.assertEqual(buf, bytearray(8))
        self.refused("io", dead.sync)

    def test_a_program_that_did_not_stick_is_found(self):
        self.nor.cut_at(1, "stuck")
        self.refused("verify", self.region.program, 0, bytes(8))

        class Lossy(Nor):
            def program(self, offset, data):
                data = bytearray(data)
                data[len(data) - 1] |= 1
                Nor.program(self, offset, data)

        lossy = Region(Lossy(4096, 4096, 8), 0, 4096)
        self.refused("verify", lossy.program, 0, bytes(1024))

    def test_equal(self):
        data = bytes(range(256)) * 3
        self.region.program(256, data)
        self.assertTrue(self.region.equal(256, data))
        self.assertTrue(self.region.equal(300, memoryview(data)[44:]))
        self.assertFalse(self.region.equal(256, data[:-1] + b"\0"))

    def test_sub_and_buffer(self):
        part = self.region.sub(4096, 4096)
        part.program(0, b"12345678")
        self.assertEqual(bytes(self.nor.data[8192:8200]), b"12345678")
        self.assertEqual(bytes(part.buffer(8)), b"12345678")
        self.assertEqual(len(part.buffer()), 4096)

    def test_sector_aligned_never_rounds_outwards(self):
        r = sector_aligned(self.nor, 100, 12288)
        self.assertEqual((r.offset, r.size), (4096, 8192))
        self.refused("align", sector_aligned, self.nor, 100, 4096)
        self.refused("bounds", sector_aligned, self.nor, 8192, 16384)
