"""otatool verify: all of a package or a manifest is right, or one sentence says what is not."""

import json

import pytest
from images import KEY, PRODUCT, image, vector
from otatool.cli import main
from otatool.release import keys, publish
from otatool.release import package as build
from otatool.release.keys import SigningKey

_KEY = SigningKey(bytes.fromhex(KEY["secret"]))


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key.pub.json"
    path.write_bytes(_KEY.public_file())
    return str(path)


@pytest.fixture
def www(tmp_path):
    folder = tmp_path / "www"
    for n in (1, 2):
        publish.publish(folder, image(n, 9000), publish.Release(PRODUCT, f"0.{n}"), [_KEY])
    return folder


def _run(capsys, *args):
    status = main(["verify", *map(str, args)])
    out, err = capsys.readouterr()
    text = out + err
    assert text.count("\n") == 1, text
    return status, text


def _named(www):
    """The packages that the manifest names, those of older ones left out."""
    text = (www / "manifest.ota").read_bytes().decode()
    return [p for p in sorted((www / "packages").iterdir()) if p.name in text]


def _write(tmp_path, data, name="p.ota"):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def test_a_package_that_is_right(tmp_path, key, capsys):
    new, old = image(2, 9000), image(1, 9000)
    meta = build.Meta(PRODUCT, "0.2", base_version="0.1")
    full = _write(tmp_path, build.full(new, meta, [_KEY]).data)
    (tmp_path / "new").write_bytes(new)
    (tmp_path / "old").write_bytes(old)
    status, text = _run(capsys, full, "--key", key, "--image", tmp_path / "new")
    assert status == 0
    assert f"full package of {PRODUCT} 0.2" in text
    assert _KEY.id.hex() in text
    patch = _write(tmp_path, build.patch(old, new, meta, [_KEY]).data, "d.ota")
    status, text = _run(capsys, patch, "--key", key, "--base", tmp_path / "old")
    assert (status, "patch of rig 0.2 from 0.1" in text) == (0, True)
    status, text = _run(capsys, patch, "--key", key, "--image", tmp_path / "old")
    assert (status, "another image than --image" in text) == (1, True)
    status, text = _run(capsys, patch, "--key", key, "--base", tmp_path / "new")
    assert (status, "another old image" in text) == (1, True)


def test_each_flipped_byte_is_noticed(tmp_path, key, capsys):
    # One in each part: magic, fields, signature, first and last chunk, reverse package.
    good = vector("place-24k-4096.ota")
    status, _ = _run(capsys, _write(tmp_path, good), "--key", key)
    assert status == 0
    for at in (0, 5, 20, 60, 200, 400, len(good) // 2, len(good) - 1):
        bad = bytearray(good)
        bad[at] ^= 1
        status, text = _run(capsys, _write(tmp_path, bad), "--key", key)
        assert status == 1, (at, text)
    for bad in (good[:-1], good + b"x", good[:40], b""):
        assert _run(capsys, _write(tmp_path, bad), "--key", key)[0] == 1


def test_a_strangers_key(tmp_path, key, capsys):
    other = keys.generate("hmac")
    data = build.full(image(1, 5000), build.Meta(PRODUCT, "0.1"), [other]).data
    status, text = _run(capsys, _write(tmp_path, data), "--key", key)
    assert (status, "not signed by any key of ours" in text) == (1, True)


def test_a_manifest_and_its_packages(www, key, capsys):
    path = www / "manifest.ota"
    status, text = _run(capsys, path, "--key", key)
    assert status == 0
    assert "sequence 2" in text
    assert "3 packages beside it" in text
    package = _named(www)[0]
    good = package.read_bytes()
    for bad in (good[:-1], good[:-1] + bytes([good[-1] ^ 1]), image(1, len(good))):
        package.write_bytes(bad)
        status, text = _run(capsys, path, "--key", key)
        assert status == 1
        assert package.name in text
    package.unlink()
    status, text = _run(capsys, path, "--key", key)
    assert (status, package.name in text) == (1, True)


def test_a_manifest_that_names_another_package(www, key, capsys):
    # Each is signed; the manifest says of one what is true of the other.
    first, second, *_ = _named(www)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    status, text = _run(capsys, www / "manifest.ota", "--key", key)
    assert (status, "the manifest says" in text) == (1, True)


@pytest.mark.parametrize("change", [
    lambda d: d.replace(b"\n", b"\r\n"),
    lambda d: b"\xef\xbb\xbf" + d,
    lambda d: d.decode().encode("utf-16"),
])  # fmt: skip
def test_a_manifest_copied_as_text(change, www, key, capsys):
    path = www / "manifest.ota"
    path.write_bytes(change(path.read_bytes()))
    for command in (["verify", str(path), "--key", key], ["show", str(path)]):
        assert main(command) == 1
        assert "altered by a copy" in capsys.readouterr().err


def test_a_tampered_manifest(www, key, capsys):
    path = www / "manifest.ota"
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"0.2"', b'"0.9"'))
    status, text = _run(capsys, path, "--key", key)
    assert (status, "signature (code 50" in text) == (1, True)
    assert main(["show", str(path)]) == 0
    assert "not checked" in capsys.readouterr().out
    assert main(["show", str(path), "--key", key]) == 1
    assert "signature (code 50" in capsys.readouterr().err
    path.write_bytes(good)
    assert main(["show", str(path), "--key", key]) == 0
    assert "valid" in capsys.readouterr().out


def test_an_expired_manifest(tmp_path, key, capsys):
    release = publish.Release(PRODUCT, "0.1", expires=1700000000)
    folder = tmp_path / "old"
    publish.publish(folder, image(1, 5000), release, [_KEY])
    status, text = _run(capsys, folder / "manifest.ota", "--key", key)
    assert (status, "expired on 2023-11-14" in text) == (1, True)


def test_keys_in_every_form(tmp_path, capsys):
    rsa = keys.generate("rsa", 2048)
    private, public = keys.write(rsa, str(tmp_path / "k"))
    layout = tmp_path / "layout.json"
    layout.write_text(json.dumps({"keys": [rsa.public]}))
    data = build.full(image(1, 5000), build.Meta(PRODUCT, "0.1"), [rsa]).data
    path = _write(tmp_path, data)
    for form in (private, public, layout):
        assert _run(capsys, path, "--key", form)[0] == 0
    for text in ("{", "{}", '{"keys": []}', '{"type": "rsa", "n": 7}', '{"keys": 5}', "x"):
        broken = tmp_path / "broken"
        broken.write_text(text)
        assert _run(capsys, path, "--key", broken)[0] == 1
        if text.startswith('{"type'):
            assert main(["show", str(broken)]) == 1
            assert "key" in capsys.readouterr().err


def test_what_is_no_file_of_the_tool(tmp_path, key, capsys):
    for data in (b"", b"RBL\0" + bytes(100), b"{", b'{"a": 1}', b"x" * 100):
        path = _write(tmp_path, data)
        status, text = _run(capsys, path, "--key", key)
        assert (status, "not a package" in text) == (1, True)
