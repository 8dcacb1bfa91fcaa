"""The folders that tests import from, by flat names; both interpreters.

sys.path.insert(0, TESTS)
import folders

folders.add()
"""

import sys

_HERE = __file__.rpartition("/")[0] or "."
FOLDERS = (
    "shared",
    "support/flash",
    "support/package",
    "support/net",
    "support/board",
    "prove",
    "fuzz",
    "tools",
)


def add():
    """Put the folders and the library on sys.path, in front; the folder of this file is taken off
    there: MicroPython would import its folder "prove" in place of prove/prove.py."""
    if sys.path and sys.path[0].rstrip("/") == _HERE.rstrip("/"):
        sys.path.pop(0)
    found = [_HERE + "/" + name for name in FOLDERS] + [_HERE + "/../lib"]
    if sys.implementation.name == "micropython":
        found.insert(0, _HERE + "/support/micropython")
    sys.path[:] = found + [p for p in sys.path if p not in found]
