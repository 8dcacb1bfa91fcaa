"""otatool diff and otatool patch."""

import random
import subprocess
import sys

import pytest
from ota import package as header
from otatool import cli
from otatool.errors import ToolError
from otatool.patch import payload, stream
from otatool.release import diff
from otatool.release import package as build
from test_delta_encoder import firmware, relinked

OLD = firmware(21, 30000)
NEW = relinked(OLD, 9000, 60)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in a folder with old.bin and new.bin; give (exit status, output)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.bin").write_bytes(OLD)
    (tmp_path / "new.bin").write_bytes(NEW)

    def call(*words):
        try:
            status = cli.main([*words])
        except SystemExit as e:
            status = e.code
        said = capsys.readouterr()
        return status, said.out + said.err

    call.folder = tmp_path
    return call


def parse(data):
    return header.parse(data[: sum(header.lengths(data))])


@pytest.mark.parametrize(
    "options, block, ordered",
    (
        ((), 4096, False),
        (("-v", "-b", "2048", "-n", "0.2", "-o", "0.1"), 2048, False),
        (("-b", "0x800", "--in-place"), 2048, True),
        (("-s", "-b", "2k"), 2048, False),
        (("-b", "2K", "-s", "-v", "--in-place"), 2048, True),
        (("-b", "64"), 256, False),
        (("-b", "128k"), 4096, False),
        (("--in-place", "-b", "64"), 256, True),
    ),
)
def test_there_and_back_again(run, options, block, ordered):
    status, said = run("diff", *options, "old.bin", "new.bin", "patch.bin")
    assert status == 0, said
    data = (run.folder / "patch.bin").read_bytes()
    h = parse(data)
    assert (h.block_size, h.ordered, h.encoding) == (block, ordered, header.PATCH)
    assert (h.base_size, h.image_size) == (len(OLD), len(NEW))
    assert header.lengths(data)[1] == 0  # not signed
    assert f"{len(data)} bytes" in said
    assert run("patch", "old.bin", "patch.bin", "made.bin")[0] == 0
    assert (run.folder / "made.bin").read_bytes() == NEW


def test_versions_are_in_the_header(run):
    assert run("diff", "-n", "0.2", "-o", "0.1", "old.bin", "new.bin", "p")[0] == 0
    h = parse((run.folder / "p").read_bytes())
    assert (h.version, h.base_version) == ("0.2", "0.1")
    assert run("diff", "old.bin", "new.bin", "p")[0] == 0
    h = parse((run.folder / "p").read_bytes())
    assert (h.version, h.base_version) == ("0.0", "0.0")


