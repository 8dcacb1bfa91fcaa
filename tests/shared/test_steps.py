"""What random cuts seldom or never reach: each test here needs one protective step.

tests/tools/mutate.py removes the steps and runs these tests (mutations.txt says which).
"""

import struct
import unittest

import ota
from faults import USED
from images import vector
from nor import CUTS, Misuse, Nor, PowerCut
from ota import device, state, update
from ota import package as fmt
from ota.boot import trial
from ota.errors import (
    FlashError,
    OtaError,
    PolicyError,
    StateError,
    TransportError,
    VerifyError,
)
from ota.flash import Region
from ota.kv import Store
from ota.kv.full import KV
from ota.kv.log import SYNC
from ota.state import record as slots
from ota.state.journal import Journal
from ota.strategy import staging
from packer import Package, noise
from rig import Rig
from scenes import (
    ONE,
    SIZE,
    STRATEGIES,
    THREE,
    TWO,
    Case,
    Restart,
    Server,
    Source,
    blank,
    confirmed,
    fetch,
    fresh,
    on_trial,
    usual,
)
from slow import SLOW, some


def _store(sectors=2, size=512, unit=8, seed=1, kind=Nor):
    nor = kind(sectors * size, size, unit, seed)
    kv = KV(Region(nor, 0, nor.size))
    kv.mount()
    return nor, kv


def _found(region):
    kv = KV(region)
    kv.mount()
    return dict(kv.items())


