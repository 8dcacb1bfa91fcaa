"""Mistakes in a configuration are told on the PC, by provision and show."""

import json

import pytest
from images import KEY
from otatool import cli, settings
from otatool.errors import ToolError

GOOD = {
    "url": ["http://one/manifest.ota", "https://two/manifest.ota"],
    "keys": [KEY],
    "block": 1024,
    "poll": {"window": ["01:30", "04:00"], "utc_offset_s": -3600},
    "http": {"idle_ms": 5000, "headers": {"Authorization": "x"}, "tls": {"pins": ["ab" * 32]}},
}


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"url": "192.168.1.10:8000/manifest.ota"}, "http://HOST"),
        ({"url": ["http://one/m", "two/m"]}, "two/m: "),
        ({"package_url": "ftp://one/p"}, "ftp://one/p: "),
        ({"url": "https://one/m"}, "http.tls: "),
        ({"url": "HTTPS://one/m", "http": {"tls": {"ntp": "pool.ntp.org"}}}, "http.tls: "),
        ({"http": {"idle": 5}}, "http.idle: "),
        ({"http": {"part": "3k"}}, "http.part: "),
        ({"http": {"tls": {"pins": ["zz"]}}}, "http.tls.pins: "),
        ({"poll": {"every": 5}}, "poll.every: "),
        ({"poll": {"window": ["1", "2"]}}, "poll.window: "),
        ({"keys": ["lamp.pub.json"]}, "keys: "),
    ],
)
def test_mistakes(config, word, tmp_path, capsys):
    (told,) = settings.mistakes(config)
    assert word in told
    path = tmp_path / "layout.json"
    path.write_text(json.dumps(config))
    assert cli.main(["show", str(path)]) == 0
    assert "mistake" in capsys.readouterr().out


def test_what_is_right():
    assert settings.mistakes({}) == settings.mistakes(GOOD) == []
    assert settings.unknown(GOOD) == []
    assert settings.mistakes({"url": "https://h/m", "http": {"tls": {"verify": False}}}) == []
    assert settings.unknown({"urll": "x", "timer": 0, "http": {}}) == ["urll"]


@pytest.mark.parametrize("text", ["", "{", "[]", "5"])
def test_a_file_that_is_no_configuration(text, tmp_path):
    path = tmp_path / "layout.json"
    path.write_text(text)
    with pytest.raises(ToolError, match=r"layout\.json"):
        settings.read(path)


def test_provision_takes_further_settings(tmp_path, capsys):
    image, config, ca = (tmp_path / n for n in ("app.img", "more.json", "ca.pem"))
    image.write_bytes(bytes(9000))
    config.write_text(json.dumps({"http": {"part": 3072}, "mine": 1, "image_size": 9000}))
    ca.write_text("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n")
    command = ["provision", str(tmp_path / "p"), str(image), "--product", "lamp"]
    more = ["--url", "https://h/m", "--ca", str(ca), "--config", str(config)]
    assert cli.main([*command, *more]) == 0
    layout = json.loads((tmp_path / "p" / "layout.json").read_text())
    assert layout["http"] == {"part": 3072, "tls": {"ca": ca.read_text()}}
    assert (layout["mine"], layout["url"]) == (1, "https://h/m")
    assert "mine: no key of ours" in capsys.readouterr().out


def test_provision_makes_nothing_that_a_board_would_refuse(tmp_path, capsys):
    image = tmp_path / "app.img"
    image.write_bytes(bytes(9000))
    command = ["provision", str(tmp_path / "p"), str(image), "--product", "lamp"]
    for more in (["--url", "lamp.example/m"], ["--url", "https://h/m"], ["--ca", str(image)]):
        assert cli.main([*command, *more]) == 1
        assert "otatool provision: " in capsys.readouterr().err
        assert not (tmp_path / "p").exists()


def test_numbers_of_a_layout():
    found = {"flash": {"nor": {"base": "0x08000000"}}, "table": {"offset": 5}, "version": "0.1"}
    assert settings.numbers(found) == {
        "flash": {"nor": {"base": 0x08000000}}, "table": {"offset": 5}, "version": "0.1",
    }  # fmt: skip
    with pytest.raises(ToolError, match="offset '64k'"):
        settings.numbers({"partitions": {"kv": {"offset": "64k"}}})


@pytest.mark.parametrize("content", [{}, {"flash": 5}, {"type": "x", "n": 5}])
def test_show_of_a_flash_with_a_layout_of_something_else(content, tmp_path, capsys):
    flash, layout = tmp_path / "board.flash", tmp_path / "other.json"
    flash.write_bytes(b"\xff" * 65536)
    layout.write_text(json.dumps(content))
    assert cli.main(["show", str(flash), "--layout", str(layout)]) == 1
    assert 'no "flash" in the layout' in capsys.readouterr().err
