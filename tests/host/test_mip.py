"""The library installed with mip on the virtual board updates it, as a frozen one does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from otatool import sim
from otatool.image import build as image
from otatool.product import provision
from otatool.release import keys, publish, serve
from otatool.sim import firmware

ROOT = Path(__file__).parents[2]
MPREMOTE = Path(sys.executable).with_name("mpremote")
MAIN = """
import ota
print("APP", VERSION, ota.__file__, ota.confirm())
if VERSION == "0.1":
    print("GOT", ota.check_and_update(reset=True))
print("SETTLED", ota.status()["state"])
"""


def test_mip_installs_the_library_and_it_updates_the_board(tmp_path):
    images = []
    for version in ("0.1", "0.2"):
        app = tmp_path / version
        app.mkdir()
        (app / "main.py").write_text(f"VERSION = {version!r}\n" + MAIN)
        images.append(image.build(app))
    www = tmp_path / "www"
    www.mkdir()
    with serve.start(www, port=0) as server:
        url = server.url.rstrip("/") + "/manifest.ota"
        # littlefs takes a block for each of the library's files.
        product = provision.Product(
            "mip", "inplace", images[0], url=url, size=2 << 20, fs=768 << 10
        )
        done = provision.provision(tmp_path / "board", product)
        key = keys.load(done.key)
        for version, data in zip(("0.1", "0.2"), images, strict=True):
            publish.publish(www, data, publish.Release("mip", version), [key])
        # The same board, but its firmware has no library.
        layout = json.loads(done.layout.read_text())
        bare = firmware.build(layout, lib=False)
        with open(done.flash, "r+b") as f:
            spans = {name: (offset, size) for name, offset, size in done.partitions}
            f.seek(spans["firmware"][0])
            f.write(bare.ljust(spans["firmware"][1], b"\xff"))
        with sim.Board(done.flash, heap="1M") as board:
            board.wait("no module named 'ota'", 10)
            command = [MPREMOTE, "connect", board.pty, "resume", "mip", "install"]
            install = subprocess.run(
                [*command, "--target", "/lib", str(ROOT / "package.json")],
                capture_output=True, text=True, timeout=100,
            )  # fmt: skip
            assert install.returncode == 0, install.stdout + install.stderr
            board.power_cycle()
            board.wait("APP 0.1 /lib/ota", 30)
            board.wait("APP 0.2 /lib/ota", 60)
            board.wait("SETTLED IDLE", 20)


@pytest.mark.parametrize("format", image.FORMATS)
def test_mip_finds_a_writable_place_on_a_board_with_a_slot(tmp_path, format):
    app = tmp_path / "app"
    (app / "lib").mkdir(parents=True)
    (app / "main.py").write_text("import helper\n")
    (app / "lib" / "helper.py").write_text("print('HELPER of the image')\n")
    product = provision.Product("mip", "ab", image.build(app, format))
    done = provision.provision(tmp_path / "board", product, "hmac")
    (tmp_path / "thing.py").write_text("print('THING')\n")
    (tmp_path / "package.json").write_text(
        json.dumps({"version": "1", "urls": [["thing.py", "thing.py"]]})
    )
    with sim.Board(done.flash) as board:
        board.wait("HELPER of the image", 10)
        board.wait(">>> ", 10)
        install = subprocess.run(
            [MPREMOTE, "connect", board.pty, "resume", "mip", "install", "package.json"],
            capture_output=True, text=True, timeout=60, cwd=tmp_path,
        )  # fmt: skip
        assert install.returncode == 0, install.stdout + install.stderr
        assert "Installing: /lib/thing.py" in install.stdout
        # What mip on the device looks for, in micropython-lib since 1.25.
        board.send(
            "import sys; print([p for p in sys.path"
            " if not p.startswith('/rom') and p.endswith('/lib')][0], 'FIRST')\r"
        )
        board.wait("\n/lib FIRST", 10)
        board.send("import thing\r")
        board.wait("\nTHING", 10)
