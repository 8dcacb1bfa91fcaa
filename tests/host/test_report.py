"""otatool diff --report, otatool show of a patch: every byte of the payload finds its place."""

import copy
import dataclasses
import functools
import random
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

import code_images
import images
import numpy as np
import packer
import pytest
from otatool import cli
from otatool.errors import ToolError
from otatool.image import build as image
from otatool.inspect import picture, report, show
from otatool.patch.covers import Segment
from otatool.patch.pointers.thumb import Thumb
from otatool.release import diff
from otatool.release import package as build
from test_delta_encoder import firmware, relinked

# One worker makes each patch once, and all tests of this file take it from there.
pytestmark = pytest.mark.xdist_group("report")

CODE = firmware(5, 30000)
THUMB = code_images.thumb(3, 40000, 0)
TEXT = images.image(1, 20000)


def romfs(files):
    """An application image of {path: content}."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        return image.build(folder, mpy=False)


TALE = b"".join(b"line %d of a tale\n" % (i * i) for i in range(600))
APP = {"lib/a.py": TALE, "lib/b.py": CODE[:5000], "main.py": TEXT[:3000]}
APP_OLD = romfs(APP)
APP_NEW = romfs({**APP, "lib/b.py": CODE[:2000] + bytes(range(256)) + CODE[2400:5000]})

PAIRS = {
    "few edits": (CODE, CODE[:9000] + b"xyz" + CODE[9003:], {}),
    "moved": (CODE, CODE[:3000] + bytes(range(200)) + CODE[3000:], {}),
    "corrected": (CODE, relinked(CODE), {}),
    "text": (TEXT, images.image(2, 20000), {"sector": 1024}),
    "thumb": (THUMB, code_images.moved(Thumb, THUMB, 0, 9000, 52), {}),
    "nothing alike": (CODE, random.Random(1).randbytes(20000), {}),
    "shorter": (CODE, CODE[:10000], {}),
    "one byte": (b"a", b"b", {}),
    "files": (APP_OLD, APP_NEW, {}),
    "small blocks": (TEXT, images.image(3, 20000), {"sector": 256}),
}


@functools.cache
def taken_apart(name, in_place=False):
    """(report, summary, patch) of a pair."""
    old, new, options = PAIRS[name]
    data, summary = diff.make(old, new, in_place=in_place, **options)
    return report.explain(data, old), summary, data


def drawn(r):
    return picture.draw(r, "patch", "old.bin", "new.bin")


def words(svg):
    """All text of a picture, also what a pointer shows."""
    return [e.text for e in ET.fromstring(svg).iter() if e.text]


def kinds(r):
    return np.bincount(r.kinds, minlength=len(report.KINDS)).tolist()


@pytest.mark.parametrize("in_place", (False, True))
@pytest.mark.parametrize("name", PAIRS)
def test_everything_sums_up(name, in_place):
    r, s, _ = taken_apart(name, in_place)
    rows, parts = report.rows(r), report.parts(r)
    assert sum(row.payload for row in rows) == s.payload
    assert sum(part.payload for part in parts) == s.payload
    assert sum(row.bytes for row in rows) == s.image
    assert [sum(row.kinds) for row in rows] == [row.bytes for row in rows]
    assert [sum(x) for x in zip(*(row.kinds for row in rows), strict=True)] == kinds(r)
    assert min(row.payload for row in rows) >= 0
    # The segments fill the image, in turn.
    assert [x.new for x in r.segments[1:]] == [x.new + x.length for x in r.segments[:-1]]
    assert r.segments[0].new == 0 and sum(x.length for x in r.segments) == s.image


@pytest.mark.parametrize("in_place", (False, True))
@pytest.mark.parametrize("name", PAIRS)
def test_it_is_what_the_patch_was_made_of(name, in_place):
    r, s, _ = taken_apart(name, in_place)
    assert kinds(r)[report.LITERAL] == s.literal
    assert kinds(r)[report.CORRECTED] == s.corrected
    assert r.counts[report.COPIES] == s.copies
    assert r.counts[report.HEADS] == s.written
    old, new, _ = PAIRS[name]
    for piece in r.segments:
        span = slice(piece.new, piece.new + piece.length)
        for kind in (report.SAME, report.MOVED):
            at = np.flatnonzero(r.kinds[span] == kind)
            if len(at):
                assert (piece.old == piece.new) == (kind == report.SAME)
                was = np.frombuffer(old, np.uint8)[at + piece.old]
                assert (was == np.frombuffer(new, np.uint8)[at + piece.new]).all()


def test_kinds_of_bytes():
    assert kinds(taken_apart("few edits")[0])[report.MOVED] == 0
    r, _, _ = taken_apart("moved")
    assert kinds(r)[report.SAME] == pytest.approx(3000, abs=8)
    assert kinds(r)[report.MOVED] > 26000
    assert kinds(taken_apart("corrected")[0])[report.CORRECTED] > 100
    r, _, _ = taken_apart("thumb")
    assert r.header.pointers and r.counts[report.TABLE]
    assert kinds(r)[report.REWRITTEN] > 500
    assert [x.payload > 0 for x in report.parts(r) if x.name == "tables"] == [True]
    r, _, _ = taken_apart("nothing alike")
    assert kinds(r)[report.LITERAL] > 19000


def test_without_the_old_image_all_but_rewritten_pointers_is_known():
    for name in ("thumb", "corrected", "files"):
        full, _, data = taken_apart(name)
        r = report.explain(data)
        assert not r.complete and full.complete
        assert r.segments == full.segments and r.counts == full.counts
        known = full.kinds != report.REWRITTEN
        assert (r.kinds[known] == full.kinds[known]).all()
        assert not (r.kinds == report.REWRITTEN).any()
        assert [row.name for row in report.rows(r)][0].startswith("0x000000-")
        ET.fromstring(drawn(r))


def test_files_pay_for_themselves():
    for in_place in (False, True):
        rows = {row.name: row for row in report.rows(taken_apart("files", in_place)[0])}
        assert list(rows) == [
            report.DIRECTORY, "lib/a.py", "lib/b.py", "main.py", report.CHUNKS, report.DEFLATE,
        ]  # fmt: skip
        assert rows["lib/a.py"].bytes == len(TALE)
        assert rows["lib/a.py"].kinds[report.LITERAL] == 0
        assert rows["lib/b.py"].kinds[report.LITERAL] > 200
        others = rows["lib/a.py"].payload + rows["main.py"].payload
        assert rows["lib/b.py"].payload > 200 > 10 * others


def test_ranges_in_which_nothing_differs_are_joined():
    rows = report.rows(taken_apart("few edits")[0])
    assert [row.name for row in rows[:3]] == [
        "0x000000-0x001fff", "0x002000-0x002fff", "0x003000-0x00752f",
    ]  # fmt: skip
    assert rows[0].payload + rows[2].payload < rows[1].payload
    r, s, _ = taken_apart("small blocks")
    assert s.blocks > report.RANGES >= len(report.rows(r)) - 2 > 10


def test_shares_are_whole_and_what_costs_nothing_stays_nothing():
    r = random.Random(4)
    for _ in range(200):
        bits = [r.choice((0, r.random() * 30)) for _ in range(r.randrange(1, 40))]
        total = round(sum(bits) / 8)
        shares = report.whole(bits, total)
        assert sum(shares) == total and min(shares) >= 0
        assert all(not s for s, b in zip(shares, bits, strict=True) if not b)
        assert all(abs(s - b / 8) <= 1 for s, b in zip(shares, bits, strict=True))


def test_a_stash_is_told_apart():
    new = CODE[12288:] + CODE[:12288]
    data = build.patch(CODE, new, build.Meta("p", "0.2"), (), in_place=True, spare=16384).data
    r = report.explain(data, CODE)
    assert r.header.stash and r.counts[report.TABLE] == r.header.stash[1]
    assert kinds(r)[report.MOVED] > 29000
    assert sum(part.payload for part in report.parts(r)) == r.payload
    assert any(part.name == "tables" and part.payload for part in report.parts(r))
    ET.fromstring(drawn(r))


def test_only_patches_of_a_size_are_taken_apart(monkeypatch):
    old, new, _ = PAIRS["moved"]
    data = diff.make(old, new)[0]
    with pytest.raises(ToolError, match="full image"):
        report.explain(build.full(new, build.Meta("p", "0.1"), ()).data)
    with pytest.raises(ToolError, match="another old image"):
        report.explain(data, old[:-1])
    for broken in (b"", data[:20], data[:-1], data[:-1] + b"?", new):
        for base in (None, old):
            with pytest.raises(ToolError):
                report.explain(broken, base)
    monkeypatch.setattr(report, "SIZE_MAX", len(new) - 1)
    with pytest.raises(ToolError, match="too large"):
        report.explain(data, old)
    # What else there is to say of it is still said.
    assert "copies" not in dict(show.show(data)[0].rows)


def test_hostile_streams_are_refused_or_add_up():
    # Not signed, so that anything may stand in the stream behind a right chain.
    old, new, _ = PAIRS["small blocks"]
    r = random.Random(8)
    good = _stream(diff.make(old, new, sector=256)[0])
    refused = 0
    for _ in range(300):
        body = bytearray(good)
        for _ in range(r.choice((1, 1, 2, 5))):
            body[r.randrange(min(len(body), 400))] = r.randrange(256)
        if r.random() < 0.2:
            del body[r.randrange(len(body)) :]
        p = packer.Package(new, old, block=256)
        p.meta_max = 4096
        blocks = -(-len(new) // 256)
        p.chunks = [packer.Chunk(bytes(body), blocks, len(body), 0, True, True)]
        try:
            found = report.explain(p.data())
        except ToolError:
            refused += 1
            continue
        assert sum(row.payload for row in report.rows(found)) == found.payload
        assert sum(row.bytes for row in report.rows(found)) == len(new)
        ET.fromstring(drawn(found))
    assert 100 < refused < 300


def _stream(data):
    h = show.fmt.parse(data[: sum(show.fmt.lengths(data))])
    return report._inflated(report._stored(h, data)[0], h.wbits)


@pytest.mark.parametrize("in_place", (False, True))
@pytest.mark.parametrize("name", PAIRS)
def test_the_picture_is_one_file_and_always_the_same(name, in_place):
    r, s, data = taken_apart(name, in_place)
    svg = drawn(r)
    assert svg == drawn(report.explain(data, PAIRS[name][0]))
    root = ET.fromstring(svg)
    tags = {e.tag.rpartition("}")[2] for e in root.iter()}
    assert tags <= {"svg", "title", "g", "rect", "path", "text"}
    assert not any("href" in k or "url(" in v for e in root.iter() for k, v in e.attrib.items())
    assert "nan" not in svg and "inf" not in svg
    assert len(svg) < 300_000
    assert f"old image, {len(PAIRS[name][0]):,} B; white: not copied" in words(svg)
    height = float(root.get("height"))
    for e in root.iter():
        if e.tag.endswith("text"):
            assert 0 <= float(e.get("x")) <= 1200 and 0 < float(e.get("y")) < height


def test_names_are_escaped():
    names = ("a<b&\"c'.txt", "]]>.txt", "<!--.txt", "z.txt")
    old, new = (romfs(dict.fromkeys(names, TEXT[i : i + 900])) for i in (0, 1))
    # A name that no tool of ours would write.
    old, new = (x.replace(b"z.txt", b"z\x01\x1b\x7ft") for x in (old, new))
    data, _ = diff.make(old, new)
    r = report.explain(data, old)
    named = [row.name for row in report.rows(r)]
    assert set(names[:3]) < set(named) and "z\ufffd\ufffd\ufffdt" in named
    svg = picture.draw(r, "<&\ud800\x00>", 'o"<ld', "n&ew")
    said = words(svg.encode().decode())
    for name in (*names[:3], "z\ufffd\ufffd\ufffdt"):
        assert any(w.startswith(name + "  ") for w in said)
    assert {"<&\ufffd\ufffd>", 'o"<ld', "n&ew"} <= set(said)


def test_files_of_odd_images():
    assert report.files(CODE) == []
    assert report.files(APP_NEW[:-1]) == []  # damaged
    spans = report.files(APP_NEW + bytes(500))
    assert spans[-1] == report.Span(len(APP_NEW), len(APP_NEW) + 500, report.REST, False)
    assert [s.start for s in spans[1:]] == [s.end for s in spans[:-1]]
    assert spans[0].start == 0


def test_many_files_and_many_moves_stay_readable():
    r, _, _ = taken_apart("corrected")
    rand = random.Random(3)
    size = 600_000
    pieces = [Segment(at, 30, rand.randrange(size)) for at in range(0, size, 30)]
    files = [
        report.Span(at, at + 1000, f"some/file/of/many{at}.py") for at in range(0, size, 1000)
    ]
    h = copy.copy(r.header)
    h.image_size, h.base_size = size, size + 30
    made = dataclasses.replace(
        r, header=h, segments=pieces, kinds=np.ones(size, np.uint8), old_files=files,
        new_files=files,
    )  # fmt: skip
    svg = drawn(made)
    assert len(svg) < 1_000_000
    places = [float(e.get("x")) for e in ET.fromstring(svg).iter() if e.get("transform")]
    assert 50 < len(places) < 200
    upper = places[: len(places) // 2]
    assert min(b - a for a, b in zip(upper, upper[1:], strict=False)) > 16
    assert 0 < min(places) and max(places) < 1200


# -- the commands -----------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in a folder with old.bin and new.bin; give (exit status, output)."""
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.bin").write_bytes(APP_OLD)
    (tmp_path / "new.bin").write_bytes(APP_NEW)

    def call(*words):
        try:
            status = cli.main([*words])
        except SystemExit as e:
            status = e.code
        said = capsys.readouterr()
        return status, said.out + said.err

    call.folder = tmp_path
    return call


