"""What a virtual board needs of the computer: modules of systems with terminals, and the
interpreter. No other command needs them, so a board that is switched on says what is missing."""

import importlib.util
import pathlib
from typing import Any

from ..errors import ToolError

fcntl: Any
termios: Any
tty: Any
try:
    import fcntl
    import termios
    import tty
except ImportError:
    fcntl = termios = tty = None


def missing() -> str:
    """Why no virtual board can run here, in words; "" where one can."""
    if fcntl is None:
        return "virtual boards run on Linux and macOS, on Windows in WSL; other commands work here"
    if not _interpreter():
        return (
            "the MicroPython interpreter is missing: pip install 'micropython-ota-tool[sim]' "
            "(it exists for Linux x86-64 and macOS arm64)"
        )
    return ""


def require() -> pathlib.Path:
    """The interpreter, a library.

    Raises:
        ToolError: where no virtual board can run.
    """
    found = _interpreter()
    if not found or missing():
        raise ToolError(missing())
    return pathlib.Path(found)


def _interpreter() -> str:
    try:
        spec = importlib.util.find_spec("micropython_run")
    except ImportError:
        return ""
    return spec.origin or "" if spec else ""
