"""otatool provision: what is written, what is refused before anything is."""

import json
import stat

import pytest
from images import image
from ota.partition import tobudos
from otatool import cli
from otatool.errors import ToolError
from otatool.image import build as images
from otatool.product import provision
from otatool.release import keys
from otatool.release import package as build
from otatool.release.keys import SigningKey

_SIGNING = SigningKey(bytes(32))
_PACKAGE = build.full(image(1, 9000), build.Meta("lamp", "0.1"), [_SIGNING]).data


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Run the command in a folder with 1.img; give (exit status, what was said)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print(1)\n")
    (tmp_path / "1.img").write_bytes(images.build(tmp_path / "app"))
    (tmp_path / "good.ota").write_bytes(_PACKAGE)

    def call(*words, image="1.img", folder="dev", product="lamp"):
        try:
            status = cli.main(
                ["provision", folder, image, "--product", product, "--key-type", "hmac", *words]
            )
        except SystemExit as e:
            status = e.code
        said = capfd.readouterr()
        return status, said.out + said.err

    call.folder = tmp_path
    return call


def _sizes(strategy, size=1 << 20, **options):
    product = provision.Product("lamp", strategy, bytes(5000), size=size, **options)
    spans = provision.partition(product)
    assert [o for _, o, _ in spans] == [sum(s for *_, s in spans[:i]) for i in range(len(spans))]
    return {n: s for n, _, s in spans}


@pytest.mark.parametrize("strategy", provision.STRATEGIES)
@pytest.mark.parametrize("size", [512 << 10, 2 << 20, 8 << 20])
@pytest.mark.parametrize("sector", [512, 4096, 65536])
def test_slots_fill_the_flash(strategy, size, sector):
    if size < 16 * 65536 and sector > 4096:
        size *= 4
    found = _sizes(strategy, size, sector=sector, fs=4 * sector)
    used = sum(found.values())
    assert used <= size
    # One sector more in each slot would not fit.
    slots = 3 if strategy == "pingpong" else 2
    assert size - used < (slots + 1) * sector
    assert found["active"] % sector == 0
    assert found.get("backup", found["active"]) == found["active"]
    assert found["ota"] >= {"ab": found["active"] // 2}.get(strategy, found["active"])


def test_slots_of_a_given_size():
    found = _sizes("pingpong", slot=64 << 10, firmware=300_000, fs=100_000)
    assert (found["active"], found["backup"]) == (64 << 10, 64 << 10)
    assert (found["firmware"], found["fs"]) == (74 * 4096, 25 * 4096)
    for options, words in (
        ({"slot": 5000}, "whole sectors"),
        ({"slot": 4096}, "do not fit a slot"),
        ({"slot": 600 << 10}, "are needed"),
        ({"firmware": 1 << 20}, "are needed"),
        ({"sector": 3000}, "divide each other"),
        ({"program": 3}, "divide each other"),
        ({"program": 0}, "divide each other"),
    ):
        with pytest.raises(ToolError, match=words):
            _sizes("ab", **options)


def test_a_board_that_is_there_is_not_replaced(run):
    assert run()[0] == 0
    dev = run.folder / "dev"
    before = {p.name: p.read_bytes() for p in dev.iterdir()}
    status, said = run("--version", "0.5")
    assert status == 1 and "--force" in said
    assert {p.name: p.read_bytes() for p in dev.iterdir()} == before
    assert run("--version", "0.5", "--force")[0] == 0
    assert (dev / "lamp.key").read_bytes() == before["lamp.key"]
    assert (dev / "ptbl.bin").read_bytes() != before["ptbl.bin"]
    # One file of a board is enough.
    (dev / "only").mkdir()
    (dev / "only" / "layout.json").write_text("{}")
    assert run(folder="dev/only")[0] == 1
    # Neither is the half of another key.
    for name in ("layout.json", "ptbl.bin", "board.flash", "board.flash.board", "lamp.key"):
        (dev / name).unlink()
    status, said = run()
    assert status == 1 and "does not belong to" in said
    assert [p.name for p in dev.iterdir() if p.is_file()] == ["lamp.pub.json"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_secrets_are_for_the_owner_alone(run, mask, monkeypatch):
    import os

    old = os.umask(mask)
    try:
        status, said = run()
    finally:
        os.umask(old)
    assert status == 0 and "contain a secret" in said
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (run.folder / "dev").iterdir()}
    for name in ("lamp.key", "lamp.pub.json", "layout.json", "board.flash", "board.flash.board"):
        assert modes[name] == 0o600, name
    assert modes["ptbl.bin"] == 0o666 & ~mask


def test_public_halves_are_not_hidden_tokens_are(run, tmp_path):
    key = keys.generate("rsa", 2048)
    for folder in ("plain", "token"):
        (tmp_path / folder).mkdir()
        keys.write(key, str(tmp_path / folder / "lamp"))
    (tmp_path / "token.json").write_text('{"http": {"headers": {"Authorization": "x"}}}')
    assert run("--key-type", "rsa", folder="plain")[0] == 0
    assert run("--key-type", "rsa", "--config", "token.json", folder="token")[0] == 0
    for folder, mode in (("plain", 0o644), ("token", 0o600)):
        for name in ("layout.json", "board.flash"):
            found = stat.S_IMODE((tmp_path / folder / name).stat().st_mode)
            assert found & 0o077 == mode & 0o077
    (tmp_path / "plain" / "lamp.pem").chmod(0o644)
    status, said = run("--key-type", "rsa", "--force", folder="plain")
    assert status == 0 and "can be read by others" in said


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        ([], {"product": "my lamp"}, "product 'my lamp': 1 to 32 ASCII"),
        ([], {"product": "lämp"}, "ASCII letters"),
        ([], {"product": "../../evil"}, "ASCII letters"),
        ([], {"product": ""}, "ASCII letters"),
        ([], {"product": "x" * 33}, "ASCII letters"),
        ([], {"image": "good.ota"}, "a package, not an image"),
        ([], {"image": "none.img"}, "No such file"),
        ([], {"image": "app"}, "directory"),
        (["--version", "v1.2"], {}, "MAJOR.MINOR"),
        (["--version", "1.2.3"], {}, "MAJOR.MINOR"),
        (["--url", "http://HOST:8000"], {}, "http://HOST:8000/manifest.ota"),
        (["--url", "host/manifest.ota"], {}, "http://HOST/PATH"),
        (["--size", "24Q"], {}, "not a size"),
        (["--size", "1M", "--sector", "3000"], {}, "divide each other"),
        (["--program", "3"], {}, "divide each other"),
        (["--slot-size", "4K"], {"image": "large.img"}, "do not fit a slot"),
        (["--slot-size", "5000"], {}, "whole sectors"),
        (["--firmware-size", "8K"], {}, "--firmware-size"),
        (["--size", "256K"], {}, "are needed"),
        (["--config", "none.json"], {}, "No such file"),
        (["--config", "app/main.py"], {}, "not JSON"),
        (["--ca", "1.img"], {}, "no PEM certificate"),
        (["--key-type", "dsa"], {}, "invalid choice"),
    ],
)
def test_refusals_leave_nothing(run, words, more, said):
    (run.folder / "large.img").write_bytes(image(1, 9000))
    before = sorted(run.folder.rglob("*"))
    status, told = run(*words, **more)
    assert status in (1, 2)
    assert said in told
    assert "Traceback" not in told and len(told.strip().splitlines()) == 1
    assert sorted(run.folder.rglob("*")) == before
    assert not (run.folder.parent / "evil.key").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"product": "other"}, "says product 'other'"),
        ({"strategy": "inplace"}, "says strategy 'inplace'"),
        ({"component": "my app"}, "component 'my app'"),
        ({"channel": "a/b"}, "channel 'a/b'"),
        ({"flash": {}}, "no device"),
        ({"flash": {"nor": 5}}, "object of objects"),
        ({"flash": {"nor": {"base": "64k"}}}, "base '64k'"),
        ({"partitions": {"more": {"flash": "nor", "offset": 0, "size": 4096}}}, "overlap"),
        ({"partitions": {"more": {"flash": "spi", "offset": 0, "size": 4096}}}, "reject"),
        ({"partitions": {"more": {}}}, "reject this layout"),
    ],
)
def test_a_configuration_that_no_board_takes(run, config, said):
    (run.folder / "more.json").write_text(json.dumps(config))
    status, told = run("--config", "more.json")
    assert status == 1 and said in told
    assert not (run.folder / "dev").exists()


