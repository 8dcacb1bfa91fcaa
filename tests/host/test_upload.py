"""Packages first, then the manifest, in a folder, in memory, over SFTP; every way it may fail."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import asyncssh
import fsspec.core  # noqa: F401
import pytest
from images import KEY, PRODUCT, image
from otatool.cli import main
from otatool.errors import ToolError
from otatool.image import build as app_image
from otatool.release import destination as place
from otatool.release import publish, upload
from published import SIZE, Broken, Watched, release


class _Plain(asyncssh.SFTPServer):
    """A server without OpenSSH's extension, whose rename replaces nothing."""

    def posix_rename(self, oldpath, newpath):
        raise asyncssh.SFTPOpUnsupported("Operation unsupported")

    def rename(self, oldpath, newpath):
        if Path(os.fsdecode(self.map_path(newpath))).exists():
            raise asyncssh.SFTPFailure("Failure")
        return super().rename(oldpath, newpath)


@pytest.fixture(scope="module")
def sftp(tmp_path_factory):
    """URL of a folder of a real SFTP server; its password is part of it."""
    yield from _server(tmp_path_factory.mktemp("sftp"), asyncssh.SFTPServer)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The same without posix-rename."""
    yield from _server(tmp_path_factory.mktemp("plain"), _Plain)


def _server(folder, kind):
    loop = asyncio.new_event_loop()

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username):
            return True

        def password_auth_supported(self):
            return True

        def validate_password(self, username, password):
            return password == "secret"

    def factory(channel):
        return kind(channel, chroot=str(folder))

    async def start():
        return await asyncssh.create_server(
            Server,
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=factory,
        )

    server = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"sftp://user:secret@127.0.0.1:{server.get_port()}"
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(params=["folder", "file", "memory", "sftp", "plain"])
def url(request, tmp_path):
    """A place of each kind, empty."""
    if request.param == "folder":
        return str(tmp_path / "copy")
    if request.param == "file":
        return (tmp_path / "a copy").as_uri()
    if request.param == "memory":
        return "memory:/" + str(tmp_path)
    return request.getfixturevalue(request.param) + f"/{tmp_path.name}/lamp"


def same(url, folder):
    """True if the place holds what the folder's manifest says, bit for bit."""
    there, here = place.locate(url), upload.content(folder)
    return there.read(upload.MANIFEST) == here.manifest and all(
        there.read(name) == data for name, data in here.packages.items()
    )


def test_an_address_as_scp_takes_it_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ToolError, match="sftp://USER@HOST/PATH"):
        place.locate("deploy@server:/srv/lamp/www")
    (tmp_path / "a@b:c").mkdir()
    for folder in ("a@b:c", "./x@y:z", "C:/www", "www"):
        assert isinstance(place.locate(folder), place.Folder)


@pytest.mark.parametrize("text, words", [
    ("updates.example.com", "looks like a server"),
    ("updates.example.com/lamp/www", "looks like a server"),
    ("example.com:8000", "looks like a server"),
    ("192.168.1.7", "looks like a server"),
    ("192.168.1.7:8000/www", "looks like a server"),
    ("localhost:8000", "looks like a server"),
    ("s3:/bucket", "s3://bucket"),
    ("s3:bucket/x", "s3://bucket/x"),
    ("s3:", "s3://BUCKET"),
    ("sftp:/host/x", "sftp://host/x"),
    ("http://updates.example.com/lamp", "where devices download"),
    ("HTTPS://updates.example.com/lamp", "where devices download"),
])  # fmt: skip
def test_what_looks_like_an_address_is_no_folder(tmp_path, monkeypatch, capsys, text, words):
    monkeypatch.chdir(tmp_path)
    release(tmp_path / "www", 1)
    assert main(["upload", "www", text]) == 1
    assert words in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["www"]


