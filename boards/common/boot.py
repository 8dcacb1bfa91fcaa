# Frozen boot.py, the same for every board: finish what an update left half-done, pick the
# slot and mount it. It runs at every start, mpremote's soft resets included, so it only
# carries out what is recorded; tries are counted in main.py. The board's layout is a frozen
# module, or a file beside the firmware where that is a ROMFS.
import gc

# Collect before the heap is full: what stays then lies together, and long pieces find room.
gc.threshold(gc.mem_free() // 4)

from ota import boot  # noqa: E402

try:
    from layout import LAYOUT
except ImportError:
    LAYOUT = "/rom/layout.json"

boot.run(LAYOUT)
