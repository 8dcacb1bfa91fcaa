# The application. A pin at the start (config "restore_pin") restores the factory image.
import ota

status = ota.status()
print("lamp", status["version"], "reason:", status["reason"] or "none")
ota.confirm()


def update():
    """Install the newest release and restart into it."""
    try:
        return ota.check_and_update(reset=True)["result"]
    except ota.errors.OtaError as e:
        return e.reason


def sell():
    """Before the device changes hands: delete the settings, restore the image as delivered."""
    ota.restore(forget=True)
