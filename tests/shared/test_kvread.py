import unittest

from kv_cuts import random_steps
from nor import CUTS, Nor, PowerCut
from ota.flash.region import Region
from ota.kv import KV
from ota.kvread import Store

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

    def test_writing_loads_the_whole_store(self):
        nor, kv = _stored()
        kv.set("ota.0", b"one")
        kv.sync()
        store = Store(kv.region)
        store.mount()
        store.set("ota.0", b"two")
        self.assertEqual(store.get("ota.0"), b"two")
        store.batch([("ota.1", b"1"), ("ota.0", None)])
        store.sync()
        self.assertEqual(dict(store.items()), {"ota.1": b"1"})
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
            if at >= kv.end:
                break
            nor.data[at] ^= 0x10
            self.same(nor, kv.region)
            at += 5

    def test_any_use_and_any_cut(self):
        alone = total = 0
        for unit, seed in ((1, 3), (8, 1), (32, 2)):
            nor, kv = _stored(3, 1024, unit)
            for number, step in enumerate(random_steps(40, seed)):
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


if __name__ == "__main__":
    unittest.main()
