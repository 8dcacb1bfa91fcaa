"""otatool image: make an application image from a folder."""

import argparse
from pathlib import Path

from rich.table import Table

from .. import files
from ..errors import ToolError
from ..image import checks
from ..image.build import FORMATS, build, describe, needs_mpy
from ..release import destination, publish
from ..terminal import values
from ..terminal.console import console, row
from ..terminal.plain import note, warn


def add(p: argparse.ArgumentParser) -> None:
    """Declare the command."""
    p.description = (
        "Make an application image from a folder; the same files give the same bytes. "
        "Files of editors and version control, and obvious secrets, are left out; patterns in "
        "APPDIR/.otaignore, one per line as in a .gitignore, change that."
    )
    p.add_argument("appdir", metavar="APPDIR")
    p.add_argument("out", metavar="OUT")
    p.add_argument("--format", choices=FORMATS, default="romfs")
    p.add_argument(
        "--size",
        type=values.type_of(values.positive_size),
        default=0,
        metavar="BYTES",
        help="size of the slot, such as 24K: maximum for a ROMFS, exact size of a littlefs2",
    )
    p.add_argument("--no-mpy", dest="mpy", action="store_false", help="keep .py files as they are")
    p.add_argument(
        "--block",
        type=values.type_of(values.positive_size),
        default=4096,
        metavar="BYTES",
        help="sector size, for littlefs2 and --previous (4096)",
    )
    layout = p.add_mutually_exclusive_group()
    layout.add_argument(
        "--previous",
        metavar="IMAGE",
        help="ROMFS of the previous release, the folder it was published in, or the URL of its "
        "--history: unchanged files keep their places, so that an in-place update writes fewer "
        "sectors",
    )
    layout.add_argument(
        "--room",
        action="store_true",
        help="leave room for growth in the first ROMFS, which has no previous one",
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build the image and list what is in it."""
    if Path(args.appdir).resolve() in Path(args.out).resolve().parents:
        raise ToolError(f"{args.out} is inside {args.appdir} and would be in the next image")
    files.check_output(args.out, *([args.previous] if args.previous else []))
    previous = _previous(args.previous) if args.previous else None
    notes: list[str] = []
    data = build(
        args.appdir, args.format, args.size, args.mpy, args.block, previous, args.room, notes
    )
    files.write(args.out, data)
    found = describe(data)
    table = Table("file")
    table.add_column("bytes", justify="right")
    table.add_column("SHA-256")
    for file in found["files"]:
        row(table, file.name, str(file.size), file.digest[:16])
    out = console()
    out.print(table)
    out.print(f"{args.out}: {found['kind']}, {len(data)} bytes")
    out.print(f"SHA-256 {found['digest']}")
    number = needs_mpy(data)
    if number:
        out.print(f"needs {checks.needs(number)}")
    plain = [n for n in notes if n.startswith("left out")]
    note(*plain)
    warn(*(n for n in notes if n not in plain))
    return 0


def _previous(path: str) -> bytes:
    if destination.remote(path):
        return publish.latest(destination.locate(path))
    if Path(path).is_dir():
        return publish.latest(publish.history_of(path))
    data = files.read(path)
    checks.refuse_others(data, path)
    return data