def test_folders_of_such_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "updates.example.com").mkdir()
    for text in (
        "updates.example.com", "./other.example.com", "www", "www-0.2", "v1.2", "/srv/a.com",
        "C:/www", "../a.example.com", "my folder", str(tmp_path / "b.example.com"),
    ):  # fmt: skip
        assert isinstance(place.locate(text), place.Folder), text


def test_a_write_that_fails_leaves_no_part_behind(tmp_path, plain):
    there = place.locate(f"{plain}/{tmp_path.name}")
    there.put(upload.MANIFEST, b"old", "")
    there.put(upload.MANIFEST, b"new", "")
    assert there.read(upload.MANIFEST) == b"new"
    assert there._fs.ls(f"/{tmp_path.name}", detail=False) == [f"/{tmp_path.name}/manifest.ota"]
    real = there._fs.ftp.rename

    def full(old, new):
        if not (old + new).count(".old"):
            raise OSError("no room")
        real(old, new)

    there._fs.ftp.rename = full
    with pytest.raises(ToolError, match="no room"):
        there.put(upload.MANIFEST, b"newer", "")
    there._fs.ftp.rename = real
    # What was there before is back, and nothing beside it.
    assert there.read(upload.MANIFEST) == b"new"
    assert there._fs.ls(f"/{tmp_path.name}", detail=False) == [f"/{tmp_path.name}/manifest.ota"]


@pytest.mark.parametrize("change", [
    lambda d: d.replace(b"\n", b"\r\n"), lambda d: b"\xef\xbb\xbf" + d,
])  # fmt: skip
def test_a_manifest_copied_as_text_is_not_uploaded(tmp_path, change, capsys):
    www = tmp_path / "www"
    release(www, 1)
    manifest = www / upload.MANIFEST
    manifest.write_bytes(change(manifest.read_bytes()))
    assert main(["upload", str(www), str(tmp_path / "copy")]) == 1
    assert "altered by a copy" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


def test_a_store_that_changes_the_manifest_is_told(tmp_path):
    class Store(Watched):
        def put(self, name, data, cache):
            super().put(name, data + b"\r\n" if name == upload.MANIFEST else data, cache)

    release(tmp_path / "www", 1)
    there = Store(place.locate(str(tmp_path / "copy")))
    with pytest.raises(ToolError, match="does not read back"):
        upload.upload(there, upload.content(tmp_path / "www"))


def test_a_copy_grows_with_each_release(tmp_path, url):
    www = tmp_path / "www"
    there = Watched(place.locate(url))
    release(www, 1, places=[there])
    first = list(there.puts)
    assert first == [*upload.content(www).packages, upload.MANIFEST]
    assert same(url, www)
    done = release(www, 2, places=[there])
    second = there.puts[len(first) :]
    # A full package, a delta and one in place; the manifest comes last, old packages stay.
    assert len(second) == 4 and second[-1] == upload.MANIFEST
    assert not set(first[:-1]) & set(second)
    assert there.size(first[0]) is not None
    assert [d.place for d in done.done] == [str(www), there.label]
    assert [name for name, _ in done.done[1].written] == second
    assert same(url, www)
    again = upload.upload(there, upload.content(www))
    assert (again.written, len(again.kept)) == ([], 4)
    assert there.puts == first + second


def test_whoever_fails_the_old_manifest_stays_until_all_is_there(tmp_path, url):
    www = tmp_path / "www"
    release(www, 1, places=[place.locate(url)])
    old = upload.content(www).manifest
    release(www, 2)
    new = upload.content(www)
    for left in (0, 1, 1, 1, 0):
        there = Watched(place.locate(url), fails_at=left)
        with pytest.raises(Broken):
            upload.upload(there, new)
        assert len(there.puts) == left
        assert there.read(upload.MANIFEST) == old
    there = Watched(place.locate(url))
    upload.upload(there, new)
    assert there.puts == [upload.MANIFEST]
    assert same(url, www)


