"""otatool image: make an application image from a folder."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .. import files, image, place, publish
from ..errors import ToolError


def add(sub) -> None:
    """Declare the command."""
    p = sub.add_parser(
        "image",
        help="make an application image from a folder",
        description="Make an application image from a folder; the same files give the same bytes.",
    )
    p.add_argument("appdir", metavar="APPDIR")
    p.add_argument("out", metavar="OUT")
    p.add_argument("--format", choices=image.FORMATS, default="romfs")
    p.add_argument(
        "--size",
        type=_bytes,
        default=0,
        metavar="BYTES",
        help="of the slot: the most a ROMFS may take, exactly what a littlefs2 takes",
    )
    p.add_argument("--no-mpy", dest="mpy", action="store_false", help="keep .py files as they are")
    p.add_argument(
        "--block",
        type=_bytes,
        default=4096,
        metavar="BYTES",
        help="sector: of littlefs2, and what --previous saves writing (4096)",
    )
    layout = p.add_mutually_exclusive_group()
    layout.add_argument(
        "--previous",
        metavar="IMAGE",
        help="ROMFS of the release before, or the folder it was published in, or the URL of its "
        "--history: unchanged files stay at their places, so that an update in place writes fewer "
        "sectors",
    )
    layout.add_argument(
        "--room",
        action="store_true",
        help="leave room in the first ROMFS, which has no previous one",
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Build the image and list what is in it."""
    if Path(args.appdir).resolve() in Path(args.out).resolve().parents:
        raise ToolError(f"{args.out} lies in {args.appdir} and would be in the next image")
    previous = _previous(args.previous) if args.previous else None
    data = image.build(
        args.appdir, args.format, args.size, args.mpy, args.block, previous, args.room
    )
    files.write(args.out, data)
    found = image.describe(data)
    table = Table("file")
    table.add_column("bytes", justify="right")
    table.add_column("SHA-256")
    for file in found["files"]:
        table.add_row(file.name, str(file.size), file.digest[:16])
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"{args.out}: {found['kind']}, {len(data)} bytes", markup=False)
    console.print(f"SHA-256 {found['digest']}", markup=False)
    return 0


def _previous(path: str) -> bytes:
    if place.remote(path):
        return publish.latest(place.locate(path))
    if Path(path).is_dir():
        return publish.latest(publish.history_of(path))
    return files.read(path)


def _bytes(text: str) -> int:
    value = int(text, 0)
    if value <= 0:
        raise ValueError
    return value
