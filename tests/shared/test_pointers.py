"""Pointers that moved: the table, and both forms of the code that rewrites a copy."""

import unittest
from array import array

from delta_stream import Noise, Plain, varint
from ota.delta import pointers
from ota.delta.pointers import Pointers, thumb
from ota.errors import VerifyError

try:
    from ota.delta.pointers import thumb_viper
except (ImportError, SyntaxError, ValueError, NotImplementedError):
    thumb_viper = None

BASE = 0x08020000
SIZE = 4096


def table(entries, count=None):
    """Bytes of a table as they stand in the stream."""
    starts = shifts = b""
    start = shift = 0
    for a, b in entries:
        starts += varint(a - start)
        change = b - shift
        shifts += varint(change << 1 if change >= 0 else (-change << 1) - 1)
        start, shift = a, b
    body = starts + shifts
    count = len(entries) if count is None else count
    return bytes((count & 255, count >> 8, len(body) & 255, len(body) >> 8)) + body


def call(distance):
    """A BL over that distance from its end."""
    s = distance >> 24 & 1
    first = 0xF000 | s << 10 | distance >> 12 & 0x3FF
    second = (
        0xD000
        | (distance >> 23 & 1 ^ s ^ 1) << 13
        | (distance >> 22 & 1 ^ s ^ 1) << 11
        | distance >> 1 & 0x7FF
    )
    return bytes((first & 255, first >> 8, second & 255, second >> 8))


def word(value):
    return bytes((value & 255, value >> 8 & 255, value >> 16 & 255, value >> 24 & 255))


def loaded(entries, count=16, low=0x20000000, high=0x20100000):
    p = Pointers(1, count, BASE, low, high, SIZE)
    p.load(Plain(table(entries)), memoryview(bytearray(200)))
    return p


class TestTable(unittest.TestCase):
    def refused(self, data, count=16, room=200):
        p = Pointers(1, count, BASE, 0, 0, SIZE)
        with self.assertRaises(VerifyError) as cm:
            p.load(Plain(data + bytes(8)), memoryview(bytearray(room)))
        self.assertEqual(cm.exception.reason, "patch")

    def test_what_is_refused(self):
        good = table(((BASE, 4), (BASE + 100, -4)))
        Pointers(1, 2, BASE, 0, 0, SIZE).load(Plain(good), memoryview(bytearray(200)))
        self.refused(good, count=1)  # more entries than the header says
        self.refused(good, room=len(good) - 5)  # longer than the room for it
        self.refused(good, room=3)  # no room for its head
        self.refused(table(((BASE, 4), (BASE, 8))))  # not ascending
        self.refused(table(((0x80000000, 4),)))
        self.refused(table(((BASE, 0x80000000),)))
        self.refused(table(((BASE, -0x80000001),)))
        self.refused(table(((BASE, 4),), count=2))
        self.refused(bytes((1, 0, 3, 0)) + b"\1\2\0")  # bytes left over
        self.refused(bytes((1, 0, 2, 0)) + b"\x81\x80")  # a number cut off
        self.refused(bytes((1, 0, 7, 0)) + b"\x81\x80\x80\x80\x80\x80\1")  # a number too long

    def test_largest_numbers(self):
        loaded(((0, 0x7FFFFFFF), (0x7FFFFFFF, -0x80000000)))

    def test_unknown_kind(self):
        with self.assertRaises(VerifyError):
            Pointers(99, 1, 0, 0, 0, SIZE)

    def test_a_new_table_replaces_the_old_one(self):
        p = loaded(((BASE, 4),))
        p.load(Plain(table(())), memoryview(bytearray(200)))
        out = bytearray(word(BASE + 8))
        p.apply(memoryview(out), 0, 4, 0, 0)
        self.assertEqual(out, word(BASE + 8))


