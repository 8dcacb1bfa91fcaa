# An asyncio application: Wi-Fi in one task, updates in another, the application's work in a third.
# It reads {"ssid": ..., "password": ...} from /wifi.json on the board's filesystem, which an
# update does not touch.
import asyncio
import json

import machine
import network
import ota
import ota.aio


async def connected():
    """Keep the station connected; return when it is."""
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    if not wlan.isconnected():
        with open("/wifi.json") as f:
            secrets = json.load(f)
        wlan.connect(secrets["ssid"], secrets["password"])
        while not wlan.isconnected():
            await asyncio.sleep(0.2)
    return wlan


async def updates(idle):
    """Wait for an update in the background; restart when the application is idle."""
    await connected()
    print("connected")
    # Asks when config "poll" says. Errors are reported and retried after a pause.
    done = await ota.aio.watch(failed=lambda e: print("update:", repr(e)))
    print("installed", done["version"])
    await idle.wait()
    machine.reset()


async def lamp(idle):
    """The application's work: here it only says that it is alive."""
    print("lamp", ota.status()["version"])
    # The self-test needs no server: an outage must not roll back a good image.
    ota.confirm()
    while True:
        idle.set()
        await asyncio.sleep(1)


async def main():
    idle = asyncio.Event()
    await asyncio.gather(updates(idle), lamp(idle))


asyncio.run(main())
