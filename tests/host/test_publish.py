"""What publish() keeps: other targets, packages of the same release, floors, slots, history."""

import json

import pytest
from images import KEY, PRODUCT, image, vector
from ota import manifest
from ota import package as header
from ota.crypto import Keys
from otatool import cli
from otatool.errors import ToolError
from otatool.image import build as images
from otatool.patch import jobs as search
from otatool.release import destination as place
from otatool.release import keys, publish
from otatool.release.keys import SigningKey

_SIGNING = SigningKey(bytes.fromhex(KEY["secret"]))
_SIZE = 12_000


def _publish(folder, n, signing=(_SIGNING,), data=None, **options):
    """Publish image n of the rig as version 0.n."""
    more = {k: options.pop(k) for k in ("places", "history", "dry_run") if k in options}
    options = {"version": f"0.{n}", "quick": True, **options}
    release = publish.Release(PRODUCT, **options)
    return publish.publish(folder, data or image(n, _SIZE), release, signing, **more)


def _manifest(folder):
    return manifest.parse((folder / "manifest.ota").read_bytes(), Keys([KEY]))


def _told(folder):
    """(target, version) of every release in the manifest, in its order."""
    return [(r["images"][0]["target"], r["version"]) for r in _manifest(folder)["releases"]]


def _packages(folder):
    return {p.name: p.read_bytes() for p in (folder / "packages").iterdir()}


@pytest.fixture
def searches(monkeypatch):
    """How many patches were looked for, a number a call."""
    made = []
    run = search.run

    def counted(wanted, *args, **options):
        made.append(len(wanted))
        return run(wanted, *args, **options)

    monkeypatch.setattr(search, "run", counted)
    return made


# -- several targets --------------------------------------------------------------------


def test_other_targets_stay_in_the_manifest(tmp_path):
    _publish(tmp_path, 1)
    _publish(tmp_path, 2, target="firmware", version="1.0")
    assert _told(tmp_path) == [("firmware", "1.0"), ("app", "0.1")]
    _publish(tmp_path, 3, target="fonts", version="7")
    _publish(tmp_path, 2)
    assert _told(tmp_path) == [("app", "0.2"), ("firmware", "1.0"), ("fonts", "7")]
    assert _manifest(tmp_path)["sequence"] == 4
    # Each entry is what it was: its packages are there, with these sizes.
    for release in _manifest(tmp_path)["releases"]:
        for p in release["images"][0]["packages"]:
            assert (tmp_path / p["url"]).stat().st_size == p["size"]


def test_another_target_in_the_middle_of_a_rollout_keeps_both_of_its_releases(tmp_path):
    _publish(tmp_path, 1)
    _publish(tmp_path, 2, rollout=500)
    assert _told(tmp_path) == [("app", "0.2"), ("app", "0.1")]
    _publish(tmp_path, 3, target="firmware", version="1.0", rollout=100)
    assert _told(tmp_path) == [("firmware", "1.0"), ("app", "0.2"), ("app", "0.1")]
    assert [r["rollout"] for r in _manifest(tmp_path)["releases"]] == [100, 500, 10000]


def test_a_new_place_gets_the_packages_of_the_others_too(tmp_path):
    www, bucket = tmp_path / "www", tmp_path / "bucket"
    _publish(www, 1)
    _publish(www, 2, target="firmware", version="1.0", places=[place.Folder(bucket)])
    assert _told(bucket) == [("firmware", "1.0"), ("app", "0.1")]
    assert _packages(bucket) == _packages(www)
    # Where they are nowhere, nothing is published that names them.
    for path in (www / "packages").iterdir():
        path.unlink()
    before = (www / "manifest.ota").read_bytes()
    with pytest.raises(ToolError, match=r"packages of 1\.0 are missing"):
        _publish(www, 2)
    assert (www / "manifest.ota").read_bytes() == before


def test_a_folder_is_of_one_channel(tmp_path):
    _publish(tmp_path, 1)
    with pytest.raises(ToolError, match="of channel 'stable'.*'beta'.*another folder"):
        _publish(tmp_path, 2, channel="beta")
    assert _told(tmp_path) == [("app", "0.1")]


