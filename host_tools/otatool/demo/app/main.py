"""A small web application that keeps itself up to date: the example to start from.

It serves a page, confirms itself once it has answered its own request, and asks every second
whether there is something newer. Nothing in it is special to the virtual board.
"""

import asyncio

import machine
import ota
from microdot import Microdot, send_file
from ota import device
from ota.aio import check_and_update
from ota.errors import OtaError
from version import VERSION

HERE = __file__.rpartition("/")[0]  # the slot's mount point
CONFIG = device.get().config.get("app", {})
HOST, PORT = CONFIG.get("host", "0.0.0.0"), CONFIG.get("port", 80)

app = Microdot()
said = None


@app.get("/")
async def index(request):
    return send_file(HERE + "/index.html")


@app.get("/version")
async def version(request):
    return VERSION


@app.get("/status")
async def status(request):
    return ota.status()


@app.get("/source")
async def source(request):
    """The framework's own source: what runs here can be read here."""
    return send_file(HERE + "/microdot.txt")


def say(*words):
    """Print what is new."""
    global said
    if words != said:
        said = words
        print("app", VERSION + ":", *words)


def progress(stage, done, total):
    if stage == "decide":
        say("there is an update,", total, "bytes")
    elif stage == "stream":
        say("installing it: %d %%" % (done * 10 // total * 10))


async def answers():
    """The start-up test: our own server gives our own version."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET /version HTTP/1.0\r\n\r\n")
    await writer.drain()
    answer = await reader.read(-1)
    writer.close()
    return answer.endswith(VERSION.encode())


async def main():
    asyncio.create_task(app.start_server(HOST, PORT))
    await asyncio.sleep(0.1)
    if not await asyncio.wait_for(answers(), 5):
        raise RuntimeError("the server does not answer")
    say("serving on port", PORT)
    if ota.confirm():
        say("confirmed")
    while True:
        try:
            result = await check_and_update(progress)
            if result["result"] == "ready":
                say(result["version"], "is ready, restarting")
                machine.reset()
        except OtaError as e:
            say("no update:", e.reason)
        await asyncio.sleep(CONFIG.get("every_s", 3600))


asyncio.run(main())
