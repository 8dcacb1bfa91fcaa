"""Images that follow a previous one: right, reproducible, bounded, and worth it."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from mpremote.romfs import VfsRomWriter
from otatool import cli, files
from otatool.errors import ToolError
from otatool.image import build as image
from otatool.image import layout as romfs_layout
from otatool.image import romfs
from otatool.patch import find as delta
from otatool.patch.payload import decode
from otatool.release import keys, publish

_MICROPYTHON = Path(sys.executable).parent / "micropython"
_READ = """
import os, sys, vfs
vfs.mount(vfs.VfsRom(memoryview(open({path!r}, "rb").read())), "/app")
def walk(folder):
    for name, kind, _, size in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == 0x4000:
            walk(path)
            continue
        data = open(path, "rb").read()
        assert os.stat(path)[6] == size == len(data), path
        print(path[5:], size, sum(b * i for i, b in enumerate(data)) % 65521)
walk("/app")
sys.path[:] = ["/app", "/app/lib"]
"""


class Folder:
    """An application on disk that changes from release to release."""

    def __init__(self, path):
        self.path = path
        self.random = random.Random(7)

    def bytes(self, size):
        """Bytes as hard to guess as code."""
        return bytes(self.random.choices(b"abcdefghijklmnopqrstuvwxyz =()\n", k=size))

    def write(self, name, data):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def insert(self, name, size, at=100):
        data = (self.path / name).read_bytes()
        self.write(name, data[:at] + self.bytes(size) + data[at:])

    def build(self, previous=None, **options):
        return image.build(self.path, mpy=False, previous=previous, **options)

    def check(self, data):
        """That the image has the files of the folder, and none but these."""
        want = {
            str(p.relative_to(self.path)): p.read_bytes()
            for p in self.path.rglob("*")
            if p.is_file()
        }
        found = image.describe(data)["files"]
        assert {f.name: data[f.offset : f.offset + f.size] for f in found} == want
        assert len(found) == len(want) and len(data) % 2 == 0


@pytest.fixture
def app(tmp_path):
    folder = Folder(tmp_path / "app")
    folder.path.mkdir()
    for i in range(12):
        folder.write(f"lib/part{i:02}.txt", folder.bytes(2000 + 300 * i))
    folder.write("lib/deep/er/small.txt", b"small")
    folder.write("main.txt", folder.bytes(3000))
    folder.write("zero.txt", b"")
    (folder.path / "empty").mkdir()
    return folder


def _offsets(data):
    return {f.name: f.offset for f in image.describe(data)["files"]}


def _limit(plain, block=4096):
    return len(plain) * (100 + romfs_layout.WASTE) // 100 + block


def test_the_same_files_give_the_previous_image(app):
    first = app.build()
    assert app.build(first) == first
    assert app.build(first + b"\xff" * 300) == first
    app.insert("lib/part03.txt", 40)
    second = app.build(first)
    assert app.build(first) == second
    assert app.build(second) == second != app.build()


def test_without_gaps_the_bytes_are_those_of_mpremote(app):
    first = app.build()
    app.write("lib/part03.txt", app.bytes(2900))
    app.write("lib/deep/er/small.txt", b"SMALL")
    assert app.build(first) == app.build()


def test_files_behind_one_that_grew_stay(app):
    first = app.build(room=True)
    app.check(first)
    assert len(first) <= _limit(app.build())
    app.insert("lib/part03.txt", 60)
    second = app.build(first)
    app.check(second)
    was, now = _offsets(first), _offsets(second)
    moved = {name for name in was if was[name] != now[name]}
    # Room is given once in a block, so some neighbours go along.
    assert moved <= {f"lib/part0{i}.txt" for i in (3, 4, 5, 6)}
    assert romfs_layout.changed(first, second, 4096) <= 3
    assert romfs_layout.changed(first, app.build(), 4096) >= 9


def test_a_file_that_outgrew_its_place_leaves_it(app):
    first = app.build(room=True)
    app.insert("main.txt", 1)
    app.insert("lib/part01.txt", 1500)
    second = app.build(first)
    app.check(second)
    was, now = _offsets(first), _offsets(second)
    assert now["lib/part01.txt"] > was["lib/part11.txt"]
    assert all(was[f"lib/part{i:02}.txt"] == now[f"lib/part{i:02}.txt"] for i in range(2, 12))
    # It keeps its new place, and grows there.
    app.insert("lib/part01.txt", 8)
    third = app.build(second)
    app.check(third)
    assert _offsets(third) == now
    # A new file finds the place that it left.
    app.write("lib/new.txt", app.bytes(1800))
    fourth = app.build(third)
    app.check(fourth)
    assert _offsets(fourth)["lib/new.txt"] < now["lib/part02.txt"]


@pytest.mark.parametrize("less", [1, 2, 3, 129, 130, 131, 132, 700])
def test_files_behind_one_that_shrank_stay(app, less):
    first = app.build()
    data = (app.path / "lib/part03.txt").read_bytes()
    app.write("lib/part03.txt", data[less:])
    second = app.build(first)
    app.check(second)
    was, now = _offsets(first), _offsets(second)
    assert was == now
    assert romfs_layout.changed(first, second, 4096) <= 2


def test_files_that_go_and_come_and_change_their_kind(app):
    first = app.build()
    (app.path / "lib/part05.txt").unlink()
    second = app.build(first)
    app.check(second)
    assert _offsets(second)["lib/part06.txt"] == _offsets(first)["lib/part06.txt"]
    app.write("lib/part05.txt/inside.txt", app.bytes(900))
    (app.path / "lib/deep/er/small.txt").unlink()
    (app.path / "lib/deep/er").rmdir()
    app.write("lib/deep/er", b"now a file")
    third = app.build(second)
    app.check(third)
    for path in (app.path / "lib").glob("*.txt"):
        if path.is_file():
            path.unlink()
    fourth = app.build(third)
    app.check(fourth)
    assert len(fourth) <= _limit(app.build())


def test_a_chain_of_releases_stays_small_and_pays(app):
    pick = random.Random(3)
    data, previous_plain = app.build(room=True), app.build()
    written = plain_written = 0
    for release in range(24):
        for name in pick.sample(sorted(p.name for p in (app.path / "lib").glob("*.txt")), 2):
            app.insert("lib/" + name, pick.choice((1, 5, 9, 30, 60)), pick.randrange(1500))
        if release % 5 == 4:
            app.write(f"lib/extra{release}.txt", app.bytes(pick.randrange(200, 2500)))
        if release % 7 == 6:
            pick.choice(sorted((app.path / "lib").glob("part*.txt"))).unlink()
        before, data, plain = data, app.build(data), app.build()
        app.check(data)
        assert len(data) <= _limit(plain)
        written += romfs_layout.changed(before, data, 4096)
        plain_written += romfs_layout.changed(previous_plain, plain, 4096)
        previous_plain = plain
    assert 3 * written < 2 * plain_written, (written, plain_written)


def test_patches_in_place_lead_from_one_to_the_next(app):
    first = app.build()
    for name, more in (("lib/part01.txt", 1500), ("lib/part07.txt", 30)):
        app.insert(name, more)
        second = app.build(first)
        writer = delta.best(first, second, 2048, True, quick=True)
        assert decode(writer, first, len(second), 2048, True) == second
        first = second


def test_the_size_of_the_slot_is_kept(app):
    first = app.build()
    app.insert("lib/part03.txt", 40)
    plain = app.build()
    for size in (len(plain), len(plain) + 20, len(plain) + 600):
        data = app.build(first, size=size)
        app.check(data)
        assert len(data) <= size
        assert len(app.build(room=True, size=size)) <= size
    for options in ({"previous": first}, {"room": True}):
        with pytest.raises(ToolError, match="more than --size"):
            app.build(size=len(plain) - 2, **options)


def test_other_sectors_and_what_is_refused(app):
    first = app.build()
    app.insert("lib/part03.txt", 40)
    for block in (256, 2048, 8192):
        app.check(app.build(first, block=block))
    for options, message in (
        ({"previous": b""}, "not a ROMFS"),
        ({"previous": b"\xff" * 100}, "not a ROMFS"),
        ({"previous": first[:-1]}, "not a ROMFS"),
        ({"previous": first, "block": 1000}, "power of two"),
        ({"previous": first, "block": 128}, "power of two"),
        ({"previous": first, "format": "lfs2"}, "only a ROMFS"),
        ({"room": True, "format": "lfs2"}, "only a ROMFS"),
    ):
        with pytest.raises(ToolError, match=message):
            app.build(**options)


def test_a_damaged_previous_image_is_refused_or_does_no_harm(app):
    first = app.build()
    app.insert("lib/part11.txt", 10)
    damage = random.Random(5)
    refused = 0
    for _ in range(40):
        damaged = bytearray(first)
        for _ in range(3):
            # Where records begin, so that something comes of it.
            at = damage.choice(list(romfs.records(first))).start + damage.randrange(8)
            damaged[at % len(first)] = damage.randrange(256)
        try:
            app.check(app.build(bytes(damaged)))
        except ToolError as e:
            assert "ROMFS" in str(e)
            refused += 1
    assert refused > 5


def test_images_of_other_tools_as_previous_ones(app):
    app.write("lib/part00.txt", app.bytes(500))
    writer = VfsRomWriter()
    at = writer.mkdata((app.path / "main.txt").read_bytes())
    writer.mkdata(b"nobody's")
    writer.mkfile("main.txt", (3000, at))
    writer.mkfile("gone.txt", (8, at + 8))
    writer.opendir("lib")
    writer.mkfile("part00.txt", b"the first counts")
    writer.mkfile("part00.txt", b"the second does not")
    writer.closedir()
    writer.opendir("lib")
    writer.closedir()
    previous = bytes(writer.finalise())
    assert romfs_layout.Old.of(previous).contents["lib/part00.txt"] == b"the first counts"
    app.check(app.build(previous))


def test_folders_too_deep_are_refused():
    content = b""
    for _ in range(100):
        content = romfs.record(romfs.FOLDER, romfs.named("d") + content)
    data = romfs.image(content + b"\x01\x00" * (len(content) % 2), 6)
    with pytest.raises(ToolError, match="too deep"):
        list(romfs.records(data))


def test_metadata_in_a_file_is_skipped():
    inside = romfs.named("a") + romfs.record(9, b"a time") + romfs.record(romfs.VERBATIM, b"data")
    data = romfs.image(romfs.record(romfs.FILE, inside), 5)
    (found,) = romfs.records(data)
    assert data[found.offset : found.offset + found.size] == b"data"
    with pytest.raises(ToolError, match="damaged"):
        list(romfs.records(data.replace(b"\x02\x04data", b"\x09\x04data")))


def _micropython(data, tmp_path, more=""):
    path = tmp_path / "image"
    path.write_bytes(data)
    script = tmp_path / "read.py"
    script.write_text(_READ.format(path=str(path)) + more)
    done = subprocess.run([_MICROPYTHON, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_micropython_reads_them(app, tmp_path):
    """Padding of one byte and of more, room, pointers, data in a gap inside a folder."""
    data = app.build(room=True)
    shorter = (app.path / "lib/part03.txt").read_bytes()[1:]
    for change in (
        lambda: app.write("lib/part03.txt", shorter),
        lambda: app.insert("lib/part01.txt", 1500),
        lambda: app.write("lib/new.txt", app.bytes(1800)),
        lambda: app.insert("lib/part09.txt", 30),
    ):
        change()
        data = app.build(data)
        app.check(data)
        want = [
            "%s %d %d" % (f.name, f.size, sum(b * i for i, b in enumerate(_data(data, f))) % 65521)
            for f in image.describe(data)["files"]
        ]
        assert sorted(_micropython(data, tmp_path)) == sorted(want)
    old = romfs_layout.Old.of(data)
    assert old.apart
    assert any(r.kind == romfs.VERBATIM for r in old.folders["lib/"])


def _data(data, file):
    return data[file.offset : file.offset + file.size]


def test_micropython_imports_bytecode_that_lies_apart(tmp_path):
    app = Folder(tmp_path / "app")
    big = "\n".join(f"def f{i}(x):\n    return 'text {i}' + str(x * {i})\n" for i in range(80))
    for i in range(6):
        app.write(f"lib/mod{i}.py", big.encode())
    app.write("start.py", b"from mod1 import f7\nfrom mod5 import f8\nprint(f7(2), f8(3))\n")
    first = image.build(app.path, room=True)
    app.write("lib/mod1.py", (big + "\n" + big.replace("text", "longer text")).encode())
    second = image.build(app.path, previous=first)
    assert "lib/mod1.mpy" in romfs_layout.Old.of(second).apart
    (said,) = [
        line
        for line in _micropython(second, tmp_path, "import start")
        if not line.startswith(("lib/", "start.mpy"))
    ]
    assert said == "longer text 714 text 824"


def test_command(app, tmp_path, monkeypatch, capfd):
    out, folder = tmp_path / "out.img", str(app.path)
    assert cli.main(["image", folder, str(out), "--room"]) == 0
    first = out.read_bytes()
    assert first == app.build(room=True)
    www = tmp_path / "www"
    assert cli.main(["image", folder, str(out), "--previous", str(www)]) == 1
    publish.publish(www, first, publish.Release("lamp", "0.1"), [keys.generate("hmac")])
    app.insert("lib/part03.txt", 40)
    second = app.build(first)
    files.write(tmp_path / "first.img", first)
    for previous in (tmp_path / "first.img", www):
        assert cli.main(["image", folder, str(out), "--previous", str(previous)]) == 0
        assert out.read_bytes() == second
    assert "lib/part03.txt" in capfd.readouterr().out
    (tmp_path / "bare").mkdir()
    assert cli.main(["image", folder, str(out), "--previous", str(tmp_path / "bare")]) == 1
    assert "no image of 'app'" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["image", folder, str(out), "--room", "--previous", str(www)])
