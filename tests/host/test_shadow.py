"""An image that brings files called as modules of the firmware: the library never takes them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from ota import modules
from otatool import sim
from otatool.image import build as image
from otatool.product import provision
from otatool.release import keys, publish, serve
from trees import walk

ROOT = Path(__file__).parents[2]
LIB = ROOT / "lib"
MICROPYTHON = Path(sys.executable).with_name("micropython")
# asyncio: aio.py takes the application's loop.
EXCEPT = {"sys", "asyncio"}
OWN = "# a screen of the application\nMARK = 'of the application'\n"


def names():
    """All that modules of the device import of the system, wherever the import stands."""
    found = set()
    for path in (LIB / "ota").rglob("*.py"):
        if path.name == "cpython.py":
            continue
        for node in walk(path):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module)
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "firmware"
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(node.args[0].value)
    return sorted(found)


def test_the_list_of_names_is_that_of_the_sources():
    listed = set(modules._NAMES.split())
    # What frozen modules among them import, besides.
    assert set(names()) - EXCEPT <= listed
    others = "cryptolib esp32 network pyb random re rp2 uctypes zlib"
    assert listed - set(names()) <= set(others.split())


# Everything is imported behind the slot, and again after it was unloaded; before or after the
# application imported its own.
PROGRAM = """
import sys
LIB, SLOT, NAMES, MODULES = {lib!r}, {slot!r}, {names!r}, {modules!r}
FIRST, AWAY = {first!r}, {away!r}
sys.path[:] = [LIB] + [p for p in sys.path if p]
import ota
from ota import boot, device, modules
modules.mounted((SLOT, SLOT))
if AWAY:
    sys.path.insert(0, "")
def app():
    for name in NAMES:
        try:
            module = __import__(name)
        except ImportError:
            continue
        mine[name] = getattr(module, "MARK", "")
mine = {{}}
if FIRST:
    app()
for turn in range(2):
    for name in MODULES:
        try:
            modules.load(name)
        except ImportError as e:
            if "viper" in name:
                continue
            raise
        module = sys.modules["ota." + name]
        for key in dir(module):
            value = getattr(module, key)
            if getattr(value, "MARK", "") or key == "MARK":
                raise AssertionError("%s.%s is of the application" % (name, key))
    for name in MODULES:
        if name not in ("device", "modules", "boot", "errors", "compat"):
            modules.unload(name)
if not FIRST:
    app()
for name in ("struct", "select", "hashlib", "binascii", "json", "os", "socket", "errno"):
    if not mine[name]:
        raise AssertionError("%s of the application is not the application's" % name)
print("DONE", len(mine))
"""


@pytest.mark.parametrize("away", [False, True], ids=["", "away"])
@pytest.mark.parametrize("first", [False, True], ids=["library first", "application first"])
def test_no_module_of_the_library_takes_one_of_the_slot(tmp_path, first, away):
    slot = tmp_path / "app"
    (slot / "lib").mkdir(parents=True)
    for i, name in enumerate(names()):
        if name not in EXCEPT:
            (slot / ("" if away or i % 2 else "lib") / (name + ".py")).write_text(OWN)
    modules = sorted(
        ".".join(path.relative_to(LIB / "ota").with_suffix("").parts).removesuffix(".__init__")
        for path in (LIB / "ota").rglob("*.py")
        if path.name != "cpython.py" and path != LIB / "ota" / "__init__.py"
    )
    program = PROGRAM.format(
        lib=str(LIB), slot=str(slot), names=[n for n in names() if n not in EXCEPT],
        first=first, away=away, modules=modules,
    )  # fmt: skip
    run = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=4M", "-c", program], cwd=slot if away else tmp_path,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "DONE" in run.stdout, run.stdout + run.stderr


MAIN = """
import ota
import struct, hashlib, select, socket, time, json, binascii
print("MARKS", [m.MARK for m in (struct, hashlib, select, socket, time, json, binascii)])
print("APP 0.2", ota.status()["state"])
print("CONFIRM", ota.confirm())
ota.store().set("mine", b"1")
print("ASKED", ota.check_and_update())
"""
ONE = """
import ota
print("APP 0.1")
ota.check_and_update(reset=True)
"""
ASYNC = """
import ota.aio
import asyncio
print("LOOP", asyncio.run(ota.aio.check_and_update()))
"""


@pytest.mark.parametrize("strategy", provision.STRATEGIES)
def test_a_release_with_all_such_files_updates_for_ever(tmp_path, strategy):
    images = []
    for number, text in enumerate((ONE, MAIN + ASYNC, MAIN)):
        app = tmp_path / str(number)
        (app / "lib").mkdir(parents=True)
        (app / "main.py").write_text(text.replace("0.2", f"0.{number + 1}"))
        if number:
            for name in names():
                if name not in EXCEPT:
                    (app / "lib" / (name + ".py")).write_text(OWN)
        images.append(image.build(app))
    www = tmp_path / "www"
    www.mkdir()
    with serve.start(www, port=0) as server:
        url = server.url.rstrip("/") + "/manifest.ota"
        product = provision.Product("desk", strategy, images[0], url=url)
        done = provision.provision(tmp_path / "board", product, "hmac")
        key = keys.load(done.key)
        for number, data in enumerate(images[:2]):
            release = publish.Release("desk", f"0.{number + 1}", quick=True)
            publish.publish(www, data, release, [key])
        with sim.Board(done.flash, heap="256K") as board:
            board.wait("ASKED {'result': 'none'", 40)
            board.wait("LOOP {'result': 'none'", 20)
            publish.publish(www, images[2], publish.Release("desk", "0.3", quick=True), [key])
            for _ in range(2):
                board.power_cycle()
                board.wait("ASKED {'result': 'ready'", 40)
                board.power_cycle()
                board.wait("APP 0.3 TRIAL", 30)
                board.wait("CONFIRM True", 10)
                break
            board.power_cycle()
            board.wait("APP 0.3 IDLE", 30)
        text = bytes(board.console).decode()
    assert text.count("MARKS ['of the application', 'of the application'") >= 3
    assert "Traceback" not in text
