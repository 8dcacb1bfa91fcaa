"""One module per command: add(subparsers) declares its arguments, run(args) calls functions."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .. import files
from ..errors import ToolError
from ..inspect import picture, show
from ..inspect.report import Report
from ..release.package import WINDOWS
from ..release.upload import MANIFEST_CACHE, Done
from ..terminal import console as consoles


def put(console: Console, s: show.Section) -> None:
    """Print a section. What a file says of itself may be anything: it is made harmless."""
    console.print(consoles.harmless(s.title, "bold"))
    for name, value in s.rows:
        consoles.put_row(console, name, value)
    if s.table:
        table = Table()
        left = len(s.columns) - s.numbers
        for i, name in enumerate(s.columns):
            table.add_column(name, justify="left" if i < left else "right", overflow="fold")
        for row in s.table:
            if s.total and row is s.table[-1]:
                table.add_section()
            table.add_row(*map(consoles.harmless, row))
        console.print(table, soft_wrap=False)


def add_wbits(p) -> None:
    """Declare --wbits of a command that makes packages."""
    p.add_argument(
        "--wbits",
        type=int,
        choices=WINDOWS,
        default=WINDOWS[-1],
        help="largest window of the inflater: 10, 1 KB of the devices' RAM, or 12, 4 KB where "
        "that saves a hundredth (12)",
    )


def windows(args) -> list[int]:
    """What --wbits allows."""
    return [w for w in WINDOWS if w <= args.wbits]


def add_quick(p) -> None:
    """Declare --quick of a command that looks for patches."""
    p.add_argument(
        "--quick",
        action="store_true",
        help="patches some percent larger, several times as fast; without it 1 MB takes some 20 s",
    )


def add_upload(p) -> None:
    """Declare the options of a command that writes to where devices get updates."""
    p.add_argument(
        "--cache-control",
        default=MANIFEST_CACHE,
        metavar="TEXT",
        help="of the manifest, in object stores (%(default)s)",
    )
    p.add_argument("--dry-run", action="store_true", help="only say what would be written")


def put_done(done: Done, dry_run: bool) -> None:
    """Print what was written at a place, or would be."""
    console = consoles.console()
    console.print(done.place, style="bold")
    for rows, word in (
        (done.kept, "there already"),
        (done.written, "would be written" if dry_run else "written"),
    ):
        for name, size in rows:
            console.print(f"  {word:16} {size:9} {name}")
    consoles.warn(*(f"{done.place}: {text}" for text in done.warnings))


@contextlib.contextmanager
def searching(text: str) -> Iterator[Callable[[float], None]]:
    """A bar on the error output, while patches are looked for; gives what moves it, from 0 to 1.

    It goes when the search is over, and none comes where nobody looks.
    """
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    console = consoles.console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as p:
        task = p.add_task(escape(text), total=1.0)
        yield lambda part: p.update(task, completed=part)


def picture_path(name: str) -> Path:
    """The path of a picture. Raises ToolError for a name of something else."""
    path = Path(name)
    if path.suffix != ".svg":
        raise ToolError(f"{name}: the report is a picture, its name ends in .svg")
    return path


def write_picture(path: Path, r: Report, title: str, old: str, new: str) -> None:
    """Draw a report; old, new: what the images are called. Raises ToolError."""
    files.write(path, picture.draw(r, title, old, new))
