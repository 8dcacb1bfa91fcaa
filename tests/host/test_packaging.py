"""manifest.py and package.json hold every device file once, and each group stands alone."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ota.version import VERSION
from otatool.sim import packaging

_ROOT = Path(__file__).parents[2]
_MICROPYTHON = Path(sys.executable).parent / "micropython"


class _Options:
    """`options` of MicroPython's manifest files."""

    def __init__(self, given):
        self._given = given
        self._defaults = {}

    def defaults(self, **defaults):
        self._defaults = defaults

    def __getattr__(self, name):
        return self._given.get(name, self._defaults.get(name))


class _Manifest:
    """What manifest.py does when a board includes it with these options."""

    def __init__(self, **given):
        self.metadata = {}
        self.files = []
        self.options = _Options(given)
        self.scope = {
            "metadata": lambda **fields: self.metadata.update(fields),
            "options": self.options,
            "package": self._package,
        }
        exec((_ROOT / "manifest.py").read_text(), self.scope)

    def _package(self, path, files, base_path="."):
        for name in files:
            assert (_ROOT / base_path / path / name).is_file(), name
            self.files.append(f"{path}/{name}")


_GROUPS = _Manifest().scope["GROUPS"]
# What an import may miss: a try beside it says what happens then.
_OPTIONAL = {"ota.cpython"}
_OPTIONAL |= {"ota.delta.add_viper"}
_OPTIONAL |= {"ota.delta.pointers." + x + "_viper" for x in ("riscv", "thumb", "xtensa")}
_OFF = dict.fromkeys(_Manifest().options._defaults, False)


def test_every_device_file_is_in_one_group():
    listed = sorted("ota/" + name for _, files in _GROUPS.values() for name in files)
    assert listed == packaging.device_files()


def test_groups_are_sorted_and_every_option_is_one():
    for needs, files in _GROUPS.values():
        assert list(files) == sorted(files)
        assert set(needs) <= set(_GROUPS)
        assert isinstance(needs, tuple)
    assert set(_OFF) <= set(_GROUPS)


def test_all_groups_freeze_every_file_once():
    everything = _Manifest(**dict.fromkeys(_GROUPS, True))
    assert sorted(everything.files) == packaging.device_files()


def test_a_board_picks_groups():
    assert len(_Manifest(**_OFF).files) == len(_GROUPS["core"][1])
    one = _Manifest(**{**_OFF, "ab": True}).files
    assert "ota/strategy/ab.py" in one
    assert "ota/delta/patch.py" in one
    assert "ota/strategy/inplace.py" not in one


def test_defaults_leave_out_what_only_tests_use():
    assert "ota/flash/ram.py" not in _Manifest().files


def test_filters_are_picked_one_by_one():
    assert not [name for name in _Manifest().files if "pointers" in name]
    one = [name for name in _Manifest(thumb=True).files if "pointers" in name]
    assert one == ["ota/delta/pointers/__init__.py", "ota/delta/pointers/thumb.py"]
    fast = set(_Manifest(thumb=True, viper=True).files) - set(_Manifest(thumb=True).files)
    assert fast == {"ota/delta/add_viper.py", "ota/delta/pointers/thumb_viper.py"}


def test_version_is_that_of_the_library():
    assert _Manifest().metadata["version"] == VERSION


def test_package_json_is_what_the_tree_gives():
    text = (_ROOT / "package.json").read_text()
    assert text == packaging.package_json(), "run: python -m otatool.sim.packaging"
    package = json.loads(text)
    assert package["version"] == VERSION
    assert [target for target, _ in package["urls"]] == packaging.device_files()
    for target, source in package["urls"]:
        assert (_ROOT / source).is_file()
        assert source == "lib/" + target  # relative: mpremote 1.25 and newer


def _frozen(group):
    options = _OFF if group == "core" else {**_OFF, **dict.fromkeys(group.split(), True)}
    return _Manifest(**options).files


def _modules(files):
    names = {name.removesuffix(".py").replace("/", ".") for name in files}
    return {name.removesuffix(".__init__") for name in names}


def _needed(name):
    """Modules of ours that a file imports when it is imported itself."""
    package = name.removesuffix(".py").split("/")[:-1]
    known = _modules(packaging.device_files())
    # ast.walk would enter functions; what they import is needed when they are called.
    nodes = list(ast.parse((_ROOT / "lib" / name).read_text()).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            base = ".".join(base + ([node.module] if node.module else []))
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in known else base
        nodes += ast.iter_child_nodes(node)


@pytest.mark.parametrize("group", _GROUPS)
def test_every_import_of_a_group_is_in_it(group):
    files = _frozen(group)
    there = _modules(files)
    for name in files:
        missing = set(_needed(name)) - there - _OPTIONAL
        assert not missing, f"{name} of group {group} imports {sorted(missing)}"


def _play(files, folder, script):
    """Run a script on MicroPython, whose library is these files; what it printed."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_ROOT / "lib" / name, folder / name)
    path = folder / "script.py"
    path.write_text(f"import sys\nsys.path[:] = ['.frozen', {str(folder)!r}]\n{script}")
    done = subprocess.run(
        [_MICROPYTHON, path], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("group", _GROUPS)
def test_group_imports_alone_on_micropython(group, tmp_path):
    files = _frozen(group)
    _play(files, tmp_path, "".join(f"import {name}\n" for name in sorted(_modules(files))))


# Which of the filters a board has; what it loaded to see that is gone.
_DECODABLE = """
from ota.delta import decodable
class Header:
    pointers = None
print(decodable(Header), end=" ")
for kind in (1, 2, 3):
    Header.pointers = (kind, 4, 0, 0, 0)
    print(decodable(Header), end=" ")
print([name for name in sys.modules if "pointers" in name])
"""


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ("ab", "True False False False []\n"),
        ("ab thumb", "True True False False []\n"),
        ("ab riscv xtensa", "True False True True []\n"),
        ("ab xtensa viper", "True False False True []\n"),
    ],
)
def test_filters_of_a_board(options, printed, tmp_path):
    files = _Manifest(**{**_OFF, **dict.fromkeys(options.split(), True)}).files
    assert _play(files, tmp_path, _DECODABLE) == printed
