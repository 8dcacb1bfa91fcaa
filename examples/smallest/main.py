# The least an application must do to be updated.
import time

import ota

ota.confirm()  # it starts, so keep it; put this after your own self-test

while True:
    print("lamp", ota.status()["version"])  # your application's work
    # Blocks until the answer is known. "later" (no network) is a result, not an exception.
    try:
        print(ota.check_and_update(reset=True)["result"])
    except ota.errors.OtaError as e:
        print("rejected:", e)  # the running image is unchanged
    time.sleep(24 * 3600)
