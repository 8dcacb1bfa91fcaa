import unittest

from kv_cuts import do, model_of, random_steps
from nor import CUTS, Nor, PowerCut
from ota.flash import Region
from ota.kv import Store
from ota.kv.full import KV
from slow import SLOW

_KEYS = ["ota.%d" % i for i in range(6)] + ["key%d" % i for i in range(6)]


def _stored(sectors=3, sector_size=1024, unit=8):
    nor = Nor(sectors * sector_size, sector_size, unit)
    kv = KV(Region(nor, 0, nor.size))
    kv.mount()
    return nor, kv


class TestStore(unittest.TestCase):
    def same(self, nor, region):
        """What Store reads by itself is what KV gives, and KV finds nothing to repair.

        False if Store leaves it to KV.
        """
        store = Store(region)
        store.mount()
        alone = store._kv is None
        ops = nor.ops
        kv = KV(region)
        kv.mount()
        if alone:
            self.assertEqual(nor.ops, ops)
        for key in _KEYS + ["none"]:
            self.assertEqual(store.get(key), kv.get(key))
        self.assertEqual(store._kv is None, alone)
        return alone

    def test_settled_store_is_read_alone(self):
        for unit in (1, 8, 32):
            nor, kv = _stored(unit=unit)
            kv.batch([("ota.0", b"one"), ("key1", b"two"), ("key2", b"")])
            kv.set("ota.0", b"three" * 40)
            kv.delete("key1")
            kv.sync()
            self.assertTrue(self.same(nor, kv.region))

    def test_unproven_write_is_left_to_the_whole_store(self):
        nor, kv = _stored()
        kv.set("ota.0", b"one")
        self.assertFalse(self.same(nor, kv.region))
        self.assertTrue(self.same(nor, kv.region))  # settled meanwhile

    def test_blank_and_foreign(self):
        for content in (b"", b"\x00" * 3072, b"\x55" * 3072):
            nor = Nor(3072, 1024, 8)
            nor.data[: len(content)] = content
            store = Store(Region(nor, 0, 3072))
            store.mount()
            self.assertIsNone(store.get("ota.0"))
            store.set("ota.0", b"new")
            self.assertEqual(store.get("ota.0"), b"new")

    def spoilt(self, at):
        """A settled store, mounted; then something is at that place of a free sector."""
        nor, kv = _stored(4, 4096)
        kv.set("ota.0", b"one")
        kv.sync()
        store = Store(kv.region)
        store.mount()
        self.assertEqual(store.get("ota.0"), b"one")
        nor.data[2 * 4096 + at] = 0
        return nor, store

    def test_what_was_found_erased_is_read_again_at_its_beginning_only(self):
        for at, noticed in ((40, True), (500, True), (600, False), (4095, False)):
            nor, store = self.spoilt(at)
            read = nor.read_bytes
            self.assertEqual(store.get("ota.0"), b"one")
            self.assertEqual(store.loaded, noticed)
            if not noticed:
                self.assertLessEqual(nor.read_bytes - read, 4 * (32 + 512) + 256)

    def test_a_start_and_the_whole_store_leave_nothing_believed(self):
        for again in ("mount", "release"):
            nor, store = self.spoilt(4095)
            if again == "mount":
                store.mount()
            else:
                store.full()
                nor.data[2 * 4096 + 4095] = 0  # the whole store erased the sector
                store.release()
                store.get("ota.0")
            self.assertTrue(store.loaded, again)

    def test_other_writes_load_the_whole_store(self):
        nor, kv = _stored()
        kv.set("ota.0", b"one")
        kv.sync()
        store = Store(kv.region)
        store.mount()
        store.set("ota.0", b"longer")
        self.assertFalse(store._kv is None)
        store.release()
        store.set("ota.2", b"new")
        self.assertFalse(store._kv is None)
        self.assertEqual(store.get("ota.0"), b"longer")
        store.batch([("ota.1", b"1"), ("ota.0", None)])
        store.delete("ota.2")
        store.sync()
        self.assertEqual(dict(store.items()), {"ota.1": b"1"})
        self.assertEqual(store.keys(), ["ota.1"])
        self.assertTrue(self.same(nor, kv.region))

    def test_long_value_and_long_batch(self):
        nor, kv = _stored(4, 2048)
        kv.set("a user's", b"x" * 600)  # read over
        kv.set("ota.0", b"y" * 100)
        kv.sync()
        self.assertTrue(self.same(nor, kv.region))
        self.assertEqual(Store(kv.region).get("a user's"), b"x" * 600)
        kv.batch([("ota.0", b"y" * 150), ("ota.1", b"z" * 150)])
        kv.sync()
        self.assertFalse(self.same(nor, kv.region))

    def test_damage_is_left_to_the_whole_store(self):
        at = 0
        while True:
            nor, kv = _stored()
            for i in range(6):
                kv.set("ota.%d" % i, bytes([i]) * 20)
            kv.sync()
            if at >= kv.ring.end:
                break
            nor.data[at] ^= 0x10
            self.same(nor, kv.region)
            at += 5

    def test_any_use_and_any_cut(self):
        alone = total = 0
        for unit, seed in ((1, 3), (8, 1), (32, 2)):
            nor, kv = _stored(3, 1024, unit)
            for number, step in enumerate(random_steps(15 if SLOW else 40, seed)):
                before = nor.snapshot()
                ops = nor.ops
                kv.batch(step)
                ops = nor.ops - ops
                kv.sync()
                after = nor.snapshot()
                for n in range(1, ops + 1):
                    nor.restore(before)
                    kv = KV(kv.region)
                    kv.mount()
                    nor.cut_at(n, CUTS[(number + n) % len(CUTS)])
                    try:
                        kv.batch(step)
                    except PowerCut:
                        pass
                    nor.power_on()
                    self.same(nor, kv.region)
                nor.restore(after)
                kv = KV(kv.region)
                kv.mount()
                total += 1
                alone += self.same(nor, kv.region)
        self.assertEqual(alone, total)


