"""Plain lines on a terminal: text of strangers made harmless, any encoding, no rich.

Consoles of Windows and of services often cannot print every character, and what a board, a
server or a file says may hold escape sequences. Both are dealt with here; console.py adds
tables, colours and progress bars.
"""

import sys
from typing import Any


def plain(text: str, keep: str = "") -> str:
    """Text without what drives a terminal: such characters as repr() prints them.

    Args:
        text: from a stranger, such as a board, a server or a file.
        keep: characters that stay as they are, such as a newline.
    """
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def lenient(stream: Any) -> None:
    """Let a stream replace what its encoding does not have, such as cp1252 an arrow."""
    if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")


def say(*lines: str) -> None:
    """Print lines on stdout."""
    _print(lines, sys.stdout)


def note(*lines: str) -> None:
    """Print lines on stderr."""
    _print(lines, sys.stderr)


def warn(*sentences: str) -> None:
    """Print warnings, one a line, on stderr."""
    note(*("warning: " + sentence for sentence in sentences))


def _print(lines, stream) -> None:
    lenient(stream)
    for line in lines:
        print(plain(line), file=stream)
