"""The stubs beside lib/ota say what the functions there are, and a type checker uses them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

_LIB = Path(__file__).parents[2] / "lib"
_APP = """\
import ota
from ota import aio


def show(stage: str, done: int, total: int) -> None:
    print(stage, done, total)


def read(path: str) -> None:
    with open(path, "rb") as f:
        done = ota.install(f, progress=show)
    if done["result"] == "ready":
        print(done.get("size", 0) + 1)


async def watch() -> None:
    try:
        version: str = (await aio.watch(failed=print))["version"]
        ota.store().set("app.version", version.encode())
    except ota.errors.OtaError as e:
        print(e.reason, ota.status()["tries"] + 1)


if ota.confirm():
    ota.rollback(reset=False)
"""


def _functions(path):
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name[0] != "_":
            found[node.name] = node
    return found


def _parameters(function, constants):
    """Names and defaults, whether it is a coroutine."""
    a = function.args
    assert not (a.posonlyargs or a.kwonlyargs or a.vararg)
    defaults = [
        constants[d.id] if isinstance(d, ast.Name) else ast.literal_eval(d) for d in a.defaults
    ]
    names = [x.arg for x in a.args]
    return type(function), names, defaults, a.kwarg and a.kwarg.arg


@pytest.mark.parametrize("name", ["__init__", "aio"])
def test_a_stub_has_the_functions_of_its_module(name):
    stub = _functions(_LIB / "ota" / f"{name}.pyi")
    module = _functions(_LIB / "ota" / f"{name}.py")
    assert stub.keys() == module.keys()
    for function in stub:
        with_types = _parameters(stub[function], {})
        assert with_types == _parameters(module[function], {"_PAUSE_MS": 5}), function


def test_a_stub_types_every_parameter_and_result():
    for path in (_LIB / "ota").rglob("*.pyi"):
        for function in _functions(path).values():
            arguments = [*function.args.args, function.args.kwarg]
            assert function.returns is not None
            assert all(a.annotation for a in arguments if a), function.name


def test_the_stub_of_status_has_its_keys():
    status = _functions(_LIB / "ota" / "__init__.py")["status"]
    (returned,) = [n.value for n in ast.walk(status) if isinstance(n, ast.Return)]
    keys = [key.value for key in returned.keys]
    stub = ast.parse((_LIB / "ota" / "__init__.pyi").read_text())
    (fields,) = [n.body for n in stub.body if getattr(n, "name", "") == "_Status"]
    assert keys == [field.target.id for field in fields]


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """What mypy says of the application, and of the same with a mistake on each of four lines."""
    folder = tmp_path_factory.mktemp("typed")
    mistakes = _APP.replace("progress=show", "progress=1").replace('== "ready"', '== "readdy"')
    mistakes = mistakes.replace('"tries"', '"tried"').replace("reset=False", "force=True")
    found = {}
    for name, text in (("good.py", _APP), ("bad.py", mistakes)):
        (folder / name).write_text(text)
        command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", name]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env={"MYPYPATH": str(_LIB)}
        )
        found[name] = [line for line in done.stdout.splitlines() if line.startswith(name)]
        assert done.returncode in (0, 1), done.stdout + done.stderr
    return found


def test_an_application_that_uses_the_face_passes(judged):
    assert judged["good.py"] == []


def test_an_application_with_mistakes_is_told_each(judged):
    lines = _APP.splitlines()
    wrong = [
        next(i for i, line in enumerate(lines, 1) if text in line)
        for text in ("progress=show", '== "ready"', '"tries"', "reset=False")
    ]
    assert [int(line.split(":")[1]) for line in judged["bad.py"] if ": error: " in line] == wrong