@pytest.mark.parametrize("in_place", (False, True))
@pytest.mark.parametrize("size", (2048, 8191, 8193, 1))
def test_whole_and_broken_numbers_of_blocks(size, in_place):
    for old, new in ((OLD, NEW[:size]), (OLD[:size], NEW)):
        data, s = diff.make(old, new, sector=2048, in_place=in_place)
        assert build.decode(data, old) == new
        assert s.blocks == -(-len(new) // 2048)


def test_a_shortened_image_in_place():
    data, s = diff.make(OLD, OLD[:10000], in_place=True)
    assert build.decode(data, OLD) == OLD[:10000]
    assert (s.written, s.unchanged) == (1, 3)


def test_table_tells_of_the_patch(run):
    status, said = run("diff", "-v", "old.bin", "new.bin", "p")
    assert status == 0
    _, s = diff.make(OLD, NEW)
    assert s.copied + s.literal == s.image == len(NEW)
    assert s.patch < s.full and s.payload < s.patch
    for name, value in (("full package", s.full), ("literal", s.literal), ("copies", s.copies)):
        assert any(name in line and str(value) in line for line in said.splitlines())
    assert "full package" not in run("diff", "old.bin", "new.bin", "p")[1]


def test_unchanged_blocks_are_counted_and_left_out():
    new = OLD[:9000] + b"xyz" + OLD[9003:]
    _, s = diff.make(OLD, new, in_place=True)
    assert (s.blocks, s.unchanged, s.written) == (8, 7, 1)


@pytest.mark.parametrize(
    "words, status, hint",
    (
        (("-b", "3000", "old.bin", "new.bin"), 2, "power of two"),
        (("-b", "0", "old.bin", "new.bin"), 2, "power of two"),
        (("-b", "2q", "old.bin", "new.bin"), 2, "power of two"),
        (("-b", "-2048", "old.bin", "new.bin"), 2, ""),
        (("-b", "010", "old.bin", "new.bin"), 2, "power of two"),
        (("--in-place", "-b", "8192", "old.bin", "new.bin"), 1, "without --in-place"),
        (("-n", "v2", "old.bin", "new.bin"), 1, "dotted integers"),
        (("-o", "1..2", "old.bin", "new.bin"), 1, "dotted integers"),
        (("old.bin", "old.bin"), 1, "equal"),
        (("old.bin", "empty.bin"), 1, "new image is empty"),
        (("empty.bin", "new.bin"), 1, "old image is empty"),
        (("missing.bin", "new.bin"), 1, "missing.bin"),
    ),
)
def test_refusals_leave_the_old_file(run, words, status, hint):
    (run.folder / "empty.bin").write_bytes(b"")
    (run.folder / "patch.bin").write_bytes(b"before")
    files = sorted(p.name for p in run.folder.iterdir())
    got, said = run("diff", *words, "patch.bin")
    assert got == status
    assert hint in " ".join(said.split())
    assert (run.folder / "patch.bin").read_bytes() == b"before"
    assert sorted(p.name for p in run.folder.iterdir()) == files


def test_a_folder_that_is_not_there(run):
    status, said = run("diff", "old.bin", "new.bin", "nowhere/patch.bin")
    assert status == 1 and "nowhere" in said


def test_a_patch_that_does_not_decode_is_not_written(run, monkeypatch):
    serialise = stream.serialise

    def wrong(*args):
        parts, after = serialise(*args)
        return parts._replace(values=bytes(b ^ 1 for b in parts.values)), after

    monkeypatch.setattr(payload, "serialise", wrong)
    status, said = run("diff", "old.bin", "new.bin", "patch.bin")
    assert status == 1 and said
    assert not (run.folder / "patch.bin").exists()


def test_patch_refuses_another_base_and_broken_files(run):
    assert run("diff", "old.bin", "new.bin", "p")[0] == 0
    good = (run.folder / "p").read_bytes()
    (run.folder / "made.bin").write_bytes(b"before")
    (run.folder / "other.bin").write_bytes(OLD[:-1] + b"?")
    status, said = run("patch", "other.bin", "p", "made.bin")
    assert status == 1 and "another old image" in said
    r = random.Random(1)
    broken = [b"", good[:5], good[:100], good[:-1], OLD]
    for _ in range(60):
        at = r.randrange(len(good))
        broken.append(good[:at] + bytes([good[at] ^ 1 << r.randrange(8)]) + good[at + 1 :])
    for data in broken:
        (run.folder / "p").write_bytes(data)
        status, said = run("patch", "old.bin", "p", "made.bin")
        made = (run.folder / "made.bin").read_bytes()
        # Nothing is signed: a bit in a version is as good as any other version.
        assert (status, made) in ((1, b"before"), (0, NEW)), said
        (run.folder / "made.bin").write_bytes(b"before")


def test_sector_sizes_in_words():
    for text, size in (
        ("2048", 2048),
        ("0x800", 2048),
        ("2k", 2048),
        ("0X1000", 4096),
        ("1M", 1 << 20),
    ):
        assert diff.parse_sector(text) == size
    for text in ("", "k", "0x", "1.5k", "2kk", "2 k", "08", "\u0662"):
        with pytest.raises(ToolError):
            diff.parse_sector(text)


def test_help(run):
    for command in ("diff", "patch"):
        status, said = run(command, "-h")
        assert status == 0 and "usage" in said


def test_as_a_program(run):
    code = "import sys; from otatool import cli; sys.exit(cli.main())"
    for words, status in ((("new.bin", "p"), 0), (("old.bin", "q"), 1)):
        done = subprocess.run(
            [sys.executable, "-c", code, "diff", "old.bin", *words], capture_output=True
        )
        assert done.returncode == status
    assert not (run.folder / "q").exists()


def test_spare_flash_saves_what_would_be_lost(run):
    parts = [OLD[i : i + 4096] for i in range(0, len(OLD) // 4096 * 4096, 4096)]
    (run.folder / "turned.bin").write_bytes(b"".join(parts[2:] + parts[:2]))
    sizes = {}
    for spare in ("0", "4k", "8192"):
        args = ("--in-place", "--spare", spare, "old.bin", "turned.bin", "p")
        assert run("diff", *args)[0] == 0
        sizes[spare] = (run.folder / "p").stat().st_size
        assert run("patch", "old.bin", "p", "made.bin")[0] == 0
        made = (run.folder / "made.bin").read_bytes()
        assert made == (run.folder / "turned.bin").read_bytes()
    assert sizes["8192"] < sizes["4k"] < sizes["0"]
    for wrong in ("-1", "8x", "010", ""):
        assert run("diff", "--in-place", "--spare", wrong, "old.bin", "turned.bin", "q")[0] == 2
