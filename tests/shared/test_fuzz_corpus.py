"""What fuzzing found worth keeping (docs/fuzzing.md): the same outcome on every interpreter."""

import unittest

import fuzz_run
from slow import SAMPLE

_EVERY = 3 if SAMPLE else 1


class TestCorpus(unittest.TestCase):
    def setUp(self):
        if fuzz_run.micropython:  # this run ends with this file, or forgets the library after it
            fuzz_run.keep_modules()

    def test_streams(self):
        self.assertTrue(fuzz_run.replay("streams.bin", _EVERY) >= 100 // _EVERY)

    def test_packages(self):
        self.assertTrue(fuzz_run.replay("small.bin", _EVERY) >= 100 // _EVERY)

    def test_vectors_that_were_changed(self):
        self.assertTrue(fuzz_run.replay("vectors.bin") >= 10)

    def test_findings(self):
        self.assertTrue(fuzz_run.replay("findings.bin") >= 1)
