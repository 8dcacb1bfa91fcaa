"""What a device lets go of its code: on MicroPython, to have the memory."""

import gc
import sys
import unittest

import fakenet  # noqa: F401  first: not every interpreter has sockets
from ota import modules
from ota.errors import FlashError
from rig import Rig

_KEPT = sys.implementation.name == "cpython"
_NAME = "ota.crypto.hmac"


class TestUnload(unittest.TestCase):
    def setUp(self):
        modules.load("crypto.hmac")
        self.package = sys.modules["ota.crypto"]

    def tearDown(self):
        sys.modules["ota.crypto"] = self.package
        sys.modules.pop(_NAME, None)
        self.assertTrue(hasattr(modules.load("crypto.hmac"), "Hmac"))

    def gone(self):
        modules.unload("crypto.hmac")
        self.assertEqual(_NAME in sys.modules, _KEPT)

    def test_nothing_knows_the_module_any_more(self):
        self.gone()
        self.assertEqual(hasattr(self.package, "hmac"), _KEPT)
        modules.unload("crypto.hmac")

    def test_memory_ran_out_while_its_package_was_imported(self):
        del sys.modules["ota.crypto"]
        self.gone()

    def test_memory_ran_out_wherever_an_import_needs_it(self):
        if _KEPT or sys.platform == "webassembly":
            self.skipTest("memory grows on this interpreter")
        self.gone()
        for pieces in range(6):
            with self.assertRaises(MemoryError):
                _load_with(pieces)
            gc.collect()
            self.gone()

    def test_its_package_was_imported_anew(self):
        delattr(self.package, "hmac")
        self.gone()


def _load_with(pieces):
    """Load the module with so many of the heap's smallest pieces free, none beside another."""
    sys.modules[_NAME] = None  # the table of modules need not grow
    del sys.modules[_NAME]
    gc.collect()
    free = full = None
    for _ in range(pieces):
        free = (free,)
        full = (full,)
    size = 1 << 22
    while size >= 256:
        try:
            full = full, bytearray(size)
        except MemoryError:
            size //= 2
    for _ in range(3):
        gc.collect()
        try:
            while True:
                full = (full,)
        except MemoryError:
            pass
    del free
    modules.load("crypto.hmac")


class TestPartitions(unittest.TestCase):
    def test_code_of_partitions_that_are_wrong_goes(self):
        rig = Rig("ab")
        rig.config["partitions"]["kv"] = {"flash": "gone", "offset": 0, "size": 4096}
        with self.assertRaises(FlashError):
            rig.boot()
        self.assertEqual("ota.partition.layout" in sys.modules, _KEPT)
