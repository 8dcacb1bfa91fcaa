"""Output files: complete or not there at all."""

import os
import tempfile
from pathlib import Path

from .errors import ToolError


def write(path: str | os.PathLike, data: bytes | str, mode: int = 0o644) -> None:
    """Write data to path atomically: whoever fails, fails before an existing file is touched.

    mode: permissions of the file. Raises ToolError if the folder cannot be written to.
    """
    path = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    try:
        handle, temporary = tempfile.mkstemp(prefix="." + path.name, dir=path.parent)
    except OSError as e:
        raise ToolError(f"{path}: {e.strerror}; check the folder") from e
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(raw)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException as e:
        os.unlink(temporary)
        if isinstance(e, OSError):
            raise ToolError(f"{path}: {e.strerror}") from e
        raise


def read(path: str | os.PathLike) -> bytes:
    """The bytes of path. Raises ToolError in words."""
    try:
        return Path(path).read_bytes()
    except OSError as e:
        raise ToolError(f"{path}: {e.strerror}") from e
