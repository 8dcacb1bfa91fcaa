"""The shape of the host package: which room imports which, and what patch/ may know."""

import ast
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_HOST = _ROOT / "host_tools" / "otatool"

# A room is a file or a folder at the top level. From the top down: a room imports from the floors
# below its own, and from no other room of its floor.
FLOORS = (
    ("cli",),
    ("commands",),
    ("demo", "inspect"),
    ("product",),
    ("release",),
    ("board", "fleet", "image", "sim"),
    ("files", "patch", "terminal"),
    ("errors",),
)
MOST = {"rooms": 16, "floors": 8, "arrows": 45}
# The command line imports a command by its name; the board of the simulator and the application
# of the demo run on MicroPython.
ON_BOARDS = ("sim/board/", "demo/app/")


def _files():
    for path in sorted(_HOST.rglob("*.py")):
        name = path.relative_to(_HOST).as_posix()
        if not name.startswith(ON_BOARDS) and name != "__init__.py":
            yield name, path


def _imports(path, package):
    """Absolute names of all modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            base += node.module.split(".") if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)


def _room(name):
    return name.split("/")[0].removesuffix(".py")


def _arrows():
    """(room, imported room) -> a file that does it."""
    found = {}
    for name, path in _files():
        for target in _imports(path, ["otatool", *name.split("/")[:-1]]):
            parts = target.split(".")
            if parts[0] == "otatool" and parts[1] != _room(name):
                found.setdefault((_room(name), parts[1]), name)
    return found


def _height(room, arrows):
    return 1 + max((_height(b, arrows) for a, b in arrows if a == room), default=0)


def test_rooms_floors_and_arrows():
    arrows = _arrows()
    rooms = {_room(name) for name, _ in _files()}
    assert rooms == {room for floor in FLOORS for room in floor}
    for (room, target), name in arrows.items():
        here, there = (next(n for n, f in enumerate(FLOORS) if r in f) for r in (room, target))
        assert here < there, f"{name} imports upwards or sideways: {target}"
    figures = {
        "rooms": len(rooms),
        "floors": max(_height(room, arrows) for room in rooms),
        "arrows": len(arrows),
    }
    print(figures)
    for what, most in MOST.items():
        assert figures[what] <= most, figures


def test_patches_could_be_released_alone():
    for name, path in _files():
        if _room(name) == "patch":
            for target in _imports(path, ["otatool", *name.split("/")[:-1]]):
                assert not target.startswith("otatool.") or target.startswith("otatool.patch.")
                # decode() runs the device's decoder.
                assert target.split(".")[0] != "ota" or name == "patch/payload.py"


def test_only_the_command_line_knows_the_commands():
    for name, path in _files():
        if _room(name) != "commands":
            for target in _imports(path, ["otatool", *name.split("/")[:-1]]):
                assert not target.startswith(("otatool.commands", "otatool.cli")), name


_PAGES = sorted({*_ROOT.glob("*.md"), *(_ROOT / "docs").rglob("*.md")})


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: path.name)
def test_modules_that_pages_run_are_there(page):
    for name in re.findall(r"python3? -m (otatool[\w.]*)", page.read_text()):
        path = _ROOT / "host_tools" / name.rstrip(".").replace(".", "/")
        assert path.with_suffix(".py").is_file(), f"{page.name}: python -m {name}"
