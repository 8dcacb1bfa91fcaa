import hashlib
import struct
import unittest

from faults import USED
from nor import CUTS, Nor, PowerCut
from ota.errors import FlashError
from ota.flash import Region
from ota.state.journal import Journal

# sector size, program size: few marks per sector, so that the ring goes round soon
_MINE = b"secret 7"  # of the apply
_GEOMETRIES = ((128, 1), (256, 8), (256, 32), (1024, 256), (2048, 256))


def _flash(sector, program, sectors=3):
    nor = Nor(sectors * sector, sector, program)
    return nor, Region(nor, 0, nor.size)


def _per(sector, program):
    """Marks in a sector."""
    return sector // (-(-24 // program) * program)


def _value(k):
    """(kind, index, value) of the k-th mark."""
    return 1 + k % 254, k, k * 0x01234567 & 0xFFFFFFFF


def _last(journal):
    return journal.kind, journal.index, journal.value


class TestMarks(unittest.TestCase):
    def test_blank_flash_has_no_mark_and_is_not_written(self):
        for sector, program in _GEOMETRIES:
            with self.subTest(sector=sector, program=program):
                nor, region = _flash(sector, program)
                self.assertEqual(_last(Journal(region, _MINE)), (0, 0, 0))
                self.assertEqual(nor.ops, 0)

    def test_marks_over_several_sectors_and_round_the_ring(self):
        for sector, program in _GEOMETRIES:
            for sectors in (2, 3):
                with self.subTest(sector=sector, program=program, sectors=sectors):
                    nor, region = _flash(sector, program, sectors)
                    marks = _per(sector, program) * (2 * sectors + 1)
                    journal = Journal(region, _MINE)
                    for k in range(marks):
                        journal.mark(*_value(k))
                        self.assertEqual(_last(journal), _value(k))
                        # A reader of its own sees the same: it is on flash.
                        self.assertEqual(_last(Journal(region, _MINE)), _value(k))
                    # One program per mark, one erase per sector of marks: even wear.
                    self.assertEqual(nor.programs, marks)
                    self.assertEqual(nor.erases, 2 * sectors + 1)
                    self.assertLessEqual(max(nor.wear) - min(nor.wear), 1)

    def test_goes_on_after_a_reload_at_each_mark(self):
        for sector, program in _GEOMETRIES:
            with self.subTest(sector=sector, program=program):
                nor, region = _flash(sector, program)
                marks = min(3 * _per(sector, program), 60) + 2
                for k in range(marks):
                    journal = Journal(region, _MINE)
                    self.assertEqual(_last(journal), _value(k - 1) if k else (0, 0, 0))
                    journal.mark(*_value(k))
                self.assertEqual(_last(Journal(region, _MINE)), _value(marks - 1))

    def test_value_is_optional_and_full_range_is_kept(self):
        _, region = _flash(256, 8)
        journal = Journal(region, _MINE)
        journal.mark(254, 0xFFFFFFFF)
        self.assertEqual(_last(Journal(region, _MINE)), (254, 0xFFFFFFFF, 0))

    def test_what_a_boot_found_counts_from_then_on(self):
        # A mark that was cut may show in one boot and not in the next; after begin() no more.
        seen = set()
        for first in (0, 1):
            for seed in range(40):
                nor, region = _flash(256, 8)
                journal = Journal(region, _MINE)
                journal.begin()
                for k in range(first):
                    journal.mark(1, k)
                nor.dice.state = seed * 31 + 1
                nor.cut_at(1, "weak")
                self.assertRaises(PowerCut, journal.mark, 1, first)
                nor.power_on()
                journal = Journal(region, _MINE)
                found = _last(journal)
                journal.begin()
                self.assertEqual(_last(journal), found)
                seen.add((first, found))
                for _ in range(6):
                    nor.power_on()
                    self.assertEqual(_last(Journal(region, _MINE)), found)
                journal.mark(1, first)
                self.assertEqual(_last(Journal(region, _MINE)), (1, first, 0))
        self.assertEqual(len(seen), 4)

    def test_a_place_that_refuses_is_left_behind(self):
        nor, region = _flash(256, 8)
        journal = Journal(region, _MINE)
        for k in range(30):
            nor.cut_at(1, "error" if k & 1 else "stuck")
            journal.mark(1, k)
            self.assertEqual(_last(Journal(region, _MINE)), (1, k, 0))

    def test_marks_of_other_applies_are_ignored(self):
        for sector, program in _GEOMETRIES:
            with self.subTest(sector=sector, program=program):
                nor, region = _flash(sector, program)
                old = Journal(region, _MINE)
                for k in range(_per(sector, program) + 1):
                    old.mark(*_value(k))
                for secret in (bytes(8), b"secret 6", b"secret 8", _MINE + b"\0", b""):
                    self.assertEqual(_last(Journal(region, secret)), (0, 0, 0))
                new = Journal(region, b"secret 8")
                new.mark(9, 9, 9)
                self.assertEqual(_last(Journal(region, b"secret 8")), (9, 9, 9))
                # The serial starts again, far below that of the leftovers.
                new.mark(1, 2, 3)
                self.assertEqual(_last(Journal(region, b"secret 8")), (1, 2, 3))

    def test_damaged_mark_is_passed_over(self):
        nor, region = _flash(256, 8)
        journal = Journal(region, _MINE)
        for k in range(3):
            journal.mark(*_value(k))
        for bit in range(24 * 8):
            nor.data[48 + bit // 8] ^= 1 << bit % 8
            self.assertEqual(_last(Journal(region, _MINE)), _value(1), bit)
            nor.data[48 + bit // 8] ^= 1 << bit % 8
        self.assertEqual(_last(Journal(region, _MINE)), _value(2))

    def test_serial_at_its_end(self):
        # Whoever could make such a mark would end all others.
        nor, region = _flash(256, 8)
        body = struct.pack("<IBxxxII", 0xFFFFFFFF, 1, 5, 6)
        nor.program(0, body + hashlib.sha256(_MINE + body).digest()[:8])
        journal = Journal(region, _MINE)
        self.assertEqual(_last(journal), (0, 0, 0))
        journal.begin()
        journal.mark(1, 2, 3)
        self.assertEqual(_last(Journal(region, _MINE)), (1, 2, 3))

    def test_a_bit_that_is_read_wrong_once(self):
        nor, region = _flash(256, 8)
        journal = Journal(region, _MINE)
        for k in range(11):  # the last one begins a sector
            journal.mark(*_value(k))
        read = nor.read
        for wrong in range(1, 40):
            left = [wrong]

            def glitch(offset, buf):
                read(offset, buf)
                left[0] -= 1
                if not left[0]:
                    buf[7] ^= 1

            nor.read = glitch
            self.assertEqual(_last(Journal(region, _MINE)), _value(10), wrong)
        del nor.read

    def test_region_that_is_too_small(self):
        for sector, program, sectors in ((256, 8, 1), (256, 256, 2), (256, 256, 8)):
            with self.subTest(sector=sector, program=program, sectors=sectors):
                _, region = _flash(sector, program, sectors)
                with self.assertRaises(FlashError) as cm:
                    Journal(region, _MINE)
                self.assertEqual(cm.exception.reason, "journal")


class TestCuts(unittest.TestCase):
    def test_cut_at_every_operation(self):
        cuts = 0
        for sector, program in _GEOMETRIES:
            nor, region = _flash(sector, program)
            blank = nor.snapshot()
            marks = min(_per(sector, program) * 3, 24) + 1
            total = marks + (marks + _per(sector, program) - 1) // _per(sector, program)
            for n in range(1, total + 1):
                for effect in CUTS:
                    with self.subTest(sector=sector, program=program, n=n, effect=effect):
                        nor.restore(blank)
                        nor.cut_at(n, effect)
                        self._run(nor, region, marks)
                        cuts += 1
        self.assertGreaterEqual(cuts, 300)

    def _run(self, nor, region, marks):
        """Write all marks; after the cut go on with what a reload says."""
        k = 0
        journal = Journal(region, _MINE)
        try:
            for k in range(marks):
                journal.mark(*_value(k))
            self.assertTrue(False, "no cut")
        except PowerCut:
            nor.power_on()
        journal = Journal(region, _MINE)
        # The mark in progress or the one before; never an older one, never a made-up one.
        self.assertIn(_last(journal), (_value(k), _value(k - 1) if k else (0, 0, 0)))
        done = journal.index + 1 if journal.kind else 0
        for k in range(done, marks):
            journal.mark(*_value(k))
            if k < done + 2 or k == marks - 1:
                self.assertEqual(_last(Journal(region, _MINE)), _value(k))

    def test_second_cut_while_going_on(self):
        cuts = 0
        for sector, program in ((256, 8), (1024, 256)):
            nor, region = _flash(sector, program)
            blank = nor.snapshot()
            marks = 2 * _per(sector, program) + 1
            for n in range(1, marks + 3, 2):
                for m in range(1, 4):
                    for effect in CUTS:
                        with self.subTest(program=program, n=n, m=m, effect=effect):
                            nor.restore(blank)
                            cuts += self._twice(nor, region, marks, (n, m), effect)
        self.assertGreaterEqual(cuts, 100)

    def _twice(self, nor, region, marks, cuts, effect):
        last = (0, 0, 0)  # known to be on flash
        count = 0
        for n in cuts + (None,):
            journal = Journal(region, _MINE)
            done = journal.index + 1 if journal.kind else 0
            self.assertGreaterEqual(done, last[1] + 1 if last[0] else 0)
            nor.cut_at(n, effect)
            try:
                for k in range(done, marks):
                    journal.mark(*_value(k))
                    last = _value(k)
            except PowerCut:
                nor.power_on()
                count += 1
        nor.cut_at(None)
        self.assertEqual(_last(Journal(region, _MINE)), _value(marks - 1))
        return count


def _spent(nor, at, n):
    """Cells of [at, at + n) look erased and are not: a program was cut there."""
    nor.mark(at // nor.program_size, n // nor.program_size, USED)


class TestSteps(unittest.TestCase):
    def test_what_only_began_has_no_mark(self):
        nor = Nor(2 * 512, 512, 8)
        region = Region(nor, 0, nor.size)
        Journal(region, b"mine").begin()
        again = Journal(region, b"mine")
        self.assertEqual((again.kind, again._serial), (0, 2))

    def test_place_of_a_mark_that_left_nothing_to_see_is_not_used(self):
        for used in range(1, 9):
            nor = Nor(768, 256, 8)
            region = Region(nor, 0, 768)
            journal = Journal(region, b"mine")
            for k in range(used):
                journal.mark(1, k)
            _spent(nor, used * 24, 24)
            journal = Journal(region, b"mine")
            journal.begin()
            self.assertEqual((journal.kind, journal.index), (1, used - 1))
            journal.mark(1, used)
            self.assertEqual(Journal(region, b"mine").index, used)
