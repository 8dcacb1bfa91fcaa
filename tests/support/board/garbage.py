"""Collecting garbage where memory is plenty: when it is short, and not before.

The library collects whenever it loads code, for a heap of some 100 KB. In one of 16 MB with a
flash inside that takes longer than all the rest. On CPython the library does not collect at all.
"""

from ota import compat


def wait():
    """For who imports the library from now on."""
    compat.collect = lambda: None
    compat.collect_often = lambda: -1
    compat.threshold = lambda n=-1: -1
