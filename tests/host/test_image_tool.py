import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from otatool import cli
from otatool.errors import ToolError
from otatool.image import build as image

_VECTORS = Path(__file__).parents[1] / "vectors" / "image"
_MICROPYTHON = Path(sys.executable).parent / "micropython"
_FORMATS = pytest.mark.parametrize("format", image.FORMATS)
_MOUNT = """
import sys, vfs
data = bytearray(open({path!r}, "rb").read())

class Blocks:
    def readblocks(self, n, buf, offset=0):
        at = n * {block} + offset
        buf[:] = data[at : at + len(buf)]
    def writeblocks(self, n, buf, offset=0):
        raise OSError(30)
    def ioctl(self, op, arg):
        return {{4: len(data) // {block}, 5: {block}}}.get(op, 0)

fs = vfs.VfsRom(data) if {format!r} == "romfs" else vfs.VfsLfs2(Blocks())
vfs.mount(fs, "/app")
sys.path[:] = ["/app", "/app/lib"]
import main
print(len(open("/app/large.bin", "rb").read()), open("/app/notes.txt").read())
"""


@pytest.fixture
def app(tmp_path):
    """A folder with what an application has and what an image leaves out."""
    folder = tmp_path / "one" / "app"
    shutil.copytree(_VECTORS / "app", folder)
    (folder / "large.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "empty").mkdir()
    (folder / "empty.txt").write_bytes(b"")
    (folder / "a").mkdir()
    (folder / "a" / "b").mkdir()
    (folder / "a" / "b" / "c.py").write_text("def f():\n    raise ValueError\n")
    (folder / "a.txt").write_text("sorts next to the folder a")
    (folder / ".hidden").write_text("x")
    (folder / "lib" / "__pycache__").mkdir()
    (folder / "lib" / "__pycache__" / "answer.pyc").write_text("x")
    return folder


def _names(data):
    return [file.name for file in image.describe(data)["files"]]


@_FORMATS
@pytest.mark.parametrize("mpy", [True, False])
def test_same_files_give_the_same_bytes(app, tmp_path, monkeypatch, format, mpy):
    first = image.build(app, format, mpy=mpy)
    assert image.build(app, format, mpy=mpy) == first
    other = tmp_path / "another place"
    other.mkdir()
    # Copied in another order, with other times, seen from another directory and locale.
    for path in sorted(app.rglob("*"), reverse=True):
        copy = other / path.relative_to(app)
        if path.is_dir():
            copy.mkdir(parents=True, exist_ok=True)
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
            os.utime(copy, (1, 1))
    monkeypatch.chdir(other)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert image.build(".", format, mpy=mpy) == first


def test_folder_written_by_the_iterator_in_any_order(app, monkeypatch):
    first = image.build(app)
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda p: sorted(iterdir(p), reverse=True))
    assert image.build(app) == first


@pytest.mark.parametrize(
    ("name", "options"), [("app.romfs", {}), ("app.lfs2", {"format": "lfs2", "block": 512})]
)
def test_vectors_of_the_shared_tests_are_made_here(name, options):
    want = (_VECTORS / name).read_bytes()
    assert image.build(_VECTORS / "app", mpy=False, **options) == want


@_FORMATS
def test_contents(app, format):
    data = image.build(app, format, mpy=False)
    found = image.describe(data)
    assert (found["kind"], found["size"]) == (format, len(data))
    assert found["digest"] == hashlib.sha256(data).hexdigest()
    want = {
        str(path.relative_to(app)): path.read_bytes()
        for path in app.rglob("*")
        if path.is_file() and path.name not in (".hidden", "answer.pyc")
    }
    assert len(found["files"]) == len(want) == 7
    for file in found["files"]:
        assert file.size == len(want[file.name])
        assert file.digest == hashlib.sha256(want[file.name]).hexdigest()
        if format == "romfs":
            assert data[file.offset : file.offset + file.size] == want[file.name]


@_FORMATS
def test_sources_become_bytecode(app, format):
    names = _names(image.build(app, format))
    assert "main.mpy" in names
    assert "a/b/c.mpy" in names
    assert not [name for name in names if name.endswith(".py")]
    assert str(app).encode() not in image.build(app, format)