class TestThumb(unittest.TestCase):
    def rewritten(self, piece, old, new, entries, **options):
        out = bytearray(b"\xee" * 3 + piece + b"\xee" * 5)
        loaded(entries, **options).apply(memoryview(out), 3, len(piece), old, new)
        self.assertEqual((out[:3], out[-5:]), (b"\xee" * 3, b"\xee" * 5))
        return bytes(out[3:-5])

    def test_a_call_follows_what_it_calls(self):
        # At 0x100 it calls 0x300; it moves by 4, what it calls by 0x10.
        got = self.rewritten(call(0x300 - 0x104), 0x100, 0x104, ((BASE + 0x200, 0x10),))
        self.assertEqual(got, call(0x310 - 0x108))
        # Backwards, and neither of both moves.
        got = self.rewritten(call(0x10 - 0x104), 0x100, 0x100, ((BASE + 0x200, 0x10),))
        self.assertEqual(got, call(0x10 - 0x104))

    def test_a_call_of_somewhere_else_stays(self):
        for distance in (SIZE, -0x200, 0x400000, -0x1000000):
            piece = call(distance)
            self.assertEqual(self.rewritten(piece, 0x100, 0x104, ((0, 64),)), piece)

    def test_words(self):
        entries = ((BASE + 0x200, 0x10), (0x20000010, -8))
        for value, wanted in (
            (BASE + 0x1FF, BASE + 0x1FF), (BASE + 0x200, BASE + 0x210),
            (BASE + SIZE - 1, BASE + SIZE + 15), (BASE + SIZE, BASE + SIZE),
            (0x20000010, 0x20000008), (0x200FFFFF, 0x200FFFF7), (0x20100000, 0x20100000),
            (0x2000000F, 0x2000001F),  # lies above the first entry, below the second
        ):  # fmt: skip
            got = self.rewritten(word(value), 0x100, 0x100, entries)
            self.assertEqual(got, word(wanted), hex(value))

    def test_words_stay_where_they_are_no_longer_aligned(self):
        piece = word(BASE + 0x200)
        for old, new in ((0x102, 0x102), (0x100, 0x102), (0x100, 0x101), (0x101, 0x101)):
            self.assertEqual(self.rewritten(piece, old, new, ((BASE, 16),)), piece)

    def test_odd_moves_change_nothing(self):
        piece = call(0x300 - 0x104)
        self.assertEqual(self.rewritten(piece, 0x100, 0x103, ((BASE, 16),)), piece)

    def test_pieces_too_short_for_a_pointer(self):
        for n in range(4):
            piece = word(BASE + 0x200)[:n]
            self.assertEqual(self.rewritten(piece, 0x100, 0x100, ((BASE, 16),)), piece)

    def test_no_table_no_change(self):
        piece = word(BASE + 8) + call(8)
        self.assertEqual(self.rewritten(piece, 0, 4, ()), piece)

    def test_both_forms_mean_the_same(self):
        if thumb_viper is None:
            self.skipTest("this interpreter has no native emitter")
        noise = Noise(3)
        changed = 0
        spans = array("I", (BASE, BASE + SIZE, 0x20000000, 0x20100000))
        for i in range(300):
            starts = array("I", sorted({BASE + noise.below(SIZE) for _ in range(5)}))
            shifts = array("i", [noise.below(4000) - 2000 for _ in starts])
            piece = noise.bytes(40)
            for _ in range(12):
                kind = noise.below(3)
                if kind == 0:
                    piece += call(noise.below(2 * SIZE) // 2 * 2 - SIZE)
                elif kind == 1:
                    piece += word(BASE + noise.below(SIZE + 100))
                else:
                    piece += noise.bytes(noise.below(9))
            a, b = bytearray(piece), bytearray(piece)
            at = noise.below(30)
            args = (len(piece) - at - noise.below(20), BASE + noise.below(SIZE))
            args += ((0, 2, 4, -8, 1, 4096)[i % 6], spans, starts, shifts, len(starts))
            thumb.apply(memoryview(a), at, *args)
            thumb_viper.apply(memoryview(b), at, *args)
            self.assertEqual(a, b, i)
            changed += a != piece
        self.assertGreaterEqual(changed, 100)

    def test_the_faster_form_is_taken_where_there_is_one(self):
        wanted = (thumb_viper or thumb).apply
        self.assertEqual(pointers._code(1), wanted)


if __name__ == "__main__":
    unittest.main()
