"""What is written: a device, a pipe or a link stays what it is, permissions stay, and a failure
leaves what was there."""

import os
import stat
import threading

import pytest
from otatool import files
from otatool.errors import ToolError


def _mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_file_has_what_the_umask_leaves(tmp_path, mask):
    old = os.umask(mask)
    try:
        files.write(tmp_path / "a", b"x")
        files.write(tmp_path / "secret", b"x", private=True)
    finally:
        os.umask(old)
    assert (_mode(tmp_path / "a"), _mode(tmp_path / "secret")) == (0o666 & ~mask, 0o600)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_an_existing_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "a"
    path.write_bytes(b"before")
    path.chmod(mode)
    files.write(path, "after")
    assert (path.read_bytes(), _mode(path)) == (b"after", mode)
    files.write(path, b"secret", private=True)
    assert _mode(path) == 0o600
    files.write(path, b"public", 0o644)
    assert _mode(path) == 0o644


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    target, link, chain = tmp_path / "far" / "target", tmp_path / "link", tmp_path / "chain"
    target.write_bytes(b"before")
    target.chmod(0o640)
    link.symlink_to("far/target")
    chain.symlink_to(link)
    files.write(chain, b"after")
    assert link.is_symlink() and chain.is_symlink()
    assert (target.read_bytes(), _mode(target)) == (b"after", 0o640)
    dangling = tmp_path / "dangling"
    dangling.symlink_to("far/new")
    files.check_output(dangling)
    files.write(dangling, b"new")
    assert dangling.is_symlink() and (tmp_path / "far" / "new").read_bytes() == b"new"


def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    files.write(pipe, b"through it")
    reader.join(10)
    assert got == [b"through it"]
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_a_device_is_written_to(tmp_path):
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    files.write(null, b"gone")
    assert null.is_symlink() and stat.S_ISCHR(os.stat(null).st_mode)
    primary, secondary = os.openpty()
    try:
        name = os.ttyname(secondary)
        files.write(name, b"to a terminal")
        assert os.read(primary, 100) == b"to a terminal"
        assert stat.S_ISCHR(os.stat(name).st_mode)
    finally:
        os.close(primary)
        os.close(secondary)


def test_a_redirection_is_not_replaced(tmp_path):
    path = tmp_path / "redirected"
    with path.open("wb") as f:
        inode = os.fstat(f.fileno()).st_ino
        files.write(f"/dev/fd/{f.fileno()}", b"into it")
        assert (path.read_bytes(), path.stat().st_ino) == (b"into it", inode)


def test_what_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, words in (
        (tmp_path / "folder", "a folder"),
        (tmp_path / "none" / "x", "check the folder"),
        ("a\0b", "is not a file name"),
    ):
        for attempt in (files.check_output, lambda p: files.write(p, b"x")):
            with pytest.raises(ToolError, match=words):
                attempt(path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(ToolError, match="loop"):
        files.write(loop, b"x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "loop"]


def test_a_failure_leaves_the_file(tmp_path, monkeypatch):
    path = tmp_path / ("n" * 250)  # as long as names may be
    files.write(path, b"before")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(ToolError, match="full"):
        files.write(path, b"after")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"before"]


def test_an_output_that_is_an_input(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"x")
    two.symlink_to(one)
    for out, inputs in ((one, [one]), (two, [one]), (one, ["/dev/null", two])):
        with pytest.raises(ToolError, match="also an input"):
            files.check_output(out, *inputs)
    files.check_output(one, tmp_path / "none")
    files.check_output("/dev/null", "/dev/null")


def test_secrets_that_others_can_read(tmp_path):
    path = tmp_path / "key"
    assert not files.exposed(path)
    path.write_bytes(b"x")
    for mode, seen in ((0o600, False), (0o400, False), (0o640, True), (0o604, True)):
        path.chmod(mode)
        assert files.exposed(path) is seen
    assert not files.exposed("/dev/null")