def _spent(nor, at, n):
    """Cells of [at, at + n) look erased and are not: a program was cut there."""
    nor.mark(at // nor.program_size, n // nor.program_size, USED)


def _changed(before, after):
    """Offset of the first byte that differs."""
    at = 0
    while before[at] == after[at]:
        at += 1
    return at


class _Case(unittest.TestCase):
    def cut(self, nor, n, call, effect="after"):
        """Power goes in the n-th operation of call, and is back."""
        nor.cut_at(n, effect)
        with self.assertRaises(PowerCut):
            call()
        nor.power_on()

    def cut_erase(self, nor, region):
        """Power goes right before the first erase of a boot, and is back."""
        base, erases = nor.snapshot(), nor.erases
        n = 0
        while nor.erases == erases:
            n += 1
            nor.restore(base)
            self.cut(nor, n, KV(region).mount, "before")


class TestSettling(_Case):
    """What a boot found holds on every later boot."""

    def test_void_that_may_be_weak_is_written_again(self):
        nor, kv = _store(3, 2048)
        kv.set("key0", b"old")
        kv.sync()
        start = kv.end
        kv.set("key0", b"new")
        whole = bytes(nor.data[start : start + 16])
        nor.data[start] ^= 0x10
        before = bytes(nor.data)
        self.cut(nor, 1, KV(kv.region).mount)
        void = _changed(before, nor.data)
        self.assertEqual(_found(kv.region), {"key0": b"old"})
        # Now the VOID does not show, and what it is about reads right.
        nor.data[void] ^= 0x10
        nor.data[start : start + 16] = whole
        self.assertEqual(_found(kv.region), {"key0": b"old"})

    def test_small_store_leaves_a_void_record_to_the_whole_one(self):
        nor, kv = _store(3)
        kv.set("key0", b"old")
        while kv.end < 400:
            kv.set("fill", bytes([kv.end & 0xFF]))
        kv.sync()
        start, end = kv.end, 512 - 2 * kv.marker
        kv.set("key0", b"n" * (end - start - 12))  # the VOID comes right behind
        whole = bytes(nor.data[start:end])
        nor.data[start] ^= 0x10
        self.assertEqual(_found(kv.region)["key0"], b"old")
        nor.data[start:end] = whole
        store = Store(kv.region)
        store.mount()
        self.assertEqual(store.get("key0"), b"old")

    def test_key_that_reads_either_way_is_found_by_its_place(self):
        for seed in range(24):
            nor, kv = _store(2, 512, 8, seed)
            kv.sync()
            at = kv.end
            kv.set("key4", b"value")
            nor.weaken(at + 8 + 3, 1, 2)  # of its last letter
            for _ in range(4):
                nor.power_on()
                kv = KV(kv.region)
                kv.mount()
                self.assertIn(kv.keys(), ([], ["key4"]))

    def test_sure_copy_before_the_older_value_goes(self):
        # The record read last fills its sector; what it supersedes is in the oldest one.
        for then in ("gone", "weak", "there"):
            n = 0
            while True:
                n += 1
                nor, kv = _store(3, 512, 8, n)
                kv.set("key4", b"old")
                kv.set("kept", b"1")
                i = 0
                while kv.newest == 0 or kv.end + 72 < (kv.newest + 1) * 512:
                    i += 1
                    kv.set("fill", bytes([i & 0xFF, i >> 8]))
                at = kv.end
                kv.set("key4", b"new")
                if then == "weak":
                    nor.weaken(at + 8 + 3, 1, 2)
                nor.cut_at(n, "after")
                try:
                    kv = KV(kv.region)
                    kv.mount()
                    if n > 12:
                        break
                except PowerCut:
                    pass
                nor.power_on()
                if then == "gone":
                    nor.data[at] ^= 0x10
                for _ in range(3):
                    kv = KV(kv.region)
                    kv.mount()
                    self.assertEqual(sorted(kv.keys()), ["fill", "kept", "key4"])
                    self.assertIn(kv.get("key4"), (b"old", b"new"))
                if then == "there":
                    store = Store(kv.region)
                    store.mount()
                    self.assertFalse(store.loaded, "not settled")
            self.assertGreaterEqual(n, 5)

    def test_record_before_one_that_does_not_show_any_more(self):
        # A boot saw the batch and copied it to the next sector; the next boot sees the copy and,
        # as the last record of its own, the one before: that one must not come back.
        news = {"key4": b"new", "key5": b"new"}
        n = 0
        while True:
            n += 1
            nor, kv = _store(3, 512, 8, n)
            kv.set("key4", b"old")
            i = 0
            while kv.newest == 0 or kv.end + 24 + 40 + 40 < (kv.newest + 1) * 512:
                i += 1
                kv.set("fill", bytes([i & 0xFF, i >> 8]))
            kv.set("key5", b"older")
            olds = {"key4": b"old", "key5": b"older"}
            at = kv.end
            kv.batch(sorted(news.items()))
            nor.cut_at(n, "after")
            try:
                kv = KV(kv.region)
                kv.mount()
                break
            except PowerCut:
                pass
            nor.power_on()
            nor.data[at] ^= 0x10
            for _ in range(3):
                found = _found(kv.region)
                self.assertIn({k: found[k] for k in news}, (olds, news), n)
        self.assertGreaterEqual(n, 5)

    def test_believed_is_what_the_check_was_made_over(self):
        # A key that reads as another one the second time does nothing to that one.
        for value in (b"other", None):
            for seed in range(24):
                nor, kv = _store(2, 512, 8, seed)
                old = {"key4": b"value", "key6": b"kept"}
                kv.batch(old.items())
                kv.sync()
                at = kv.end
                kv.batch([("key4", value)])
                nor.weaken(at + 8 + 3, 1, 2)
                new = dict(old)
                if value:
                    new["key4"] = value
                else:
                    del new["key4"]
                found = _found(kv.region)
                self.assertIn(found, (old, new))
                self.assertEqual(_found(kv.region), found)

    def test_cells_that_read_either_way_are_seldom_taken_for_erased(self):
        believed = {KV: 0, Store: 0}
        for kind in believed:
            for seed in range(128):
                nor, kv = _store(2, 512, 8, seed)
                kv.set("a", b"1")
                kv.sync()
                at = kv.end
                _spent(nor, at, 8)
                nor.weaken(at, 1, 1)
                kv = kind(kv.region)
                try:
                    kv.mount()
                    kv.set("a", b"2")
                except Misuse:
                    believed[kind] += kind is KV or not kv.loaded
        # After one read of them it would be every fourth time, and every eighth.
        self.assertLessEqual(believed[KV], 16)
        self.assertLessEqual(believed[Store], 8)

    def test_cells_behind_a_torn_end_are_left_alone(self):
        # A program longer than what shows went on into that page or the next.
        for unit in (8, 256):
            nor, kv = _store(2, 8192, unit)
            kv.set("a", b"1")
            end = kv.end
            nor.data[end] = 0
            _spent(nor, end, unit)
            page = (end + unit + 255) // 256 * 256
            _spent(nor, end + unit, page + (256 if unit < 256 else 512) - end - unit)
            kv = KV(kv.region)
            kv.mount()
            for i in range(20):
                kv.set("a", bytes([i]))
            self.assertEqual(_found(kv.region), {"a": bytes([19])})

    def test_long_program_that_did_nothing_spoils_its_whole_place(self):
        for n in range(200, 460, 8):
            nor, kv = _store(2, 4096)
            kv.set("fill", bytes(n))
            nor.cut_at(1, "stuck")
            kv.set("a", bytes(600))
            self.assertEqual(_found(kv.region)["a"], bytes(600))

    def test_no_record_reaches_into_the_room_for_markers(self):
        # All of a record may be programmed and only its beginning show. Then what is kept for
        # two markers is all that is sure to be erased.
        tried = [0, 0]
        for n in range(1, 160, 8):
            for settling in (0, 1):
                nor, kv = _store(3)
                while kv.end < 310:
                    kv.set("fill", bytes([kv.end & 0xFF]) * 12)
                kv.sync()
                at = kv.end
                if settling:
                    kv.set("a", bytes(n))
                    at = kv.end
                    kv = KV(kv.region)
                nor.log = []
                nor.cut_at(1, "before")
                try:
                    kv.set("a", bytes([1]) * n)
                except PowerCut:
                    pass
                nor.power_on()
                place, data = nor.log[-1][1:]
                nor.log = None
                if place != at:
                    continue  # it goes to the next sector
                tried[settling] += 1
                nor.data[at] = 0
                _spent(nor, at, len(data))
                kv = KV(kv.region)
                kv.mount()
                kv.set("b", b"2")
                self.assertEqual(_found(kv.region)["b"], b"2")
        self.assertGreaterEqual(min(tried), 5)


class TestSectors(_Case):
    """Which sectors count, which are free, and in what order they change."""

    def test_given_up_sector_stays_given_up(self):
        for spared in (False, True):
            nor, kv = _store()
            kv.set("a", b"1")
            kv.set("b", b"2")
            kv.sync()
            self.cut(nor, 4, kv.advance)  # header, two copies, ACTIVE
            target, active = kv.newest * 512, kv.end - 24
            nor.data[active] ^= 0x10  # this boot does not see it, and begins to erase
            self.cut(nor, 2, KV(kv.region).mount, "before")
            if not spared:
                nor.data[target + 32 : active] = b"\xff" * (active - target - 32)
            nor.data[active] ^= 0x10
            for kind in (Store, KV, KV):
                store = kind(kv.region)
                store.mount()
                self.assertEqual((store.get("a"), store.get("b")), (b"1", b"2"))
                ops = nor.ops
                # Nothing is left to do for whoever comes next.
                self.assertEqual(_found(kv.region), {"a": b"1", "b": b"2"})
                self.assertEqual(nor.ops, ops)

    def test_small_store_does_not_append_to_a_sector_that_was_given_up(self):
        nor, kv = _store(4)
        kv.set("a", b"1")
        kv.sync()
        self.cut(nor, 2, kv.advance)  # header, ACTIVE
        active = kv.end - 24
        nor.data[active] ^= 0x10
        self.cut(nor, 2, KV(kv.region).mount, "before")
        # Its erase began; what was there shows again.
        _spent(nor, kv.newest * 512, 512)
        nor.data[active] ^= 0x10
        store = Store(kv.region)
        store.mount()
        store.set("a", b"2")
        self.assertEqual(_found(kv.region), {"a": b"2"})

    def test_deleted_value_does_not_come_back_with_a_half_erased_sector(self):
        nor, kv = _store()
        kv.set("gone", b"1")
        kv.set("kept", b"2")
        end = kv.end
        kv.delete("gone")
        kv.sync()
        self.cut(nor, 3, kv.advance)  # header, copy, ACTIVE
        active = kv.end - 24
        source = 512 - kv.newest * 512
        self.cut_erase(nor, kv.region)
        # The sector that is being erased still has its beginning, and the ACTIVE record that
        # was believed does not show any more.
        nor.data[end : source + 512] = b"\xff" * (source + 512 - end)
        nor.data[active] ^= 0x10
        self.assertEqual(_found(kv.region), {"kept": b"2"})
        self.assertEqual(_found(kv.region), {"kept": b"2"})

    def test_small_store_sees_an_erase_that_was_cut(self):
        nor, kv = _store()
        kv.set("a", b"1")
        kv.sync()
        self.cut(nor, 4, kv.advance, "before")  # header, copy, ACTIVE, erase
        source = 512 - kv.newest * 512
        nor.data[source + 16 : source + 512] = b"\xff" * 496  # it looks free
        Store(kv.region).mount()
        ops = nor.ops
        self.assertEqual(_found(kv.region), {"a": b"1"})
        self.assertEqual(nor.ops, ops)

    def test_erase_that_left_something_is_done_again(self):
        class Lazy(Nor):
            left = 0

            def erase(self, offset, length):
                old = bytes(self.data[offset + 256 : offset + length])
                Nor.erase(self, offset, length)
                if self.left:
                    self.left -= 1
                    self.data[offset + 256 : offset + length] = old
                    self.mark((offset + 256) // 8, (length - 256) // 8, USED)

        nor, kv = _store(kind=Lazy)
        nor.left = 1
        for i in range(100):
            kv.set("a", bytes([i]) * 9)
        self.assertEqual(nor.left, 0)
        self.assertEqual(_found(kv.region), {"a": bytes([99]) * 9})

    def test_sector_that_reads_erased_without_a_birth_header_is_erased(self):
        nor, kv = _store()
        kv.set("a", b"1")
        kv.sync()
        kv.advance()  # the sectors are worn so that no note gives it away
        source = kv.newest * 512
        self.cut(nor, 4, kv.advance, "before")  # header, copy, ACTIVE, erase
        nor.data[source : source + 512] = b"\xff" * 512
        for i in range(60):
            kv = KV(kv.region)
            kv.set("a", bytes([i]) * 9)
        self.assertEqual(_found(kv.region), {"a": bytes([59]) * 9})

    def test_chip_that_is_not_there_is_not_formatted(self):
        class Away(Nor):
            away = False

            def read(self, offset, buf):
                if self.away:
                    raise OSError(5)
                Nor.read(self, offset, buf)

        nor, kv = _store(kind=Away)
        kv.set("a", b"1")
        before = bytes(nor.data)
        nor.away = True
        with self.assertRaises(FlashError) as caught:
            KV(kv.region).mount()
        self.assertEqual(caught.exception.reason, "io")
        nor.away = False
        self.assertEqual(nor.data, before)
        self.assertEqual(_found(kv.region), {"a": b"1"})

    def test_sector_that_refuses_its_header_is_erased_again(self):
        # A cut program that shows nothing; the chip takes no other one there.
        nor = Nor(8192, 4096, 8, ecc=True)
        kv = KV(Region(nor, 0, 8192))
        kv.mount()
        for i in range(3):
            kv.set("a", bytes([i]) * 600)
        kv.sync()
        self.cut(nor, 1, kv.advance, "blank-weak")
        kv = KV(kv.region)
        kv.mount()
        newest = kv.newest
        for _ in range(2):  # the first time it is refused
            kv.prepare(8, 300)
        self.assertNotEqual(kv.newest, newest)
        self.assertEqual(_found(kv.region), {"a": b"\2" * 600})

    def test_format_of_many_sectors_is_all_or_nothing(self):
        nor, kv = _store(4)
        model = {}
        for i in range(30):
            model["ota.%d" % i] = bytes([i]) * 9
            kv.set("ota.%d" % i, bytes([i]) * 9)
        kv.sync()
        base = nor.snapshot()
        for effect in CUTS:
            for n in range(1, 12):
                nor.restore(base)
                kv = KV(kv.region)
                kv.mount()
                nor.cut_at(n, effect)
                try:
                    kv.format()
                except PowerCut:
                    pass
                nor.power_on()
                self.assertIn(_found(kv.region), ({}, model))

    def test_finished_compaction_whose_active_record_is_damaged(self):
        nor, kv = _store()
        kv.set("a", b"1")
        kv.sync()
        kv.advance()
        nor.data[kv.end - 24] ^= 0x10
        self.assertEqual(_found(kv.region), {"a": b"1"})

    def test_only_sector_with_nothing_that_reads_is_not_formatted(self):
        nor, kv = _store()
        kv.set("a", b"1")
        start = kv.first(kv.newest)
        nor.data[start] ^= 0x10  # ACTIVE
        nor.data[start + 24] ^= 0x10
        before = bytes(nor.data)
        with self.assertRaises(FlashError) as caught:
            KV(kv.region).mount()
        self.assertEqual(caught.exception.reason, "corrupt")
        self.assertEqual(nor.data, before)

    def full(self):
        """A store whose newest sector has no room for another marker."""
        nor, kv = _store()
        kv.set("a", b"1")
        kv.sync()
        while kv.marker_fits():
            kv.put(kv.end, SYNC, 0, 0, ())
        return nor, kv

    def test_full_sector_at_boot_is_left(self):
        nor, kv = self.full()
        Store(kv.region).mount()
        ops = nor.ops
        self.assertEqual(_found(kv.region), {"a": b"1"})
        self.assertEqual(nor.ops, ops)
        store = Store(kv.region)
        store.mount()
        self.assertFalse(store.loaded)

    def test_full_sector_cannot_note_an_erase(self):
        nor, kv = self.full()
        free = 512 - kv.newest * 512
        self.cut(nor, 2, kv.advance)  # header, copy
        self.cut_erase(nor, kv.region)
        nor.data[free + 16 : free + 512] = b"\xff" * 496  # the birth header is spared
        self.assertEqual(_found(kv.region), {"a": b"1"})
        self.assertEqual(_found(kv.region), {"a": b"1"})

    def test_record_of_an_earlier_life_at_its_old_place_is_not_taken(self):
        nor, kv = _store()
        kv.set("a", b"1")
        life, place = kv.newest, kv.end
        kv.set("old", b"secret")
        record = bytes(nor.data[place : place + 24])
        kv.delete("old")
        erases = nor.wear[life]
        while nor.wear[life] == erases or kv.newest != life:
            kv.advance()
        self.assertLessEqual(kv.end, place)
        self.assertEqual(place % 8, 0)
        nor.data[place : place + 24] = record
        _spent(nor, place, 24)
        self.assertIsNone(_found(kv.region).get("old"))


class TestJournal(unittest.TestCase):
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


def _moves(call, *args):
    """States that were recorded while call ran, in order."""
    saved = []
    save = slots.Slots.save

    def watched(one, record):
        saved.append(state.name(record.state))
        save(one, record)

    slots.Slots.save = watched
    try:
        call(*args)
    except OtaError:
        pass
    finally:
        slots.Slots.save = save
    return saved


def _at(rig, name, offset=0):
    """Offset on the flash of a byte of a partition."""
    return rig.config["partitions"][name]["offset"] + offset


def _at_erase(rig, offset, what, call, *args):
    """Call something; what() is done right before each erase that begins at offset."""
    erase = rig.nor.erase

    def watched(at, length):
        if at == offset:
            what()
        erase(at, length)

    rig.nor.erase = watched
    try:
        return call(*args)
    finally:
        del rig.nor.erase


def _operations(rig, call):
    """How many programs and erases call makes; the flash is then as before."""
    base = rig.nor.snapshot()
    ops = rig.nor.ops
    call()
    ops = rig.nor.ops - ops
    rig.nor.restore(base)
    return ops


def _lie():
    """A package whose image is not the one that it promises."""
    package = Package(TWO, None)
    package.set(fmt.IMAGE, struct.pack("<I32s", len(TWO), b"?" * 32))
    return package.data()


class TestReady(Case):
    """What is looked at before an armed package is applied, and while."""

    def test_board_that_changed_while_a_package_is_ready(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(usual(strategy))
                rig.config["product"] = "toaster"  # other firmware came meanwhile
                active = rig.nor.wear[:9]
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "product")
                self.assertEqual(rig.nor.wear[:9], active)

    def test_what_does_not_suit_is_never_armed(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.write("ota", Package(TWO, None, product="toaster").data())
                self.assertFalse("READY" in _moves(rig.boot))
                self.rests(rig, "IDLE", ONE, "0.1", "product")

    def test_refused_by_hand_does_not_come_up_again(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.write("ota", Package(TWO, None, product="toaster").data())
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "product")
                bad = Package(TWO, None, target="fonts").data()
                self.refused(PolicyError, "target", rig.install, bad)
                rig.boot()
                self.rests(rig, "IDLE", ONE, "0.1", "target")

    def test_package_exchanged_after_the_apply_was_recorded(self):
        rig = fresh("inplace")
        rig.install(usual("inplace"))
        n = 0
        while rig.device.slots.load().state != state.APPLY:  # cut right behind that record
            n += 1
            rig.nor.cut_at(n, "after")
            self.assertRaises(PowerCut, rig.boot)
            rig.nor.power_on()
            rig.device = device.Device(rig.config)
        rig.write("ota", Package(THREE, ONE, "0.3", ordered=True).data())
        active = rig.nor.wear[:9]
        rig.boot()
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("IDLE", "digest"))
        self.assertTrue(rig.runs(ONE))
        self.assertEqual(rig.nor.wear[:9], active)

    def test_wrong_image_is_never_recorded_as_on_trial(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.install(_lie())
                moves = _moves(rig.boot)
                self.assertIn("APPLY", moves)
                self.assertFalse("TRIAL" in moves)

    def test_backup_that_lost_a_block_is_no_way_back(self):
        rig = fresh("pingpong")
        rig.install(usual("pingpong"))
        start = _at(rig, "backup")

        def decay():  # four blocks are copied
            rig.nor.data[start + 99] ^= 1

        _at_erase(rig, start + 4 * 4096, decay, rig.boot)
        self.rests(rig, "IDLE", ONE, "0.1", "digest")

    def test_blocks_smaller_than_a_sector_are_cut(self):
        for kind in ("full", "delta"):
            data = vector("%s-24k-2048.ota" % kind)
            rig = fresh("pingpong")
            rig.install(data)
            base = rig.nor.snapshot()
            for n in some(range(1, _operations(rig, rig.boot), 2)):
                with self.subTest(kind=kind, n=n):
                    rig.nor.restore(base)
                    rig.nor.cut_at(n, "after")
                    self.assertRaises(PowerCut, rig.boot)
                    rig.nor.power_on()
                    rig.boot()
                    self.assertTrue(rig.runs(TWO))
                    self.assertEqual(ota.status()["state"], "TRIAL")

    def test_half_of_a_large_sector_changes(self):
        new = bytearray(ONE)
        new[4096 + 2048] ^= 1
        rig = fresh("pingpong")
        rig.install(Package(bytes(new), None, block=2048).data())
        rig.boot()
        self.rests(rig, "TRIAL", bytes(new), "0.2")

    def test_done_mark_that_is_lost_when_scratch_is_in_use_again(self):
        # One place in scratch, so the block behind is there already.
        rig = blank("inplace")
        rig.config["partitions"]["ota"]["size"] = 4 * 4096
        rig.boot()
        rig.install(usual("inplace"))
        header = staging.find(rig.device.region("ota"))[0]
        scratch = staging.Plan(rig.device, header).room(header)[1]
        self.assertEqual(scratch.size, 4096)
        blocks = []

        def third():
            blocks.append(1)
            if len(blocks) == 3:
                rig.nor.cut_at(2, "after")  # it is in scratch, not marked

        self.assertRaises(PowerCut, _at_erase, rig, scratch.offset, third, rig.boot)
        rig.nor.power_on()
        region = staging.journal_region(rig.device)
        journal = Journal(region, device.Device(rig.config).slots.load().secret)
        self.assertEqual(journal.kind, 2)
        rig.nor.data[region.offset + journal._offset(journal._slot - 1) + 20] ^= 1
        self.assertEqual(Journal(region, journal.secret).kind, 1)
        rig.boot()
        self.rests(rig, "TRIAL", TWO, "0.2")


class TestGoingBack(Case):
    def test_chip_that_refuses_once(self):
        for strategy in ("pingpong", "inplace"):
            rig, _ = on_trial(strategy)
            trial.rollback(False)
            base = rig.nor.snapshot()
            for n in range(1, _operations(rig, rig.boot), 2):
                with self.subTest(strategy=strategy, n=n):
                    rig.nor.restore(base)
                    rig.nor.cut_at(n, "error")
                    rig.boot()
                    rig.nor.cut_at(None)
                    self.assertEqual(ota.status()["state"], "IDLE")
                    self.assertEqual(ota.status()["reason"], "request")
                    self.assertTrue(rig.runs(ONE))

    def test_block_that_decays_in_the_midst(self):
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig, _ = on_trial(strategy)
                trial.rollback(False)
                base = rig.nor.snapshot()
                erases = rig.nor.wear[:7]
                for n in range(2, _operations(rig, rig.boot)):
                    rig.nor.restore(base)
                    rig.nor.cut_at(n, "after")
                    self.assertRaises(PowerCut, rig.boot)
                    rig.nor.power_on()
                    done = [i for i in range(7) if rig.nor.wear[i] > erases[i]]
                    if len(done) > 2:
                        break
                rig.nor.data[done[0] * 4096 + 99] ^= 1
                rig.boot()
                self.assertEqual(ota.status()["state"], "RESCUE")

    def test_way_that_leads_nowhere_is_not_begun(self):
        rig, _ = on_trial("pingpong")
        trial.rollback(False)
        rig.nor.data[_at(rig, "backup", 9999)] ^= 1
        active = rig.nor.wear[:9]
        rig.boot()
        self.assertEqual(ota.status()["state"], "RESCUE")
        self.assertEqual(rig.nor.wear[:9], active)

    def test_image_below_the_floor_is_no_way_back(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig, record = on_trial(strategy)
                record.floor = record.image.floor = 1
                rig.device.slots.save(record)
                for _ in range(3):
                    self.start(rig)
                self.assertFalse("BACK" in _moves(self.start, rig))
                self.assertEqual(ota.status()["state"], "RESCUE")

    def test_half_received_nothing_older_is_left(self):
        data = Package(THREE, None, "0.3").data()
        for strategy in ("ab", "inplace"):
            with self.subTest(strategy=strategy):
                rig, record = confirmed(strategy)
                self.assertNotEqual(record.previous, slots.NONE)
                self.refused(TransportError, "short", fetch, rig, Server(data, len(data) // 2))
                record = rig.device.slots.load()
                self.assertEqual((record.state, record.previous), (state.FETCH, slots.NONE))

    def test_reverse_package_that_nobody_signed_is_not_decoded(self):
        # It leads to the right image, but the signed package names another one.
        rig, _ = confirmed("inplace")
        at = _at(rig, "ota", 4096)
        back = Package(ONE, TWO, "0.0.1", ordered=True, keys=()).data()
        n = -(-len(back) // 4096) * 4096
        rig.nor.erase(at, n)
        rig.nor.program(at, back + b"\xff" * (n - len(back)))
        self.refused(StateError, "none", trial.rollback, False)
        self.rests(rig, "IDLE", TWO, "0.2")

    def test_while_it_goes_back_nobody_is_asked(self):
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig, _ = confirmed(strategy)
                trial.rollback(False)
                source = Source(None)
                self.refused(StateError, "state", update.drive, update.run(rig.device, source))

    def test_deadline_restarts_unless_confirmed(self):
        class Timer:
            ONE_SHOT = 7
            made = []

            def __init__(self, number):
                self.running = False
                Timer.made.append(self)

            def init(self, period, mode, callback):
                self.running, self.period, self.callback = True, period, callback

            def deinit(self):
                self.running = False

        class Machine(trial.machine):
            pass

        Machine.Timer = Timer
        trial.machine = Machine
        rig, _ = on_trial("ab")
        rig.config["confirm_ms"] = 5000
        self.assertFalse(self.start(rig))
        self.assertEqual(len(Timer.made), 1)
        timer = Timer.made[0]
        self.assertEqual((timer.running, timer.period), (True, 5000))
        self.assertRaises(Restart, timer.callback, timer)
        trial.confirm()
        self.assertFalse(timer.running)


class TestReceiving(Case):
    def test_resumed_in_the_midst_of_a_sector(self):
        new = noise(SIZE)
        data = Package(new, None, block=2048, restart=1).data()
        for limit in some(range(3000, len(data), 1500)):
            with self.subTest(limit=limit):
                rig = fresh("ab")
                self.refused(TransportError, "short", fetch, rig, Server(data, limit))
                fetch(rig, Server(data))
                rig.boot()
                self.rests(rig, "TRIAL", new, "0.2")

    def test_wrong_image_is_fetched_from_the_beginning(self):
        new = noise(SIZE)
        data = Package(new, None, restart=1).data()
        rig = fresh("ab")
        self.refused(TransportError, "short", fetch, rig, Server(data, 20000))
        rig.nor.data[_at(rig, "backup", 99)] ^= 1
        self.refused(VerifyError, "digest", fetch, rig, Server(data))
        fetch(rig, Server(data))
        rig.boot()
        self.rests(rig, "TRIAL", new, "0.2")

    def test_other_package_with_the_same_payload(self):
        new = noise(SIZE)
        one, two = Package(new, None).data(), Package(new, None, floor=1).data()
        for strategy in STRATEGIES:
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                self.refused(TransportError, "short", fetch, rig, Server(one, 20000))
                fetch(rig, Server(two))
                self.assertEqual(rig.boot().image.floor, 1)
                self.rests(rig, "TRIAL", new, "0.2")

    def test_what_decays_while_the_rest_comes_is_not_armed(self):
        new = noise(SIZE)
        data = Package(new, None).data()
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                start = _at(rig, "ota")

                def decay():
                    rig.nor.data[start + 9999] ^= 1

                self.refused(
                    VerifyError, "truncated", _at_erase, rig, start + 4 * 4096, decay,
                    fetch, rig, Server(data),
                )  # fmt: skip
                fetch(rig, Server(data))
                rig.boot()
                self.rests(rig, "TRIAL", new, "0.2")

    def test_sector_written_last_may_be_weak(self):
        # Power goes behind it; one of its bits reads either way from then on.
        data = Package(noise(SIZE), None).data()
        for strategy in ("pingpong", "inplace"):
            for sector in (2, (len(data) - 1) // 4096):
                for seed in range(4 if SLOW else 12):
                    with self.subTest(strategy=strategy, sector=sector, seed=seed):
                        rig = fresh(strategy)
                        start = _at(rig, "ota", sector * 4096)

                        def cut():
                            rig.nor.cut_at(2, "after")  # the program behind

                        self.assertRaises(
                            PowerCut, _at_erase, rig, start, cut, fetch, rig, Server(data)
                        )
                        rig.nor.dice.state = seed
                        rig.nor.weaken(start + 99, 1, 4)
                        rig.nor.power_on()
                        rig.boot()
                        fetch(rig, Server(data))
                        rig.boot()
                        self.assertEqual(ota.status()["state"], "TRIAL")

    def test_a_cut_costs_one_sector_and_one_chunk(self):
        data = Package(noise(SIZE), None).data()
        header = fmt.parse(data[: sum(fmt.lengths(data))])
        for strategy in ("pingpong", "inplace"):
            whole = fresh(strategy)
            before = whole.nor.ops
            fetch(whole, Server(data))
            for cut in range(1, whole.nor.ops - before, 3):
                with self.subTest(strategy=strategy, cut=cut):
                    rig = fresh(strategy)
                    first, second = Server(data), Server(data)
                    rig.nor.cut_at(cut, "after")
                    self.assertRaises(PowerCut, fetch, rig, first)
                    rig.nor.power_on()
                    rig.boot()
                    fetch(rig, second)
                    # The head is always read again, to know what there is.
                    again = first.given + second.given - len(data) - header.length
                    self.assertTrue(again <= 4096 + header.chunk_max + 200, again)

    def test_reverse_package_is_the_one_that_was_promised(self):
        back = Package(ONE, TWO, "0.1", ordered=True).data()
        other = Package(ONE, TWO, "0.0", ordered=True).data()
        self.assertEqual(len(back), len(other))
        good = Package(TWO, ONE, "0.2", ordered=True, behind=back).data()
        rig = fresh("inplace")
        bad = good[: len(good) - len(back)] + other
        self.refused(VerifyError, "chain", rig.install, bad)
        self.assertEqual(ota.status()["state"], "IDLE")


class TestFactory(Case):
    def _rig(self, package):
        device.current = None
        rig = Rig("pingpong", SIZE, factory=package)
        rig.boot()
        return rig

    def test_image_that_is_not_the_promised_one(self):
        rig = self._rig(_lie())
        ota.restore(reset=False)
        rig.boot()
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("RESCUE", "digest"))

    def test_slot_that_loses_what_was_written_to_it(self):
        rig = self._rig(Package(TWO, None).data())
        ota.restore(reset=False)
        program = rig.nor.program

        def decay(offset, data):
            program(offset, data)
            if 16384 <= offset < 20480:
                rig.nor.data[9] ^= 1

        rig.nor.program = decay
        rig.boot()
        del rig.nor.program
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("RESCUE", "digest"))
        rig.boot()
        self.rests(rig, "IDLE", TWO, "0.2", "digest")

    def test_why_nothing_runs_is_kept(self):
        rig = self._rig(Package(TWO, None).data())
        rig.install(Package(THREE, None, "0.3").data())
        rig.boot()
        rig.nor.data[_at(rig, "factory", 9999)] ^= 1
        for name in ("active", "backup"):
            rig.nor.data[_at(rig, name, 9999)] ^= 1
        rig.boot()
        self.rests(rig, "RESCUE", b"", "", "digest")

    def test_image_that_is_not_the_promised_one_wears_nothing(self):
        rig = self._rig(_lie())
        ota.restore(reset=False)
        wear = list(rig.nor.wear)
        first = rig.config["partitions"]["ota"]["offset"] // rig.nor.sector_size
        for _ in range(3):
            rig.boot()
        self.assertEqual(rig.nor.wear[:first], wear[:first])


class TestKept(Case):
    """Steps whose loss the outcome alone does not show."""

    def _spans(self, rig, name):
        p = rig.config["partitions"][name]
        return p["offset"], p["offset"] + p["size"]

    def _log(self, rig):
        """Operations of the next boot, which is then taken back."""
        before = rig.nor.snapshot()
        rig.nor.log = log = []
        rig.boot()
        rig.nor.log = None
        rig.nor.restore(before)
        return log

    def _cut_boot(self, rig, n, effect):
        rig.nor.cut_at(n, effect)
        with self.assertRaises(PowerCut):
            rig.boot()
        rig.nor.power_on()

    def test_damaged_image_does_not_cost_the_backup_an_erase(self):
        rig = fresh("pingpong")
        rig.install(usual("pingpong"))
        rig.nor.data[_at(rig, "active", 5000)] ^= 1
        low, high = [x // rig.nor.sector_size for x in self._spans(rig, "backup")]
        wear = rig.nor.wear[low:high]
        rig.boot()
        self.assertEqual(ota.status()["reason"], "digest")
        self.assertEqual(rig.nor.wear[low:high], wear)

    def test_block_that_is_marked_done_is_not_written_again(self):
        rig = fresh("inplace")
        rig.install(usual("inplace"))
        low, high = self._spans(rig, "active")
        log = self._log(rig)
        inside = [low <= op[1] < high for op in log]
        done = inside.index(True)
        while inside[done]:
            done += 1
        first, last = low // rig.nor.sector_size, high // rig.nor.sector_size
        wear = rig.nor.wear[first:last]
        self._cut_boot(rig, done + 1, "after")
        rig.boot()
        self.assertTrue(rig.runs(TWO))
        spent = [b - a for a, b in zip(wear, rig.nor.wear[first:last])]
        self.assertEqual(max(spent), 1)

    def test_block_that_neither_slot_nor_scratch_holds(self):
        rig = fresh("inplace")
        rig.install(usual("inplace"))
        low, high = self._spans(rig, "active")
        log = self._log(rig)
        # The first block lies behind the old image, which is whole until the second goes.
        erase = [i for i in range(len(log)) if log[i][0] == "erase" and low <= log[i][1] < high][1]
        scratch = [op for op in log[:erase] if op[0] == "erase"][-1][1]
        self._cut_boot(rig, erase + 1, "after")
        rig.nor.data[scratch + 9] ^= 1
        rig.boot()
        self.assertEqual((ota.status()["state"], ota.status()["reason"]), ("RESCUE", "journal"))

    def test_floor_above_the_image_stays_at_confirm(self):
        rig, record = on_trial("ab")
        record.floor = 5
        rig.device.slots.save(record)
        trial.confirm()
        self.assertEqual(rig.device.slots.load().floor, 5)

    def test_signature_that_went_bad_in_staging_comes_anew(self):
        good = Package(TWO, None).data()
        end = sum(fmt.lengths(good))
        for strategy in ("pingpong", "inplace"):
            with self.subTest(strategy=strategy):
                rig = fresh(strategy)
                rig.write("ota", good[: end - 1] + bytes([good[end - 1] ^ 1]) + good[end:])
                rig.boot()
                self.assertEqual(ota.status()["reason"], "signature")
                rig.install(good)
                self.assertEqual(rig.boot().state, state.TRIAL)

    def test_refused_for_its_reverse_package_is_not_taken_by_hand(self):
        back = Package(ONE, TWO, "0.1", ordered=True).data()
        other = Package(ONE, TWO, "0.0", ordered=True).data()
        good = Package(TWO, ONE, "0.2", ordered=True, behind=back).data()
        rig = fresh("inplace")
        bad = good[: len(good) - len(back)] + other
        self.refused(VerifyError, "chain", rig.install, bad)
        self.assertEqual(rig.boot().state, state.IDLE)
        self.rests(rig, "IDLE", ONE, "0.1", "chain")
        rig.install(good)
        self.assertEqual(rig.boot().state, state.TRIAL)

    def test_key_of_a_long_record_that_reads_like_another(self):
        for seed in range(30):
            nor, kv = _store(3, 4096, 8, seed)
            old = {"key4": b"v" * 700, "key6": b"kept"}
            for key in old:
                kv.set(key, old[key])
            kv.sync()
            at = kv.end
            new = {"key4": b"w" * 700, "key6": b"kept"}
            kv.set("key4", new["key4"])
            nor.weaken(at + 8 + 3, 1, 2)  # "key4" or "key6"
            for _ in range(3):
                nor.power_on()
                self.assertIn(_found(kv.region), (old, new), seed)