# -- the same once more -----------------------------------------------------------------


def test_a_rollout_that_goes_on_keeps_its_packages(tmp_path, searches):
    _publish(tmp_path, 1)
    first = _publish(tmp_path, 2, rollout=500)
    packages = _packages(tmp_path)
    assert searches == [0, 3]
    for share in (5000, 10000):
        more = _publish(tmp_path, 2, rollout=share)
        assert more.reused
        assert more.rows == first.rows
        assert [r["rollout"] for r in _manifest(tmp_path)["releases"]][0] == share
    assert _packages(tmp_path) == packages
    assert searches == [0, 3]
    assert _manifest(tmp_path)["sequence"] == 4


def test_a_manifest_that_expires_is_renewed_with_the_same_packages(tmp_path, searches):
    _publish(tmp_path, 1, expires=4086460800)
    packages = _packages(tmp_path)
    _publish(tmp_path, 1, expires=4086460801)
    assert _packages(tmp_path) == packages and searches == [0]


def test_packages_that_are_gone_are_made_again_with_the_same_bytes(tmp_path, searches):
    _publish(tmp_path, 1)
    _publish(tmp_path, 2, rollout=500)
    packages = _packages(tmp_path)
    for damage in (lambda p: p.unlink(), lambda p: p.write_bytes(bytes(p.stat().st_size))):
        (url,) = {row[3] for row in _publish(tmp_path, 2, rollout=500).rows if row[0] == "delta"}
        damage(tmp_path / url)
        if (tmp_path / url).exists():  # damaged: put_packages() goes by the size
            with pytest.raises(ToolError, match="different bytes"):
                _publish(tmp_path, 2)
            (tmp_path / url).unlink()
        assert not _publish(tmp_path, 2).reused
        assert _packages(tmp_path) == packages
    assert searches.count(3) == 4


def test_a_runner_with_an_empty_folder_takes_them_from_where_devices_do(tmp_path, searches):
    bucket, past = place.Folder(tmp_path / "bucket"), place.Folder(tmp_path / "past")
    for n, share, folder in ((1, 10000, "a"), (2, 500, "b"), (2, 10000, "c")):
        _publish(tmp_path / folder, n, rollout=share, places=[bucket], history=past)
    assert searches == [0, 3]
    assert _packages(tmp_path / "c").items() <= _packages(tmp_path / "bucket").items()
    assert _told(tmp_path / "bucket") == [("app", "0.2")]


@pytest.mark.parametrize(
    "other",
    [
        {"block": 2048},
        {"windows": [10]},
        {"in_place": False},
        {"last": 0},
        {"floor": 3},
        {"mpy": 6},
        {"spare": 4096},
        {"signing": [SigningKey(bytes(32)), _SIGNING]},
    ],
)
def test_other_options_make_other_packages(tmp_path, other):
    _publish(tmp_path, 1)
    _publish(tmp_path, 2, rollout=500)
    again = _publish(tmp_path, 2, **other)
    assert not again.reused
    for _, _, size, url in again.rows:
        data = (tmp_path / url).read_bytes()
        h = header.parse(data[: sum(header.lengths(data))])
        assert (len(data), h.floor) == (size, other.get("floor", 0))
        # They were first named by the manifest before, whatever they are made of.
        assert h.sequence == 2


# -- floors -----------------------------------------------------------------------------


def test_the_floor_goes_on_unless_it_is_said(tmp_path):
    def floors():
        return {r["version"]: r["floor"] for r in _manifest(tmp_path)["releases"]}

    _publish(tmp_path, 1)
    assert floors() == {"0.1": 0}
    _publish(tmp_path, 2, floor=4)
    _publish(tmp_path, 3)
    assert floors() == {"0.3": 4}
    _publish(tmp_path, 3, target="firmware", version="1")
    assert floors() == {"1": 0, "0.3": 4}
    with pytest.raises(ToolError, match="floor 3 is below 4"):
        _publish(tmp_path, 4, floor=3)
    _publish(tmp_path, 4, floor=5)
    assert floors()["0.4"] == 5


