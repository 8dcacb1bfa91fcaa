"""otatool push on the pty of a virtual board."""

import pytest
from otatool import cli, sim
from otatool.board import push
from otatool.errors import ToolError
from otatool.image import build as images
from otatool.product import provision
from otatool.release import keys
from otatool.release import package as build
from otatool.sim import firmware

_MAIN = """\
import ota
print("runs", ota.status()["version"])
ota.confirm()
"""


def _image(folder, padding):
    folder.mkdir()
    (folder / "main.py").write_text(_MAIN)
    # The images of two versions share most of their bytes, as those of real releases do.
    (folder / "data.bin").write_bytes(bytes(i * i % 251 for i in range(30000)) + padding)
    return images.build(folder)


def _key(folder):
    return keys.load(next((folder / "product").glob("*.key")))


@pytest.fixture(params=["ab", "inplace"])
def board(request, tmp_path):
    old, new = _image(tmp_path / "old", b"1"), _image(tmp_path / "new", b"22")
    made = provision.provision(
        tmp_path / "product", provision.Product("lamp", request.param, old), "hmac"
    )
    key = keys.load(made.key)
    place = request.param == "inplace"
    meta = build.Meta("lamp", "0.2")
    back = build.Meta("lamp", "0.1") if place else None
    package = build.patch(old, new, meta, [key], in_place=place, reverse=back)
    (tmp_path / "p.ota").write_bytes(package.data)
    (tmp_path / "full.ota").write_bytes(build.full(new, build.Meta("lantern", "0.2"), [key]).data)
    with sim.Board(made.flash, heap="128K") as board:
        board.wait("runs 0.1")
        yield board


def test_installs_and_restarts_into_it(board, tmp_path):
    seen = []
    version = push.push(board.pty, tmp_path / "p.ota", lambda *step: seen.append(step))
    assert version == "0.2"
    board.wait("runs 0.2")
    stages = [stage for stage, _, _ in seen]
    assert stages[0] == "stream"
    assert stages[-1] == "arm"
    steps = [(done, total) for stage, done, total in seen if stage == "stream"]
    assert steps == sorted(steps)
    assert len(steps) > 1
    assert steps[-1][0] == steps[-1][1]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ('{"result": "trial", "version": "0.1"}', "trial (code 101, StateError)"),
        ('{"result": "none", "version": "0.1"}', "older (code 69, PolicyError)"),
        (
            '{"result": "later", "error": ota.errors.TransportError("short")}',
            "short (code 16, TransportError)",
        ),
    ],
)
def test_what_is_not_installed_is_said(board, tmp_path, capsys, result, said):
    board.send(f"import ota, ota.errors; ota.install = lambda *a, **k: {result}\r")
    board.wait(">>>")
    assert cli.main(["push", board.pty, str(tmp_path / "p.ota")]) == 1
    assert said in " ".join(capsys.readouterr().err.split())


def test_leaves_the_restart_to_you(board, tmp_path, capsys):
    assert cli.main(["push", "--no-reset", board.pty, str(tmp_path / "p.ota")]) == 0
    assert "0.2 is installed" in capsys.readouterr().out
    assert board.counters()["resets"] == 0
    board.send("import machine; machine.reset()\r")
    board.wait("runs 0.2")


def test_tells_why_the_board_refuses(board, tmp_path, capsys):
    assert cli.main(["push", board.pty, str(tmp_path / "full.ota")]) == 1
    assert "rejected the package: product (code 55, PolicyError)" in capsys.readouterr().err
    big = build.full(bytes(1200 * 1024), build.Meta("lamp", "0.2"), [_key(tmp_path)])
    (tmp_path / "big.ota").write_bytes(big.data)
    assert cli.main(["push", board.pty, str(tmp_path / "big.ota")]) == 1
    said = " ".join(capsys.readouterr().err.split())
    if "code 62" in said:
        assert "does not fit slot or OTA partition: 1228800 bytes, and there is room for" in said
    else:
        assert "65" in said  # in place takes patches only
    # The board goes on as if nothing had been.
    board.send("import ota; print(ota.status()['version'], ota.status()['reason'])\r")
    board.wait("0.1 ")


