import os
import unittest
from binascii import crc32

from nor import Nor
from ota.errors import FlashError
from ota.flash import Region
from ota.flash.ram import RamFlash
from ota.kv import Store
from ota.kv.full import KV
from slow import SLOW

_ALL = hasattr(os, "getenv") and os.getenv("OTA_CUTS")  # every byte instead of every fifth


class _Random:
    def __init__(self, seed):
        self.x = seed

    def below(self, n):
        self.x = (self.x * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.x >> 8) % n

    def bytes(self, n):
        return bytes([self.below(256) for _ in range(n)])


class _Odd(RamFlash):
    """Flash whose erased bytes do not read as 0xFF: encrypted, so as noise, or as zeros."""

    def __init__(self, encrypted):
        RamFlash.__init__(self, 4096, 1024, 16)
        self.pad = _Random(9).bytes(self.size) if encrypted else b"\xff" * self.size
        self.ops = 0

    def _turn(self, offset, data):
        pad = memoryview(self.pad)[offset : offset + len(data)]
        n = int.from_bytes(bytes(data), "little") ^ int.from_bytes(bytes(pad), "little")
        return n.to_bytes(len(data), "little")

    def read(self, offset, buf):
        RamFlash.read(self, offset, buf)
        buf[:] = self._turn(offset, buf)

    def program(self, offset, data):
        self.ops += 1
        RamFlash.program(self, offset, self._turn(offset, data))

    def erase(self, offset, length):
        self.ops += 1
        RamFlash.erase(self, offset, length)


def _store(sectors=4, sector_size=1024, unit=8, **kwargs):
    nor = Nor(sectors * sector_size, sector_size, unit)
    kv = KV(Region(nor, 0, nor.size), **kwargs)
    kv.mount()
    return nor, kv


def _again(kv):
    kv = KV(kv.region)
    kv.mount()
    return kv


def _there(model):
    return {k: v for k, v in model.items() if v is not None}


class _Case(unittest.TestCase):
    def refused(self, word, call, *args):
        with self.assertRaises(FlashError) as caught:
            call(*args)
        self.assertEqual(caught.exception.reason, word)


