# Frozen into the firmware; runs where no image may run, or only a factory image below the floor.
# Connect to the network first, as wifi/main.py does.
import time

import ota

print("rescue:", ota.status()["reason"])
while True:
    try:
        print(ota.check_and_update(reset=True)["result"])
    except ota.errors.OtaError as e:
        print("rejected:", e)
    time.sleep(60)
