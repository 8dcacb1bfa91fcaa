"""The virtual board is killed at random moments of an update, again and again, and goes on."""

import random
import time

import pytest
from images import image as lines
from otatool import sim
from otatool.image import build as image
from otatool.product import provision
from otatool.release import keys, publish, serve

MAIN = """
import ota
print("APP", VERSION, ota.confirm())
if VERSION == "0.1":
    print("GOT", ota.check_and_update(reset=True))
print("SETTLED", ota.status()["state"])
"""
KILLS = 10


def application(folder, version):
    """An image whose main module updates itself as soon as it starts."""
    folder.mkdir()
    (folder / "main.py").write_text(f"VERSION = {version!r}\n" + MAIN)
    (folder / "data.txt").write_bytes(lines(1 if version == "0.1" else 2, 40_000))
    return image.build(folder)


_TIERS = [
    s if s == "inplace" else pytest.param(s, marks=pytest.mark.long) for s in provision.STRATEGIES
]


@pytest.mark.parametrize("strategy", _TIERS)
def test_killed_at_random_moments_it_ends_with_the_new_image(tmp_path, strategy):
    old = application(tmp_path / "old", "0.1")
    new = application(tmp_path / "new", "0.2")
    www = tmp_path / "www"
    server = serve.start(www, port=0) if www.mkdir() is None else None
    try:
        product = provision.Product(
            "killed", strategy, old, url=server.url.rstrip("/") + "/manifest.ota"
        )
        done = provision.provision(tmp_path / "board", product)
        key = keys.load(done.key)
        for version, data in (("0.1", old), ("0.2", new)):
            publish.publish(www, data, publish.Release("killed", version), [key])
        moments = random.Random(strategy)
        # Flash as slow as a real chip: most kills then hit an erase or a program.
        for _ in range(KILLS):
            with sim.Board(done.flash, heap="256K", timing=True):
                time.sleep(moments.uniform(0.05, 0.9))
        board = sim.Board(done.flash, heap="256K")
        with board:
            board.wait("APP 0.2", 60)
            board.wait("SETTLED IDLE", 20)
        spans = {name: (offset, size) for name, offset, size in done.partitions}
        flash = done.flash.read_bytes()
        slots = [flash[spans[n][0] :][: len(new)] for n in ("active", "backup") if n in spans]
        assert new in slots
    finally:
        server.close()