def test_what_a_board_prints_does_not_drive_the_terminal(board, tmp_path, capsys):
    board.send(
        "import ota; i = ota.install; "
        "ota.install = lambda *a, **k: (print('[/x][red]\\x1b[2J'), print('ota-push: [/y] 1 x'), "
        "print('ota-push:'), print('ota-push: ready'), i(*a, **k))[-1]\r"
    )
    board.wait(">>>")
    assert cli.main(["push", "--downgrade", board.pty, str(tmp_path / "p.ota")]) == 0
    out = capsys.readouterr().out
    assert r"[/x][red]\x1b[2J" in out
    assert "ota-push: [/y] 1 x" in out
    assert "\x1b" not in out
    board.wait("runs 0.2")


def test_what_is_no_package(tmp_path):
    for data in (b"", b"OTAP", b"x" * 100):
        (tmp_path / "p.ota").write_bytes(data)
        with pytest.raises(ToolError, match="is not a package"):
            push.push("/dev/null", tmp_path / "p.ota")


class _Repl:
    """A board on which something prints in the middle of the first exchange."""

    asked: list[bool] = []
    broken: tuple[str, ...] = ()

    def __init__(self, port, fresh, line):
        self.asked.append(fresh)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def share(self, folder):
        if len(self.asked) <= len(self.broken):
            raise ToolError(self.broken[len(self.asked) - 1])

    def run(self, code, line):
        assert "'downgrade': True" in code
        line("ota-push: stream 1 2")
        line("ota-push: unknown")
        line("ota-push: ready 0.2 100")

    def reset(self):
        pass


def test_once_more_after_a_soft_reset(tmp_path, monkeypatch):
    data = build.full(b"x" * 100, build.Meta("a", "1"), [keys.generate("hmac")]).data
    (tmp_path / "p.ota").write_bytes(data)
    path = tmp_path / "p.ota"
    board = type("Board", (_Repl,), {"asked": [], "broken": ("the connection broke",)})
    monkeypatch.setattr(push, "Repl", board)
    said = []
    assert push.push("tty", path, line=said.append, downgrade=True) == "0.2"
    assert board.asked == [False, True]
    # Its library is older than the option.
    assert len(said) == 1
    assert "does not support --downgrade" in said[0]
    for broken, times in ((("broke",) * 2, 2), (("no module named 'ota'",), 1)):
        board.asked, board.broken = [], broken
        with pytest.raises(ToolError):
            push.push("tty", path, downgrade=True)
        assert len(board.asked) == times


def test_no_board_there(tmp_path):
    key = keys.generate("hmac")
    (tmp_path / "p.ota").write_bytes(build.full(b"x" * 100, build.Meta("a", "1"), [key]).data)
    with pytest.raises(ToolError, match="no board there"):
        push.push(str(tmp_path / "tty"), tmp_path / "p.ota")


def test_a_board_without_the_library(tmp_path):
    kb = 1024
    layout = {
        "partitions": {
            "firmware": {"offset": 0, "size": 64 * kb},
            "fs": {"offset": 64 * kb, "size": 64 * kb},
        }
    }
    bare = firmware.build(layout, boot="", main="", lib=False)
    sim.create(tmp_path / "flash", layout, 128 * kb, firmware=bare)
    key = keys.generate("hmac")
    (tmp_path / "p.ota").write_bytes(build.full(b"x" * 100, build.Meta("a", "1"), [key]).data)
    with sim.Board(tmp_path / "flash") as board:
        board.wait(">>>")
        with pytest.raises(ToolError, match="has no ota library"):
            push.push(board.pty, tmp_path / "p.ota")
