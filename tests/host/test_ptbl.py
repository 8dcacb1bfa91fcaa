import json
from pathlib import Path

import pytest
from ota.partition import tobudos
from otatool import cli
from otatool.errors import ToolError
from otatool.product import ptbl

_VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "tobudos" / "ptbl.json").read_text()
)
_GUIDE = _VECTORS["vectors"][0]
_A, _O, _K = (
    ["-a", "0x08007800,0x0802D000"],
    ["-o", "0x0802D000,0x08039800"],
    ["-k", "0x08039800,0x0803F800"],
)
_B = ["-b", "0x08040000,0x08065800"]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command into an existing file; give (exit status, bytes of the file)."""
    out = tmp_path / "ptbl.bin"

    def call(*options):
        out.write_bytes(b"before")
        try:
            status = cli.main(["ptbl", *options, str(out)])
        except SystemExit as e:
            status = e.code
        assert [p.name for p in tmp_path.iterdir()] == ["ptbl.bin"]
        return status, out.read_bytes()

    return call


@pytest.mark.parametrize("vector", _VECTORS["vectors"], ids=lambda v: v["name"])
def test_same_bytes_as_the_tobudos_tool(run, capfd, vector):
    assert run(*vector["args"].split()) == (0, bytes.fromhex(vector["hex"]))
    assert "warning" not in capfd.readouterr().err


@pytest.mark.parametrize("vector", _VECTORS["vectors"], ids=lambda v: v["name"])
def test_options_in_any_order(run, vector):
    args = vector["args"].split()
    pairs = [args[i : i + 2] for i in range(0, len(args), 2)]
    for turn in range(len(pairs)):
        turned = pairs[turn:] + pairs[:turn]
        for order in (turned, turned[::-1]):
            options = [word for pair in order for word in pair]
            assert run(*options) == (0, bytes.fromhex(vector["hex"]))


# What the seed rejects only because it reads its options in order.
_ORDER_ONLY = {"p_after_b": 0, "p_after_o": 0}
_REJECTED = {"bad_p": 2, "ip_with_backup": 1, "pp_without_backup": 1, **_ORDER_ONLY}


@pytest.mark.parametrize("row", _VECTORS["rejected"], ids=lambda r: r["name"])
def test_rejected_rows(run, row):
    status, data = run(*row["args"].split())
    assert status == _REJECTED[row["name"]]
    if status:
        assert data == b"before"
    else:
        table = tobudos.parse(data, 8)
        assert table.mode == "pp"
        assert [name for name, *_ in table.entries] == ["active", "backup", "ota", "kv"]


def test_addresses_without_0x_are_hex(run):
    args = [a.replace("0x", "") for a in _GUIDE["args"].split()]
    assert run(*args) == (0, bytes.fromhex(_GUIDE["hex"]))


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ([], 2, "-a"),
        ([*_A, *_O], 2, "-k"),
        ([*_A, *_O, *_K, "-v", "0.1", "-x", "1"], 2, "arguments"),
        ([*_A, *_O, *_K, "-v", "0.1", "two"], 2, "arguments"),
        (["-p", "ipanything", *_A, *_O, *_K, "-v", "0.1"], 2, "choose from"),
        (["-a", "0x1000", *_O, *_K, "-v", "0.1"], 2, "START,END"),
        (["-a", "0x1000,0x2000,0x3000", *_O, *_K, "-v", "0.1"], 2, "START,END"),
        (["-a", "0x1000,0x2000 x", *_O, *_K, "-v", "0.1"], 2, "START,END"),
        (["-a", "0x1000,0x20g0", *_O, *_K, "-v", "0.1"], 2, "START,END"),
        (["-a", "-1000,0x2000", *_O, *_K, "-v", "0.1"], 2, "-a"),
        (["-a", "0x108007800,0x10802D000", *_O, *_K, "-v", "0.1"], 2, "32 bits"),
        ([*_A, *_O, *_K, "-v", "1"], 2, "MAJOR.MINOR"),
        ([*_A, *_O, *_K, "-v", "1.2.3"], 2, "MAJOR.MINOR"),
        ([*_A, *_O, *_K, "-v", "v1.2"], 2, "MAJOR.MINOR"),
        ([*_A, *_O, *_K, "-v", "256.0"], 2, "255"),
        ([*_A, *_O, *_K, "-v", "0.256"], 2, "255"),
        ([*_A, *_O, *_K, "-v", "0.1", "--sector", "0"], 2, "bytes"),
        ([*_A, *_O, *_K, "-v", "0.1", "--sector", "4q"], 2, "bytes"),
        ([*_A, *_O, *_K, "-v", "0.1", "--sector", "4K"], 1, "4096-byte"),
        ([*_A, *_O, *_K, *_B, "-v", "0.1"], 1, "-p pp"),
        (["-a", "0,0x2000", *_O, *_K, "-v", "0.1"], 1, "never set"),
        (["-a", "0x1000,ffffffff", *_O, *_K, "-v", "0.1"], 1, "never set"),
        (["-a", "0x2000,0x2000", *_O, *_K, "-v", "0.1"], 1, "not below"),
        (["-a", "0x3000,0x2000", *_O, *_K, "-v", "0.1"], 1, "not below"),
        (["-a", "0x08007800,0x0802D001", *_O, *_K, "-v", "0.1"], 1, "overlap"),
        (["-p", "pp", *_A, "-b", "0x08000000,0x0803F800", *_O, *_K, "-v", "0.1"], 1, "overlap"),
        ([*_A, *_O, *_K, "-v", "0.1", "--sector", "4096"], 1, "4096-byte"),
    ],
)
def test_misuse_is_refused_and_leaves_the_file(run, capfd, options, status, message):
    assert run(*options) == (status, b"before")
    assert message in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ([*_A, *_O, *_K, "-v", "0.1"], "no -p"),
        (["-p", "ip", *_A, *_O, *_K], "no -v"),
        (["-p", "ip", "-a", "0x08007800,0x0802CFF8", *_O, *_K, "-v", "0.1"], "--sector"),
        (["-p", "pp", "-b", "0x08040000,0x08041000", *_A, *_O, *_K, "-v", "0.1"], "back up"),
    ],
)
def test_odd_tables_are_written_with_a_warning(run, capfd, options, warning):
    status, data = run(*options)
    assert status == 0
    assert tobudos.parse(data, 8)
    said = capfd.readouterr().err
    assert said.startswith("warning: ")
    assert warning in said


def test_sector_aligned_table_passes_without_a_warning(run, capfd):
    assert run(*_GUIDE["args"].split(), "--sector", "0x800")[0] == 0
    out = capfd.readouterr()
    assert out.err == ""
    assert "0x08007800" in out.out
    assert "153600" in out.out


def test_existing_file_survives_a_folder_that_is_gone(monkeypatch, tmp_path, capfd):
    out = str(tmp_path / "nowhere" / "ptbl.bin")
    assert cli.main(["ptbl", *_GUIDE["args"].split(), out]) == 1
    assert "check the folder" in capfd.readouterr().err


def test_every_ping_pong_version_is_read_back():
    # Some versions make the in-position checksum fit too; the device must not mind.
    for major in range(4):
        for minor in range(256):
            layout = ptbl.Layout(
                (0x1000, 0x3000), (0x5000, 0x6000), (0x6000, 0x7000), (0x3000, 0x5000), "pp"
            )
            layout.version = (major, minor)
            assert tobudos.parse(ptbl.build(layout), 8).mode == "pp"


def test_functions_refuse_in_words():
    with pytest.raises(ToolError, match="START,END"):
        ptbl.parse_span("nonsense")
    with pytest.raises(ToolError, match="positive"):
        ptbl.build(ptbl.Layout((1, 2), (2, 3), (3, 4), sector=-1))
