"""The flash mock itself: it must refuse what hardware may refuse, and cut as hardware may."""

import unittest

from nor import EFFECTS, Misuse, Nor, PowerCut


def _read(nor, offset, n):
    buf = bytearray(n)
    nor.read(offset, buf)
    return bytes(buf)


def _misuse(call, *args):
    try:
        call(*args)
    except Misuse:
        return True
    return False


class TestRules(unittest.TestCase):
    def setUp(self):
        self.nor = Nor(4096, 1024, 8)

    def test_erased_then_programmed_then_read(self):
        self.nor.program(8, b"12345678")
        self.assertEqual(_read(self.nor, 7, 10), b"\xff12345678\xff")
        self.nor.erase(0, 1024)
        self.assertEqual(_read(self.nor, 0, 1024), b"\xff" * 1024)

    def test_a_unit_is_programmed_once(self):
        self.nor.program(0, b"\xff" * 8)
        self.assertTrue(_misuse(self.nor.program, 0, b"\xff" * 8))
        self.nor.program(8, b"12345678")
        self.assertTrue(_misuse(self.nor.program, 8, b"12345678"))
        self.nor.erase(0, 1024)
        self.nor.program(8, b"12345678")

    def test_alignment_range_and_length(self):
        for offset, n in ((1, 8), (0, 7), (4096, 8), (4088, 16), (-8, 8), (0, 0)):
            self.assertTrue(_misuse(self.nor.program, offset, bytes(n)), (offset, n))
        for offset, n in ((8, 1024), (0, 1000), (4096, 1024), (0, 0)):
            self.assertTrue(_misuse(self.nor.erase, offset, n), (offset, n))
        self.assertTrue(_misuse(_read, self.nor, 4090, 8))
        self.assertEqual(self.nor.ops, 0)

    def test_the_source_of_a_program_is_not_the_flash(self):
        self.nor.program(0, b"12345678")
        self.assertTrue(_misuse(self.nor.program, 8, self.nor.buffer(0, 8)))
        self.assertTrue(_misuse(self.nor.program, 8, memoryview(self.nor.data)[:8]))
        self.nor.program(8, bytes(self.nor.buffer(0, 8)))
        self.assertEqual(bytes(self.nor.buffer(8, 8)), b"12345678")

    def test_counters(self):
        self.nor.program(0, bytes(24))
        self.nor.erase(0, 2048)
        n = self.nor
        self.assertEqual((n.ops, n.programs, n.programmed_bytes, n.erases), (3, 1, 24, 2))
        self.assertEqual(n.wear, [1, 1, 0, 0])

    def test_geometry_is_checked(self):
        for args in ((1000, 1024, 8), (1024, 1024, 3), (1024, 1024, 512), (0, 1024, 8)):
            self.assertRaises(ValueError, Nor, *args)


