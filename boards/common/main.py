# Frozen main.py, the same for every board: count the try and start the application of the
# slot that boot.py mounted. Its own main module takes over from here.
from ota.boot import trial

trial.start()
