"""The shape of the device package: what may import what, and how large a file may be."""

import ast
import fnmatch
import re
from pathlib import Path

import pytest
from trees import hints

_ROOT = Path(__file__).parents[2]
_DEVICE = _ROOT / "lib" / "ota"
_HOST = _ROOT / "host_tools" / "otatool"
_MAX_LINES = 300  # on the device: a larger source costs too much heap to compile
_MAX_HOST_LINES = 450

# From the top down. A folder's own file (flash, package, ...) holds what all its members need.
# A module imports from the layers below its own; within a layer only
# what SIBLINGS names. Patterns are module names without "ota."; a whole name goes before one
# with a star.
LAYERS = (
    ("asyncio", ("aio",)),
    ("face", ("",)),
    ("when and whom to ask", ("source.schedule", "source.mirrors")),
    ("starting on trial", ("boot.attempt",)),
    ("the way", ("update", "boot.trial")),
    ("boot stage", ("boot",)),
    ("what failed at the start", ("boot.fallback",)),
    ("settling", ("boot.apply",)),
    ("what settling needs at times", ("boot.intake", "boot.factory")),
    ("what comes of a failure", ("boot.outcome", "state.failure")),
    ("what they need", ("boot.deadline", "state.detail")),
    ("board", ("device",)),
    ("strategies", ("strategy.*",)),
    ("receiving a package", ("strategy.receive",)),
    ("what strategies share", ("strategy", "strategy.staging")),
    ("keeping", ("state.accepted", "state.record", "state.journal", "kv")),
    ("records of before", ("state.old",)),
    ("appending to the store", ("kv.append",)),
    ("the whole store", ("kv.full",)),
    ("recovering the store", ("kv.recover",)),
    ("reading the store's records", ("kv.replay",)),
    ("scanning the store", ("kv.scan",)),
    ("parts of the store", ("kv.log", "kv.index", "kv.ring")),
    ("layout of the store", ("kv.layout",)),
    ("sources", ("source", "source.*")),
    ("into a file", ("transport.download",)),
    ("resuming", ("transport.resume",)),
    ("one request", ("transport.http",)),
    ("forms of the payload", ("delta.*", "delta")),
    (
        "formats and seams",
        ("manifest", "image", "package", "package.*", "crypto", "crypto.*"),
    ),
    (
        "seams",
        ("flash", "flash.*", "partition", "partition.*", "transport", "transport.*"),
    ),
    ("states and settings", ("state", "config")),
    ("time", ("clock",)),
    ("ground", ("errors", "compat", "version", "modules")),
    ("below the ground", ("cpython",)),
)

# (importer, imported): why these two of one layer know each other. "*" is any of the layer.
SIBLINGS = {
    ("*", "flash"): "the flash seam: what everything that touches flash is handed",
    ("kv", "kv.layout"): "the layout stands once for the small reader and the whole store",
    ("crypto", "crypto.rsa"): "a key's type chooses its algorithm in this one place",
    ("crypto", "crypto.hmac"): "a key's type chooses its algorithm in this one place",
    ("delta.patch", "delta.add"): "two forms of one inner loop",
    ("delta.patch", "delta.add_viper"): "two forms of one inner loop",
    ("partition.layout", "partition"): "the base file of its folder",
    ("partition.layout", "partition.tobudos"): "a configuration names its table's format here",
    ("*", "delta.varints"): "numbers of the payload, read in one place",
    ("package.chunks", "package"): "the header is the base file of its folder",
    ("package.reader", "package"): "versions are compared as its header has them",
    ("manifest", "package"): "versions are written alike in both",
    ("transport.head", "transport.url"): "how long an address may be, and how its bytes are read",
    ("strategy.staging", "strategy"): "the base file of its folder",
}

# A room is a file or a folder at the top level; arrows are pairs of rooms of which one imports the
# other; floors the longest chain of them.
MOST = {"rooms": 26, "floors": 9, "arrows": 85}

# (module, imported module): why this import sits inside a function.
LATE = {
    ("*", "esp32"): "chip module",
    ("*", "rp2"): "chip module",
    ("*", "machine"): "chip module",
    ("*", "pyb"): "chip module",
}

# Modules that import by a name which is only known at run time, and what it names.
DYNAMIC = {
    "modules": "past the slot: modules of ours that only some boards carry (strategies) or some"
    " calls need (partitions, keys, inflater, settling), and the firmware's that they need",
    "partition.layout": "a flash driver, as the configuration names it",
    "config": "the same driver, to see whether it is there",
    "boot.trial": "the application",
    "boot.attempt": "the rescue module",
}

# Modules of the system that both interpreters have, or that a try guards for one of them.
SYSTEM = {
    *("array", "asyncio", "binascii", "collections", "errno", "gc", "hashlib", "io", "json", "os"),
    *("random", "re", "select", "socket", "struct", "sys", "time"),
    *("cryptolib", "deflate", "machine", "micropython", "uctypes", "vfs"),
    *("esp32", "network", "ntptime", "pyb", "rp2", "ssl", "tls", "zlib"),
}


def _modules():
    """Name without "ota." -> path, of every module and package of the device."""
    found = {}
    for path in sorted(_DEVICE.rglob("*.py")):
        parts = path.relative_to(_DEVICE).with_suffix("").parts
        found[".".join(p for p in parts if p != "__init__")] = path
    return found


_MODULES = _modules()


