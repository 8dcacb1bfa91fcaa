"""What the README shows works as it stands there."""

import re
import shlex
from pathlib import Path

import pytest
from images import image as lines
from otatool import sim
from otatool.cli import main
from otatool.image import build as image
from otatool.product import provision
from otatool.release import keys, publish, serve

README = (Path(__file__).parents[2] / "README.md").read_text()
# A server that is away is given up at once, so that nobody waits for the test.
QUICK = {"http": {"retries": 0, "connect_ms": 2000, "idle_ms": 2000}}
SHORT = ("image", "provision", "publish")  # the other commands run until they are stopped


def _portal(manifest, packages):
    manifest.write_bytes(b"<html>Please log in</html>" * 200)


def _unsigned(manifest, packages):
    data = manifest.read_bytes()
    end = data.index(b"\nsig ") + 1
    manifest.write_bytes(data[:end] + b" " * (6000 - end) + b"\nsig 0011223344556677 AAAA\n")


def _broken(manifest, packages):
    for path in packages:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)


LIES = (_portal, _unsigned, _broken)


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_command_shown_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print('lamp')\n")
    lines = [
        shlex.split(line, comments=True)
        for block in sorted(_blocks("sh"), key=lambda b: "provision" not in b)
        for line in block.splitlines()
        if line.startswith("otatool ")
    ]
    run = [words[1:] for words in lines if words[1] in SHORT]
    assert [words[0] for words in run] == ["image", "provision", "image", "publish"]
    for words in run:
        assert main(words) == 0, words
    for words in lines:
        assert words[1] in (*SHORT, "serve", "sim"), words
    assert (tmp_path / "www" / publish.MANIFEST).exists()
    assert (tmp_path / "lamp" / "board.flash").exists()


@pytest.mark.parametrize("strategy", provision.STRATEGIES)
def test_the_device_code_is_a_main_that_keeps_a_good_image(strategy, tmp_path):
    """Word for word, with the heap that a board has: the server is away, lies, is up."""
    code = next(b for b in _blocks("python") if "check_and_update" in b)
    images = []
    for version in ("0.1", "0.2"):
        app = tmp_path / version
        app.mkdir()
        (app / "main.py").write_text(code)
        (app / "data.txt").write_bytes(lines(int(version[2:]), 30_000))
        images.append(image.build(app))
    www = tmp_path / "www"
    www.mkdir()
    with serve.start(www, port=0) as server:
        url, port = server.url.rstrip("/") + "/manifest.ota", server.port
        done = provision.provision(
            tmp_path / "board",
            provision.Product("lamp", strategy, images[0], url=url, config=QUICK),
        )
        release = publish.Release("lamp", "0.1", quick=True)
        publish.publish(www, images[0], release, [keys.load(done.key)])
    release = publish.Release("lamp", "0.2", quick=True)
    publish.publish(www, images[1], release, [keys.load(done.key)])
    good = {p: p.read_bytes() for p in www.rglob("*") if p.is_file()}
    manifest = www / publish.MANIFEST
    with sim.Board(done.flash) as board:
        board.wait("0.1\nlater\n", 20)
        for lie in LIES:
            for path, data in good.items():
                path.write_bytes(data)
            lie(manifest, sorted(p for p in good if p.suffix == ".ota" and p != manifest))
            with serve.start(www, port):
                seen = len(board.console)
                board.power_cycle()
                board.wait(lambda seen=seen: b"rejected: " in board.console[seen:], 20)
                board.wait(lambda seen=seen: b">>> " in board.console[seen:], 20)
                assert b"0.1\n" in board.console[seen:]
        for path, data in good.items():
            path.write_bytes(data)
        with serve.start(www, port):
            board.power_cycle()
            board.wait("0.2\n", 20)
            board.wait("none\n", 20)
        # And once more with the server away: the new image is confirmed, so it stays.
        seen = len(board.console)
        board.power_cycle()
        board.wait(lambda: b"0.2\nlater\n" in board.console[seen:], 20)
        board.wait(lambda: b">>> " in board.console[seen:], 10)
        board.send("import ota; ota.status()['state']\r")
        board.wait("'IDLE'", 10)
        assert b"Traceback" not in board.console
