"""What diff and show share: sections on a console, the picture of a report."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from .. import files
from ..errors import ToolError
from ..inspect import picture
from ..inspect.report import Report
from ..inspect.show import Section
from ..terminal.console import harmless, put_row


def put(out: Console, s: Section) -> None:
    """Print a section. What a file says of itself may be anything: it is made harmless."""
    out.print(harmless(s.title, "bold"))
    for name, value in s.rows:
        put_row(out, name, value)
    if s.table:
        table = Table()
        left = len(s.columns) - s.numbers
        for i, name in enumerate(s.columns):
            table.add_column(name, justify="left" if i < left else "right", overflow="fold")
        for row in s.table:
            if s.total and row is s.table[-1]:
                table.add_section()
            table.add_row(*map(harmless, row))
        out.print(table, soft_wrap=False)


def picture_path(name: str) -> Path:
    """The path of a picture.

    Raises:
        ToolError: the name does not end in .svg.
    """
    path = Path(name)
    if path.suffix != ".svg":
        raise ToolError(f"{name}: the report is an SVG picture, its name must end in .svg")
    return path


def write_picture(path: Path, r: Report, title: str, old: str, new: str) -> None:
    """Draw a report.

    Args:
        old, new: what the images are called.

    Raises:
        ToolError: one sentence for people.
    """
    files.write(path, picture.draw(r, title, old, new))
