"""What the README shows works as it stands there."""

import re
import shlex
from pathlib import Path

from otatool import image, keys, provision, publish, serve, sim
from otatool.cli import main

README = (Path(__file__).parents[2] / "README.md").read_text()
SHORT = ("image", "provision", "publish")  # the other commands run until they are stopped


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


def test_the_device_code_updates_a_board(tmp_path):
    code = next(b for b in _blocks("python") if "check_and_update" in b)
    images = []
    for version in ("0.1", "0.2"):
        app = tmp_path / version
        app.mkdir()
        # The README's last line stands for "it works"; here it must come first, as the code
        # before it resets.
        (app / "main.py").write_text(f"import ota\nota.confirm()\nV = {version!r}\n" + code)
        images.append(image.build(app))
    www = tmp_path / "www"
    www.mkdir()
    with serve.start(www, port=0) as server:
        url = server.url.rstrip("/") + "/manifest.ota"
        done = provision.provision(
            tmp_path / "board", provision.Product("lamp", "ab", images[0], url=url)
        )
        for version, data in zip(("0.1", "0.2"), images, strict=True):
            release = publish.Release("lamp", version)
            publish.publish(www, data, release, [keys.load(done.key)])
        with sim.Board(done.flash, heap="256K") as board:
            board.wait("0.1", 20)
            board.wait("0.2", 20)
            board.wait(">>>", 10)