class TestCuts(unittest.TestCase):
    def test_nothing_works_without_power(self):
        nor = Nor(2048, 1024, 8)
        nor.cut_at(2, "before")
        nor.program(0, bytes(8))
        self.assertRaises(PowerCut, nor.program, 8, bytes(8))
        for call in (
            lambda: nor.program(16, bytes(8)),
            lambda: nor.erase(0, 1024),
            lambda: _read(nor, 0, 8),
            nor.sync,
        ):
            self.assertTrue(_misuse(call))
        nor.power_on()
        self.assertEqual(_read(nor, 8, 8), b"\xff" * 8)
        nor.program(8, bytes(8))

    def test_program_before_and_after(self):
        for effect, expected in (("before", b"\xff" * 16), ("after", b"abcdefghijklmnop")):
            nor = Nor(1024, 1024, 8)
            nor.cut_at(1, effect)
            self.assertRaises(PowerCut, nor.program, 0, b"abcdefghijklmnop")
            nor.power_on()
            self.assertEqual(_read(nor, 0, 16), expected)

    def torn(self, effect, data, seed=1, **options):
        """(flash, its bytes) after a program that was cut so."""
        nor = Nor(1024, 1024, 8, seed=seed, **options)
        nor.cut_at(1, effect)
        self.assertRaises(PowerCut, nor.program, 0, data)
        nor.power_on()
        return nor, bytes(nor.data[: len(data)])

    def test_program_cut_after_a_prefix(self):
        data = bytes(range(64))
        seen = set()
        for seed in range(40):
            nor, got = self.torn("prefix", data, seed)
            k = 0
            while got[k] == data[k]:
                k += 1
            self.assertEqual(got[k] & data[k], data[k])
            self.assertEqual(got[k + 1 :], b"\xff" * (63 - k))
            seen.add(k)
            unit = k // 8 * 8
            if got[unit : unit + 8] != b"\xff" * 8:
                self.assertTrue(_misuse(nor.program, unit, bytes(8)))
            if unit < 56:
                nor.program(unit + 8, bytes(8))
        self.assertGreaterEqual(len(seen), 15)

    def test_program_cut_out_of_order(self):
        data = bytes(range(64))
        kept = set()
        for effect in ("suffix", "bits"):
            for seed in range(20):
                nor, got = self.torn(effect, data, seed)
                # Bits only go from 1 to 0, and only those that were to go.
                self.assertEqual(bytes(a & b for a, b in zip(got, data)), data)
                self.assertNotEqual(got, b"\xff" * 64)
                kept.add(effect + str(got == data))
                for unit in range(0, 64, 8):
                    if got[unit : unit + 8] != b"\xff" * 8:
                        self.assertTrue(_misuse(nor.program, unit, bytes(8)))
        self.assertTrue("bitsFalse" in kept and "suffixFalse" in kept)
        self.assertEqual(self.torn("suffix", data, 3)[1][-4:], data[-4:])

    def test_program_that_left_nothing_to_see(self):
        nor, got = self.torn("blank-weak", bytes(64))
        self.assertEqual(got, b"\xff" * 64)
        nor.program(0, bytes(64))  # plain NOR cannot tell
        nor, got = self.torn("blank-weak", bytes(64), ecc=True)
        self.assertEqual(_read(nor, 0, 64), b"\xff" * 64)
        self.assertRaises(OSError, nor.program, 0, bytes(8))
        nor.erase(0, 1024)
        nor.program(0, bytes(8))

    def test_half_a_unit_of_ecc_flash_cannot_be_read(self):
        failed = 0
        for seed in range(10):
            nor, got = self.torn("ecc", bytes(64), seed, ecc=True)
            for unit in range(0, 64, 8):
                try:
                    _read(nor, unit, 1)
                except OSError:
                    failed += 1
                    self.assertRaises(OSError, _read, nor, 0, 1024)
                    self.assertTrue(_misuse(nor.program, unit, bytes(8)))
            nor.erase(0, 1024)
            self.assertEqual(_read(nor, 0, 1024), b"\xff" * 1024)
        self.assertEqual(failed, 10)

    def test_a_cut_program_may_flip_bits_of_its_sector(self):
        flipped = 0
        for seed in range(10):
            nor, got = self.torn("collateral", bytes(64), seed)
            rest = bytes(nor.data[64:])
            flipped += rest != b"\xff" * len(rest)
            bits = sum([bin(x ^ 0xFF).count("1") for x in rest])
            self.assertTrue(bits <= 8)
        self.assertGreaterEqual(flipped, 8)

    def test_cut_erases_leave_nothing_programmable(self):
        data = bytes(i * 7 & 0xFF for i in range(1024))
        blank = b"\xff" * 1024
        found = {}
        for effect in EFFECTS:
            if effect in ("before", "after"):
                continue
            nor = Nor(2048, 1024, 8)
            nor.program(0, data)
            nor.cut_at(1, effect)
            self.assertRaises(PowerCut, nor.erase, 0, 1024)
            nor.power_on()
            found[effect] = _read(nor, 0, 1024)
            for unit in (0, 512, 1016):
                self.assertTrue(_misuse(nor.program, unit, bytes(8)))
            nor.erase(0, 1024)
            nor.program(0, data)
        self.assertTrue(found["prefix"].startswith(b"\xff\xff"))
        self.assertTrue(found["suffix"].endswith(b"\xff\xff"))
        self.assertEqual(found["blank-weak"], blank)
        self.assertEqual(bytes(a | b for a, b in zip(found["bits"], data)), found["bits"])
        self.assertTrue(any(a & ~b & 0xFF for a, b in zip(data, found["zeros"])))
        for effect in found:
            if effect != "weak":  # of which a few bits may be all that shows
                self.assertNotEqual(found[effect], data, effect)

    def test_the_middle_is_each_of_them_in_turn(self):
        seen = set()
        nor = Nor(1024, 1024, 8)
        for _ in range(4):
            nor.program(0, bytes(64))
            nor.cut_at(1, "middle")
            self.assertRaises(PowerCut, nor.erase, 0, 1024)
            nor.power_on()
            seen.add(_read(nor, 0, 1024))
            nor.erase(0, 1024)
        self.assertEqual(len(seen), 4)

    def test_each_sector_of_an_erase_is_an_operation(self):
        nor = Nor(4096, 1024, 8)
        for i in range(4):
            nor.program(i * 1024, b"12345678")
        nor.cut_at(3, "before")
        self.assertRaises(PowerCut, nor.erase, 0, 4096)
        nor.power_on()
        self.assertEqual([nor.data[i * 1024] for i in range(4)], [0xFF, 0xFF, 0x31, 0x31])

    def test_weak_bits_read_differently_until_programmed_or_erased(self):
        for settled in (False, True):
            nor = Nor(1024, 1024, 32, seed=5, settled=settled)
            nor.cut_at(1, "weak")
            self.assertRaises(PowerCut, nor.program, 0, bytes(32))
            nor.power_on()
            reads = {_read(nor, 0, 32) for _ in range(8)}
            self.assertEqual(len(reads) == 1, settled)
            for _ in range(8):
                nor.power_on()
                reads.add(_read(nor, 0, 32))
            self.assertGreaterEqual(len(reads), 3)
            nor.erase(0, 1024)
            self.assertEqual(_read(nor, 0, 1024), b"\xff" * 1024)
            nor.program(0, bytes(32))
            self.assertEqual(_read(nor, 0, 32), bytes(32))

    def test_weak_erase(self):
        nor = Nor(1024, 1024, 8, seed=3)
        nor.program(0, bytes(1024))
        nor.cut_at(1, "weak")
        self.assertRaises(PowerCut, nor.erase, 0, 1024)
        nor.power_on()
        a = _read(nor, 0, 1024)
        self.assertNotEqual(a, _read(nor, 0, 1024))
        self.assertTrue(_misuse(nor.program, 0, bytes(8)))
        nor.erase(0, 1024)
        self.assertEqual(_read(nor, 0, 1024), b"\xff" * 1024)

    def test_faults_without_a_cut(self):
        nor = Nor(1024, 1024, 8)
        nor.cut_at(1, "stuck")
        nor.program(0, bytes(8))
        self.assertEqual(_read(nor, 0, 8), b"\xff" * 8)
        nor.cut_at(1, "error")
        self.assertRaises(OSError, nor.program, 8, bytes(8))
        nor.cut_at(1, "error")
        self.assertRaises(OSError, nor.erase, 0, 1024)
        nor.erase(0, 1024)

    def test_an_erase_that_did_nothing_only_lets_bits_go(self):
        nor = Nor(1024, 1024, 8)
        nor.program(0, b"\x0f" * 8)
        nor.cut_at(1, "stuck")
        nor.erase(0, 1024)
        self.assertEqual(_read(nor, 0, 8), b"\x0f" * 8)
        nor.program(0, b"\xf3" * 8)
        self.assertEqual(_read(nor, 0, 8), b"\x03" * 8)

    def test_a_sector_wears_out(self):
        nor = Nor(2048, 1024, 8, endurance=3)
        for _ in range(3):
            nor.erase(0, 1024)
        self.assertRaises(OSError, nor.erase, 0, 1024)
        nor.erase(1024, 1024)

    def test_budget(self):
        nor = Nor(2048, 1024, 8)
        nor.budget(1, 16)
        nor.erase(0, 1024)
        nor.program(0, bytes(16))
        self.assertTrue(_misuse(nor.program, 16, bytes(8)))
        nor.budget(1, 16)
        nor.erase(0, 1024)
        self.assertTrue(_misuse(nor.erase, 0, 1024))

    def test_a_cut_that_was_not_reached_is_forgotten(self):
        nor = Nor(1024, 1024, 8)
        nor.cut_at(1, "before")
        nor.power_on()
        nor.program(0, bytes(8))
        nor.cut_at(1, "before")
        nor.cut_at(None)
        nor.program(8, bytes(8))


