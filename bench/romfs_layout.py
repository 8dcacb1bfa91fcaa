"""What `otatool image --previous` saves and costs, over releases in a row.

    python bench/romfs_layout.py [--cache FOLDER] [--lib CLONE] [--room] [FOLDER...]

The releases are microdot's (wheels from PyPI, which stay in the cache), as bytecode and as
source; those of the demo's application; with --lib, the last 16 commits to 18 packages in a
clone of micropython-lib; or FOLDERs of your own, oldest first. Each is an image twice: plain,
and laid out by the one before; with --room, the first of these has room. Printed per step:
blocks that change, bytes of payload as a patch into another slot, in place, and in place back;
bytes of the image.
"""

import argparse
import io
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from delta_pairs import MICRODOT, fetch
from otatool.demo import application
from otatool.image import build as image
from otatool.image import layout as romfs_layout
from otatool.patch import find as delta
from otatool.patch import payload

_COMMITS = 16
_PACKAGES = (
    *("micropython/aiorepl/aiorepl.py", "micropython/mip/mip", "micropython/senml/senml"),
    *("micropython/umqtt.robust/umqtt", "micropython/umqtt.simple/umqtt"),
    *("micropython/usb/usb-device/usb", "micropython/utop/utop.py"),
    *("python-ecosys/aiohttp/aiohttp", "python-ecosys/requests/requests"),
    *("python-stdlib/argparse/argparse.py", "python-stdlib/base64/base64.py"),
    *("python-stdlib/collections/collections", "python-stdlib/datetime/datetime.py"),
    *("python-stdlib/functools/functools.py", "python-stdlib/inspect/inspect.py"),
    *("python-stdlib/itertools/itertools.py", "python-stdlib/logging/logging.py"),
    "python-stdlib/unittest/unittest",
)
_COLUMNS = ("blocks 4096", "2048", "payload", "in place", "back", "image")


def microdot(cache: Path, out: Path, demo: bool) -> list[Path]:
    """Folders of microdot's releases, with the demo's application around them if wanted."""
    folders = []
    for version in MICRODOT:
        folder = out / version
        folder.mkdir(parents=True)
        folders.append(folder)
        with zipfile.ZipFile(fetch(cache, "microdot", version, False)) as wheel:
            for name in wheel.namelist():
                if name.startswith("microdot/") and name.endswith(".py"):
                    wheel.extract(name, folder)
            if demo:
                for path in application.APP.iterdir():
                    if path.is_file():
                        shutil.copy(path, folder)
                (folder / "microdot.txt").write_bytes(wheel.read("microdot/microdot.py"))
                (folder / "version.py").write_text(f'VERSION = "{version}"\n')
    return folders


def library(clone: Path, out: Path) -> list[Path]:
    """Folders of the packages as the last commits left them."""

    def git(*words: str) -> bytes:
        return subprocess.run(["git", "-C", clone, *words], check=True, capture_output=True).stdout

    commits = git("log", "--format=%h", "--first-parent", f"-{_COMMITS}", "--", *_PACKAGES)
    folders = []
    for commit in reversed(commits.decode().split()):
        folder = out / commit
        folders.append(folder)
        for package in map(Path, _PACKAGES):
            # As mip installs it: without the way to it.
            data = git("archive", f"{commit}:{package.parent}", package.name)
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                tar.extractall(folder / "lib", filter="data")
        (folder / "main.py").write_text(f"VERSION = {commit!r}\n")
    return folders


def step(old: bytes, new: bytes) -> list[int]:
    """The figures of an update, as _COLUMNS."""
    patches = (delta.best(old, new), delta.best(old, new, 4096, True))
    back = delta.best(new, old, 4096, True)
    return [
        *(romfs_layout.changed(old, new, block) for block in (4096, 2048)),
        *(payload.deflated_size(writer) for writer in (*patches, back)),
        len(new),
    ]


def chain(title: str, folders: list[Path], mpy: bool, room: bool) -> None:
    """Print a table: both ways for each release."""
    print(f"\n{title}\n{'':24}" + "".join(f"{name:>16}" for name in _COLUMNS))
    plain, laid = image.build(folders[0], mpy=mpy), image.build(folders[0], mpy=mpy, room=room)
    sums = [[0] * len(_COLUMNS), [0] * len(_COLUMNS)]
    for before, folder in zip(folders, folders[1:], strict=False):
        images = image.build(folder, mpy=mpy), image.build(folder, mpy=mpy, previous=laid)
        rows = step(plain, images[0]), step(laid, images[1])
        plain, laid = images
        _line(f"{before.name} {folder.name}", rows)
        for total, row in zip(sums, rows, strict=True):
            total[:] = [a + b for a, b in zip(total, row, strict=True)]
    _line("sum", [row[:-1] for row in sums])


def _line(name, rows):
    print(f"{name:24}" + "".join(f"{f'{a} {b}':>16}" for a, b in zip(*rows, strict=True)))


def main() -> None:
    """Print the tables; in each cell the plain image comes first."""
    p = argparse.ArgumentParser()
    p.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "otatool-bench")
    p.add_argument("--lib", type=Path)
    p.add_argument("--room", action="store_true")
    p.add_argument("folders", nargs="*", type=Path)
    args = p.parse_args()
    if args.folders:
        chain("own, bytecode", args.folders, True, args.room)
        return
    args.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        plain = microdot(args.cache, out / "microdot", False)
        chain("microdot, bytecode", plain, True, args.room)
        chain("microdot, source", plain, False, args.room)
        chain("demo", microdot(args.cache, out / "demo", True), True, args.room)
        if args.lib:
            folders = library(args.lib, out / "lib")
            chain("micropython-lib, bytecode", folders, True, args.room)
            chain("micropython-lib, source", folders, False, args.room)


if __name__ == "__main__":
    main()
