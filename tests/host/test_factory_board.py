"""The factory image on the virtual board: a pin held at the start, and ota.restore()."""

import json

import pytest
from otatool.image import build as image
from otatool.product import provision
from otatool.sim import Board


def romfs(folder, text):
    folder.mkdir()
    (folder / "main.py").write_text(f"print('app', {text!r})\n")
    return image.build(folder)


@pytest.fixture(params=provision.STRATEGIES)
def product(request, tmp_path):
    product = provision.Product(
        "desk", request.param, romfs(tmp_path / "app", "as delivered"), factory=True,
        config={"restore_pin": {"pin": 7, "ms": 50}},
    )  # fmt: skip
    done = provision.provision(tmp_path / "product", product, "hmac")
    spans = {name: (offset, size) for name, offset, size in done.partitions}
    assert (
        json.loads(done.layout.read_text())["partitions"]["factory"]["size"]
        == (spans["factory"][1])
    )
    return done, spans


def boot(done, **options):
    with Board(done.flash, **options) as board:
        board.wait(">>> ")
        return board.console.decode()


def test_held_pin_puts_it_back(product, tmp_path):
    done, spans = product
    assert "app as delivered" in boot(done)
    data = bytearray(done.flash.read_bytes())
    at, size = spans["active"]
    other = romfs(tmp_path / "other", "as somebody wants it").ljust(size, b"\xff")
    data[at : at + size] = other
    done.flash.write_bytes(data)
    assert "app as somebody wants it" in boot(done, pins=[6])
    assert "app as delivered" in boot(done, pins=[7])
    assert "app as delivered" in boot(done)


def test_an_empty_slot_ends_in_the_factory_image(product):
    done, spans = product
    assert "app as delivered" in boot(done)
    data = bytearray(done.flash.read_bytes())
    at, size = spans["active"]
    data[at : at + size] = b"\xff" * size  # somebody erased it
    done.flash.write_bytes(data)
    with Board(done.flash) as board:
        board.wait("app as delivered")
        board.wait(">>> ")
        board.send("import ota; print(ota.status()['reason'])\r")
        board.wait("main\n>>> ")
    assert "app as delivered" in boot(done)


def test_restore_at_the_prompt_survives_cuts(product):
    done, _ = product
    boot(done)
    total = 0
    # The first cut may meet the request itself: then it has to be asked again.
    for cuts in ((1, 1), (3, 1), (4, 2, 3)):
        with Board(done.flash, cut=cuts) as board:
            board.wait(">>> ")
            for _ in range(2):
                starts = board.console.count(b"MicroPython")
                board.send("import ota; ota.restore()\r")
                board.wait(lambda: board.console.count(b"MicroPython") > starts, 20)  # noqa: B023
                board.wait(">>> ")
            board.send("import ota; ota.status()['reason'], ota.status()['state']\r")
            board.wait("('restore', 'IDLE')")
            assert b"app as delivered" in board.console
            total += len(cuts)
            assert board.counters()["power_cuts"] == total  # over the board's whole life