def test_a_package_that_was_cut_is_written_again(tmp_path, url):
    www = tmp_path / "www"
    release(www, 1)
    (name,) = upload.content(www).packages
    there = Watched(place.locate(url))
    there._place.put(name, b"half", "")
    upload.upload(there, upload.content(www))
    assert there.puts == [name, upload.MANIFEST]
    assert same(url, www)


class _Loses(Watched):
    # A store that says yes and keeps less, or something else.
    keeps = staticmethod(lambda data: data)

    def put(self, name, data, cache):
        if name != upload.MANIFEST:
            data = self.keeps(data)
        if data is not None:
            super().put(name, data, cache)


@pytest.mark.parametrize(
    "keeps, words",
    [
        (lambda data: None, "is not there"),
        (lambda data: data[:-1], "bytes, not"),
        (lambda data: data[:-1] + b"?", "has different bytes"),
        (lambda data: data[:50] + b"?" + data[51:], "has different bytes"),
    ],
    ids=["nothing", "less", "other", "inside"],
)
def test_a_manifest_never_names_what_cannot_be_read(tmp_path, url, keeps, words):
    release(tmp_path / "www", 1)
    there = _Loses(place.locate(url))
    there.keeps = keeps
    with pytest.raises(ToolError, match=words):
        upload.upload(there, upload.content(tmp_path / "www"))
    assert there.size(upload.MANIFEST) is None


def test_a_place_that_fails_leaves_no_trace_of_the_release(tmp_path):
    www = tmp_path / "www"
    release(www, 1, places=[place.locate("memory:/" + str(tmp_path))])
    old = (www / upload.MANIFEST).read_bytes()
    with pytest.raises(Broken):
        release(www, 2, places=[Watched(place.locate("memory:/" + str(tmp_path)), 2)])
    assert (www / upload.MANIFEST).read_bytes() == old
    there = Watched(place.locate("memory:/" + str(tmp_path)))
    # Another image of the same version is no contradiction: nobody has seen that release.
    release(www, 3, version="0.2", places=[there])
    assert json.loads(old.partition(b"\n")[0])["sequence"] == 1
    assert '"sequence":2' in there.read(upload.MANIFEST).decode()


def test_the_same_release_again_gets_a_new_manifest(tmp_path):
    for n in (1, 2):
        release(tmp_path, n)
    kinds = [row[:2] for row in release(tmp_path, 2).rows]
    assert kinds == [("full", ""), ("delta", "0.1"), ("in place", "0.1")]
    with pytest.raises(ToolError, match="0.2 is not newer than 0.2"):
        release(tmp_path, 3, version="0.2")
    with pytest.raises(ToolError, match="0.1 is not newer than 0.2"):
        release(tmp_path, 1)
    done = release(tmp_path, 3)
    assert done.sequence == 4
    assert [row[1] for row in done.rows] == ["", "0.2", "0.2", "0.1", "0.1"]


def test_a_history_in_a_private_place_does_without_the_folder(tmp_path, url):
    there = place.locate("memory:/" + str(tmp_path) + "/served")
    for n in (1, 2):
        www = tmp_path / f"runner {n}"
        done = release(www, n, places=[there], history=place.locate(url))
        assert not (www / ".history").exists()
        assert there.size(".history/history.json") is None
    assert [row[0] for row in done.rows] == ["full", "delta", "in place"]
    assert publish.latest(place.locate(url)) == image(2, SIZE)


def test_a_folder_that_lost_its_history_is_refused(tmp_path, url):
    there = Watched(place.locate(url))
    for n in (1, 2):
        release(tmp_path / "one", n, places=[there])
    puts = list(there.puts)
    for n in (1, 2):
        with pytest.raises(ToolError, match=f"has manifest 2, this would be {n}.*--history"):
            release(tmp_path / "other", n + 1, version=f"0.{n}", places=[there])
        release(tmp_path / "other", n + 1, version=f"0.{n}")
    with pytest.raises(ToolError, match="has manifest 2"):
        upload.upload(there, upload.content(tmp_path / "other"))
    assert there.puts == puts
    upload.upload(there, upload.content(tmp_path / "other"), force=True)
    assert same(url, tmp_path / "other")