class TestGeometries(unittest.TestCase):
    def test_uneven_sectors(self):
        nor = Nor(uneven=[1024, 1024, 4096, 2048, 2048])
        self.assertEqual((nor.size, len(nor.wear)), (10240, 5))
        nor.program(2048, bytes(4096))
        for bad in ((2048, 2048), (1024, 2048), (512, 1024), (0, 4096)):
            self.assertTrue(_misuse(nor.erase, *bad), bad)
        nor.erase(1024, 5120)
        self.assertEqual(nor.wear, [0, 1, 1, 0, 0])
        self.assertEqual(_read(nor, 2048, 4096), b"\xff" * 4096)
        self.assertEqual(
            [nor.sector_of(at) for at in (0, 1023, 1024, 6143, 6144)], [0, 0, 1, 2, 3]
        )
        part = nor.area(3, 2)
        self.assertEqual((part.size, part.sector_size, part.program_size), (4096, 2048, 8))
        part.program(2048, b"12345678")
        self.assertEqual(_read(nor, 8192, 8), b"12345678")
        part.erase(2048, 2048)
        self.assertEqual(nor.wear, [0, 1, 1, 0, 1])
        self.assertTrue(_misuse(part.erase, 2048, 4096))
        self.assertRaises(ValueError, nor.area, 1, 2)

    def test_each_page_of_a_program_is_an_operation(self):
        nor = Nor(2048, 1024, 8, page=256)
        nor.program(8, bytes(600))
        self.assertEqual((nor.ops, nor.programs, nor.programmed_bytes), (3, 3, 600))
        nor.cut_at(2, "before")
        self.assertRaises(PowerCut, nor.program, 1024, bytes(512))
        nor.power_on()
        self.assertEqual(_read(nor, 1024, 512), bytes(256) + b"\xff" * 256)

    def test_erased_is_zero(self):
        nor = Nor(1024, 1024, 8, erased=0)
        self.assertEqual(_read(nor, 0, 1024), bytes(1024))
        nor.program(8, b"12345678")
        self.assertEqual(_read(nor, 0, 24), bytes(8) + b"12345678" + bytes(8))
        nor.cut_at(1, "after")
        self.assertRaises(PowerCut, nor.erase, 0, 1024)
        nor.power_on()
        self.assertEqual(_read(nor, 0, 24), bytes(24))

    def test_a_log_of_what_was_begun(self):
        nor = Nor(2048, 1024, 8)
        nor.log = []
        nor.program(0, b"12345678")
        nor.erase(0, 2048)
        self.assertEqual(nor.log, [("program", 0, b"12345678"), ("erase", 0), ("erase", 1024)])


class TestSnapshots(unittest.TestCase):
    def test_restore_brings_everything_back(self):
        nor = Nor(4096, 1024, 8)
        nor.program(0, b"12345678")
        first = nor.snapshot()
        for effect in EFFECTS:
            nor.cut_at(2, effect)
            nor.program(8, b"abcdefgh")
            self.assertRaises(PowerCut, nor.erase, 1024, 1024)
            nor.restore(first)
            self.assertEqual(_read(nor, 0, 16), b"12345678" + b"\xff" * 8)
            self.assertEqual((nor.ops, nor.wear), (1, [0] * 4))
        nor.program(8, b"abcdefgh")
        second = nor.snapshot()
        nor.restore(first)
        nor.program(8, b"ABCDEFGH")
        nor.restore(second)
        self.assertEqual(_read(nor, 8, 8), b"abcdefgh")
        self.assertTrue(_misuse(nor.program, 8, bytes(8)))
