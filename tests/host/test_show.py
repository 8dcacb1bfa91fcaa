"""otatool show names every kind of file."""

import json

import pytest
from images import KEY, PRODUCT, image, vector
from otatool.cli import main
from otatool.errors import ToolError
from otatool.inspect import show
from otatool.release import publish
from otatool.release.keys import SigningKey
from rig import Rig

TOBUDOS = "20640001960000000078000800d0020800d00208009803080098030800f80308"


def test_a_package_with_its_reverse_package():
    one, two = show.show(vector("place-24k-4096.ota"))
    assert one.title == "package: patch, in place"
    assert two.title == "reverse package: patch, in place"
    assert dict(one.rows)["version"] == "0.2"
    assert len(one.table) == 1


def test_a_damaged_package_says_what_is_broken():
    data = bytearray(vector("full-24k-4096.ota"))
    data[-1] ^= 1
    with pytest.raises(ToolError, match="chain"):
        show.show(bytes(data))


def test_a_manifest_lists_its_packages(tmp_path):
    key = SigningKey(bytes.fromhex(KEY["secret"]))
    for n in (1, 2):
        publish.publish(tmp_path, image(n, 9000), publish.Release(PRODUCT, f"0.{n}"), [key])
    (s,) = show.show((tmp_path / "manifest.ota").read_bytes())
    assert "sequence 2" in s.title
    assert [row[3] for row in s.table] == ["full", "delta", "in place"]
    assert not {"rollout", "expires"} & {name for name, _ in s.rows}
    part = publish.Release(PRODUCT, "0.3", rollout=150, expires=4086460800)
    publish.publish(tmp_path, image(3, 9000), part, [key])
    (s,) = show.show((tmp_path / "manifest.ota").read_bytes())
    assert dict(s.rows)["rollout"] == "0.3 to 1.5 % of the devices"
    assert dict(s.rows)["expires"] == "2099-06-30"
    assert [row[0] for row in s.table] == [*["0.3"] * 5, *["0.2"] * 3]


def test_tables_keys_and_unknown_files():
    assert "ip, version 0.1" in show.show(bytes.fromhex(TOBUDOS))[0].title
    assert show.show(json.dumps(KEY).encode())[0].title == "hmac key"
    with pytest.raises(ToolError):
        show.show(b"whatever this is")


def test_a_flash_tells_what_time_has_surely_passed():
    rig = Rig("ab")
    rig.boot()
    for month, want in ((0, "not known"), (22, "2026-10-23")):
        record = rig.device.slots.load()
        record.month = month
        rig.device.slots.save(record)
        layout = {**rig.config, "flash": {"nor": {}}}
        found = next(s for s in show.show(bytes(rig.nor.data), layout) if "state" in s.title)
        assert dict(found.rows)["clock at least"] == want


def test_the_command_prints_it(tmp_path, capsys):
    path = tmp_path / "table"
    path.write_bytes(bytes.fromhex(TOBUDOS))
    assert main(["show", str(path)]) == 0
    assert "0x08007800" in capsys.readouterr().out
