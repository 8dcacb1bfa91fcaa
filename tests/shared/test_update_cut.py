"""A sample of tests/cuts.py; `python tests/cuts.py` cuts at every operation."""

import gc
import unittest

import cuts
from ota import device

# strategy, kind, sector size, program size
_LARGE = (
    ("ab", "delta", 2048, 256),
    ("pingpong", "delta", 2048, 256),  # a journal of several sectors
    ("inplace", "place", 2048, 256),
    ("inplace", "place", 4096, 8),
)
_COUNT = 8  # cuts of a case


class TestCuts(unittest.TestCase):
    def _sample(self, strategy, kind, size, sector, program, count, again=0):
        device.current = None
        gc.collect()  # a flash is a large piece of memory
        case = cuts.Case(strategy, kind, size, sector, program)
        # n-th operation and effect change together, so that all effects come everywhere.
        every = max(1, case.total * len(cuts.CUTS) // count)
        done = cuts.sample(case, every + 1 if every % 3 == 0 else every, again)
        self.assertGreaterEqual(done, count // 2)
        return done

    def test_large_images(self):
        done = 0
        for strategy, kind, sector, program in _LARGE:
            with self.subTest(strategy=strategy, sector=sector, program=program):
                done += self._sample(strategy, kind, "130k", sector, program, _COUNT)
        self.assertGreaterEqual(done, 24)

    def test_small_images(self):
        done = 0
        for strategy, kind in cuts.KINDS:
            for sector, program in cuts.GEOMETRIES:
                with self.subTest(strategy=strategy, kind=kind, sector=sector, program=program):
                    done += self._sample(strategy, kind, "24k", sector, program, _COUNT)
        self.assertGreaterEqual(done, 210)

    def test_second_cut_while_recovering(self):
        done = 0
        for i, (strategy, kind) in enumerate(cuts.KINDS):
            for sector, program in ((4096, 8), (2048, 256)):
                with self.subTest(strategy=strategy, kind=kind, sector=sector):
                    again = 1 + i % 4
                    done += self._sample(strategy, kind, "24k", sector, program, _COUNT, again)
        self.assertGreaterEqual(done, 70)
