"""Modules of systems with terminals. A virtual board needs them; every other command does not,
so that their absence (Windows) is told where a board is switched on and not before."""

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


def require() -> None:
    """Raise ToolError where no virtual board can run."""
    if fcntl is None:
        raise ToolError(
            "virtual boards run on Linux and macOS, on Windows in WSL; other commands work here"
        )
