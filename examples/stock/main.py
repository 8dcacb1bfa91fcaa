# Count the try and import main from the mounted image.
from ota.boot import trial

trial.start()
