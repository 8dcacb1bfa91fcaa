# Frozen boot.py, the same for every board: finish what an update left half-done, pick the
# slot and mount it. It runs at every start, mpremote's soft resets included, so it only
# carries out what is recorded; tries are counted in main.py. The board's layout is a frozen
# module, or a file beside the firmware where that is a ROMFS.
from ota import boot

try:
    from layout import LAYOUT
except ImportError:
    LAYOUT = "/rom/layout.json"

boot.run(LAYOUT)
