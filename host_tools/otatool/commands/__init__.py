"""One module per command: add(subparsers) declares its arguments, run(args) calls functions."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .. import files, picture, show
from ..errors import ToolError
from ..report import Report


def put(console: Console, s: show.Section) -> None:
    """Print a section."""
    console.print(f"[bold]{escape(s.title)}[/bold]")
    for name, value in s.rows:
        console.print(f"  {name:16} {escape(value)}" if name else f"  {escape(value)}")
    if s.table:
        table = Table()
        left = len(s.columns) - s.numbers
        for i, name in enumerate(s.columns):
            table.add_column(name, justify="left" if i < left else "right")
        for row in s.table:
            if s.total and row is s.table[-1]:
                table.add_section()
            table.add_row(*map(escape, row))
        console.print(table)


def picture_path(name: str) -> Path:
    """The path of a picture. Raises ToolError for a name of something else."""
    path = Path(name)
    if path.suffix != ".svg":
        raise ToolError(f"{name}: the report is a picture, its name ends in .svg")
    return path


def write_picture(path: Path, r: Report, title: str, old: str, new: str) -> None:
    """Draw a report; old, new: what the images are called. Raises ToolError."""
    files.write(path, picture.draw(r, title, old, new))
