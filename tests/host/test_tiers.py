"""What ./run test leaves out, and what it must not leave out."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_QUICK = "def test_quick():\n    pass\n"
_LONG = "import pytest\n\n\n@pytest.mark.long\ndef test_long():\n    pass\n"
_ON_MICROPYTHON = (
    "import pytest\n\n\n@pytest.mark.parametrize('module', ['x'])\n"
    "def test_on_micropython(module):\n    pass\n"
)


@pytest.fixture
def project(tmp_path):
    """A project with the conftest of this one, run with options; returns what came of it."""
    (tmp_path / "tests").mkdir()
    for name in ("conftest.py", "folders.py"):
        shutil.copy(_ROOT / "tests" / name, tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\nmarkers = long: x\n")

    def run(*options, **files):
        for name, text in files.items():
            (tmp_path / "tests" / f"test_{name}.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)

    return run


def test_a_run_without_micropython_fails(project):
    done = project(a=_QUICK)
    assert done.returncode == 1
    assert "1 passed" in done.stdout and "no test ran on MicroPython" in done.stderr
    assert project("tests/test_a.py").returncode == 0  # whoever names a file has a reason
    assert project("-p", "xdist", "-n", "1", b=_ON_MICROPYTHON).returncode == 0


def test_long_tests_run_with_all_or_when_named(project):
    files = {"a": _QUICK, "b": _ON_MICROPYTHON, "c": _LONG}
    assert "2 passed, 1 deselected" in project(**files).stdout
    assert "3 passed" in project("--all").stdout