class TestAppend(unittest.TestCase):
    """What kv/append.py writes by itself."""

    def opened(self, unit=8, sector_size=1024, sectors=3):
        nor, kv = _stored(sectors, sector_size, unit)
        kv.batch([("ota.0", b"first"), ("ota.1", b"kept")])
        kv.sync()
        store = Store(kv.region)
        store.mount()
        return nor, store

    def test_same_length_is_appended_alone(self):
        for unit in (1, 8, 32):
            nor, store = self.opened(unit)
            ops = nor.ops
            store.set("ota.0", b"other")
            store.set("ota.0", b"other")  # not written again
            store.set("ota.1", b"more")
            self.assertEqual((nor.ops, store._kv), (ops + 2, None))
            self.assertEqual((store.get("ota.0"), store.get("ota.1")), (b"other", b"more"))
            store.sync()
            store.sync()
            self.assertEqual((nor.ops, store._kv), (ops + 3, None))
            kv = KV(store.region)
            kv.mount()
            self.assertEqual(nor.ops, ops + 3)
            self.assertEqual(dict(kv.items()), {"ota.0": b"other", "ota.1": b"more"})

    def test_whole_store_takes_over(self):
        nor, store = self.opened()
        store.set("ota.0", b"other")
        ops = nor.ops
        store.set("ota.2", b"new")
        # What was appended is proven first, so that nothing has to be repeated.
        self.assertEqual(nor.ops, ops + 2)
        self.assertEqual(store.get("ota.0"), b"other")
        store.release()
        store.set("ota.2", b"old")
        self.assertTrue(store._kv is None)
        self.assertEqual(store.get("ota.2"), b"old")

    def test_full_sector_is_left_to_the_whole_store(self):
        nor, store = self.opened(32)
        for i in range(200):
            store.set("ota.0", b"%05d" % i)
            if store._kv:
                store.release()
            self.assertEqual(store.get("ota.0"), b"%05d" % i)
            at, start, _, unit = store.tail
            self.assertTrue(at + 2 * max(unit, 20) <= start + 1024, "no room for two markers")
        self.assertTrue(max(nor.wear) > 2)
        self.assertEqual(store.get("ota.1"), b"kept")

    def test_prepare_makes_room(self):
        alone = 0
        for used in range(60):
            nor, store = self.opened(8, 1024)
            for i in range(used):
                store.set("ota.0", b"%05d" % i)
            store.prepare(5, 10)
            store.release()
            for i in range(5):
                store.set("ota.0", b"%05d" % (100 + i))
            alone += store._kv is None
            self.assertEqual(store.get("ota.0"), b"00104")
        self.assertEqual(alone, 60)

    def test_prepare_does_not_step_for_nothing(self):
        nor, store = self.opened(32)
        erases = nor.erases
        store.prepare(200, 10)
        store.release()
        self.assertEqual(nor.erases, erases)

    def test_any_cut(self):
        for unit in (1, 8, 32):
            for effect in CUTS:
                for n in (1, 2):
                    nor, store = self.opened(unit)
                    nor.cut_at(n, effect)
                    with self.assertRaises(PowerCut):
                        store.set("ota.0", b"other")
                        store.sync()
                    nor.power_on()
                    found = self.settled(nor, store.region)
                    self.assertTrue(found in (b"first", b"other"), found)
                    if n == 2:
                        self.assertEqual(found, b"other")

    def settled(self, nor, region):
        """The value of ota.0 after a boot; later boots find the same and write nothing."""
        store = Store(region)
        store.mount()
        store.release()
        found = store.get("ota.0")
        for _ in range(3):
            ops = nor.ops
            nor.power_on()
            store = Store(region)
            store.mount()
            self.assertEqual((store.get("ota.0"), store.get("ota.1")), (found, b"kept"))
            self.assertEqual(nor.ops, ops)
        store.set("ota.0", b"later")
        self.assertEqual(store.get("ota.0"), b"later")
        return found

    def test_program_that_does_nothing(self):
        nor, store = self.opened()
        program = nor.program
        left = [1]

        def stuck(offset, data):
            left[0] -= 1
            if left[0] < 0:
                program(offset, data)
            else:
                self.at = offset

        nor.program = stuck
        store.set("ota.0", b"other")
        self.assertEqual(store.get("ota.0"), b"other")
        # Its place is spent: nothing else was put there.
        self.assertEqual(bytes(nor.data[self.at : self.at + 8]), b"\xff" * 8)
        store.sync()
        self.assertEqual(self.settled(nor, store.region), b"other")

    def test_any_use(self):
        for unit, seed in ((1, 3), (8, 1), (32, 2)):
            nor, store = self.opened(unit)
            model = {"ota.0": b"first", "ota.1": b"kept"}
            for number, step in enumerate(random_steps(60 if SLOW else 300, seed, 4, 6)):
                do(store, step)
                model = model_of(model, step)
                if number % 3 == 0:
                    store.release()
                if number % 5 == 0:
                    store.prepare(2, 12)
                if number % 7 == 0:
                    store = Store(store.region)
                    store.mount()
                    store.release()
                for key in _KEYS:
                    self.assertEqual(store.get(key), model.get(key))


if __name__ == "__main__":
    unittest.main()