# -- slots, and what a board would stumble over -----------------------------------------


def test_an_image_that_outgrows_the_slots(tmp_path):
    assert not [w for w in _publish(tmp_path, 1, slot=_SIZE).warnings if "slots" in w]
    large = image(2, _SIZE + 1)
    (told,) = [w for w in _publish(tmp_path, 2, data=large).warnings if "slots" in w]
    assert f"{len(large)} bytes" in told and str(_SIZE) in told
    other = _publish(tmp_path, 2, data=large, target="firmware", version="1").warnings
    assert not [w for w in other if "slots" in w]


def test_the_slots_are_those_of_the_layout_beside_the_key(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("x = 1\n")
    cli.main(["image", "app", "1.img"])
    (tmp_path / "app" / "data.bin").write_bytes(bytes(20_000))
    cli.main(["image", "app", "2.img"])
    provision = ["provision", "dev", "1.img", "--product", "lamp", "--key-type", "hmac"]
    assert cli.main([*provision, "--slot-size", "12K"]) == 0
    common = ["--product", "lamp", "--key", "dev/lamp.key"]
    capsys.readouterr()
    assert cli.main(["publish", "www", "1.img", "--version", "0.1", *common]) == 0
    assert capsys.readouterr().err == ""
    assert cli.main(["publish", "www", "2.img", "--version", "0.2", *common]) == 0
    assert "slots have 12288" in " ".join(capsys.readouterr().err.split())
    # Elsewhere it is remembered, or said.
    (tmp_path / "dev" / "lamp.key").rename("lamp.key")
    common = ["--product", "lamp", "--key", "lamp.key"]
    assert cli.main(["publish", "www", "2.img", "--version", "0.2", *common]) == 0
    assert "slots have 12288" in " ".join(capsys.readouterr().err.split())
    more = ["--layout", "dev/layout.json"]
    assert cli.main(["publish", "new", "2.img", "--version", "0.2", *common, *more]) == 0
    assert "slots have 12288" in " ".join(capsys.readouterr().err.split())
    wrong = ["--product", "other", "--key", "lamp.key", *more]
    assert cli.main(["publish", "new2", "2.img", "--version", "0.2", *wrong]) == 1
    assert "of product 'lamp'" in capsys.readouterr().err


def test_what_a_board_would_stumble_over_is_said(tmp_path):
    def told(files, **options):
        folder = tmp_path / f"app{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        data = images.build(folder, mpy=False)
        www = folder / "www"
        done = _publish(www, 1, data=data, **options)
        got = (www / done.rows[0][3]).read_bytes()
        return done.warnings, header.parse(got[: sum(header.lengths(got))]).mpy

    assert told({"main.py": b"x"}) == ([], 0)
    assert told({"main.mpy": b"M\x06\x00\x1f"}) == ([], 6)
    assert told({"main.mpy": b"M\x06\x17\x1f"}) == ([], 0x1706)
    (one, two), _ = told({"app.py": b"x", "time.py": b"x"})
    assert "no main.py" in one and "time.py" in two
    assert told({"app.py": b"x"}, target="fonts") == ([], 0)


# -- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "../../x"}, "target '../../x'"),
        ({"target": "a/b"}, "target 'a/b'"),
        ({"channel": "be ta"}, "channel 'be ta'"),
        ({"version": "v1.2"}, "1.2 would do"),
        ({"version": "1.2.3-rc1"}, "1.2.3 would do"),
        ({"floor": -1}, "floor -1"),
        ({"floor": 99999999999}, "floor 99999999999"),
        ({"last": -1}, "last -1"),
        ({"rollout": 10001}, "rollout 10001"),
        ({"expires": 1 << 32}, "expires"),
        ({"data": vector("full-24k-4096.ota")}, "a package, not an image"),
        ({"data": b"RBL\0" + bytes(96)}, "RT-Thread"),
        ({"signing": []}, "give a key"),
    ],
)
def test_refusals_write_nothing(tmp_path, options, words):
    with pytest.raises(ToolError, match=words):
        _publish(tmp_path / "www", 1, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_image_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_bytes(b"x" * 100)
    data = bytearray(images.build(tmp_path / "app", mpy=False))
    data[6] ^= 0x7F  # length of the first record
    with pytest.raises(ToolError, match="damaged ROMFS"):
        _publish(tmp_path / "www", 1, data=bytes(data))
    assert not (tmp_path / "www").exists()
    # For another target it is whatever it is.
    _publish(tmp_path / "www", 1, data=bytes(data), target="fonts")


def test_a_folder_whose_history_is_gone(tmp_path):
    _publish(tmp_path, 1)
    _publish(tmp_path, 2)
    (tmp_path / ".history").rename(tmp_path / "away")
    before = (tmp_path / "manifest.ota").read_bytes()
    with pytest.raises(ToolError, match="has manifest 2, this would be 1"):
        _publish(tmp_path, 3)
    assert (tmp_path / "manifest.ota").read_bytes() == before


def _edit(change):
    def edit(path):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


def _package(content):
    return content["releases"][0]["entry"]["images"][0]["packages"][0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text("5"),
        _edit(lambda c: c.pop("product")),
        _edit(lambda c: c.update(sequence="5")),
        _edit(lambda c: c.update(releases=5)),
        _edit(lambda c: c.update(slots=5)),
        _edit(lambda c: c["releases"].append(5)),
        _edit(lambda c: c["releases"][0].update(version="x")),
        _edit(lambda c: c["releases"][0].update(floor="x")),
        _edit(lambda c: c["releases"][0].update(image="../secret")),
        _edit(lambda c: c["releases"][0].update(image="/etc/passwd")),
        _edit(lambda c: c["releases"][0].update(image="..")),
        _edit(lambda c: c["releases"][0].update(image=5)),
        _edit(lambda c: c["releases"][0].update(entry=5)),
        _edit(lambda c: _package(c).update(url="../../secret")),
        _edit(lambda c: _package(c).update(size="x")),
    ],
)
def test_a_history_that_publish_did_not_write(tmp_path, damage):
    www = tmp_path / "www"
    (tmp_path / "secret").write_bytes(bytes(20_000))
    _publish(www, 1)
    damage(www / ".history" / "history.json")
    before = (www / "manifest.ota").read_bytes()
    with pytest.raises(ToolError, match=r"history\.json is damaged"):
        _publish(www, 2)
    assert (www / "manifest.ota").read_bytes() == before


