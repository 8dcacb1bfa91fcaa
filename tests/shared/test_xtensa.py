"""Pointers of Xtensa code: both forms of the code that rewrites a copy."""

import unittest
from array import array
from binascii import crc32

from delta_stream import Noise
from ota.delta import pointers
from ota.delta.pointers import xtensa
from xtensa_code import ADDI, MOV, RET, call, load, word

try:
    from ota.delta.pointers import xtensa_viper
except (ImportError, SyntaxError, ValueError, NotImplementedError):
    xtensa_viper = None

BASE = 0x40200000
SIZE = 0x8000
RAM = 0x3FFE8000
SPANS = array("I", (BASE, BASE + SIZE, RAM, 0x40140000))
CODE = MOV * 6  # so many that whatever follows is believed


class TestXtensa(unittest.TestCase):
    def rewritten(self, piece, old, new, entries):
        out = bytearray(b"\xe5" * 3 + piece + b"\xe1" * 5)
        starts = array("I", [a for a, _ in entries])
        shifts = array("i", [b for _, b in entries])
        xtensa.apply(
            memoryview(out), 3, len(piece), BASE + old, new - old, SPANS, starts, shifts,
            len(entries),
        )  # fmt: skip
        self.assertEqual((out[:3], out[-5:]), (b"\xe5" * 3, b"\xe1" * 5))
        return bytes(out[3:-5])

    def behind(self, code, made, target, wanted, old=0x100, new=0x100, entries=()):
        """What made() puts behind code leads to target; it shall lead to wanted where it went."""
        piece = code + made(BASE + old + len(code), BASE + target)
        got = self.rewritten(piece, old, new, entries)
        self.assertEqual(got, code + made(BASE + new + len(code), BASE + wanted))

    def test_a_call_follows_where_it_leads(self):
        entries = ((BASE + 0x200, 0x10),)
        for kind in range(4):

            def made(at, target, kind=kind):
                return call(at, target, kind)

            for new in (0x100, 0x104, 0x106, 0x101, 0xF3, 0x2000):
                self.behind(CODE, made, 0x300, 0x310, 0x100, new, entries)
                self.behind(CODE, made, 0x80, 0x80, 0x100, new, entries)
            for odd in (b"", MOV, ADDI, MOV + ADDI):
                self.behind(CODE + odd, made, 0x300, 0x310, 0x100, 0x103, entries)

    def test_a_load_follows_what_it_loads(self):
        entries = ((BASE + 0x80, 0x10),)
        for new in (0x100, 0x104, 0x106, 0x101, 0x1F3, 0x2000):
            self.behind(CODE, load, 0x90, 0xA0, 0x100, new, entries)
            self.behind(CODE, load, 0x40, 0x40, 0x100, new, entries)
        for odd in (b"", MOV, ADDI, MOV + ADDI):
            self.behind(CODE + odd, load, 0x90, 0xA0, 0x100, 0x103, entries)

    def test_what_leads_nowhere_stays(self):
        for made, target in (
            (call, SIZE), (call, -4), (load, -4), (call, 0x10000),
        ):  # fmt: skip
            piece = CODE + made(BASE + 0x100 + 12, BASE + target)
            self.assertEqual(self.rewritten(piece, 0x100, 0x141, ((0, 64),)), piece)

    def test_a_shift_that_is_no_multiple_of_4_leaves_code_alone(self):
        for made, target in ((call, 0x300), (load, 0x80)):
            for shift in (1, 2, 3, -6):
                piece = CODE + made(BASE + 0x100 + 12, BASE + target)
                got = self.rewritten(piece, 0x100, 0x120, ((BASE, shift),))
                self.assertEqual(got, piece)

    def test_code_is_believed_after_some_code(self):
        entries = ((BASE, 64),)
        for made, target, least in ((call, 0x300, 2), (load, 0x40, 6)):
            for n in range(9):
                for code in (MOV * n, ADDI * n):
                    piece = code + made(BASE + 0x100 + len(code), BASE + target)
                    got = self.rewritten(piece, 0x100, 0x100, entries)
                    self.assertEqual(got != piece, n >= least, (made, n))

    def test_what_code_seldom_has_begins_the_count_anew(self):
        entries = ((BASE, 64),)
        for odd in (b"\x03\x01\x01", b"\x14\x01\x01", b"\xee\x01\x01", b"ooo", b"\0\0\x01"):
            for after in range(4):
                code = MOV * 8 + odd + MOV * after
                piece = code + call(BASE + 0x100 + len(code), BASE + 0x300)
                got = self.rewritten(piece, 0x100, 0x100, entries)
                self.assertEqual(got != piece, after >= 2, (odd, after))
        for fine in (b"\0\x01\0", b"\x10\0\0", b"\x05\0\0", b"\x0d\xf0"):
            code = MOV * 8 + fine
            piece = code + call(BASE + 0x100 + len(code), BASE + 0x300)
            self.assertNotEqual(self.rewritten(piece, 0x100, 0x100, entries), piece)

    def test_words(self):
        entries = ((RAM + 0x10, -8), (BASE + 0x200, 0x11))
        for value, wanted in (
            (BASE + 0x1FF, BASE + 0x1F7), (BASE + 0x200, BASE + 0x211),
            (BASE + SIZE - 1, BASE + SIZE + 16), (BASE + SIZE, BASE + SIZE),
            (RAM - 1, RAM - 1), (RAM, RAM), (RAM + 0x10, RAM + 8), (0x40140000, 0x40140000),
        ):  # fmt: skip
            got = self.rewritten(word(value), 0x100, 0x100, entries)
            self.assertEqual(got, word(wanted), hex(value))
        piece = word(BASE + 0x200)
        for old, new in ((0x102, 0x102), (0x100, 0x102), (0x100, 0x101), (0x101, 0x101)):
            self.assertEqual(self.rewritten(piece, old, new, entries), piece)

    def test_a_word_is_where_code_begins_anew(self):
        # Not aligned to it: the instruction before runs into the word, and is none.
        entries = ((BASE, 64),)
        value = BASE + 0x300
        for before in (b"", b"\x25", b"\x25\xff", b"\x21\xff\xff", b"\x21\xff\xff\x12"):
            pad = MOV * 4 + before
            old = 0x100 - len(pad)
            got = self.rewritten(pad + word(value), old, old, entries)
            self.assertEqual(got, pad + word(value + 64))
        # It counts for some code, though not enough for a load.
        for made, target, code in ((call, 0x300, b""), (load, 0x40, MOV * 2), (load, 0x40, MOV)):
            head = word(value) + code
            piece = head + made(BASE + 0x100 + len(head), BASE + target)
            got = self.rewritten(piece, 0x100, 0x100, entries)
            self.assertEqual(got[: len(head)], word(value + 64) + code)
            self.assertEqual(got[len(head) :] != piece[len(head) :], code != MOV)
        # A word that stays is one, too.
        piece = word(RAM) + call(BASE + 0x104, BASE + 0x300)
        got = self.rewritten(piece, 0x100, 0x100, entries)
        self.assertEqual(got, word(RAM) + call(BASE + 0x104, BASE + 0x340))

    def test_short_pieces_change_nothing(self):
        entries = ((BASE, 16),)
        for n in range(3):
            for piece in (call(0x108, 0x200)[:n], load(0x108, 0)[:n], word(BASE)[:n]):
                for code in (b"", MOV * 6):
                    got = self.rewritten(code + piece, 0x100, 0x100, entries)
                    self.assertEqual(got, code + piece)
        self.assertEqual(self.rewritten(word(BASE)[:3], 0x100, 0x100, entries), word(BASE)[:3])

    def test_distances_too_far_wrap(self):
        self.behind(CODE, call, 0x300, 0x300, 0x100, 0x100, ((BASE + 0x300, 0x100000),))
        self.behind(CODE, load, 0x40, 0x40, 0x100, 0x100, ((BASE + 0x40, -0x40000),))

    def test_both_forms_and_all_interpreters_agree(self):
        noise = Noise(4)
        changed = digest = 0
        for i in range(300):
            base = (BASE, 0x3FF0000)[i & 1]
            spans = array("I", (base, base + SIZE, RAM, 0x40140000))
            starts = array("I", sorted({base + noise.below(SIZE) for _ in range(5)}))
            shifts = array("i", [noise.below(9000) // (i % 3 + 2) * 4 - 4500 for _ in starts])
            piece = noise.bytes(20)
            for _ in range(40):
                piece += some(noise, spans)
            a = bytearray(piece)
            at = noise.below(30)
            args = (len(piece) - at - noise.below(20), base + noise.below(SIZE // 2))
            args += ((0, 2, 4, -8, 1, 4096)[i // 2 % 6], spans, starts, shifts, len(starts))
            xtensa.apply(memoryview(a), at, *args)
            if xtensa_viper is not None:
                b = bytearray(piece)
                xtensa_viper.apply(memoryview(b), at, *args)
                self.assertEqual(a, b, i)
            changed += a != piece
            digest = crc32(a, digest)
        self.assertGreaterEqual(changed, 200)
        self.assertEqual(digest, 2101476298)

    def test_addresses_at_the_ends_of_the_numbers(self):
        spans = array("I", (0, 0x1000, 0x7FFFE000, 0x80000000))
        tables = (array("I", (0,)), array("i", (0x10000,)), 1)
        taken = (0, 0xFFF, 0x7FFFE000, 0x7FFFFFFF)
        for value in taken + (0x1000, 0x7FFFDFFF, 0x80000000, 0xFFFFFFFF):
            for form in (xtensa, xtensa_viper) if xtensa_viper else (xtensa,):
                out = bytearray(word(value))
                form.apply(memoryview(out), 0, 4, 0, 0, spans, *tables)
                wanted = value + 0x10000 if value in taken else value
                self.assertEqual(bytes(out), word(wanted), hex(value))

    def test_the_faster_form_is_taken_where_there_is_one(self):
        wanted = (xtensa_viper or xtensa).apply
        self.assertEqual(pointers._code(3), wanted)


def some(noise, spans):
    """A piece of code, or noise."""
    kind = noise.below(8)
    if kind == 0:
        return call(0, noise.below(SIZE) // 4 * 4 - SIZE // 2, noise.below(4))
    if kind == 1:
        return load(0, -4 - noise.below(SIZE) // 4 * 4)
    if kind == 2:
        return word(spans[noise.below(4)] + noise.below(SIZE))
    if kind == 3:
        return noise.bytes(noise.below(3))
    return (MOV * 3, ADDI, RET, ADDI * 2)[kind - 4]


if __name__ == "__main__":
    unittest.main()
