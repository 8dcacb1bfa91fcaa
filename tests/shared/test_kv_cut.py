"""Power cuts at every operation of the store, and in the recovery from them.

OTA_CUTS=10 in the environment makes every run ten times as long.
"""

import os
import unittest

from kv_cuts import Explorer, model_of, random_steps
from nor import CUTS, Nor, PowerCut
from ota.flash import Region
from ota.kv.full import KV
from ota.kv.layout import ACTIVE
from slow import SLOW

_TIMES = int((hasattr(os, "getenv") and os.getenv("OTA_CUTS")) or 1)


def _cut(case, effects, sectors, size, unit, keys, longest, steps, first, last, **kwargs):
    seed = kwargs.pop("seed", 7)
    settled = kwargs.pop("settled", False)
    if SLOW and len(effects) > 1:
        first = (first + last) // 2
    for t in range(_TIMES):
        e = Explorer(
            random_steps(steps, seed + t, keys, longest), sectors, size, unit, seed + t, settled
        )
        e.run(effects, first, last if _TIMES == 1 else 1 << 30, **kwargs)
        case.assertGreaterEqual(e.cases, 30)
        # Recovery ends soon: a compaction, the erase of what is left, and the markers.
        case.assertLessEqual(e.longest, 40)


class TestSingleCuts(unittest.TestCase):
    def test_two_sectors(self):
        _cut(self, CUTS, 2, 512, 8, 4, 12, 40, 0, 40)

    def test_three_sectors_of_bytes(self):
        _cut(self, CUTS, 3, 512, 1, 6, 20, 50, 20, 50)

    def test_four_sectors(self):
        _cut(self, CUTS, 4, 1024, 32, 6, 24, 60, 28, 50)

    def test_large_units(self):
        _cut(self, CUTS, 2, 4096, 256, 3, 24, 40, 10, 28)

    def test_unstable_bits(self):
        for settled in (False, True):
            _cut(self, ("weak",), 2, 512, 8, 4, 12, 40, 10, 40, settled=settled)
            _cut(self, ("weak",), 3, 512, 1, 6, 20, 50, 25, 50, settled=settled)


class TestDoubleCuts(unittest.TestCase):
    def test_cut_in_the_recovery(self):
        effects = ("before", "middle", "weak")
        _cut(self, effects, 2, 512, 8, 4, 12, 40, 14, 17, second=effects)
        _cut(self, effects, 3, 512, 8, 6, 16, 60, 33, 35, second=effects, stride=2)

    def test_cut_in_the_recovery_of_a_large_unit(self):
        effects = ("middle", "weak")
        _cut(self, effects, 2, 4096, 256, 3, 24, 30, 9, 12, second=effects, stride=2)


