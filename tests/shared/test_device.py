"""What a device lets go of its code: on MicroPython, to have the memory."""

import sys
import unittest

import fakenet  # noqa: F401  first: not every interpreter has sockets
from ota import device
from ota.errors import FlashError
from rig import Rig

_KEPT = sys.implementation.name == "cpython"
_NAME = "ota.crypto.hmac"


class TestUnload(unittest.TestCase):
    def setUp(self):
        device.load("crypto.hmac")
        self.package = sys.modules["ota.crypto"]

    def tearDown(self):
        sys.modules["ota.crypto"] = self.package
        sys.modules.pop(_NAME, None)
        self.assertTrue(hasattr(device.load("crypto.hmac"), "Hmac"))

    def gone(self):
        device.unload("crypto.hmac")
        self.assertEqual(_NAME in sys.modules, _KEPT)

    def test_nothing_knows_the_module_any_more(self):
        self.gone()
        self.assertEqual(hasattr(self.package, "hmac"), _KEPT)
        device.unload("crypto.hmac")

    def test_memory_ran_out_while_its_package_was_imported(self):
        del sys.modules["ota.crypto"]
        self.gone()

    def test_its_package_was_imported_anew(self):
        delattr(self.package, "hmac")
        self.gone()


class TestPartitions(unittest.TestCase):
    def test_code_of_partitions_that_are_wrong_goes(self):
        rig = Rig("ab")
        rig.config["partitions"]["kv"] = {"flash": "gone", "offset": 0, "size": 4096}
        with self.assertRaises(FlashError):
            rig.boot()
        self.assertEqual("ota.partition.layout" in sys.modules, _KEPT)