def table(said, name):
    """The cells of the row of that name."""
    (line,) = (x for x in said.splitlines() if x.startswith(f"\u2502 {name} "))
    return [cell.strip() for cell in line.strip("\u2502").split("\u2502")]


def test_diff_reports(run):
    status, said = run("diff", "old.bin", "new.bin", "p", "--report")
    assert status == 0, said
    assert (run.folder / "p").read_bytes() == diff.make(APP_OLD, APP_NEW)[0]
    svg = (run.folder / "p.svg").read_text()
    assert "p: old.bin \u2192 new.bin" in words(svg)
    r = report.explain((run.folder / "p").read_bytes(), APP_OLD)
    total = table(said, "total")
    assert total[1] == str(len(APP_NEW)) and total[-2:] == [str(r.payload), "100.0 %"]
    assert [int(x) for x in total[2:-2]] == [n for k, n in enumerate(kinds(r)) if k != 2]
    assert table(said, "lib/b.py")[1] == str(len(APP["lib/b.py"]) - 144)
    assert "p.svg" in said
    assert run("diff", "old.bin", "new.bin", "q", "--in-place", "--report", "r.svg")[0] == 0
    assert (run.folder / "r.svg").exists() and not (run.folder / "q.svg").exists()
    assert run("diff", "old.bin", "new.bin", "s")[0] == 0
    assert not (run.folder / "s.svg").exists()


