"""otatool show: what is in this file, in words."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .. import files, show


def add(sub) -> None:
    """Declare the arguments."""
    p = sub.add_parser("show", help="say what a file holds: package, manifest, table, flash ...")
    p.add_argument("file")
    p.add_argument("--layout", help="layout.json, for a dump of a whole flash")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print every section."""
    path = Path(args.file)
    layout = json.loads(files.read(args.layout)) if args.layout else show.layout_beside(path)
    out = Console()
    for s in show.show(files.read(path), layout):
        out.print(f"[bold]{escape(s.title)}[/bold]")
        for name, value in s.rows:
            out.print(f"  {name:16} {escape(value)}" if name else f"  {escape(value)}")
        if s.table:
            table = Table()
            for name in s.columns:
                table.add_column(name)
            for row in s.table:
                table.add_row(*row)
            out.print(table)
