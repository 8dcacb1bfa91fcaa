"""Recovery of the store: what random cuts seldom or never reach; each test needs one protective
step.

tests/tools/mutate.py removes the steps and runs these tests (mutations.txt says which).
"""

import unittest

from faults import USED
from nor import CUTS, Misuse, Nor, PowerCut
from ota.errors import FlashError
from ota.flash import Region
from ota.kv import Store
from ota.kv.full import KV
from ota.kv.layout import SYNC


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
        start = kv.ring.end
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
        while kv.ring.end < 400:
            kv.set("fill", bytes([kv.ring.end & 0xFF]))
        kv.sync()
        start, end = kv.ring.end, 512 - 2 * kv.log.marker
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
            at = kv.ring.end
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
                while kv.ring.newest == 0 or kv.ring.end + 72 < (kv.ring.newest + 1) * 512:
                    i += 1
                    kv.set("fill", bytes([i & 0xFF, i >> 8]))
                at = kv.ring.end
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
            while kv.ring.newest == 0 or kv.ring.end + 24 + 40 + 40 < (kv.ring.newest + 1) * 512:
                i += 1
                kv.set("fill", bytes([i & 0xFF, i >> 8]))
            kv.set("key5", b"older")
            olds = {"key4": b"old", "key5": b"older"}
            at = kv.ring.end
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
                at = kv.ring.end
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
                at = kv.ring.end
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
            end = kv.ring.end
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
                while kv.ring.end < 310:
                    kv.set("fill", bytes([kv.ring.end & 0xFF]) * 12)
                kv.sync()
                at = kv.ring.end
                if settling:
                    kv.set("a", bytes(n))
                    at = kv.ring.end
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
            self.cut(nor, 4, kv.ring.advance)  # header, two copies, ACTIVE
            target, active = kv.ring.newest * 512, kv.ring.end - 24
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
        self.cut(nor, 2, kv.ring.advance)  # header, ACTIVE
        active = kv.ring.end - 24
        nor.data[active] ^= 0x10
        self.cut(nor, 2, KV(kv.region).mount, "before")
        # Its erase began; what was there shows again.
        _spent(nor, kv.ring.newest * 512, 512)
        nor.data[active] ^= 0x10
        store = Store(kv.region)
        store.mount()
        store.set("a", b"2")
        self.assertEqual(_found(kv.region), {"a": b"2"})

    def test_deleted_value_does_not_come_back_with_a_half_erased_sector(self):
        nor, kv = _store()
        kv.set("gone", b"1")
        kv.set("kept", b"2")
        end = kv.ring.end
        kv.delete("gone")
        kv.sync()
        self.cut(nor, 3, kv.ring.advance)  # header, copy, ACTIVE
        active = kv.ring.end - 24
        source = 512 - kv.ring.newest * 512
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
        self.cut(nor, 4, kv.ring.advance, "before")  # header, copy, ACTIVE, erase
        source = 512 - kv.ring.newest * 512
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
        kv.ring.advance()  # the sectors are worn so that no note gives it away
        source = kv.ring.newest * 512
        self.cut(nor, 4, kv.ring.advance, "before")  # header, copy, ACTIVE, erase
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
        self.cut(nor, 1, kv.ring.advance, "blank-weak")
        kv = KV(kv.region)
        kv.mount()
        newest = kv.ring.newest
        for _ in range(2):  # the first time it is refused
            kv.prepare(8, 300)
        self.assertNotEqual(kv.ring.newest, newest)
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
        kv.ring.advance()
        nor.data[kv.ring.end - 24] ^= 0x10
        self.assertEqual(_found(kv.region), {"a": b"1"})

    def test_only_sector_with_nothing_that_reads_is_not_formatted(self):
        nor, kv = _store()
        kv.set("a", b"1")
        start = kv.log.first(kv.ring.newest)
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
        while kv.ring.marker_fits():
            kv.ring.put(kv.ring.end, SYNC, 0, 0, ())
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
        free = 512 - kv.ring.newest * 512
        self.cut(nor, 2, kv.ring.advance)  # header, copy
        self.cut_erase(nor, kv.region)
        nor.data[free + 16 : free + 512] = b"\xff" * 496  # the birth header is spared
        self.assertEqual(_found(kv.region), {"a": b"1"})
        self.assertEqual(_found(kv.region), {"a": b"1"})

    def test_record_of_an_earlier_life_at_its_old_place_is_not_taken(self):
        nor, kv = _store()
        kv.set("a", b"1")
        life, place = kv.ring.newest, kv.ring.end
        kv.set("old", b"secret")
        record = bytes(nor.data[place : place + 24])
        kv.delete("old")
        erases = nor.wear[life]
        while nor.wear[life] == erases or kv.ring.newest != life:
            kv.ring.advance()
        self.assertLessEqual(kv.ring.end, place)
        self.assertEqual(place % 8, 0)
        nor.data[place : place + 24] = record
        _spent(nor, place, 24)
        self.assertIsNone(_found(kv.region).get("old"))


class TestKeys(_Case):
    def test_key_of_a_long_record_that_reads_like_another(self):
        for seed in range(30):
            nor, kv = _store(3, 4096, 8, seed)
            old = {"key4": b"v" * 700, "key6": b"kept"}
            for key in old:
                kv.set(key, old[key])
            kv.sync()
            at = kv.ring.end
            new = {"key4": b"w" * 700, "key6": b"kept"}
            kv.set("key4", new["key4"])
            nor.weaken(at + 8 + 3, 1, 2)  # "key4" or "key6"
            for _ in range(3):
                nor.power_on()
                self.assertIn(_found(kv.region), (old, new), seed)
