"""Pointers of RISC-V code: both forms of the code that rewrites a copy."""

import unittest
from array import array
from binascii import crc32

from delta_stream import Noise
from ota.delta import pointers
from ota.delta.pointers import riscv
from riscv_code import ADDI, AUIPC, CALL, LOAD, LUI, STORE, jal, low, upper, word

try:
    from ota.delta.pointers import riscv_viper
except (ImportError, SyntaxError, ValueError, NotImplementedError):
    riscv_viper = None

BASE = 0x10000000
SIZE = 0x8000
SPANS = array("I", (BASE, BASE + SIZE, 0x20000000, 0x20100000))
A0, A1, A5 = 10, 11, 15


class TestRiscV(unittest.TestCase):
    def rewritten(self, piece, old, new, entries):
        out = bytearray(b"\xee" * 3 + piece + b"\xee" * 5)
        starts = array("I", [a for a, _ in entries])
        shifts = array("i", [b for _, b in entries])
        riscv.apply(
            memoryview(out), 3, len(piece), BASE + old, new - old, SPANS, starts, shifts,
            len(entries),
        )  # fmt: skip
        self.assertEqual((out[:3], out[-5:]), (b"\xee" * 3, b"\xee" * 5))
        return bytes(out[3:-5])

    def test_a_jump_follows_where_it_leads(self):
        entries = ((BASE + 0x200, 0x10),)
        for register in (0, 1, 5):
            # At 0x100 it leads to 0x300; it moves by 6, what is there by 0x10.
            got = self.rewritten(jal(0x200, register), 0x100, 0x106, entries)
            self.assertEqual(got, jal(0x310 - 0x106, register))
        # Backwards, and neither of both moves.
        got = self.rewritten(jal(-0xF0), 0x100, 0x100, entries)
        self.assertEqual(got, jal(-0xF0))

    def test_what_is_no_jump_of_code_stays(self):
        for piece in (jal(0x200, 2), jal(0x200, 10), jal(SIZE), jal(-0x104), jal(-0x100000)):
            # At 0x102: seen as words, some would be addresses.
            self.assertEqual(self.rewritten(piece, 0x102, 0x106, ((0, 64),)), piece)

    def test_a_jump_too_far_wraps(self):
        got = self.rewritten(jal(0x100), 0, 0, ((BASE + 0x100, 0x200000 + 0x40),))
        self.assertEqual(got, jal(0x140))
        got = self.rewritten(jal(0x100), 0, 0, ((BASE + 0x100, 0xFFF00),))
        self.assertEqual(got, jal(-0x100000))

    def test_absolute_pairs(self):
        entries = ((BASE + 0x200, 0x10), (0x20000010, -8))
        for op in (ADDI, LOAD, STORE):
            for value, wanted in (
                (BASE + 0x1FF, BASE + 0x1FF), (BASE + 0x200, BASE + 0x210),
                (BASE + SIZE - 1, BASE + SIZE + 15), (BASE + SIZE, BASE + SIZE),
                (BASE + 0x7F8, BASE + 0x808),  # the lower part carries
                (0x20000010, 0x20000008), (0x20100000, 0x20100000),
            ):  # fmt: skip
                piece = upper(LUI, A5, value) + low(op, A5, value)
                got = self.rewritten(piece, 0x100, 0x102, entries)
                self.assertEqual(got, upper(LUI, A5, wanted) + low(op, A5, wanted), hex(value))

    def test_relative_pairs(self):
        entries = ((BASE + 0x2000, 0x1000),)
        for op in (ADDI, LOAD, STORE, CALL):
            for target, wanted in ((0x3000, 0x4000), (0x1800, 0x1800)):
                d, e = target - 0x100, wanted - 0x10A
                piece = upper(AUIPC, A0, d) + low(op, A0, d)
                got = self.rewritten(piece, 0x100, 0x10A, entries)
                self.assertEqual(got, upper(AUIPC, A0, e) + low(op, A0, e))
            # Data in RAM that stays where it is.
            d = 0x20000123 - BASE
            piece = upper(AUIPC, A0, d - 8) + low(op, A0, d - 8)
            got = self.rewritten(piece, 8, 0x50C, ())
            self.assertEqual(got, upper(AUIPC, A0, d - 0x50C) + low(op, A0, d - 0x50C))

    def test_the_parts_of_a_pair_may_lie_apart(self):
        value, wanted = BASE + 0x300, BASE + 0x1B00
        entries = ((BASE + 0x200, 0x1800),)
        for between in (b"", b"\x01\x00", b"\x13\x00\x00\x00\x01\x00", b"\x01\x00" * 7):
            piece = upper(LUI, A5, value) + between + low(LOAD, A5, value)
            got = self.rewritten(piece, 0, 0, entries)
            self.assertEqual(got, upper(LUI, A5, wanted) + between + low(LOAD, A5, wanted))
        # The ninth instruction is too far, and what is cut off is none.
        for piece in (
            upper(LUI, A5, value) + b"\x01\x00" * 8 + low(LOAD, A5, value),
            upper(LUI, A5, value) + low(LOAD, A5, value)[:3],
            upper(LUI, A5, value) + low(LOAD, A1, value),
            upper(LUI, 0, value) + low(LOAD, 0, value),
        ):
            self.assertEqual(self.rewritten(piece, 2, 2, entries), piece)

    def test_two_pairs_in_each_other(self):
        one, two = BASE + 0x1234, 0x20000F00
        entries = ((BASE, 0x801), (0x20000000, -0x800))

        def pairs(a, b):
            return upper(LUI, A5, a) + upper(LUI, A0, b) + low(ADDI, A5, a) + low(STORE, A0, b)

        got = self.rewritten(pairs(one, two), 0, 0, entries)
        self.assertEqual(got, pairs(one + 0x801, two - 0x800))

    def test_the_lower_part_of_a_pair_is_nothing_else(self):
        # The same register twice: the second one finds the first use taken, and takes the next.
        a, b = BASE + 0x100, BASE + 0x2000
        piece = upper(LUI, A5, a) + upper(LUI, A5, b) + low(LOAD, A5, a) + low(LOAD, A5, b)
        got = self.rewritten(piece, 0, 0, ((BASE + 0x1000, 0x20),))
        c = b + 0x20
        self.assertEqual(
            got, upper(LUI, A5, a) + upper(LUI, A5, c) + low(LOAD, A5, a) + low(LOAD, A5, c)
        )
        # ADDI x2, ... at an aligned place would be an address in RAM, taken for a word.
        value = BASE + 0x200
        piece = upper(LUI, A5, value) + low(ADDI, A5, value)
        entries = ((BASE, 4), (0x20000000, 0x1000))
        got = self.rewritten(piece, 0, 0, entries)
        self.assertEqual(got, upper(LUI, A5, value + 4) + low(ADDI, A5, value + 4))

    def test_words(self):
        entries = ((BASE + 0x200, 0x10), (0x20000010, -8))
        for value, wanted in (
            (BASE + 0x1FF, BASE + 0x1FF), (BASE + 0x200, BASE + 0x210),
            (BASE + SIZE - 1, BASE + SIZE + 15), (BASE + SIZE, BASE + SIZE),
            (0x20000010, 0x20000008), (0x20100000, 0x20100000),
        ):  # fmt: skip
            got = self.rewritten(word(value), 0x100, 0x100, entries)
            self.assertEqual(got, word(wanted), hex(value))
        piece = word(BASE + 0x200)
        for old, new in ((0x102, 0x102), (0x100, 0x102), (0x100, 0x101), (0x101, 0x101)):
            self.assertEqual(self.rewritten(piece, old, new, entries), piece)

    def test_odd_moves_and_short_pieces_change_nothing(self):
        entries = ((BASE, 16),)
        piece = jal(0x200) + upper(LUI, A5, BASE) + low(ADDI, A5, BASE)
        self.assertEqual(self.rewritten(piece, 0x100, 0x103, entries), piece)
        for n in range(4):
            for piece in (jal(0x200)[:n], upper(AUIPC, A5, 0)[:n], word(BASE)[:n]):
                self.assertEqual(self.rewritten(piece, 0x100, 0x104, entries), piece)

    def test_an_odd_place_is_passed(self):
        got = self.rewritten(b"\x6f" + jal(0x200), 0xFF, 0x10F, ())
        self.assertEqual(got, b"\x6f" + jal(0x1F0))

    def test_both_forms_and_all_interpreters_agree(self):
        noise = Noise(3)
        changed = digest = 0
        for i in range(300):
            base = (BASE, 0x42000000)[i & 1]
            spans = array("I", (base, base + SIZE, 0x20000000, 0x20100000))
            starts = array("I", sorted({base + noise.below(SIZE) for _ in range(5)}))
            shifts = array("i", [noise.below(9000) - 4500 for _ in starts])
            piece = noise.bytes(20)
            for _ in range(20):
                piece += some(noise, spans)
            a = bytearray(piece)
            odd = noise.below(2)
            at = noise.below(15) * 2 + odd
            args = (len(piece) - at - noise.below(20), base + noise.below(SIZE // 2) * 2 + odd)
            args += ((0, 2, 4, -8, 1, 4096)[i // 2 % 6], spans, starts, shifts, len(starts))
            riscv.apply(memoryview(a), at, *args)
            if riscv_viper is not None:
                b = bytearray(piece)
                riscv_viper.apply(memoryview(b), at, *args)
                self.assertEqual(a, b, i)
            changed += a != piece
            digest = crc32(a, digest)
        self.assertGreaterEqual(changed, 200)
        self.assertEqual(digest, 1473187254)

    def test_addresses_at_the_ends_of_the_numbers(self):
        spans = array("I", (0, 0x1000, 0x7FFFE000, 0x7FFFFFFF))
        tables = (array("I", (0,)), array("i", (0x10000,)), 1)
        for op, taken in (
            # An upper part of 0x80000000 is none, and no sum wraps.
            (LUI, (0, 0x801, 0x7FFFE000, 0x7FFFF7FF)),
            (AUIPC, (0, 0x801, 0x7FFFE000, 0x7FFFF7FF, 0x7FFFF800)),
        ):
            here = 2 if op == AUIPC else 0
            for value in taken + (0x7FFFF803, 0x7FFFFFFF, 0x80000000, 0xFFFFF800, 0xFFFFFFFF):
                for form in (riscv, riscv_viper) if riscv_viper else (riscv,):
                    out = bytearray(upper(op, A5, value - here) + low(ADDI, A5, value - here))
                    wanted = bytes(out)
                    if value in taken:
                        wanted = upper(op, A5, value - here + 0x10000) + wanted[4:]
                    form.apply(memoryview(out), 0, 8, 2, 0, spans, *tables)
                    self.assertEqual(bytes(out), wanted, hex(value))

    def test_the_faster_form_is_taken_where_there_is_one(self):
        wanted = (riscv_viper or riscv).apply
        self.assertEqual(pointers._code(2), wanted)


def some(noise, spans):
    """An instruction of those that count, or noise: few registers, so that pairs meet."""
    kind = noise.below(8)
    register = A0 + noise.below(2)
    if kind == 0:
        return jal(noise.below(SIZE) // 2 * 2 - SIZE // 2, noise.below(3))
    if kind == 1:
        return upper(LUI, register, spans[noise.below(4)] + noise.below(SIZE))
    if kind == 2:
        return upper(AUIPC, register, noise.below(SIZE) - SIZE // 2)
    if kind < 6:
        op = (ADDI, LOAD, STORE, CALL)[noise.below(4)]
        return low(op, register, noise.below(4096))
    if kind == 6:
        return word(spans[noise.below(4)] + noise.below(SIZE))
    return noise.bytes(noise.below(3) * 2)


if __name__ == "__main__":
    unittest.main()
