"""otatool diff: make a patch from two image files."""

import argparse
from pathlib import Path

from rich.table import Table

from .. import files
from ..image.checks import refuse_others
from ..inspect import report, show
from ..release import diff
from ..terminal import values
from ..terminal.console import console, searching
from ._release import add_quick
from ._report import picture_path, put, write_picture


def add(p: argparse.ArgumentParser) -> None:
    """Declare the command; the options are those of the TobudOS tool."""
    p.description = (
        "Make a patch that turns OLD.bin into NEW.bin. It is not signed: "
        "`otatool patch` applies it; for devices use `otatool build --base`."
    )
    p.add_argument(
        "-v", dest="verbose", action="store_true", help="list what the patch is made of"
    )
    p.add_argument(
        "-s",
        dest="safe",
        action="store_true",
        help="accepted for compatibility with the TobudOS tool: an unchanged block never costs "
        "more than a copy, in place nothing",
    )
    p.add_argument(
        "-b",
        dest="sector",
        type=values.type_of(diff.parse_sector),
        default=diff.BLOCK_MAX,
        metavar="SECTOR",
        help="erase size of the flash, a power of two: 2048, 0x800 or 2k (4096)",
    )
    p.add_argument(
        "-n", dest="new_version", default="0.0", metavar="NEW", help="new version (0.0)"
    )
    p.add_argument(
        "-o", dest="old_version", default="0.0", metavar="OLD", help="old version (0.0)"
    )
    p.add_argument(
        "--in-place",
        action="store_true",
        help="the new image overwrites the old one block by block",
    )
    p.add_argument(
        "--spare",
        type=values.type_of(values.size),
        default=0,
        metavar="BYTES",
        help="with --in-place: flash outside the image, for old bytes that are needed later, such "
        "as 16k (0)",
    )
    add_quick(p)
    p.add_argument(
        "--report",
        nargs="?",
        const="",
        metavar="FILE.svg",
        help="list what each file or range costs and draw it (PATCH.svg); give this option last",
    )
    p.add_argument("old", metavar="OLD.bin")
    p.add_argument("new", metavar="NEW.bin")
    p.add_argument("patch", metavar="PATCH")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the patch and say how large it became."""
    picture = None
    if args.report is not None:
        picture = picture_path(args.report or args.patch + ".svg")
        files.check_output(picture, args.old, args.new)
    files.check_output(args.patch, args.old, args.new)
    old, new = files.read(args.old), files.read(args.new)
    for data, name in ((old, args.old), (new, args.new)):
        if data:  # else diff.make() says which
            refuse_others(data, name, "")
    with searching("searching for the smallest patch") as progress:
        data, summary = diff.make(
            old, new, args.old_version, args.new_version, args.sector, args.in_place, args.quick,
            args.spare, progress,
        )  # fmt: skip
    out = console()
    if picture:
        r = report.explain(data, old)
        names = Path(args.old).name, Path(args.new).name
        write_picture(picture, r, f"{Path(args.patch).name}: {names[0]} \u2192 {names[1]}", *names)
        put(out, show.regions(r))
    files.write(args.patch, data)
    if args.verbose:
        out.print(_table(summary), soft_wrap=False)
    share = _share(summary.patch, summary.image)
    out.print(f"{args.patch}: {summary.patch} bytes, {share} of the image")
    if picture:
        out.print(f"{picture}: the report as a picture")
    return 0


def _table(s: diff.Summary) -> Table:
    table = Table("patch")
    table.add_column("bytes", justify="right")
    table.add_column("of the image", justify="right")
    for name, value in (
        ("new image", s.image),
        ("full package", s.full),
        ("patch", s.patch),
        ("  its payload", s.payload),
        ("copied from the old image", s.copied),
        ("  of that corrected", s.corrected),
        ("literal", s.literal),
        ("longest metadata of a block", s.meta_max),
    ):
        table.add_row(name, str(value), _share(value, s.image))
    table.add_section()
    for name, value in (
        ("copies", s.copies),
        ("blocks", s.blocks),
        ("  unchanged", s.unchanged),
        ("  in the patch", s.written),
    ):
        table.add_row(name, str(value), "")
    return table


def _share(value: int, whole: int) -> str:
    return f"{100 * value / whole:.1f} %"
