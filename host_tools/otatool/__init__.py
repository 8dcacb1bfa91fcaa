"""Host tools of the OTA library: functions first, the command line on top (cli.py).

The tools use the device library `ota` itself. It is inside this package where that was installed
from a wheel, and beside it in the source tree; either way `import ota` works once `otatool` is
imported, and finds this one (docs/design/0009-one-distribution.md).
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_INSIDE = os.path.join(_HERE, "_device")

# Folder that holds the device library.
DEVICE = _INSIDE if os.path.isdir(_INSIDE) else os.path.normpath(os.path.join(_HERE, "../../lib"))
if DEVICE not in sys.path:
    sys.path.insert(0, DEVICE)
