"""Output files: complete or absent. Every command that writes a file uses write()."""

import os
import stat
import tempfile
from pathlib import Path

from .errors import ToolError

_LIVE = ("/dev/", "/proc/")  # paths there stand for something else, such as a redirection


def write(
    path: str | os.PathLike, data: bytes | str, mode: int | None = None, private: bool = False
) -> None:
    """Write data to path; a failure leaves an existing regular file untouched.

    A regular file is replaced in one step and keeps its permissions; a link is followed, so the
    file that it leads to is replaced and the link stays. A character device, a pipe or a socket is
    written to and never replaced.

    Args:
        mode: permissions of the file, also of one that is there; None: of a new file what the
            umask leaves.
        private: nobody else may read it, whatever there was.

    Raises:
        ToolError: a folder, a block device, a folder that cannot be written to.
    """
    path = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    found = _stat(path)
    if found and not stat.S_ISREG(found.st_mode) or _live(path):
        _pour(path, raw, found)
        return
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise ToolError(f"{path}: a loop of links")
    if private:
        mode = 0o600
    elif mode is None:
        mode = stat.S_IMODE(found.st_mode) if found else 0o666 & ~_umask()
    try:
        # A short name: one made from a long name could be too long.
        handle, temporary = tempfile.mkstemp(prefix=".ota-", dir=target.parent)
    except OSError as e:
        raise ToolError(f"{path}: {e.strerror}; check the folder") from e
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(raw)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException as e:
        os.unlink(temporary)
        if isinstance(e, OSError):
            raise ToolError(f"{path}: {e.strerror}") from e
        raise


def check_output(path: str | os.PathLike, *inputs: str | os.PathLike) -> None:
    """Raise ToolError if write() to path cannot work, or would replace one of the inputs.

    For commands that work for long, or whose output could be taken for an input.
    """
    path = Path(path)
    found = _stat(path)
    if not found:
        if path.is_symlink():
            return  # write() makes the file that it leads to
        if not path.parent.is_dir():
            raise ToolError(f"{path}: there is no folder {path.parent}; check the folder")
        return
    _refuse_kind(path, found)
    for other in inputs:
        if stat.S_ISREG(found.st_mode) and Path(other).exists() and path.samefile(other):
            raise ToolError(f"{path} is also an input and would be lost: choose another name")


def exposed(path: str | os.PathLike) -> bool:
    """True if others than the owner may read a file with a secret. Never on Windows."""
    found = _stat(Path(path))
    return bool(
        os.name == "posix" and found and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077
    )


def read(path: str | os.PathLike) -> bytes:
    """The bytes of path.

    Raises:
        ToolError: one sentence for people.
    """
    try:
        return Path(path).read_bytes()
    except OSError as e:
        raise ToolError(f"{path}: {e.strerror}") from e
    except ValueError as e:  # a zero byte in the name
        raise ToolError(f"{str(path)!r} is not a file name") from e


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
    except ValueError as e:
        raise ToolError(f"{str(path)!r} is not a file name") from e


def _live(path: Path) -> bool:
    return str(path.absolute()).startswith(_LIVE)


def _refuse_kind(path: Path, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise ToolError(f"{path} is a folder: give the name of a file")
    if stat.S_ISBLK(found.st_mode):
        raise ToolError(f"{path} is a disk: write a file, and copy that")


def _pour(path: Path, raw: bytes, found: os.stat_result | None) -> None:
    """Write into what is no regular file."""
    if found:
        _refuse_kind(path, found)
    try:
        # Unlike open(): never makes a file, and a pipe that nobody reads is waited for as
        # other programs do.
        handle = os.open(path, os.O_WRONLY)
        with os.fdopen(handle, "wb") as f:
            f.write(raw)
    except OSError as e:
        raise ToolError(f"{path}: {e.strerror}") from e


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