@pytest.mark.parametrize(
    ("flash", "name", "base"),
    [
        ({"nor": {"driver": "virtual:Nor", "base": "0x10100000"}}, "nor", 0x10100000),
        ({"rp2": {"driver": "rp2:Flash", "base": 0x10000000}}, "rp2", 0x10000000),
        ({"chip": {"driver": "mine:Chip"}}, "chip", provision.BASE),
    ],
)
def test_the_table_counts_from_the_base_of_the_configuration(run, flash, name, base):
    (run.folder / "more.json").write_text(json.dumps({"flash": flash}))
    status, said = run("--config", "more.json")
    assert status == 0, said
    layout = json.loads((run.folder / "dev" / "layout.json").read_text())
    assert layout["flash"][name]["base"] == base
    assert layout["table"]["flash"] == name
    assert {p["flash"] for p in layout["partitions"].values()} == {name}
    table = tobudos.parse((run.folder / "dev" / "ptbl.bin").read_bytes(), 4096)
    (active,) = [e for e in table.entries if e[0] == "active"]
    assert active[2] == base + layout["partitions"]["fs"]["offset"] + (128 << 10)


@pytest.mark.parametrize("format", images.FORMATS)
def test_every_format_can_be_the_first_image(run, format):
    data = images.build(run.folder / "app", format)
    (run.folder / "first.img").write_bytes(data)
    assert run(image="first.img", folder=format)[0] == 0
    layout = json.loads((run.folder / format / "layout.json").read_text())
    assert "image_size" not in layout  # the image says it
    raw = bytes(range(256)) * 20
    (run.folder / "first.img").write_bytes(raw)
    assert run(image="first.img", folder="raw")[0] == 0
    assert json.loads((run.folder / "raw" / "layout.json").read_text())["image_size"] == len(raw)


def test_what_a_board_would_stumble_over_is_said(run):
    (run.folder / "app" / "main.py").rename(run.folder / "app" / "app.py")
    (run.folder / "1.img").write_bytes(images.build(run.folder / "app"))
    status, said = run()
    assert status == 0 and "no main.py" in said
    (run.folder / "more.json").write_text('{"main": "app"}')
    status, said = run("--config", "more.json", folder="other")
    assert status == 0 and "no main.py" not in said
