"""otatool patch: apply a patch on this computer, as a device would."""

import argparse

from .. import files
from ..release.decode import decode
from ..terminal.plain import say


def add(p: argparse.ArgumentParser) -> None:
    """Declare the command."""
    p.description = (
        "Apply a patch with the device's own code and check the digests of both images. "
        "Signatures are not checked."
    )
    p.add_argument("old", metavar="OLD")
    p.add_argument("patch", metavar="PATCH")
    p.add_argument("new", metavar="NEW")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the new image."""
    files.check_output(args.new, args.old, args.patch)
    image = decode(files.read(args.patch), files.read(args.old))
    files.write(args.new, image)
    say(f"{args.new}: {len(image)} bytes, digest correct")
    return 0