def _imports(name):
    """(module of ours, "" or module of the system, inside a function) of each import."""
    path = _MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    package = [part for part in package if part]

    def visit(node, late):
        for child in ast.iter_child_nodes(node):
            if hints(child):
                continue
            inside = late or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield _absolute(alias.name), late
            elif isinstance(child, ast.ImportFrom):
                for target in _targets(child, package):
                    yield target, late
            else:
                yield from visit(child, inside)

    return list(visit(ast.parse(path.read_text()), False))


def _absolute(name):
    """("", system module) or (ours, "")."""
    if name == "ota" or name.startswith("ota."):
        return name[4:], ""
    return None, name


def _targets(node, package):
    if not node.level:
        ours, system = _absolute(node.module)
        return [(ours, system)]
    base = package[: len(package) - node.level + 1] + (node.module or "").split(".")
    base = ".".join(part for part in base if part)
    targets = []
    for alias in node.names:
        inner = f"{base}.{alias.name}" if base else alias.name
        targets.append((inner if inner in _MODULES else base, ""))
    return targets


def _ours(name, late=True):
    return [
        target
        for (target, _), inside in _imports(name)
        if target is not None and (late or not inside)
    ]


def _layer(name):
    for exact in (True, False):
        for number, (_, patterns) in enumerate(LAYERS):
            if name in patterns if exact else _matches(name, patterns):
                return number
    return None


def _matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _is_package(name):
    return _MODULES[name].name == "__init__.py"


def _allowed(table, importer, imported):
    return any(
        fnmatch.fnmatchcase(importer, a) and fnmatch.fnmatchcase(imported, b) for a, b in table
    )


def test_every_module_has_a_layer():
    for name in _MODULES:
        assert _layer(name) is not None, f"ota.{name} is in no layer"


def test_importing_one_member_of_a_folder_loads_no_other():
    for name in _MODULES:
        if name and _is_package(name):
            for target in _ours(name):
                inside = target.startswith(name + ".")
                assert not inside or _allowed(SIBLINGS, name, target), f"ota.{name}: {target}"


@pytest.mark.parametrize("name", list(_MODULES))
def test_imports_point_down(name):
    for target in _ours(name):
        assert target in _MODULES, f"ota.{name} imports ota.{target}, which is not there"
        if _layer(target) == _layer(name):
            assert _allowed(SIBLINGS, name, target), f"ota.{name} imports its sibling ota.{target}"
        else:
            assert _layer(name) < _layer(target), f"ota.{name} imports upwards: ota.{target}"


def test_no_cycle():
    # The face imports late and is imported by nobody (checked above).
    done, path = set(), []

    def walk(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done or name not in _MODULES:
            return
        path.append(name)
        for target in _ours(name):
            walk(target)
        done.add(path.pop())

    for name in _MODULES:
        walk(name)
    assert done == set(_MODULES)


def _room(name):
    return name.partition(".")[0]


def _height(room, arrows, below=()):
    assert room not in below, " -> ".join([*below, room])
    over = [b for a, b in arrows if a == room]
    return 1 + max((_height(b, arrows, (*below, room)) for b in over), default=0)


def test_rooms_floors_and_arrows():
    # load() imports while the library runs: printed beside.
    pairs = {(_room(name), _room(b)) for name in _MODULES for b in _ours(name)}
    arrows = {(a, b) for a, b in pairs if a != b}
    loaded = {
        (_room(name), _room(what))
        for name, path in _MODULES.items()
        for what in re.findall(r'\b_?load\(\s*"([\w.]+)"', path.read_text())
    }
    rooms = {_room(name) for name in _MODULES}
    figures = {
        "rooms": len(rooms),
        "floors": max(_height(room, arrows) for room in rooms),
        "arrows": len(arrows),
    }
    print(figures, "with load():", len(arrows | {(a, b) for a, b in loaded if a != b}))
    for what, most in MOST.items():
        assert figures[what] <= most, figures


@pytest.mark.parametrize("name", list(_MODULES))
def test_imports_sit_at_the_top(name):
    if not name:
        return  # the face: imports what a call needs when it is called
    for (ours, system), late in _imports(name):
        target = system or ours
        if late:
            assert _allowed(LATE, name, target), f"ota.{name} imports {target} in a function"


def test_names_known_at_run_time_are_imported_in_few_places():
    found = {
        name
        for name, path in _MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "__import__"
    }
    assert found == set(DYNAMIC)


@pytest.mark.parametrize("name", list(_MODULES))
def test_the_device_imports_only_what_a_device_has(name):
    for (ours, system), _ in _imports(name):
        assert ours is not None or system in SYSTEM, f"ota.{name} imports {system}"


@pytest.mark.parametrize(
    "path", sorted(_DEVICE.rglob("*.py")), ids=lambda p: str(p.relative_to(_DEVICE))
)
def test_device_files_are_small(path):
    assert len(path.read_text().splitlines()) <= _MAX_LINES


@pytest.mark.parametrize(
    "path", sorted(_HOST.rglob("*.py")), ids=lambda p: str(p.relative_to(_HOST))
)
def test_host_files_are_small(path):
    assert len(path.read_text().splitlines()) <= _MAX_HOST_LINES


@pytest.mark.parametrize("table", [SIBLINGS, LATE], ids=["siblings", "late"])
def test_exceptions_have_a_reason_and_a_use(table):
    used = set()
    for name in _MODULES:
        for (ours, system), late in _imports(name):
            if table is LATE and not late:
                continue
            used.update(pair for pair in table if _allowed([pair], name, system or ours or ""))
    for pair, reason in table.items():
        assert reason
        # A chip module may wait for its driver; of our own modules every entry is in use.
        assert pair in used or pair[0] == "*", f"{pair} is not needed any more"