class TestUse(_Case):
    def test_set_get_delete(self):
        nor, kv = _store()
        self.assertIsNone(kv.get("a"))
        kv.set("a", b"1")
        kv.set("b", bytearray(b"22"))
        kv.set("leer", b"")
        kv.set("a", memoryview(b"x333x")[1:4])
        kv.set("Größe", b"unicode")
        kv.delete("b")
        expected = {"a": b"333", "leer": b"", "Größe": b"unicode"}
        for store in (kv, _again(kv)):
            self.assertEqual(dict(store.items()), expected)
            self.assertEqual(sorted(store.keys()), sorted(expected))
            self.assertEqual(store.get("a"), b"333")
            self.assertIsNone(store.get("b"))

    def test_wrong_use(self):
        nor, kv = _store()
        for key in ("", "k" * 256, "ö" * 128):
            self.assertRaises(ValueError, kv.set, key, b"")
        self.assertRaises(TypeError, kv.set, b"bytes", b"")
        self.assertRaises(TypeError, kv.set, "a", None)
        self.assertRaises(TypeError, kv.set, "a", 5)
        self.assertRaises(TypeError, kv.set, "a", "text")
        kv.set("k" * 255, b"longest")
        self.assertEqual(_again(kv).get("k" * 255), b"longest")

    def test_a_set_is_one_program_and_a_get_two_reads(self):
        nor, kv = _store()
        kv.set("counter", b"0")
        before = nor.programs
        for i in range(1, 11):
            kv.set("counter", bytes([i]))
        self.assertEqual(nor.programs - before, 10)
        reads = nor.reads
        kv.get("counter")
        self.assertEqual(nor.reads - reads, 2)

    def test_what_changes_nothing_writes_nothing(self):
        nor, kv = _store()
        kv.batch([("a", b"1"), ("b", b"2"), ("c", b"")])
        ops = nor.ops
        kv.set("a", b"1")
        kv.set("c", b"")
        kv.delete("missing")
        kv.batch([("a", b"1"), ("x", None), ("b", b"2")])
        kv.batch([])
        self.assertEqual(nor.ops, ops)

    def test_the_second_boot_writes_nothing(self):
        nor, kv = _store()
        kv.set("a", b"1")
        kv = _again(kv)
        ops = nor.ops
        for _ in range(3):
            kv = _again(kv)
            self.assertEqual(kv.get("a"), b"1")
        self.assertEqual(nor.ops, ops)
        self.assertEqual(kv.damaged, 0)

    def test_after_sync_the_next_boot_writes_nothing(self):
        nor, kv = _store()
        kv.set("a", b"1")
        kv.sync()
        ops = nor.ops
        kv.sync()
        self.assertEqual(_again(kv).get("a"), b"1")
        self.assertEqual(nor.ops, ops)

    def test_keys_whose_index_entries_are_equal(self):
        seen = {}
        i = 0
        while True:
            key = "key%d" % i
            h = crc32(key.encode()) & 0xFFFF
            if h in seen:
                break
            seen[h] = key
            i += 1
        nor, kv = _store()
        model = {}
        for n in range(40):
            for name in (key, seen[h], "x" * n + "y"):
                model[name] = bytes([n]) * 3
            for name in model:
                kv.set(name, model[name])
            if n % 8 == 7:
                model.pop(key)
                kv.delete(key)
                kv = _again(kv)
                self.assertIsNone(kv.get(key))
            self.assertEqual(dict(kv.items()), model)
            name = "x" * n + "y"
            model.pop(name)
            kv.delete(name)

    def test_batch(self):
        nor, kv = _store()
        kv.batch([("a", b"1"), ("b", b"2"), ("c", b"3"), ("a", b"4")])
        before = nor.programs
        kv.batch([("a", None), ("b", b"20"), ("d", b"5" * 100), ("z", None)])
        self.assertEqual(nor.programs - before, 1)
        expected = {"b": b"20", "c": b"3", "d": b"5" * 100}
        self.assertEqual(dict(kv.items()), expected)
        self.assertEqual(dict(_again(kv).items()), expected)

    def test_a_batch_is_copied_without_what_is_no_longer_in_it(self):
        nor, kv = _store(2, 512)
        kv.batch([("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4")])
        model = {"a": b"1", "c": b"3"}
        kv.delete("b")
        for i in range(60):
            model["d"] = bytes([i]) * 10
            kv.set("d", model["d"])
            self.assertEqual(dict(kv.items()), model)
        kv.delete("c")
        for i in range(60):
            kv.set("d", bytes([i]) * 11)
        self.assertEqual(dict(_again(kv).items()), {"a": b"1", "d": bytes([59]) * 11})

    def test_long_values(self):
        nor, kv = _store(4, 4096)
        model = {}
        r = _Random(4)
        for n in (247, 248, 249, 503, 504, 505, 512, 1000, 2000, 2500):
            model["long"] = r.bytes(n)
            kv.set("long", model["long"])
            self.assertEqual(kv.get("long"), model["long"])
            kv.set("short", model["long"][:5])
            model["short"] = model["long"][:5]
            kv = _again(kv)
            self.assertEqual(dict(kv.items()), model)
        self.refused("full", kv.set, "longer", bytes(4096))
        self.refused("full", kv.set, "longer", bytes(70000))
        for i in range(40):
            kv.set("other", bytes([i]) * 300)
        self.assertEqual(_again(kv).get("long"), model["long"])

    def test_format(self):
        nor, kv = _store()
        for i in range(200):
            kv.set("k%d" % (i % 7), bytes([i]) * 20)
        kv.format()
        self.assertEqual(list(kv.items()), [])
        kv.set("new", b"1")
        self.assertEqual(dict(_again(kv).items()), {"new": b"1"})

    def test_use_without_mount_mounts(self):
        nor, kv = _store()
        kv.set("a", b"1")
        self.assertEqual(KV(kv.region).get("a"), b"1")
        KV(kv.region).set("b", b"2")
        self.assertEqual(sorted(KV(kv.region).keys()), ["a", "b"])