@_FORMATS
@pytest.mark.parametrize("mpy", [True, False])
def test_micropython_mounts_it_and_imports_from_it(app, tmp_path, format, mpy):
    path = tmp_path / "image"
    path.write_bytes(image.build(app, format, mpy=mpy))
    script = tmp_path / "mount.py"
    script.write_text(_MOUNT.format(path=str(path), block=4096, format=format))
    done = subprocess.run([_MICROPYTHON, script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "answer 42\n10240 data that is not code\n\n", done.stdout + done.stderr


def test_size_of_a_littlefs_is_exact_and_of_a_romfs_a_limit(app):
    assert len(image.build(app, "lfs2", size=1 << 17)) == 1 << 17
    least = image.build(app, "lfs2")
    assert _names(least) == _names(image.build(app, "lfs2", size=1 << 17))
    romfs = image.build(app)
    assert image.build(app, size=len(romfs)) == romfs
    for options, message in (
        ({"size": len(romfs) - 1}, "1 more than --size"),
        ({"format": "lfs2", "size": 8192}, "do not fit"),
        ({"format": "lfs2", "size": 10000}, "multiple"),
        ({"format": "lfs2", "block": 1000}, "power of two"),
        ({"format": "fat"}, "romfs, lfs2"),
    ):
        with pytest.raises(ToolError, match=message):
            image.build(app, **options)


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("a = 1\ndef f(:\n", "bad.py:2: SyntaxError"),
        ("def f():\n    pass\n    break\n", "bad.py:3: SyntaxError"),
    ],
)
def test_compile_error_names_file_and_line(app, source, place):
    (app / "lib" / "bad.py").write_text(source)
    with pytest.raises(ToolError) as caught:
        image.build(app)
    assert str(caught.value).startswith(str(app / "lib" / place))
    assert image.build(app, mpy=False)


def test_what_cannot_be_in_an_image_is_refused(app, tmp_path):
    for make, message in (
        (lambda: (app / "gr\u00fcn.txt").write_text("x"), "ASCII"),
        (lambda: (app / "a\nb").write_text("x"), "ASCII"),
        (lambda: (app / "loop").symlink_to(app), "link to a folder"),
        (lambda: (app / "dangling").symlink_to("nowhere"), "regular"),
        (lambda: (app / "main.mpy").write_bytes(b"M"), "keep one"),
    ):
        before = set(app.iterdir())
        make()
        with pytest.raises(ToolError, match=message):
            image.build(app)
        for path in set(app.iterdir()) - before:
            path.unlink()
    image.build(app)
    with pytest.raises(ToolError, match="not a folder"):
        image.build(tmp_path / "none")
    with pytest.raises(ToolError, match="no files"):
        image.build(app / "empty")


def test_describe_other_bytes(app):
    assert image.describe(b"")["kind"] == "raw"
    assert image.describe(b"\xe9 firmware")["kind"] == "raw"
    romfs = image.build(app)
    padded = image.describe(romfs + b"\xff" * 100)
    assert (padded["kind"], padded["size"]) == ("romfs", len(romfs))
    assert padded == image.describe(romfs)


def test_damaged_romfs_is_refused_in_words(app):
    data = image.build(app)
    refused = 0
    for at in range(600):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        try:
            image.describe(bytes(damaged))
        except ToolError as e:
            assert "damaged ROMFS" in str(e)
            refused += 1
    assert refused > 5


def test_damaged_littlefs_is_refused_in_words(app):
    data = image.build(app, "lfs2")
    head = bytearray(data)
    for block in (0, 4096):  # both copies of the superblock
        head[block + 40 : block + 44] = bytes(4)
    with pytest.raises(ToolError, match="damaged littlefs2"):
        image.describe(bytes(head))
    assert image.describe(data[:-1])["kind"] == "raw"


def test_pointers_to_data_are_followed():
    writer = image.VfsRomWriter()
    at = writer.mkdata(b"the data")
    writer.mkfile("pointed", (8, at))
    data = bytes(writer.finalise())
    (file,) = image.describe(data)["files"]
    assert data[file.offset : file.offset + file.size] == b"the data"


def test_command(app, tmp_path, monkeypatch, capfd):
    out = tmp_path / "app.romfs"
    assert cli.main(["image", str(app), str(out)]) == 0
    assert out.read_bytes() == image.build(app)
    said = capfd.readouterr().out
    assert "main.mpy" in said
    assert hashlib.sha256(out.read_bytes()).hexdigest() in said
    out.write_bytes(b"before")
    assert cli.main(["image", str(app), str(out), "--size", "100"]) == 1
    assert cli.main(["image", str(app), str(app / "sub" / "out")]) == 1
    assert out.read_bytes() == b"before"
    with pytest.raises(SystemExit):
        cli.main(["image", str(app), str(out), "--size", "0"])