def test_of_two_who_publish_at_once_the_second_is_refused(tmp_path):
    there = Watched(place.locate(tmp_path / "there"))
    quick = []

    def meanwhile(part):
        if not quick:
            quick.append(release(tmp_path / "two", 2, version="0.2", places=[there]))

    release(tmp_path / "one", 1, places=[there])
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with pytest.raises(ToolError, match="has manifest 2, this would be 2"):
        release(tmp_path / "one", 3, version="0.2", places=[there], progress=meanwhile)
    assert same(str(tmp_path / "there"), tmp_path / "two")
    assert b'"sequence":1,' in (tmp_path / "one" / upload.MANIFEST).read_bytes()


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"\xff", b"[" * 8000, b'{"product":"rig","sequence":1e999}', b" " * 9000],
)
def test_a_manifest_of_somebody_else_is_not_replaced(tmp_path, data):
    there = place.locate(tmp_path / "there")
    there.put(upload.MANIFEST, data, "")
    with pytest.raises(ToolError, match="--force"):
        release(tmp_path / "www", 1, places=[there])
    there.put(upload.MANIFEST, b'{"product":"heater","sequence":1}', "")
    with pytest.raises(ToolError, match="belongs to product 'heater'"):
        release(tmp_path / "www", 1, places=[there])


def test_a_damaged_folder_is_not_uploaded(tmp_path):
    release(tmp_path, 1)
    (package,) = (tmp_path / "packages").iterdir()
    good = package.read_bytes()
    for bad in (good[:-1], bytes([good[0] ^ 1]) + good[1:]):
        package.write_bytes(bad)
        with pytest.raises(ToolError, match="is damaged"):
            upload.content(tmp_path)
    package.unlink()
    with pytest.raises(ToolError, match="No such file"):
        upload.content(tmp_path)
    manifest = tmp_path / upload.MANIFEST
    text = manifest.read_text()
    manifest.write_text(text.replace("packages/", "../secret"))
    with pytest.raises(ToolError, match="names packages that publish did not"):
        upload.content(tmp_path)
    manifest.write_text("{}")
    with pytest.raises(ToolError, match="is not a manifest"):
        upload.content(tmp_path)


