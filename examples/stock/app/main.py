# The application: an image, mounted at /app.
import ota

print("lamp", ota.status()["version"])
ota.confirm()
try:
    print(ota.check_and_update(reset=True)["result"])
except ota.errors.OtaError as e:
    print("rejected:", e)
