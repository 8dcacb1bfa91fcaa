"""Every file of the library is source for the interpreter, too, not only for mpy-cross.

Beside tests/shared, where what is run is compiled before.
"""

import os
import sys
import unittest

_LIBRARY = __file__.rpartition("/")[0] + "/../../lib"
_DIRECTORY = 0x4000


def _files(folder):
    for name, kind, *_ in os.ilistdir(folder):
        if kind == _DIRECTORY:
            yield from _files(folder + "/" + name)
        elif name.endswith(".py"):
            yield folder + "/" + name


class TestSources(unittest.TestCase):
    def test_compile(self):
        n = 0
        for path in _files(_LIBRARY):
            with open(path) as f:
                text = f.read()
            if "_viper" in path and sys.platform == "webassembly":
                continue  # it makes no machine code
            compile(text, path, "exec")
            n += 1
        self.assertGreaterEqual(n, 70)