def test_a_write_that_breaks_off_over_sftp_leaves_the_old_file_whole(tmp_path, sftp, monkeypatch):
    release(tmp_path / "www", 1, places=[place.locate(f"{sftp}/{tmp_path.name}")])
    there = place.locate(f"{sftp}/{tmp_path.name}")
    old = there.read(upload.MANIFEST)
    whole = there._fs.pipe_file

    def half(path, data):
        whole(path, data[: len(data) // 2])
        raise OSError("the line is dead")

    monkeypatch.setattr(there._fs, "pipe_file", half)
    with pytest.raises(ToolError, match="manifest.ota: the line is dead"):
        there.put(upload.MANIFEST, b"new" * 100, "")
    assert there.read(upload.MANIFEST) == old
    monkeypatch.undo()
    there.put(upload.MANIFEST, b"new" * 100, "")
    assert there.read(upload.MANIFEST) == b"new" * 100
    assert there._fs.ls(f"/{tmp_path.name}") == [
        f"/{tmp_path.name}/manifest.ota",
        f"/{tmp_path.name}/packages",
    ]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """publish of image n by the command line: status."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.json").write_text(json.dumps(KEY))

    def run(n, *options):
        (tmp_path / f"{n}.img").write_bytes(image(n, SIZE))
        return main(
            ["publish", "www", f"{n}.img", "--product", PRODUCT, "--version", f"0.{n}",
             "--key", "key.json", "--quick", *options]
        )  # fmt: skip

    return run


def test_a_dry_run_writes_nothing_and_tells_what_it_would(tmp_path, command, url, capsys):
    there = place.locate(url)
    assert command(1, "--to", url, "--dry-run") == 0
    assert not (tmp_path / "www").exists()
    assert there.size(upload.MANIFEST) is None
    said = capsys.readouterr().out
    assert said.count("would be written") == 4
    assert "secret" not in said
    assert command(1, "--to", url) == 0
    assert command(2) == 0
    old = there.read(upload.MANIFEST)
    assert main(["upload", "www", url, "--dry-run"]) == 0
    assert there.read(upload.MANIFEST) == old
    assert capsys.readouterr().out.count("would be written") == 4
    assert main(["upload", "www", url]) == 0
    assert same(url, tmp_path / "www")
    assert main(["upload", "www", url]) == 0
    assert capsys.readouterr().out.count("already there") == 4


def test_commands_take_a_history_by_its_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.json").write_text(json.dumps(KEY))
    history = "memory:/" + str(tmp_path)
    app = tmp_path / "app"
    app.mkdir()
    (app / "text.txt").write_bytes(image(1, 9000))
    for n in (1, 2):
        (app / "main.py").write_text("".join(f"V{i} = {i}\n" for i in range(100 * n)))
        previous = ["--previous", history] if n > 1 else ["--room"]
        assert main(["image", "app", f"{n}.img", *previous]) == 0
        assert main(
            ["publish", f"www{n}", f"{n}.img", "--product", "lamp", "--version", f"0.{n}",
             "--key", "key.json", "--quick", "--history", history]
        ) == 0  # fmt: skip
    old, new = ((tmp_path / f"{n}.img").read_bytes() for n in (1, 2))
    assert new == app_image.build(app, previous=old) != app_image.build(app)
    assert b'"sequence":2,' in (tmp_path / "www2" / upload.MANIFEST).read_bytes()


def test_what_the_command_refuses(tmp_path, command, capsys):
    def refused(words, *options):
        assert command(1, *options) == 1
        assert words in capsys.readouterr().err
        assert not (tmp_path / "www").exists()

    refused("choose a private place", "--to", "memory://a/b", "--history", "memory://a/b/c")
    refused("Protocol not known", "--to", "nonsense://a")
    assert main(["publish", "memory://a", "1.img", "--product", "p", "--version", "1",
                 "--key", "key.json"]) == 1  # fmt: skip
    assert "give the URL with --to" in capsys.readouterr().err


@pytest.mark.parametrize(
    "scheme, missing, words",
    [
        ("s3", "s3fs", '"micropython-ota-tool[s3]"'),
        ("gcs", "gcsfs", '"micropython-ota-tool[gs]"'),
        ("ssh", "fsspec.implementations.sftp", '"micropython-ota-tool[sftp]"'),
        ("s3", "fsspec.core", '"micropython-ota-tool[s3]"'),
        ("dropbox", "dropboxdrivefs", "the driver that it names"),
    ],
)
def test_a_missing_driver_is_named(monkeypatch, scheme, missing, words):
    known = sys.modules["fsspec.registry"]._registry  # what earlier tests have loaded
    monkeypatch.delitem(known, scheme, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ToolError) as e:
        place.locate(f"{scheme}://user:secret@bucket/prefix")
    assert words in str(e.value) and "secret" not in str(e.value)


def test_local_publishing_needs_no_driver(tmp_path):
    code = "import sys\nfrom otatool import cli\ncli.parser()\nprint('fsspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_sftp_that_refuses_says_so_without_the_password(sftp):
    with pytest.raises(ToolError) as e:
        place.locate(sftp.replace("secret", "s3cret") + "/lamp")
    assert "user@127.0.0.1" in str(e.value) and "s3cret" not in str(e.value)
