"""What commands print: text as it is, never read as markup or cut, and warnings in one form."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 1000  # characters of a line where nobody looks at it: a pipe, a file


def console(stderr: bool = False) -> Console:
    """A console for what people or other programs named: no markup, no emoji codes, no cuts."""
    c = Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)
    if not c.is_terminal:
        c.width = _WIDE
    return c


def row(table: Table, *cells: str) -> None:
    """Add a row whose cells are text and not markup, folded where a terminal is too narrow."""
    table.add_row(*(Text(cell, overflow="fold") for cell in cells))


def warn(*sentences: str) -> None:
    """Print warnings, one a line, on the error output."""
    c = console(stderr=True)
    for sentence in sentences:
        c.print("warning: " + sentence)
