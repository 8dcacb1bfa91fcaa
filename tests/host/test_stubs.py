"""What editors are told of the public face (*.pyi) is what the face is."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

_LIB = Path(__file__).parents[2] / "lib"
_APPLICATION = """
import ota
import ota.errors
from ota import aio

def told(stage: str, done: int, total: int) -> None: ...

done = ota.check_and_update(told)
if done["result"] == "ready":
    version: str = done["version"]
with open("package.ota", "rb") as f:
    ota.install(f, downgrade=True)
ota.fetch("http://x/y", "y", told)
tries: int = ota.status()["tries"]
value: bytes | None = ota.store().get("key")
for step in ota.steps():
    if step is not None:
        told(*step)
try:
    ota.confirm()
except ota.errors.OtaError as e:
    print(e.reason)

async def main() -> None:
    await aio.watch(failed=print)
"""


def _signatures(text):
    """Name -> (parameters with their defaults, async) of the public functions of a source."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name[0] != "_":
            for arg in (*node.args.args, node.args.kwarg):
                if arg:
                    arg.annotation = None
            found[node.name] = ast.unparse(node.args), isinstance(node, ast.AsyncFunctionDef)
    return found


@pytest.mark.parametrize("name", ["__init__", "aio"])
def test_stub_has_the_functions_of_its_module(name):
    stub = _signatures((_LIB / "ota" / f"{name}.pyi").read_text())
    # A constant stands there by its name.
    source = (_LIB / "ota" / f"{name}.py").read_text().replace("=_PAUSE_MS", "=5")
    assert stub == _signatures(source)


def test_status_has_the_keys_of_its_stub():
    tree = ast.parse((_LIB / "ota" / "__init__.pyi").read_text())
    (stub,) = (node for node in tree.body if getattr(node, "name", "") == "_Status")
    ota = importlib.import_module("ota")
    (made,) = (
        node
        for node in ast.walk(ast.parse(inspect.getsource(ota.status)))
        if isinstance(node, ast.Dict)
    )
    assert [key.value for key in made.keys] == [field.target.id for field in stub.body]


def _mypy(folder, text):
    path = folder / "application.py"
    path.write_text(text)
    options = "--config-file= --strict --follow-imports=silent --ignore-missing-imports"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options.split(), path.name],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(_LIB)},
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


def test_an_application_passes_and_its_mistakes_do_not(tmp_path):
    assert "no issues" in _mypy(tmp_path, _APPLICATION)
    wrong = _APPLICATION.replace("downgrade=True", "downgrades=True").replace(
        '["tries"]', '["try"]'
    )
    told = _mypy(tmp_path, wrong)
    assert '"downgrades"' in told and '"try"' in told and "Found 2 errors" in told
