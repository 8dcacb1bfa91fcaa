"""Type-check what boards run against the stubs of MicroPython itself: its own time, socket, ssl,
machine, network and the like, in place of CPython's.

    python tests/tools/chips.py                  esp32 and rp2; fetches the stubs once
    python tests/tools/chips.py --stubs DIR ...  against stubs that are there

Checked is a copy of lib/ota, boards/ and examples/. In it `machine = firmware("machine")` of
lib/ota/modules.py, which no type checker follows, becomes `import machine`; line numbers stay.
Exit status 1 if mypy finds an error.

The stubs of two ports cannot be installed side by side, nor beside CPython's: they have the same
names. Each lies in a folder of its own in the environment, .venv/typings/<port>.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_VERSION = "1.29.0.*"
_PORTS = ("esp32", "rp2")
_CONFIG = """\
[mypy]
python_version = 3.10
explicit_package_bases = true
check_untyped_defs = true
strict_optional = false
follow_imports = silent
# A module or name that a port may lack is tried, and None otherwise.
disable_error_code = no-redef, assignment, misc

# The stubs give ticks a type of their own that cannot be calculated with.
[mypy-ota.compat]
disable_error_code = no-redef, assignment, misc, operator

# MicroPython takes any buffer; its stub says text.
[mypy-ota.manifest]
disable_error_code = type-var

# SSLContext has these attributes since 1.22, its stub none; others are used on CPython only.
[mypy-ota.transport.tls]
disable_error_code = attr-defined, union-attr

# A view that is sometimes None is looked at before the method that makes it.
[mypy-ota.transport.wire]
disable_error_code = has-type
"""
# Not checked: what only CPython imports, and the layout that a board's firmware brings.
_ANYTHING = "from typing import Any\ndef __getattr__(name: str) -> Any: ...\n"
_ASSIGNED = re.compile(r'\b(\w+) = firmware\("(\w+)"\)$', re.M)
_USED = re.compile(r'\bfirmware\("(\w+)"\)')


def visible(source: str) -> str:
    """A module's text with firmware("name") as an import that type checkers follow."""
    source = _ASSIGNED.sub(r"import \2 as \1", source)
    used = sorted(set(_USED.findall(source)))
    # On the first line, so that every other one keeps its number.
    return "".join(f"import {name} as _{name}; " for name in used) + _USED.sub(r"_\1", source)


def copy(target: Path, root: Path = _ROOT) -> list[str]:
    """Copy what boards run into target; return its paths there. Scripts get names of their own."""
    for path in sorted((root / "lib" / "ota").rglob("*.py")):
        there = target / path.relative_to(root / "lib")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(visible(path.read_text()))
    # An application catches ota.errors.OtaError; what raises one has imported it.
    with (target / "ota" / "__init__.py").open("a") as face:
        face.write("\nfrom . import errors as errors\n")
    (target / "ota" / "cpython.py").unlink()
    for name in ("ota/cpython.pyi", "layout.pyi"):
        (target / name).write_text(_ANYTHING)
    shutil.copy(root / "lib" / "ota_hints.pyi", target)
    names = ["ota"]
    for folder in ("boards", "examples"):
        for path in sorted((root / folder).rglob("*.py")):
            name = re.sub(r"\W", "_", path.relative_to(root).with_suffix("").as_posix()) + ".py"
            (target / name).write_text(path.read_text())
            names.append(name)
    return names


def check(stubs: Path, root: Path = _ROOT) -> str:
    """What mypy finds against these stubs, one error a line; "" if nothing."""
    with tempfile.TemporaryDirectory() as folder:
        names = copy(Path(folder), root)
        (Path(folder) / "mypy.ini").write_text(_CONFIG)
        command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--no-error-summary"]
        command += ["--cache-dir", str(stubs / ".mypy_cache"), "--custom-typeshed-dir", str(stubs)]
        done = subprocess.run(
            [*command, *names], cwd=folder, capture_output=True, text=True,
            env={"MYPYPATH": f"{folder}:{stubs}"},
        )  # fmt: skip
    # The stubs have errors of their own, which are not ours to mend.
    ours = [line for line in done.stdout.splitlines() if not line.startswith(str(stubs))]
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    return "".join(line + "\n" for line in ours if ": error: " in line)


def fetch(port: str) -> Path:
    """Folder with the stubs of a port, in the environment that runs this."""
    target = Path(sys.prefix) / "typings" / port
    wanted = f"micropython-{port}-stubs=={_VERSION}"
    stamp = target / ".installed"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(target, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", str(target), wanted], check=True)
        stamp.write_text(wanted)
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stubs", type=Path, nargs="+", help="folders with stubs")
    args = parser.parse_args()
    failed = 0
    for stubs in args.stubs or [fetch(port) for port in _PORTS]:
        found = check(stubs.resolve())
        print(f"{stubs.name}: {found.count(chr(10))} errors\n{found}", end="")
        failed |= bool(found)
    return failed


if __name__ == "__main__":
    sys.exit(main())
