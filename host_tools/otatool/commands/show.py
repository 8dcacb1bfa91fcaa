"""otatool show: what is in this file, in words."""

import argparse
from pathlib import Path

from .. import files
from ..inspect import report, show
from ..product import settings
from ..release import verify
from ..terminal.console import console
from ._report import picture_path, put, write_picture


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.add_argument("file")
    p.add_argument(
        "--key", action="append", metavar="PUB",
        help="check the signature: NAME.pub.json, layout.json or a PEM file; may be repeated",
    )  # fmt: skip
    p.add_argument("--layout", help="layout.json of the board, for a dump of its whole flash")
    p.add_argument(
        "--old", metavar="OLD.bin", help="base image of a patch: show what each file costs"
    )
    p.add_argument(
        "--report",
        metavar="OUT.svg",
        help="draw what the bytes of a patch are used for; best with --old",
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print every section."""
    path = Path(args.file)
    layout = settings.read(args.layout) if args.layout else show.layout_beside(path)
    data = files.read(path)
    picture = picture_path(args.report) if args.report else None
    out = console()
    sections = show.show(data, layout, verify.trusted(args.key) if args.key else None)
    if args.old or picture:
        r = report.explain(data, files.read(args.old) if args.old else None)
        sections.append(show.regions(r))
        if picture:
            old = Path(args.old).name if args.old else r.header.base_version or "old image"
            write_picture(picture, r, path.name, old, r.header.version)
    for s in sections:
        put(out, s)