class TestDirected(unittest.TestCase):
    """What random cuts seldom reach: each of these needs one protective step."""

    def setUp(self):
        self.explorer = Explorer(random_steps(60, 7, 4, 12, False), 2, 512, 8)
        self.nor = self.explorer.nor
        self.region = self.explorer.region
        self.kv = self.explorer.kv
        self.model = {}

    def work_to_compaction(self):
        """Cut after the ACTIVE program of a compaction; return that record's offset."""
        for step in self.explorer.steps:
            before = self.nor.snapshot()
            kept = self.explorer.keep()
            newest = self.kv.ring.newest
            self.kv.batch(step)
            if self.kv.ring.newest == newest:
                self.model = model_of(self.model, step)
                continue
            for n in range(1, 40):
                self.nor.restore(before)
                kv = KV(self.region)
                self.explorer.give(kv, kept)
                self.nor.cut_at(n, "after")
                try:
                    kv.batch(step)
                except PowerCut:
                    pass
                self.nor.power_on()
                if kv.ring.newest != newest:
                    for at, length in kv.log.scan(kv.ring.newest):
                        if length > 0 and kv.log.kind == ACTIVE:
                            self.assertEqual(at + length, kv.ring.end)
                            return at
        raise AssertionError("no compaction")

    def cut_first_erase(self):
        """Boot, and cut the power in the midst of the first erase; return what was before."""
        state = self.nor.snapshot()
        for n in range(1, 10):
            self.nor.restore(state)
            self.nor.cut_at(n, "middle")
            try:
                KV(self.region).mount()
            except PowerCut:
                pass
            self.nor.power_on()
            if self.nor.erases > state[5][3]:
                return state
        raise AssertionError("no erase")

    def found(self):
        kv = KV(self.region)
        kv.mount()
        return dict(kv.items())

    def test_weak_active_and_a_source_half_erased(self):
        active = self.work_to_compaction()
        source = 0 if active >= 512 else 512
        # The next boot believes the ACTIVE record and begins to erase; the source loses its
        # tail only, and looks as if it were in use.
        state = self.cut_first_erase()
        self.nor.data[source : source + 64] = b"".join(state[0])[source : source + 64]
        self.nor.data[source + 64 : source + 512] = b"\xff" * 448
        # Now the first ACTIVE record reads differently.
        self.nor.data[active] |= 0xFF
        self.nor.data[active + 1] |= 0xFF
        self.assertEqual(self.found(), self.model)
        self.assertEqual(self.found(), self.model)

    def larger(self):
        self.nor = Nor(6144, 2048, 8)
        self.region = Region(self.nor, 0, 6144)
        self.kv = KV(self.region)
        self.kv.mount()

    def test_a_torn_record_does_not_come_back(self):
        self.larger()
        self.kv.set("key0", b"old")
        self.kv.set("key1", b"last")
        start = self.kv.ring.end
        self.kv.set("key0", b"new")
        whole = bytes(self.nor.data[start : start + 16])
        self.nor.data[start] ^= 0x10  # a bit that was not programmed to the end
        first = self.found()
        self.assertEqual(first, {"key0": b"old", "key1": b"last"})
        self.assertEqual(bytes(self.nor.data[start + 1 : start + 16]), whole[1:])
        self.nor.data[start : start + 16] = whole  # reads right today
        self.assertEqual(self.found(), first)
        kv = KV(self.region)
        kv.mount()
        for i in range(300):
            kv.set("key1", bytes([i & 0xFF]) * 9)
        self.assertEqual(self.found()["key0"], b"old")

    def test_a_key_of_a_long_batch_that_reads_either_way(self):
        # Its check fitted once; the key is read again from flash, and may be another then.
        for seed in range(12):
            self.nor = Nor(8192, 4096, 8, seed)
            self.region = Region(self.nor, 0, 8192)
            self.kv = KV(self.region)
            self.kv.mount()
            pairs = [("key%d" % i, bytes([i]) * 150) for i in range(5)]
            start = self.kv.ring.end
            self.kv.batch(pairs)
            at = bytes(self.nor.data).find(b"key4", start)
            self.nor.weaken(at + 3, 1, 2)
            for _ in range(4):
                self.nor.power_on()
                found = self.found()
                if found:
                    self.assertEqual(found, dict(pairs))
                    self.assertEqual(self.found(), found)

    def test_a_record_once_seen_stays(self):
        self.larger()
        self.kv.set("key0", b"old")
        start = self.kv.ring.end
        self.kv.set("key0", b"new")
        self.assertEqual(self.found(), {"key0": b"new"})
        self.nor.data[start] ^= 0x10
        self.assertEqual(self.found(), {"key0": b"new"})

    def test_an_erase_that_spares_the_birth_header_is_done_again(self):
        # The source of an interrupted compaction's target: dropped, erased, cut so that
        # only the birth header stays. It looks free and must not be used.
        active = self.work_to_compaction()
        target = active // 512 * 512
        s = self.nor.snapshot()
        self.nor.data[active : active + 24] = b"\xff" * 24  # ACTIVE never written
        self.cut_first_erase()
        self.nor.data[target : target + 16] = b"".join(s[0])[target : target + 16]
        self.nor.data[target + 16 : target + 512] = b"\xff" * 496
        self.assertEqual(self.found(), self.model)
        kv = KV(self.region)
        kv.mount()
        for i in range(60):
            kv.set("key1", bytes([i]) * 9)

    def test_format_is_all_or_nothing(self):
        for step in self.explorer.steps:
            self.kv.batch(step)
            self.model = model_of(self.model, step)
        self.kv = KV(self.region)
        self.kv.mount()
        base = self.nor.snapshot()
        empty = 0
        for effect in CUTS + ("weak",):
            for n in range(1, 8):
                self.nor.restore(base)
                kv = KV(self.region)
                kv.mount()
                self.nor.cut_at(n, effect)
                try:
                    kv.format()
                except PowerCut:
                    pass
                self.nor.power_on()
                found = self.found()
                self.assertTrue(found in ({}, self.model), (effect, n))
                self.assertEqual(self.found(), found)
                empty += not found
        self.assertGreaterEqual(empty, 8)

    def test_the_first_format_may_be_cut(self):
        for effect in CUTS + ("weak",):
            for n in range(1, 8):
                nor = Nor(1536, 512, 8)
                nor.data[:] = bytes(1536)
                nor._unit[:] = b"\x01" * len(nor._unit)
                region = Region(nor, 0, 1536)
                nor.cut_at(n, effect)
                try:
                    KV(region).mount()
                except PowerCut:
                    pass
                nor.power_on()
                kv = KV(region)
                kv.set("a", b"1")
                self.assertEqual(KV(region).get("a"), b"1")
