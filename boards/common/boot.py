# Frozen boot.py, the same for every board: finish what an update left half-done, pick the
# slot and mount it. It runs at every start, mpremote's soft resets included, so it only
# carries out what is recorded; tries are counted in main.py. The board's layout is a frozen
# module, or a file beside the firmware where that is a ROMFS.
import sys

path = sys.path[:]
# A file struct.py on the filesystem must not become the library's: frozen modules first, alone.
sys.path[:] = [p for p in path if p == ".frozen" or p[:4] == "/rom"]
try:
    from ota import boot
except ImportError:
    sys.path[:] = path
    from ota import boot
sys.path[:] = path
del path

try:
    from layout import LAYOUT
except ImportError:
    LAYOUT = "/rom/layout.json"

try:
    boot.run(LAYOUT)
except Exception:
    # A port goes on to main.py only without an exception, and many have no console yet: what
    # it was is kept, and trial.start() raises it there.
    pass