def test_an_image_of_the_history_that_was_changed(tmp_path):
    _publish(tmp_path, 1)
    (tmp_path / ".history" / "app-0.1.img").write_bytes(image(3, _SIZE))
    with pytest.raises(ToolError, match="was changed"):
        _publish(tmp_path, 2)


def test_a_history_of_before_is_read(tmp_path):
    # Written before channel, slots, sequence and options of packages were in it.
    _publish(tmp_path, 1)
    path = tmp_path / ".history" / "history.json"
    content = json.loads(path.read_text())
    for name in ("channel", "slots"):
        content.pop(name)
    for name in ("sequence", "options"):
        content["releases"][0].pop(name)
    path.write_text(json.dumps(content))
    assert not _publish(tmp_path, 1, rollout=500).reused
    _publish(tmp_path, 2)
    assert _told(tmp_path) == [("app", "0.2")]


def test_keys_that_others_can_read_are_named(tmp_path, capsys):
    keys.write(keys.generate("hmac"), str(tmp_path / "k"))
    (tmp_path / "1.img").write_bytes(image(1, _SIZE))
    key = tmp_path / "k.key"
    for mode, said in ((0o600, False), (0o644, True)):
        key.chmod(mode)
        common = ["--product", "p", "--version", "0.1", "--key", str(key)]
        for command in (
            ["publish", str(tmp_path / "www"), str(tmp_path / "1.img")],
            ["build", str(tmp_path / "1.img"), str(tmp_path / "1.ota")],
        ):
            assert cli.main([*command, *common]) == 0
            assert ("can be read by others" in capsys.readouterr().err) == said
