"""The 32-bit build takes three times as long as the others, more with snapshots of flash: what
is random or goes through everything is a smaller sample there."""

import sys

SLOW = sys.platform == "webassembly"
