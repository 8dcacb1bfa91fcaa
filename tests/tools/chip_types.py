"""Check what the library uses of a port's own modules: python tests/tools/chip_types.py

mypy reads lib/ota and the Wi-Fi example beside the stubs of each port (PyPI:
micropython-rp2-stubs, micropython-esp32-stubs), which pip installs into typings/ the first time.
The library imports these modules by `modules.firmware()`, which mypy cannot follow, so a copy is
checked in which these are plain imports. Only the lines that use such a module count: the rest
is checked by the usual run of mypy, with the types of CPython.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_TYPINGS = _ROOT / "typings"
_VERSION = "1.29.*"
# Port: what is a block device of its internal flash.
PORTS = {"rp2": "rp2.Flash", "esp32": "esp32.Partition"}
# Stubs of further modules would hide CPython's, which the library is checked with.
_MODULES = "_mpy_shed esp32 machine micropython network ntptime rp2 vfs".split()
_USE = re.compile(r"\b(machine|micropython|network|ntptime|dev)\.\w")
_WHOLE = re.compile(r'^( *)(\w+) = firmware\("(\w+)"\)$', re.MULTILINE)
_PART = re.compile(r'^( *)(.*)firmware\("(\w+)"\)\.', re.MULTILINE)
_ERROR = re.compile(r"^(.+?):(\d+): error: ")


def install(port: str) -> Path:
    """The folder with the stubs of a port, installed there if it is new."""
    folder = _TYPINGS / port
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        name = f"micropython-{port}-stubs=={_VERSION}"
        subprocess.run([*command, "--target", folder, name], check=True)
    return folder


def check(port: str, stubs: Path) -> tuple[int, list[str]]:
    """Number of lines that use a module of the port, and what mypy has against them.

    Raises RuntimeError if mypy could not run at all.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy_stubs(stubs, folder / "stubs")
        _copy_sources(port, folder / "src")
        options = "--config-file= --python-version=3.10 --check-untyped-defs --no-error-summary"
        command = [sys.executable, "-m", "mypy", *options.split(), "--ignore-missing-imports"]
        done = subprocess.run(
            [*command, "--explicit-package-bases", "ota", "main.py"],
            cwd=folder / "src",
            env={**os.environ, "MYPYPATH": f"{folder / 'src'}{os.pathsep}{folder / 'stubs'}"},
            capture_output=True,
            text=True,
        )
        if done.returncode > 1 or done.stderr:
            raise RuntimeError(done.stdout + done.stderr)
        uses = {
            (path.relative_to(folder / "src").as_posix(), number)
            for path in (folder / "src").rglob("*.py")
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if _USE.search(line.partition("#")[0])
        }
        found = []
        for line in done.stdout.splitlines():
            match = _ERROR.match(line)
            if match and (match[1].replace(os.sep, "/"), int(match[2])) in uses:
                found.append(f"{port}: {line}")
        return len(uses), found


def _copy_stubs(stubs, target):
    target.mkdir()
    for name in _MODULES:
        if (stubs / name).is_dir():
            shutil.copytree(stubs / name, target / name)
        elif (stubs / f"{name}.pyi").is_file():
            shutil.copy(stubs / f"{name}.pyi", target)


def _copy_sources(port, target):
    # Machine code has types of its own, which no stub knows.
    shutil.copytree(
        _ROOT / "lib" / "ota", target / "ota", ignore=shutil.ignore_patterns("*_viper.py")
    )
    shutil.copy(_ROOT / "examples" / "wifi" / "main.py", target)
    for path in target.rglob("*.py"):
        text = _WHOLE.sub(r"\1import \3 as \2", path.read_text())
        path.write_text(_PART.sub(r"\1import \3; \2\3.", text))
    path = target / "ota" / "flash" / "blockdev.py"
    text = path.read_text()
    assert text.count("(self, dev, ") == 1
    path.write_text(
        text.replace("(self, dev, ", f'(self, dev: "{PORTS[port]}", ') + f"\nimport {port}\n"
    )


def main() -> int:
    """Check every port; the exit status."""
    failed = False
    for port in PORTS:
        count, found = check(port, install(port))
        print(*found, f"{port}: {count} lines, {len(found)} errors", sep="\n")
        failed = failed or bool(found)
    return failed


if __name__ == "__main__":
    sys.exit(main())
