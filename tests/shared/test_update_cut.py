"""A sample of what tests/prove does with whole updates, on every interpreter."""

import unittest

from faults import EFFECTS
from prove_tries import Tries
from prove_update import GEOMETRIES, KINDS, Update
from slow import SAMPLE, SLOW, SMALL, some

# strategy, kind, sector size, program size
_LARGE = (
    ("ab", "delta", 2048, 256),
    ("pingpong", "delta", 2048, 256),  # a journal of several sectors
    ("inplace", "place", 2048, 256),
    ("inplace", "place", 4096, 8),
)
_AGAIN = ("prefix", "weak", "blank-weak")


def _every(update, count):
    """About `count` cases: operation and effect change together, so all effects come."""
    every = max(1, len(update.run.log) * len(EFFECTS) // count)
    every += every % len(EFFECTS) == 0
    return lambda n, effect: (n * len(EFFECTS) + EFFECTS.index(effect)) % every == 0


class TestCuts(unittest.TestCase):
    def test_large_images(self):
        if SMALL:
            self.skipTest("large images on this interpreter")
        done = 0
        for strategy, kind, sector, program in some(_LARGE):
            with self.subTest(strategy=strategy, sector=sector, program=program):
                u = Update(strategy, kind, "130k", sector, program)
                done += u.explore(EFFECTS, _every(u, 2 if SAMPLE else 4))
        self.assertGreaterEqual(done, 2 if SAMPLE else 12)

    def test_small_images(self):
        done = 0
        for i, (strategy, kind) in enumerate(KINDS):
            for j in (1,) if SLOW else range(i % 2, len(GEOMETRIES), 2):
                sector, program = GEOMETRIES[j]
                with self.subTest(strategy=strategy, kind=kind, sector=sector, program=program):
                    u = Update(strategy, kind, "24k", sector, program, ecc=program > 1)
                    done += u.explore(EFFECTS, _every(u, 5))
        self.assertGreaterEqual(done, 30 if SLOW else 110)

    def test_ways_back_and_trials(self):
        done = 0
        for strategy, kind in (("ab", "delta"), ("pingpong", "delta"), ("inplace", "place")):
            for make in (Update, Tries):
                with self.subTest(strategy=strategy, make=make.__name__):
                    args = (True,) if make is Update else ()
                    u = make(strategy, kind, "24k", 4096, 8, *args)
                    done += u.explore(EFFECTS, _every(u, 6))
        self.assertGreaterEqual(done, 30)

    def test_second_cut_while_recovering(self):
        if SMALL:
            self.skipTest("second cuts on this interpreter")
        done = 0
        for i, (strategy, kind) in some(enumerate(KINDS), 4):  # one of each strategy
            with self.subTest(strategy=strategy, kind=kind):
                u = Update(strategy, kind, "24k", *GEOMETRIES[1 + i % 5])
                done += u.twice(EFFECTS, _AGAIN, _every(u, 3), 5)
        self.assertGreaterEqual(done, 8 if SAMPLE else 30)
