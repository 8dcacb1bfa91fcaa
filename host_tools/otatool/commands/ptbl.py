"""otatool ptbl: write a TobudOS partition table."""

import argparse

from rich.table import Table

from .. import files
from ..product import ptbl
from ..terminal import values
from ..terminal.console import console
from ..terminal.plain import warn


def add(p: argparse.ArgumentParser) -> None:
    """Declare the command; the options are those of the TobudOS tool, in any order."""
    p.description = "Write a TobudOS partition table. Addresses are hex, with or without 0x."
    span = values.type_of(ptbl.parse_span)
    p.add_argument("-p", dest="mode", choices=("ip", "pp"), help="in-position or ping-pong")
    p.add_argument("-a", dest="active", type=span, required=True, metavar="START,END")
    p.add_argument("-b", dest="backup", type=span, metavar="START,END", help="with -p pp")
    p.add_argument("-o", dest="ota", type=span, required=True, metavar="START,END")
    p.add_argument("-k", dest="kv", type=span, required=True, metavar="START,END")
    p.add_argument(
        "-v",
        dest="version",
        type=values.type_of(ptbl.parse_version),
        metavar="MAJOR.MINOR",
        help="version of the first image",
    )
    p.add_argument(
        "--sector",
        type=values.type_of(values.positive_size),
        default=0,
        metavar="BYTES",
        help="erase size of the flash; every partition must then start and end on a sector",
    )
    p.add_argument("out", metavar="OUT")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the table and print it."""
    layout = ptbl.Layout(
        args.active, args.ota, args.kv, args.backup, args.mode or "ip", args.version or (0, 0)
    )
    layout.sector = args.sector
    if not args.mode:
        layout.warnings.append("no -p: in-position (ip) is used")
    if not args.version:
        layout.warnings.append("no -v: version 0.0 is used for the first image")
    data = ptbl.build(layout)
    files.write(args.out, data)
    warn(*layout.warnings)
    _show(layout, args.out, len(data))
    return 0


def _show(layout: ptbl.Layout, path: str, size: int) -> None:
    kind = "ping-pong" if layout.mode == "pp" else "in-position"
    table = Table(title=f"{kind}, version {'%d.%d' % layout.version}")
    table.add_column("partition")
    for column in ("start", "end", "bytes"):
        table.add_column(column, justify="right")
    for row in ptbl.rows(layout):
        table.add_row(*row)
    out = console()
    out.print(table)
    out.print(f"{path}: {size} bytes")
