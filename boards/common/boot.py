# Frozen boot.py, the same for every board: finish what an update left half-done, pick the
# slot and mount it. It runs at every start, mpremote's soft resets included, so it only
# carries out what is recorded; tries are counted in main.py.
from ota import boot

boot.run("/rom/layout.json")
