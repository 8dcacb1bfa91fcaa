"""A release goes to a share of the fleet first; the others are told of the last whole one."""

import json
import shutil
from types import SimpleNamespace

import pytest
from images import KEY, PRODUCT, image
from ota import manifest
from ota.crypto import Keys
from ota.state import record as slots
from otatool.cli import main
from otatool.errors import ToolError
from otatool.release import destination as place
from published import SIZE, release

DEVICES = [b"device %d" % i for i in range(200)]


def told(folder, device_id, runs="0.1"):
    """Version that a device of the fleet takes."""
    found = manifest.parse((folder / "manifest.ota").read_bytes(), Keys([KEY]))
    board = SimpleNamespace(product=PRODUCT, component="app", strategy="ab", device_id=device_id)
    record = slots.Record()
    record.image.version = runs
    choice = manifest.decide(found, board, record)
    return choice and choice.version


def versions(folder):
    """{version: how many devices take it}."""
    all_told = [told(folder, d) for d in DEVICES]
    return {v: all_told.count(v) for v in set(all_told)}


def test_a_share_goes_first_the_others_get_the_last_whole_release(tmp_path):
    release(tmp_path, 1)
    assert versions(tmp_path) == {None: 200}  # they run it
    release(tmp_path, 2)
    assert versions(tmp_path) == {"0.2": 200}
    release(tmp_path, 3, rollout=1000)
    first = {d for d in DEVICES if told(tmp_path, d) == "0.3"}
    assert 5 <= len(first) <= 40
    assert versions(tmp_path) == {"0.3": len(first), "0.2": 200 - len(first)}
    # The same once more with a larger share: those that have it are among the new ones.
    release(tmp_path, 3, rollout=5000)
    half = {d for d in DEVICES if told(tmp_path, d) == "0.3"}
    assert first < half and 70 <= len(half) <= 130
    # One that turned out bad is passed over: the next goes beside the last whole one.
    release(tmp_path, 4, rollout=2500)
    assert set(versions(tmp_path)) == {"0.4", "0.2"}
    release(tmp_path, 4)
    assert versions(tmp_path) == {"0.4": 200}
    content = json.loads((tmp_path / "manifest.ota").read_bytes().split(b"\nsig ")[0])
    assert [r["version"] for r in content["releases"]] == ["0.4"]


def test_nothing_for_the_others_where_no_release_went_to_all(tmp_path):
    release(tmp_path, 1, rollout=0)
    assert versions(tmp_path) == {None: 200}
    release(tmp_path, 2, rollout=5000)
    assert set(versions(tmp_path)) == {None, "0.2"}


def test_packages_of_the_others_must_still_be_there(tmp_path):
    www = tmp_path / "www"
    release(www, 1)
    release(www, 2)
    before = (www / "manifest.ota").read_bytes()
    shutil.rmtree(www / "packages")
    with pytest.raises(ToolError, match=r"www: packages of 0\.2 are missing"):
        release(www, 3, rollout=1000)
    assert (www / "manifest.ota").read_bytes() == before
    # A runner that begins with an empty folder: they lie where devices fetch them.
    bucket, past = tmp_path / "bucket", place.Folder(tmp_path / "past")
    for n, share in ((1, 10000), (2, 10000), (3, 1000)):
        shutil.rmtree(www)
        release(www, n, rollout=share, places=[place.Folder(bucket)], history=past)
    assert set(versions(bucket)) == {"0.2", "0.3"}


@pytest.mark.parametrize("share", ["-1", "100.1"])
def test_a_share_that_is_none_is_refused(tmp_path, share, capsys):
    # Before image and key are even looked for.
    command = ["publish", str(tmp_path / "www"), "none.img", "--product", "x", "--version", "1"]
    assert main([*command, "--key", "none.pem", "--rollout", share]) == 1
    assert "a percentage, 0 to 100" in capsys.readouterr().err
    assert not (tmp_path / "www").exists()


def test_the_command_counts_in_percent(tmp_path):
    (tmp_path / "key.json").write_text(json.dumps(KEY))
    (tmp_path / "1.img").write_bytes(image(1, SIZE))
    command = ["publish", str(tmp_path / "www"), str(tmp_path / "1.img"), "--product", PRODUCT]
    command += ["--version", "0.1", "--key", str(tmp_path / "key.json"), "--rollout", "2.5"]
    assert main(command) == 0
    found = manifest.parse((tmp_path / "www" / "manifest.ota").read_bytes(), Keys([KEY]))
    assert [r["rollout"] for r in found["releases"]] == [250]


def test_the_end_of_a_manifest_is_a_date_to_come(tmp_path, capsys):
    key, new = tmp_path / "x.key", tmp_path / "new.img"
    key.write_text(json.dumps(KEY))
    new.write_bytes(image(1, SIZE))
    command = ["publish", str(tmp_path / "www"), str(new), "--product", PRODUCT, "--key", str(key)]
    for wrong in ("1", "2025-01-01", "tomorrow", "2099-13-01", "99999999999"):
        assert main([*command, "--version", "0.1", "--expires", wrong]) == 1
        assert f"--expires {wrong}: " in capsys.readouterr().err
    for end, want in (
        ("2099-06-30", 4086460800),
        ("4086460801", 4086460801),
        ("2099-06-30T02:00+02:00", 4086460800),
    ):
        assert main([*command, "--version", "0.1", "--expires", end]) == 0
        data = (tmp_path / "www" / "manifest.ota").read_bytes()
        assert manifest.parse(data, Keys([KEY]))["expires"] == want