class TestLong(_Case):
    """Values up to a sector, written and read in pieces."""

    def test_as_long_as_a_sector_lets_it(self):
        nor, kv = _store(8, 4096, 8)
        size = 4096
        ops = nor.ops
        while True:
            value = bytes([i * 7 & 0xFF for i in range(size)])
            try:
                kv.set("long", value)
                break
            except FlashError as e:
                self.assertEqual((e.reason, nor.ops), ("full", ops))
                size -= 16
        self.assertGreaterEqual(size, 3300)
        kv = _again(kv)
        buf = bytearray(100)
        got = bytearray()
        while True:
            n = kv.readinto("long", buf, len(got))
            if not n:
                break
            got += buf[:n]
        self.assertTrue(got == value)
        self.assertEqual(kv.readinto("long", buf, size + 5), 0)
        self.assertEqual(kv.readinto("none", buf), -1)
        self.assertEqual(kv.readinto("long", bytearray()), 0)

    def test_damage_shows_before_the_first_piece(self):
        nor, kv = _store(3, 4096, 8)
        kv.set("long", bytes(1000))
        kv.batch([("a", b"1"), ("b", bytes(700))])
        at = bytes(nor.data).find(b"long")
        nor.data[at + 900] ^= 4
        with self.assertRaises(FlashError) as cm:
            kv.readinto("long", bytearray(10))
        self.assertEqual(cm.exception.reason, "crc")
        self.assertEqual(kv.readinto("b", bytearray(1000)), 700)
        self.assertEqual(kv.readinto("a", bytearray(10)), 1)

    def test_through_the_store(self):
        _, kv = _store(3, 4096, 8)
        kv.set("long", b"abc")
        kv.sync()
        store = Store(kv.region)
        store.mount()
        buf = bytearray(2)
        self.assertEqual((store.readinto("long", buf, 1), bytes(buf)), (2, b"bc"))


class TestGeometry(_Case):
    def work(self, kv, rounds, seed, keys=5, longest=40):
        r = _Random(seed)
        model = {}
        for i in range(rounds):
            batch = []
            for _ in range(1 + (i % 9 == 4) * 2):
                key = ("ota.%d" if r.below(2) else "k%d") % r.below(keys)
                batch.append((key, r.bytes(r.below(longest)) if r.below(6) else None))
            kv.batch(batch)
            for key, value in batch:
                model[key] = value
            if i % 50 == 49:
                kv = _again(kv)
                self.assertEqual(
                    dict(kv.items()), dict([x for x in model.items() if x[1] is not None])
                )

    def test_program_and_sector_sizes(self):
        for unit in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            for sectors, size in ((2, 4096), (3, 2048), (4, 4096), (5, 1536)):
                if unit == 256 and size < 4096:
                    continue
                with self.subTest(unit=unit, sectors=sectors, size=size):
                    nor, kv = _store(sectors, size, unit)
                    self.work(kv, 150, unit + sectors, 2 if unit > 64 else 5)
                    self.assertLessEqual(max(nor.wear) - min(nor.wear), 1)

    def test_smallest_stores_for_large_program_units(self):
        # What a device needs: a state record of 200 bytes, and a few keys.
        for sectors, size, keys in ((2, 4096, 6), (4, 4096, 20), (4, 2048, 2)):
            nor, kv = _store(sectors, size, 256)
            for i in range(keys):
                kv.set("key%d" % i, bytes(20))
            for i in range(100):
                kv.set("ota.app", bytes([i]) * 200)
                kv.set("key0", bytes([i]) * 20)
            self.assertEqual(len(_again(kv).keys()), keys + 1)

    def test_one_sector_is_refused(self):
        self.refused("config", KV, Region(Nor(4096, 4096, 8), 0, 4096))

    def test_region_inside_a_device(self):
        nor = Nor(8 * 1024, 1024, 8)
        nor.program(0, b"before..")
        nor.program(7168, b"after...")
        kv = KV(Region(nor, 2048, 3072))
        kv.mount()
        for i in range(200):
            kv.set("k%d" % (i % 5), bytes([i]) * 20)
        self.assertEqual((nor.wear[:2], nor.wear[5:]), ([0, 0], [0, 0, 0]))

    def test_a_device_with_smaller_units_keeps_those_of_the_store(self):
        nor, kv = _store(4, 1024, 32)
        kv.set("a", b"1")
        fine = RamFlash(4096, 1024, 1)
        fine.data[:] = nor.data
        kv = KV(Region(fine, 0, 4096))
        kv.mount()
        self.assertEqual((kv.get("a"), kv.log.unit), (b"1", 32))
        coarse = RamFlash(4096, 1024, 64)
        coarse.data[:] = nor.data
        self.refused("config", KV(Region(coarse, 0, 4096)).mount)
        self.assertEqual(coarse.data, nor.data)


