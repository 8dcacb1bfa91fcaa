"""The terminal of whoever runs a command: one factory of consoles, and harmless text.

Consoles of Windows and of services often cannot print every character, and what a board, a
server or a file says may hold escape sequences. Both are dealt with here and nowhere else.
"""

import sys
import textwrap

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 4096  # columns of what is no terminal: a pipe or a file, where nothing is cut or folded


def console(stderr: bool = False, highlight: bool = False) -> Console:
    """A console on stdout or stderr that prints text as it is: no markup, no emoji codes. On
    what is no terminal, lines are as long as they need."""
    stream = sys.stderr if stderr else sys.stdout
    lenient(stream)
    out = Console(stderr=stderr, highlight=highlight, soft_wrap=True, markup=False, emoji=False)
    if not out.is_terminal:
        out.width = _WIDE
    return out


def lenient(stream) -> None:
    """Let a stream replace what its encoding does not have, such as cp1252 an arrow."""
    if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")


def plain(text: str, keep: str = "") -> str:
    """Text of a stranger without what drives a terminal: as it is printed by repr().

    keep: characters that stay as they are, such as a newline.
    """
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def harmless(text: str, style: str = "") -> Text:
    """plain() as rich takes it: brackets are no markup."""
    return Text(plain(text), style)


def row(table: Table, *cells: str) -> None:
    """Add a row whose cells are text and not markup, folded where a terminal is too narrow."""
    table.add_row(*(Text(plain(cell), overflow="fold") for cell in cells))


def warn(*sentences: str) -> None:
    """Print warnings, one a line, on stderr."""
    out = console(stderr=True)
    for sentence in sentences:
        out.print("warning: " + plain(sentence))


def put_row(out: Console, name: str, value: str) -> None:
    """Print a value behind its name. On a terminal that is too narrow it goes below, and is
    folded between words only: a digest stays whole."""
    head = f"  {plain(name):16} " if name else "  "
    value = plain(value)
    if len(head) + len(value) <= out.width:
        out.print(Text(head + value))
        return
    if name:
        out.print(Text(head.rstrip()))
    lines = textwrap.wrap(
        value, max(20, out.width - 4), break_long_words=False, break_on_hyphens=False
    )
    for line in lines:
        out.print(Text("    " + line))
