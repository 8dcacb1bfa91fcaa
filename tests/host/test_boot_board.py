"""From power-on to the application on the virtual board, with the file systems of MicroPython."""

import json
from pathlib import Path

import pytest
from otatool.image import build as image
from otatool.product import provision
from otatool.release import keys, packages, publish, serve
from otatool.sim import Board, firmware

GOOD = """
import ota
s = ota.status()
print("APP", VERSION, s["state"], s["reason"], "|", s["detail"])
ota.confirm()
print("KEPT", VERSION)
"""
ASK = """
try:
    ota.check_and_update(reset=True)
except ota.errors.OtaError as e:
    print("LEFT", e.reason)
"""


class Scene:
    """A board with 0.1 of one format, a server with 0.2 of another."""

    def __init__(self, folder: Path, strategy: str, one: bytes, two: bytes, **files: str):
        www = folder / "www"
        www.mkdir()
        self.server = serve.start(www)
        url = self.server.url + publish.MANIFEST
        product = provision.Product("desk", strategy, one, url=url)
        done = provision.provision(folder / "board", product, "hmac")
        self.flash = done.flash
        self.spans = {name: (at, size) for name, at, size in done.partitions}
        layout = json.loads(done.layout.read_text())
        if files:
            self.put("firmware", firmware.build(layout, **files))
        key = keys.load(done.key)
        for version, data in (("0.1", one), ("0.2", two)):
            publish.publish(www, data, publish.Release("desk", version, quick=True), [key])

    def put(self, name: str, data: bytes) -> None:
        """Write a partition."""
        at, size = self.spans[name]
        raw = bytearray(self.flash.read_bytes())
        raw[at : at + size] = data.ljust(size, b"\xff")
        self.flash.write_bytes(raw)


@pytest.fixture
def scene(tmp_path):
    """scene(strategy, one, two, **files) -> Scene"""
    made = []

    def make(*args, **files):
        made.append(Scene(tmp_path, *args, **files))
        return made[-1]

    yield make
    for one in made:
        one.server.close()


def app(tmp_path, version, format="romfs", text="", block=4096):
    """Image of an application that says its version, and does more."""
    folder = tmp_path / f"{version}-{format}"
    folder.mkdir()
    (folder / "main.py").write_text(f"VERSION = {version!r}\n" + GOOD + text)
    (folder / "data.txt").write_text("line\n" * 2000)
    return image.build(folder, format, block=block)


@pytest.mark.parametrize("block", [512, 4096])
@pytest.mark.parametrize("strategy", provision.STRATEGIES)
def test_littlefs_images_start_and_update(scene, tmp_path, strategy, block):
    one = app(tmp_path, "0.1", "lfs2", "import ota.errors\n" + ASK, block)
    two = app(tmp_path, "0.2", "lfs2", block=block)
    with Board(scene(strategy, one, two).flash, heap="256K") as board:
        board.wait("APP 0.1 IDLE", 20)
        board.wait("APP 0.2 TRIAL", 30)
        board.wait("KEPT 0.2", 10)
        board.power_cycle()
        board.wait("APP 0.2 IDLE", 20)


# boot.py of a port: vfs as that has it.
BOOT = """
import vfs
class Firmware:
    pass
f = Firmware()
for name in dir(vfs):
    if name not in %r:
        setattr(f, name, getattr(vfs, name))
import ota.boot
ota.boot.vfs = f
from layout import LAYOUT
%s
ota.boot.run(LAYOUT)
"""
UNMAPPED = """
import ota.flash
ota.flash.Region.buffer = lambda self, n=0: None
"""


@pytest.mark.parametrize(
    ("strategy", "formats", "boot", "text"),
    [
        ("ab", ("lfs2", "romfs"), BOOT % (("VfsRom",), ""), "no vfs.VfsRom"),
        ("pingpong", ("romfs", "lfs2"), BOOT % (("VfsLfs2",), ""), "no vfs.VfsLfs2"),
        ("ab", ("lfs2", "romfs"), BOOT % ((), UNMAPPED), "flash is not mapped"),
    ],
    ids=["no VfsRom", "no VfsLfs2", "not mapped"],
)
def test_an_image_that_this_firmware_cannot_mount_goes_back(
    scene, tmp_path, strategy, formats, boot, text
):
    one = app(tmp_path, "0.1", formats[0], "import ota.errors\n" + ASK)
    two = app(tmp_path, "0.2", formats[1])
    with Board(scene(strategy, one, two, boot=boot).flash, heap="256K") as board:
        board.wait("APP 0.1 IDLE ", 20)
        board.wait(f"APP 0.1 IDLE mount | StateError('mount', '{text}", 30)
        board.wait("LEFT seen", 20)
        assert board.counters()["resets"] == 1
        board.power_cycle()
        board.wait("LEFT seen", 20)


def test_damaged_littlefs_goes_back(scene, tmp_path, monkeypatch):
    # The tools would not publish it.
    monkeypatch.setattr(packages, "needs_mpy", lambda data: 0)
    monkeypatch.setattr(publish, "contents", lambda data: {})
    one = app(tmp_path, "0.1", "lfs2", "import ota.errors\n" + ASK)
    two = bytearray(app(tmp_path, "0.2", "lfs2"))
    # Both copies of the superblock are cut off behind the sizes.
    for at in (0, 4096):
        two[at + 40 : at + 4096] = bytes(4056)
    with Board(scene("ab", one, bytes(two)).flash, heap="256K") as board:
        board.wait("APP 0.1 IDLE mount", 30)
        board.wait("LEFT seen", 20)


def test_error_of_the_boot_stage_is_told_where_there_is_a_console(scene, tmp_path):
    one = app(tmp_path, "0.1")
    start = "from ota.boot import trial\ntrial.start()\n"
    here = scene("ab", one, app(tmp_path, "0.2"), main=start)
    layout = json.loads((tmp_path / "board" / "layout.json").read_text())
    layout["tries"] = "three"
    here.put("firmware", firmware.build(layout))
    with Board(here.flash, heap="256K") as board:
        board.wait(">>> ", 10)
        assert "APP" in board.console.decode()  # a wrong number is not what stops a start
    layout["strategy"] = "swap"
    here.put("firmware", firmware.build(layout))
    with Board(here.flash, heap="256K") as board:
        board.wait(">>> ", 10)
        assert "FlashError: ('config', 'strategy')" in board.console.decode()
        board.send("import ota; ota.status()\r")
        board.wait(lambda: board.console.count(b"('config', 'strategy')") > 1, 10)
