"""The golden packages: none is lost or replaced, and together they have what the format has."""

import hashlib
import json
from pathlib import Path

import make_golden
from ota import package
from ota.package import chunks

FOLDER = Path(__file__).parents[1] / "vectors" / "golden"
ROWS = json.loads((FOLDER / "list.json").read_text())
# The list may only grow: its first rows, and what they are for ever.
FIRST = 26
DIGEST = "76a2456be4f1b40ca584631c093b3b49ad726679a56e75494100ce52f3498965"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def parts(name):
    """(header, package's bytes) of each package of a file: it, and its way back."""
    data = (FOLDER / (name + ".ota")).read_bytes()
    while data:
        h = package.parse(data[: sum(package.lengths(data))])
        yield h, data
        data = data[h.size :]


def restarts(h, data):
    """How many chunks begin anew, by the chunks' heads."""
    at, found = h.length, 0
    while at < h.size:
        found += bool(data[at + 2] & chunks.RESTART)
        at += chunks.CHUNK + int.from_bytes(data[at : at + 2], "little")
    assert at == h.size
    return found


def test_the_list_only_grows():
    assert sha256(json.dumps(ROWS[:FIRST], sort_keys=True).encode()) == DIGEST
    names = [row["name"] for row in ROWS]
    assert len(set(names)) == len(names)
    files = {f"{n}.ota" for n in names} | {r["old"] for r in ROWS if "old" in r} | {"list.json"}
    assert {p.name for p in FOLDER.iterdir()} == files


def test_the_script_would_make_the_same_images():
    rows = {row["name"]: row for row in ROWS}
    made = list(make_golden.packages())
    assert len(made) == FIRST
    for name, old, new, _ in made:
        assert sha256(new) == rows[name]["image"]
        if old is not None:
            assert sha256(old) == rows[name]["base"]


def test_everything_that_the_format_has_is_there():
    all_parts = [part for row in ROWS for part in parts(row["name"])]
    heads = [h for h, _ in all_parts]
    assert {h.encoding for h in heads} == {package.FULL, package.PATCH}
    assert {h.wbits for h in heads} >= {9, 10, 12, 15}
    assert {h.block_size for h in heads} >= {256, 512, 1024, 2048, 4096}
    patches = [h for h in heads if h.encoding == package.PATCH]
    kinds = {(h.pointers[0] if h.pointers else 0, h.ordered) for h in patches}
    assert kinds == {(kind, ordered) for kind in range(4) for ordered in (False, True)}
    stashed = {h.pointers[0] if h.pointers else 0 for h in patches if h.stash}
    assert stashed == {0, 1, 2, 3}
    assert any(h.stash[1] > 4 for h in patches if h.stash)
    again = [h for h, data in all_parts if restarts(h, data) > 2]
    assert {(h.pointers[0] if h.pointers else 0, h.ordered) for h in again} == kinds
    assert sum(bool(h.reverse_size) for h in heads) >= 12
