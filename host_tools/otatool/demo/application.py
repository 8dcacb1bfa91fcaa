"""The demo's application in three versions, each a real ROMFS image.

0.1   app/ on microdot 2.6.0
0.2   the same on microdot 2.7.0
0.3   0.2, but it imports a module that nobody put into the image
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import ToolError
from ..image.build import build

APP = Path(__file__).with_name("app")
OLD, NEW, BROKEN = "0.1", "0.2", "0.3"
# SHA-256 of these versions on PyPI; any other file is rejected.
WHEELS = {
    "2.6.0": "abfb82ca31cc430174e4761cc7356adc4bff00ea758d437c2b258883dc63f464",
    "2.7.0": "1e9b7b825372e1ba8ebd4c59b6180e15c71f4b5200ec4bcbf8c9f9b5652db379",
}
MICRODOT = {OLD: "2.6.0", NEW: "2.7.0", BROKEN: "2.7.0"}
_BUG = ("import asyncio\n", "import asyncio\n\nimport telemetry\n")


def images(
    cache: Path | None = None, say: Callable[[str], None] | None = None
) -> dict[str, bytes]:
    """ROMFS image by version. cache: folder of the wheels; say: gets what is done.

    Raises ToolError without a network, unless the wheels are there.
    """
    cache = cache or _cache()
    say = say or (lambda text: None)
    with ThreadPoolExecutor() as pool:
        wheels = dict(zip(WHEELS, pool.map(lambda v: wheel(v, cache, say), WHEELS), strict=True))
    return {version: _image(version, wheels[needs]) for version, needs in MICRODOT.items()}


def wheel(version: str, cache: Path, say: Callable[[str], None]) -> Path:
    """Path of microdot's wheel in cache, downloaded from PyPI if it is not there.

    Raises ToolError: no network, or a file that is not the expected one.
    """
    path = cache / f"microdot-{version}-py3-none-any.whl"
    if not path.exists():
        say(f"downloading microdot {version} from PyPI")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            got = Path(folder) / path.name
            run = subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"),
                    *("--disable-pip-version-check", "--only-binary", ":all:"),
                    *("--dest", folder, f"microdot=={version}"),
                ],
                capture_output=True,
                text=True,
            )
            if run.returncode or not got.exists():
                last = (run.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise ToolError(
                    f"microdot {version} could not be downloaded from PyPI: {last}. The demo "
                    f"needs a network once; or put {path.name} into {cache}"
                )
            os.replace(got, path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != WHEELS[version]:
        raise ToolError(f"{path} is not microdot {version} as published; delete it and try again")
    return path


def _image(version: str, source: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder)
        for path in APP.iterdir():
            if path.is_file():
                shutil.copy(path, app)
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                if name.startswith("microdot/") and name.endswith(".py"):
                    archive.extract(name, app)
            (app / "microdot.txt").write_bytes(archive.read("microdot/microdot.py"))
        (app / "version.py").write_text(f'VERSION = "{version}"\n')
        if version == BROKEN:
            main = app / "main.py"
            main.write_text(main.read_text().replace(*_BUG, 1))
        return build(app)


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "otatool"
