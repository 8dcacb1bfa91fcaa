"""What is printed: harmless whoever wrote it, whole in a pipe, and in any encoding."""

import io
import json
import re
from pathlib import Path

import pytest
from images import KEY, PRODUCT, image
from otatool.cli import main
from otatool.commands import _report
from otatool.inspect import show
from otatool.release import publish
from otatool.release.keys import SigningKey
from otatool.terminal import meanings, plain
from rich.console import Console

_KEY = SigningKey(bytes.fromhex(KEY["secret"]))
_EVIL = "\x1b]0;owned\x07[/x][red]\u202ea\r\x9b2J"


def test_text_of_strangers_is_harmless():
    assert plain.plain("caf\xe9 [b]") == "caf\xe9 [b]"
    assert plain.plain(_EVIL) == r"\x1b]0;owned\x07[/x][red]\u202ea\r\x9b2J"
    assert plain.plain("a\nb\tc", "\n") == "a\nb\\tc"


def test_an_unsigned_manifest_cannot_drive_the_terminal(tmp_path, capsys):
    publish.publish(tmp_path, image(1, 5000), publish.Release(PRODUCT, "0.1"), [_KEY])
    path = tmp_path / "manifest.ota"
    body, mark, rest = path.read_bytes().partition(b"\nsig ")
    # In the ids of keys, which nobody checks; and in a field.
    for bad in (
        body + mark + b"\x1b[2J[/x]" + rest,
        body.replace(b'"product":', b'"product": "\\u001b[2J", "product2":') + mark + rest,
        body.replace(b'"channel"', b'"channel\\u001b[2J[/x]": 1, "channel"') + mark + rest,
    ):
        assert bad != body + mark + rest
        path.write_bytes(bad)
        main(["show", str(path)])
        out, err = capsys.readouterr()
        assert "\x1b" not in out + err
        assert out or err


def test_a_file_that_is_malformed_ends_in_a_sentence(tmp_path, capsys):
    path = tmp_path / "file"
    for data in (
        b"{}\nsig x", b'{"a"\nsig ', b"{" * 100000 + b"\nsig ", b"[" * 100000, b'{"type": 5}',
        b'{"type": "rsa"}', b'{"format": 1}\nsig 00 ==', b"OTAP", b"OTAP" + bytes(8),
        b"\xd2\xcd\x31" + b"\xff" * 50, b" d\0\x01", b'{"flash": 5, "partitions": 6}',
        b'{"a":' * 50000,
    ):  # fmt: skip
        path.write_bytes(data)
        status = main(["show", str(path)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert status in (0, 1)
        assert (err if status else out).strip(), data[:20]
    path.write_bytes(b"RBL\0" + bytes(range(90)))
    assert main(["show", str(path)]) == 1
    assert "not a file of this tool" in capsys.readouterr().err


def test_names_and_digests_are_whole_in_a_pipe(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    publish.publish(tmp_path, image(1, 5000), publish.Release(PRODUCT, "0.1"), [_KEY])
    package = next((tmp_path / "packages").iterdir())
    assert main(["show", str(tmp_path / "manifest.ota")]) == 0
    assert f"packages/{package.name}" in capsys.readouterr().out
    assert main(["show", str(package)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.search(r"image +\d+ bytes, [0-9a-f]{64}$", line) for line in lines)


def test_a_terminal_of_80_columns_folds_and_cuts_nothing():
    digest = "0123456789abcdef" * 4
    s = show.Section("title", [("image", f"12345678 bytes, {digest}")], ("file", "bytes"))
    s.table = [("folder/" + "name" * 30, "1")]
    out = Console(file=io.StringIO(), width=80, force_terminal=True, soft_wrap=True)
    _report.put(out, s)
    text = out.file.getvalue()
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines()]
    assert max(map(len, lines)) <= 80
    assert f"    {digest}" in lines
    assert "".join(re.findall("[name]+", "".join(lines)[100:])).count("name") >= 15
    assert "\u2026" not in text


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_that_cannot_print_an_arrow(encoding, monkeypatch):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict", write_through=True)
    monkeypatch.setattr("sys.stdout", stream)
    from otatool.demo.stage import Stage

    stage = Stage()
    stage.act("a \u2192 b")
    stage.step("\u25b6")
    stage.seen("\u2714 \U0001f600")
    stage.board(b"board \xff \x1b[2J\r\n")
    text = raw.getvalue().decode(encoding)
    assert "board" in text
    assert "\\x1b[2J" in text
    assert max(map(len, text.splitlines())) <= 80


def test_sentences_of_all_codes():
    text = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    rows = re.findall(r"^\| (\d+) \| \w+ \| \w+ \| (.*) \|$", text, re.M)
    assert len(rows) > 60
    assert {int(n): t.replace("`", "") for n, t in rows} == meanings.MEANINGS


def test_sizes_are_told_with_the_sentence():
    said = meanings.sentence("PolicyError", "fit", 62, ["20332", "12288"])
    assert said == (
        "fit (code 62, PolicyError): does not fit slot or OTA partition: "
        "20332 bytes, and there is room for 12288"
    )
    assert meanings.sentence("X", "new", 999, ["a", "7"]) == "new (code 999, X): a, 7"
    assert meanings.reason(106).startswith("exception (106): the application ended with")
    assert meanings.reason(0) == "none"
    assert meanings.reason(990) == "unknown (990)"


def test_a_key_file_shown(tmp_path, capsys):
    path = tmp_path / "k"
    path.write_text(json.dumps(KEY))
    assert main(["show", str(path)]) == 0
    assert "hmac key" in capsys.readouterr().out