class TestFull(_Case):
    def fill(self, kv, name, n):
        count = 0
        try:
            while count < 2000:
                kv.set(name % count, bytes(n))
                count += 1
        except FlashError as e:
            self.assertEqual(e.reason, "full")
        return count

    def test_full_leaves_flash_untouched(self):
        nor, kv = _store()
        self.fill(kv, "k%d", 30)
        before = bytes(nor.data)
        self.refused("full", kv.set, "one more", bytes(100))
        self.refused("full", kv.batch, [("k0", None), ("x", bytes(100)), ("y", bytes(100))])
        self.assertEqual(nor.data, before)

    def test_the_reserve_is_for_ours(self):
        for unit, size in ((1, 1024), (8, 1024), (8, 4096), (32, 2048), (256, 4096)):
            for sectors in (3,) if SLOW else (2, 3, 4):
                with self.subTest(unit=unit, size=size, sectors=sectors):
                    nor, kv = _store(sectors, size, unit)
                    count = self.fill(kv, "k%d", 20)
                    self.assertGreaterEqual(count, 5)
                    n = 200 if size >= 2048 and sectors > 2 else 40
                    for i in range(30):
                        kv.set("ota.state", bytes([i]) * n)
                        kv = _again(kv)
                    self.assertEqual(kv.get("ota.state"), bytes([29]) * n)
                    self.assertEqual(len(kv.keys()), count + 1)

    def test_deleting_makes_room(self):
        for unit in (1, 8, 64):
            nor, kv = _store(3, 1024, unit)
            count = self.fill(kv, "k%d", 15)
            for i in range(count):
                kv.delete("k%d" % i)
            self.assertEqual(kv.keys(), [])
            self.assertEqual(self.fill(kv, "k%d", 15), count)

    def test_at_the_limit_nothing_but_full_is_raised(self):
        for sectors, unit in ((2, 8), (3, 1), (4, 32)):
            nor, kv = _store(sectors, 1024, unit)
            r = _Random(sectors)
            model = {}
            full = 0
            for _ in range(500):
                key = ("ota.%d" if r.below(8) == 0 else "k%d") % r.below(40)
                value = r.bytes(r.below(60)) if r.below(8) else None
                try:
                    kv.batch([(key, value)])
                except FlashError as e:
                    self.assertEqual(e.reason, "full")
                    full += 1
                    continue
                model[key] = value
            model = _there(model)
            self.assertGreaterEqual(full, 5)
            self.assertEqual(dict(kv.items()), model)
            self.assertEqual(dict(_again(kv).items()), model)


