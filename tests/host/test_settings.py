"""Mistakes in a configuration are told on the PC, by provision and show."""

import base64
import functools
import json
import subprocess
import tempfile
from pathlib import Path

import pytest
from certificates import make
from images import KEY
from otatool import cli
from otatool.errors import ToolError
from otatool.product import settings


@functools.cache
def _ca():
    """A certificate in PEM form."""
    with tempfile.TemporaryDirectory() as folder:
        return make(Path(folder)).ca.read_bytes()


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
        ({"url": "http://HOST:8000"}, "such as http://HOST:8000/manifest.ota"),
        ({"url": "http://HOST/"}, "such as http://HOST/manifest.ota"),
        ({"url": "http://HOST/www/?x"}, "does not name a file"),
        ({"package_url": "https://one"}, "does not name a file"),
        ({"product": "my lamp"}, "product 'my lamp': "),
        ({"component": "../app"}, "component '../app': "),
        ({"channel": "b\u00e9ta"}, "channel 'b"),
        ({"http": {"idle": 5}}, "http.idle: "),
        ({"http": {"part": "3k"}}, "http.part: "),
        ({"http": {"tls": {"pins": ["zz"]}}}, "http.tls.pins: "),
        ({"http": {"tls": {"ca": "# CA\n-----BEGIN CERTIFICATE-----\n"}}}, "http.tls.ca: "),
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
    ca.write_bytes(_ca())
    command = ["provision", str(tmp_path / "p"), str(image), "--product", "lamp"]
    more = ["--url", "https://h/m", "--ca", str(ca), "--config", str(config)]
    assert cli.main([*command, *more]) == 0
    layout = json.loads((tmp_path / "p" / "layout.json").read_text())
    assert layout["http"] == {"part": 3072, "tls": {"ca": ca.read_text()}}
    assert (layout["mine"], layout["url"]) == (1, "https://h/m")
    assert "mine: unknown key" in capsys.readouterr().out


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


def _openssl(*words):
    return subprocess.run(["openssl", *words], input=_ca(), capture_output=True, check=True).stdout


_FORMS = {
    "plain": lambda: _ca(),
    "text of openssl before it": lambda: _openssl("x509", "-text"),
    "comments": lambda: b"##\n## Bundle\n##\n\nLamp CA\n=======\n" + _ca() + b"# end\n",
    "a blank line first": lambda: b"\n" + _ca(),
    "a byte order mark": lambda: b"\xef\xbb\xbf" + _ca(),
    "CR and LF": lambda: _ca().replace(b"\n", b"\r\n"),
    "blanks at line ends": lambda: _ca().replace(b"\n", b" \t\n"),
    "no line end last": lambda: _ca().rstrip(),
    "base64 on one line": lambda: (
        b"-----BEGIN CERTIFICATE-----\n" + b"".join(_ca().split(b"-----")[2].split())
        + b"\n-----END CERTIFICATE-----\n"
    ),
    "an old label": lambda: _ca().replace(b" CERTIFICATE", b" X509 CERTIFICATE"),
    "DER": lambda: base64.b64decode(_ca().split(b"-----")[2]),
    "a key beside it": lambda: (
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + _ca()
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", _FORMS)
def test_certificates_as_tools_write_them(form):
    # A board takes a text that begins otherwise for the name of a file.
    assert settings.trusting({}, _FORMS[form]())["http"]["tls"]["ca"] == _ca().decode()


def test_certificates_in_a_configuration_are_mended_too(tmp_path):
    (tmp_path / "app.img").write_bytes(bytes(9000))
    text = "\ufeff# our CA\r\n" + _ca().decode().replace("\n", "\r\n")
    for name, ca, want in (("text", text, _ca().decode()), ("file", "/ca.pem", "/ca.pem")):
        (tmp_path / "more.json").write_text(json.dumps({"http": {"tls": {"ca": ca}}}))
        command = ["provision", str(tmp_path / name), str(tmp_path / "app.img"), "--product", "x"]
        more = ["--config", str(tmp_path / "more.json"), "--key-type", "hmac"]
        assert cli.main([*command, *more]) == 0
        layout = json.loads((tmp_path / name / "layout.json").read_text())
        assert layout["http"]["tls"]["ca"] == want


def test_several_certificates():
    other = _ca().replace(b"\n", b"\r\n")
    found = settings.trusting({"http": {"part": 5}}, other + b"\n# the second\n" + _ca())
    assert found == {"http": {"part": 5, "tls": {"ca": _ca().decode() * 2}}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: b"", "no PEM certificate"),
        (lambda: b"hello", "no PEM certificate"),
        (
            lambda: b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n",
            "no PEM certif",
        ),
        (lambda: _openssl("x509", "-trustout"), "openssl x509 -in"),
        (lambda: _ca().replace(b" CERTIFICATE", b" PKCS7"), "openssl pkcs7"),
        (lambda: _ca().replace(b"CERTIFICATE", b"CERTIFICATE REQUEST"), "signed first"),
        (lambda: _ca().replace(b"\nMII", b"\nMI?"), "damaged"),
        (lambda: _ca()[:200] + b"\n-----END CERTIFICATE-----\n", "damaged"),
        (lambda: _ca()[:200], "no PEM certificate"),
        (lambda: _ca().decode().encode("utf-16"), "no PEM certificate"),
    ],
)
def test_what_is_no_certificate(data, words):
    with pytest.raises(ToolError, match=words):
        settings.trusting({}, data())


def test_what_is_secret():
    assert settings.secrets({"keys": [KEY]})
    assert settings.secrets({"http": {"headers": {"Authorization": "x"}}})
    for config in ({}, {"keys": [{"type": "rsa"}]}, {"http": {"headers": {}}}, {"keys": None}):
        assert not settings.secrets(config)
