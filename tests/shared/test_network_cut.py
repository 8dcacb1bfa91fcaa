"""A sample of rows 9 and 79 of docs/network-faults.md, on every interpreter: see prove_network."""

import sys
import unittest

import prove_network
from faults import EFFECTS
from prove_network import FAULTS, Faulty
from slow import SLOW


class TestNetworkCut(unittest.TestCase):
    def test_power_cuts_while_the_network_fails(self):
        done = 0
        ways = (("ab", "full", 4096, 8), ("pingpong", "full", 2048, 256),
                ("inplace", "place", 4096, 8))  # fmt: skip
        for fault in FAULTS:
            for strategy, kind, sector, program in ways[:1] if SLOW else ways:
                with self.subTest(fault=fault, strategy=strategy):
                    u = Faulty(strategy, kind, "24k", sector, program, fault)
                    every = u.fetched * len(EFFECTS) // 10
                    every += every % len(EFFECTS) == 0
                    done += u.explore(
                        EFFECTS,
                        lambda n, effect, e=every: (
                            (n * len(EFFECTS) + EFFECTS.index(effect)) % e == 0
                        ),
                    )
        self.assertGreaterEqual(done, 40 if SLOW else 110)

    def test_resets_at_bytes_of_a_package(self):
        # Each byte of a small package, on MicroPython every ninth; and a few of a longer one.
        size = prove_network.size("delta")
        if sys.implementation.name == "cpython":
            self.assertEqual(prove_network.resets("ab", "delta", 0, size), size)
        else:
            for at in range(0, size, 27 if SLOW else 9):
                self.assertEqual(prove_network.resets("ab", "delta", at, 1), 1)
        for at in (0, 699, 700, 701, 2611, 5220):
            self.assertEqual(prove_network.resets("pingpong", "full", at, 1), 1)
