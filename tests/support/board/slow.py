"""How much of what is random, or goes through everything, is played here.

The 32-bit build takes three times as long as the others, more with snapshots of flash. The tests
of every change play a sample on MicroPython (run.py --sample); CPython plays all of it then, and
`./run test --all` all of it on both.
"""

import sys

SMALL = sys.platform == "webassembly"  # the 32-bit build
SLOW = SMALL  # a sample of what is random; run.py --sample sets it, and
SAMPLE = False  # this: also of what goes through all cases


def some(cases, every=3):
    """All cases; of a sample, every third."""
    return list(cases)[::every] if SAMPLE else cases
