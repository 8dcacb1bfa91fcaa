"""Paths for CPython: the shared tests import their helpers as MicroPython does."""

import sys
from pathlib import Path

_HERE = Path(__file__).parent
for _p in (_HERE, _HERE / "shared"):
    sys.path.insert(0, str(_p))
