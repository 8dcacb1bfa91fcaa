"""The user's terminal, by rich: consoles, tables, progress bars."""

import contextlib
import sys
import textwrap
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from .plain import lenient, plain

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


def harmless(text: str, style: str = "") -> Text:
    """plain() as rich takes it: brackets are no markup."""
    return Text(plain(text), style)


def row(table: Table, *cells: str) -> None:
    """Add a row whose cells are text and not markup, folded where a terminal is too narrow."""
    table.add_row(*(Text(plain(cell), overflow="fold") for cell in cells))


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


@contextlib.contextmanager
def searching(text: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr while patches are searched for; yields what moves it, 0 to 1.

    The bar disappears when the search is over, and does not appear where stderr is no terminal.
    """
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as p:
        task = p.add_task(escape(text), total=1.0)
        yield lambda part: p.update(task, completed=part)
