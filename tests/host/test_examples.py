"""The examples work as they are, on the virtual board."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from otatool import sim
from otatool.cli import main
from otatool.image import build as image
from otatool.product import provision
from otatool.release import keys, publish, serve
from otatool.sim import firmware

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
# What a port with Wi-Fi has built in; this machine's own network stands behind it.
RADIO = """
STA_IF = 0
class WLAN:
    joined = False
    def __init__(self, interface):
        pass
    def active(self, on):
        pass
    def isconnected(self):
        return self.joined
    def connect(self, ssid, password):
        print("joining", ssid, password)
        WLAN.joined = True
"""


@pytest.fixture
def server(tmp_path):
    www = tmp_path / "www"
    www.mkdir()
    with serve.start(www, port=0) as server:
        yield server


def _release(www, version, data, key):
    publish.publish(www, data, publish.Release("lamp", version, quick=True), [keys.load(key)])


def _board(tmp_path, server, folder, **files):
    """A board with version 0.1 of an image folder; files: more of the firmware's."""
    product = provision.Product(
        "lamp", "ab", image.build(folder), url=server.url + publish.MANIFEST,
        config={"poll": {"spread_s": 0}},
    )  # fmt: skip
    done = provision.provision(tmp_path / "board", product, "hmac")
    if files:
        layout = json.loads(done.layout.read_text())
        at, size = {n: (o, s) for n, o, s in done.partitions}["firmware"]
        data = firmware.build(layout, files={n + ".py": t.encode() for n, t in files.items()})
        raw = bytearray(done.flash.read_bytes())
        raw[at : at + size] = data.ljust(size, b"\xff")
        done.flash.write_bytes(raw)
    return done


def _commands(text):
    """The otatool commands of a page, except serve, as lists of arguments."""
    lines = [
        line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.split("\n")
    ]
    return [shlex.split(line)[1:] for line in lines if re.match("otatool (?!serve)", line)]


def test_smallest(tmp_path, server):
    done = _board(tmp_path, server, EXAMPLES / "smallest")
    with sim.Board(done.flash) as board:
        board.wait("lamp 0.1\nlater\n", 20)  # nothing is published yet
        app = shutil.copytree(EXAMPLES / "smallest", tmp_path / "app")
        (app / "page.html").write_text("new")
        _release(tmp_path / "www", "0.2", image.build(app), done.key)
        board.power_cycle()
        board.wait("lamp 0.2\nnone\n", 30)


def test_wifi(tmp_path, server):
    done = _board(tmp_path, server, EXAMPLES / "wifi", network=RADIO)
    app = shutil.copytree(EXAMPLES / "wifi", tmp_path / "app")
    (app / "page.html").write_text("new")
    _release(tmp_path / "www", "0.2", image.build(app), done.key)
    with sim.Board(done.flash) as board:
        board.wait("lamp 0.1", 20)
        board.wait("ENOENT", 10)  # no /wifi.json yet
        board.wait(">>> ", 10)
        board.send("f = open('/wifi.json', 'w'); f.write('{\"ssid\": \"home\",")
        board.send(' "password": "secret"}\'); f.close()\r')
        board.wait(">>> ", 10)
        board.power_cycle()
        board.wait("joining home secret", 20)
        board.wait("connected", 10)
        board.wait("installed 0.2", 20)
        board.wait("lamp 0.2", 20)
        board.power_cycle()
        board.wait(lambda: board.console.count(b"lamp 0.2") == 2, 20)


def test_stock(tmp_path, server, monkeypatch):
    """What the page copies with mpremote is put onto the board's filesystem at once."""
    stock = shutil.copytree(EXAMPLES / "stock", tmp_path / "stock")
    monkeypatch.chdir(stock)
    commands = _commands((stock / "README.md").read_text())
    assert [words[0] for words in commands] == ["keygen", "image", "image", "publish"]
    for words in commands[:2]:
        assert main(words) == 0, words
    root = tmp_path / "root"
    shutil.copytree(ROOT / "lib", root / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("boot.py", "main.py", "lamp.pub.json"):
        shutil.copy(name, root)
    layout = json.loads(Path("layout.json").read_text())
    (root / "layout.json").write_text(json.dumps({**layout, "url": server.url + publish.MANIFEST}))
    shutil.copy("app-0.1.img", root / "slot-a.bin")
    fs, room = 0x30000, 0x180000
    board = {
        "product": "stock",
        "flash": {"nor": {"driver": "virtual:Nor"}},
        "partitions": {
            "firmware": {"flash": "nor", "offset": 0, "size": fs},
            "fs": {"flash": "nor", "offset": fs, "size": room},
        },
    }
    files = image.build(root, "lfs2", size=room, mpy=False)
    sim.create(
        tmp_path / "stock.flash", board, size=fs + room, sector=4096, program=8,
        firmware=firmware.build(board, boot="", main="", lib=False), contents={"fs": files},
    )  # fmt: skip
    (stock / "app" / "page.html").write_text("new")
    for words in commands[2:]:
        assert main([str(tmp_path / "www") if w == "www/" else w for w in words]) == 0, words
    with sim.Board(tmp_path / "stock.flash", heap="256K") as virtual:
        virtual.wait("lamp 0.1", 30)
        virtual.wait("lamp 0.2\nnone\n", 60)


def test_product(tmp_path, server, monkeypatch):
    product = shutil.copytree(EXAMPLES / "product", tmp_path / "product")
    monkeypatch.chdir(product)
    commands = _commands((product / "README.md").read_text())
    assert [words[0] for words in commands] == [
        "image",
        "provision",
        "publish",
        "image",
        "publish",
    ]
    own = {
        "www/": str(tmp_path / "www"),
        "http://127.0.0.1:8000/manifest.ota": server.url + publish.MANIFEST,
    }
    for words in commands[:3]:
        assert main([own.get(w, w) for w in words]) == 0, words
    layout = json.loads(Path("lamp/layout.json").read_text())
    spans = {n: (int(p["offset"]), int(p["size"])) for n, p in layout["partitions"].items()}
    flash = Path("lamp/board.flash")
    raw = bytearray(flash.read_bytes())
    at, size = spans["firmware"]
    rescue = Path("rescue.py").read_bytes()
    raw[at : at + size] = firmware.build(layout, files={"rescue.py": rescue}).ljust(size, b"\xff")
    flash.write_bytes(raw)
    with sim.Board(flash) as board:
        board.wait("lamp 0.1 reason: none", 20)
    with sim.Board(flash, pins=[7]) as board:  # held, and the factory image runs already
        board.wait("lamp 0.1", 20)
    Path("app/page.html").write_text("new")
    for words in commands[3:]:
        assert main([own.get(w, w) for w in words]) == 0, words
    with sim.Board(flash) as board:
        board.wait(">>> ", 20)
        board.send("import main; main.update()\r")
        board.wait("lamp 0.2 reason: none", 30)
        board.wait(">>> ", 10)  # confirmed by now
    with sim.Board(flash, pins=[7]) as board:
        # Below the floor of 0.2, so it runs only to update.
        board.wait("rescue: restore", 20)
    with sim.Board(flash) as board:
        board.wait("lamp 0.2", 30)
