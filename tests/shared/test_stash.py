"""The stash of an apply in place: its table, what is put aside, what is read from it."""

import struct
import unittest

from delta_stream import Base, Plain, copy, literal, placed, varint
from ota import package as fmt
from ota.delta.patch import Patch
from ota.delta.stash import Stash
from ota.errors import ManifestError, VerifyError
from packer import Package, noise

OLD = bytes(range(64))


def table(ranges, count=None):
    """Bytes of a table: ranges as (gap, size)."""
    body = b"".join([varint(gap) + varint(size) for gap, size in ranges])
    return struct.pack("<HH", len(ranges) if count is None else count, len(body)) + body


def stash(ranges, store=None, size=None, base_size=64):
    """A stash of these ranges, its table loaded."""
    size = sum([n for _, n in ranges]) if size is None else size
    s = Stash(size, len(ranges), base_size, store)
    s.load(Plain(table(ranges)), memoryview(bytearray(64)))
    return s


class TestStash(unittest.TestCase):
    def refused(self, data, size, count, room=64):
        s = Stash(size, count, 64, None)
        with self.assertRaises(VerifyError) as cm:
            s.load(Plain(data + bytes(8)), memoryview(bytearray(room)))
        self.assertEqual(cm.exception.reason, "patch")

    def test_what_is_refused(self):
        good = table(((3, 5), (1, 55)))
        stash(((3, 5), (1, 55)))
        self.refused(good, 59, 2)
        self.refused(good, 61, 2)
        self.refused(good, 60, 1)
        self.refused(good, 60, 3)
        self.refused(good, 60, 2, room=3)
        self.refused(table(((3, 5), (1, 56))), 61, 2)  # out of the base
        self.refused(table(((65, 1),)), 1, 1)
        self.refused(table(((3, 0), (1, 5))), 5, 2)  # an empty range
        self.refused(table(((0, 1 << 31),)), 1 << 31, 1)
        self.refused(struct.pack("<HH", 1, 3) + b"\0\5\0", 5, 1)  # a byte left over
        self.refused(struct.pack("<HH", 1, 2) + b"\x80\x80", 5, 1)  # a number cut off
        with self.assertRaises(VerifyError) as cm:
            Stash(5, 1, 64, None).load(Plain(table(((0, 5),))[:-1]), memoryview(bytearray(9)))
        self.assertEqual(cm.exception.reason, "inflate")

    def test_what_is_put_aside(self):
        s = stash(((3, 5), (2, 20), (0, 1)))
        whole = OLD[3:8] + OLD[10:31]
        for n in (1, 4, 5, 7, 26, 99):
            buf = bytearray(n)
            got = b"".join([bytes(buf[:used]) for used in s.pieces(Base(OLD), memoryview(buf))])
            self.assertEqual(got, whole)

    def test_what_is_read(self):
        store = OLD[3:8] + OLD[10:31]
        s = stash(((3, 5), (2, 20), (0, 1)), Base(store))
        for at, n in ((3, 5), (4, 2), (7, 1), (10, 20), (29, 1), (30, 1)):
            out = bytearray(n)
            s.read(at, memoryview(out))
            self.assertEqual(bytes(out), OLD[at : at + n])
        for at, n in ((2, 1), (2, 3), (7, 2), (8, 1), (9, 3), (29, 2), (31, 1), (63, 1)):
            with self.assertRaises(VerifyError) as cm:
                s.read(at, memoryview(bytearray(n)))
            self.assertEqual(cm.exception.reason, "order")

    def test_without_a_store_it_only_looks(self):
        s = stash(((3, 5),))
        out = bytearray(b"abc")
        s.read(4, memoryview(out))
        self.assertEqual(out, b"abc")
        with self.assertRaises(VerifyError):
            s.read(7, memoryview(out))


class TestPatch(unittest.TestCase):
    """Blocks of 16 bytes; block 1 is written first, then block 0, which wants some of it and
    comes from its end on."""

    def decoded(self, second, start=20):
        old = bytearray(OLD)
        ranges = ((start, 10),)
        s = Stash(10, 1, 64, Base(OLD[start : start + 10]))
        decoder = Patch(Base(old), 64, 64, 16, 64, True, bytearray(1), None, s)
        decoder.restart(0)
        stream = table(ranges) + placed(1, literal(), b"x" * 16)
        inflater = Plain(stream + placed(-2, second, b"y" * 16))
        out = bytearray(16)
        decoder.block(inflater, memoryview(out))
        old[16:32] = out
        number, length = decoder.block(inflater, memoryview(out))
        self.assertEqual((number, length), (0, 16))
        return bytes(out)

    def test_overwritten_bytes_come_from_the_stash(self):
        self.assertEqual(self.decoded(copy(10, 14) + literal())[6:], OLD[20:30])

    def test_a_copy_of_both(self):
        # Four bytes of block 0 itself, ten of block 1; and of block 1 and block 2.
        self.assertEqual(self.decoded(copy(14, 10) + literal(), 16)[2:], OLD[12:26])
        self.assertEqual(self.decoded(copy(12, 18) + literal(), 22)[4:], OLD[22:34])
        with self.assertRaises(VerifyError) as cm:
            self.decoded(copy(10, 15) + literal())
        self.assertEqual(cm.exception.reason, "order")

    def test_the_table_comes_once(self):
        s = Stash(10, 1, 64, Base(OLD[20:30]))
        decoder = Patch(Base(OLD), 64, 64, 16, 64, True, bytearray(1), None, s)
        out = bytearray(16)
        for step, stream in ((0, table(((20, 10),)) + placed(0)), (1, placed(1))):
            decoder.restart(step)
            inflater = Plain(stream)
            self.assertEqual(decoder.block(inflater, memoryview(out))[0], step)
            self.assertTrue(inflater.empty)


class TestHeader(unittest.TestCase):
    def test_numbers(self):
        old, new = noise(3000, 1), noise(3000, 2)
        for values, ordered, good in (
            ((1, 1), True, True), ((3000, 512), True, True), ((3000, 1), False, False),
            ((3001, 1), True, False), ((0, 0), True, False), ((5, 0), True, False),
            ((5, 6), True, False), ((3000, 513), True, False),
        ):  # fmt: skip
            with self.subTest(values=values, ordered=ordered):
                p = Package(new, old, ordered=ordered)
                p.set(fmt.STASH, struct.pack("<IH", *values))
                if good:
                    self.assertEqual(fmt.parse(p.head()).stash, values)
                else:
                    with self.assertRaises(ManifestError) as cm:
                        fmt.parse(p.head())
                    self.assertEqual(cm.exception.args[1], fmt.STASH)


if __name__ == "__main__":
    unittest.main()