class TestDamage(_Case):
    def settled(self, sectors=3, unit=8):
        nor, kv = _store(sectors, 512, unit)
        model = {}
        for i in range(45):
            key = "key%d" % (i % 6)
            model[key] = bytes([i * 3 + j & 0xFF for j in range(6 + i % 11)])
            kv.set(key, model[key])
        _again(kv)
        return nor, kv.region, model

    def test_a_flipped_bit_costs_one_record(self):
        for unit in (8, 1):
            nor, region, model = self.settled(unit=unit)
            good = nor.snapshot()
            for at in range(nor.size):
                if at % 512 >= 32 and at % (15 if SLOW else 5) and not _ALL:
                    continue
                bit = 1 << (at * 5 + at // 7) % 8
                nor.data[at] ^= bit
                kv = KV(region)
                kv.mount()
                found = dict(kv.items())
                wrong = [k for k in model if found.get(k) != model[k]]
                self.assertLessEqual(len(wrong), 1, (unit, at))
                self.assertEqual(dict(_again(kv).items()), found, (unit, at))
                nor._dirty.add(at // 512)
                nor.restore(good)

    def test_damage_after_mount_is_found_by_get(self):
        nor, kv = _store()
        kv.set("a", b"0123456789")
        i = bytes(nor.data).find(b"0123456789")
        nor.data[i] ^= 1
        self.refused("crc", kv.get, "a")

    def test_anything_at_all_may_be_on_flash(self):
        r = _Random(99)
        for i in range(40):
            nor = Nor(2048, 512, 8)
            if i % 2:
                nor.data[:] = self.settled(4)[0].data
                for _ in range(1 + i):
                    nor.data[r.below(2048)] = r.below(256)
            else:
                nor.data[:] = r.bytes(2048) if i else bytes(2048)
            nor._unit[:] = b"\x01" * len(nor._unit)
            for u in range(0, 2048, 8):
                if nor.data[u : u + 8] == b"\xff" * 8:
                    nor._unit[u // 8] = 0
            kv = KV(Region(nor, 0, 2048))
            try:
                kv.mount()
            except FlashError as e:
                self.assertIn(e.reason, ("corrupt", "config", "magic"))
                kv.format()
            kv.set("a", b"1")
            self.assertEqual(_again(kv).get("a"), b"1")

    def test_a_store_without_readable_headers_is_not_formatted(self):
        nor, region, model = self.settled(2)
        for s in (0, 512):
            nor.data[s + 24] ^= 0x11
        before = bytes(nor.data)
        kv = KV(region)
        self.refused("corrupt", kv.mount)
        self.assertEqual(nor.data, before)
        kv.format()
        self.assertEqual(kv.keys(), [])

    def test_a_newer_layout_is_left_alone(self):
        nor, kv = _store(2, 512)
        for at in (0, 16, 512):
            nor.data[at + 3] = 2
            nor.data[at + 12 : at + 16] = crc32(nor.data[at : at + 12]).to_bytes(4, "little")
        before = bytes(nor.data)
        self.refused("magic", KV(kv.region).mount)
        self.assertEqual(nor.data, before)

    def test_records_of_another_life_or_place_are_not_taken(self):
        nor, region, model = self.settled(3)
        kv = KV(region)
        kv.mount()
        kv.set("gone", b"secret")
        kv.delete("gone")
        record = bytes(nor.data).find(b"gonesecret") - 8
        copy = bytes(nor.data[record : record + 24])
        for s in range(3):
            at = (s + 1) * 512 - 32
            if nor.data[at : at + 24] == b"\xff" * 24 and kv.log.seq[s]:
                nor.data[at : at + 24] = copy
                nor._unit[at // 8 : at // 8 + 3] = b"\x01\x01\x01"
        self.assertNotEqual(bytes(nor.data).count(copy), 1)
        kv = KV(region)
        kv.mount()
        self.assertIsNone(kv.get("gone"))
        self.assertEqual(dict(kv.items()), model)

    def test_programs_that_do_not_stick_or_fail(self):
        for effect in ("stuck", "error"):
            nor, kv = _store(3, 512)
            model = {}
            for i in range(60):
                nor.cut_at(1 + i % 3, effect)
                key = "key%d" % (i % 5)
                model[key] = bytes([i]) * 12
                kv.set(key, model[key])
                nor.cut_at(None)
                self.assertEqual(dict(kv.items()), model, (effect, i))
                if i % 10 == 9:
                    kv = _again(kv)
                    self.assertEqual(dict(kv.items()), model, (effect, i))

    def test_flash_that_always_fails_is_an_error(self):
        class Dead(Nor):
            dead = False

            def program(self, offset, data):
                if not self.dead:
                    Nor.program(self, offset, data)

        nor = Dead(2048, 512, 8)
        kv = KV(Region(nor, 0, 2048))
        kv.mount()
        kv.set("a", b"1")
        nor.dead = True
        self.refused("verify", kv.set, "a", b"2")
        nor.dead = False
        self.assertEqual(_again(kv).get("a"), b"1")


class TestErased(unittest.TestCase):
    def _refused(self, flash, word):
        with self.assertRaises(FlashError) as cm:
            Store(Region(flash, 0, flash.size)).mount()
        self.assertEqual(cm.exception.reason, word)

    def test_flash_that_does_not_erase_to_ff(self):
        for encrypted in (True, False):
            for content in (b"", bytes(4096), b"\xa5" * 4096):
                flash = _Odd(encrypted)
                if content:
                    flash.data[:] = content
                self._refused(flash, "erased")
                self.assertTrue(flash.ops <= 3, flash.ops)
                # It is known now: a board that starts again and again wears nothing.
                flash.ops = 0
                for _ in range(5):
                    self._refused(flash, "erased")
                self.assertEqual(flash.ops, 0)
                # By a driver that is right it is flash like any other.
                plain = RamFlash(4096, 1024, 16)
                plain.data[:] = flash.data
                store = Store(Region(plain, 0, 4096))
                store.mount()
                store.set("a", b"1")
                self.assertEqual(Store(Region(plain, 0, 4096)).get("a"), b"1")

    def test_erase_that_did_nothing_is_another_fault(self):
        class Stuck(RamFlash):
            def erase(self, offset, length):
                pass

        # Once: nothing is programmed on what is not erased, which is a Misuse here.
        nor = Nor(4096, 1024, 8)
        nor.program(0, b"\x12\x34" * 2048)
        nor.cut_at(1, "stuck")
        store = Store(Region(nor, 0, 4096))
        store.mount()
        self.assertEqual(store.keys(), [])
        flash = Stuck(4096, 1024, 8)
        flash.data[:] = b"\x12\x34" * 2048
        self._refused(flash, "verify")

    def test_bit_that_sticks_is_another_fault(self):
        class Worn(RamFlash):
            def erase(self, offset, length):
                RamFlash.erase(self, offset, length)
                self.data[offset + 99] &= 0xFE

        self._refused(Worn(4096, 1024, 8), "verify")
