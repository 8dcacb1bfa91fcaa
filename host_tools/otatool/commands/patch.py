"""otatool patch: apply a patch on this computer, as a device would."""

import argparse

from .. import files
from ..release import package as build
from ..terminal import console as consoles


def add(sub) -> None:
    """Declare the command."""
    p = sub.add_parser(
        "patch",
        help="apply a patch to an image",
        description="Apply a patch by the device's own code and check both images' digests. "
        "Signatures are not looked at.",
    )
    p.add_argument("old", metavar="OLD")
    p.add_argument("patch", metavar="PATCH")
    p.add_argument("new", metavar="NEW")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the new image."""
    files.check_output(args.new, args.old, args.patch)
    image = build.decode(files.read(args.patch), files.read(args.old))
    files.write(args.new, image)
    consoles.console().print(f"{args.new}: {len(image)} bytes, digest as promised")
    return 0