@pytest.mark.parametrize(
    "words, hint",
    (
        (("diff", "old.bin", "new.bin", "p", "--report", "new.bin"), "must end in .svg"),
        (("diff", "old.bin", "new.bin", "p", "--report", "nowhere/p.svg"), "check the folder"),
        (("show", "good", "--report", "good"), "must end in .svg"),
        (("show", "good", "--old", "new.bin", "--report", "p.svg"), "another old image"),
        (("show", "good", "--old", "missing.bin"), "missing.bin"),
        (("show", "full", "--old", "old.bin"), "full image"),
    ),
)
def test_refusals_write_nothing(run, words, hint):
    (run.folder / "good").write_bytes(diff.make(APP_OLD, APP_NEW)[0])
    (run.folder / "full").write_bytes(build.full(APP_NEW, build.Meta("p", "0.1"), ()).data)
    before = {p.name: p.read_bytes() for p in run.folder.iterdir()}
    status, said = run(*words)
    assert status == 1 and hint in said
    assert {p.name: p.read_bytes() for p in run.folder.iterdir()} == before


def test_show_tells_what_a_patch_is_made_of(run):
    data, s = diff.make(APP_OLD, APP_NEW, "0.1", "0.2")
    (run.folder / "p").write_bytes(data)
    status, said = run("show", "p")
    assert status == 0
    for part in report.parts(report.explain(data)):
        assert f"  {part.name:16} {part.count}, {part.payload} bytes" in said
    assert f"bytes for {s.literal} of the image" in said
    assert f"bytes for {s.copied} of the image" in said
    assert "lib/b.py" not in said and "where the payload goes" not in said
    status, said = run("show", "p", "--old", "old.bin", "--report", "out.svg")
    assert status == 0 and table(said, "total")[-2] == str(s.payload)
    assert table(said, "lib/a.py") and "old.bin" in words((run.folder / "out.svg").read_text())
    status, said = run("show", "p", "--report", "out.svg")
    assert status == 0 and table(said, "total")[-2] == str(s.payload)
    assert {"0.1", "0.2"} <= set(words((run.folder / "out.svg").read_text()))


def test_show_of_a_patch_with_its_way_back():
    meta, back = (build.Meta("p", version) for version in ("0.2", "0.1"))
    made = build.patch(APP_OLD, APP_NEW, meta, (), in_place=True, reverse=back)
    sections = show.show(made.data)
    assert len(sections) == 2
    for section, data, old in zip(
        sections, (made.data, made.data[-report.explain(made.data).header.reverse_size :]),
        (APP_OLD, APP_NEW), strict=True,
    ):  # fmt: skip
        r = report.explain(data, old)
        copies = report.parts(r)[0]
        assert dict(section.rows)["copies"] == (
            f"{copies.count}, {copies.payload} bytes for {copies.bytes} of the image"
        )
