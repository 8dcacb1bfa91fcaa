"""otatool verify: check a package or a manifest as a device would."""

import argparse
import time
from pathlib import Path

from .. import files
from ..release import verify
from ..terminal.plain import say


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.description = (
        "Check a package or a manifest as a device would: signature, header, every "
        "chunk of the hash chain, the image's digest; for a manifest, each package next to it. "
        "The exit status is 0 if everything is valid, and 1 otherwise."
    )
    p.add_argument("file")
    p.add_argument(
        "--key", action="append", required=True, metavar="PUB",
        help="key that devices trust: NAME.pub.json, layout.json or a PEM file; may be repeated",
    )  # fmt: skip
    p.add_argument("--image", metavar="IMG", help="image that the package must produce")
    p.add_argument("--base", metavar="OLD", help="base image of a patch: decode the patch, too")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print one sentence; ToolError says what is wrong."""
    path = Path(args.file)
    image, base = (name and files.read(name) for name in (args.image, args.base))
    found = verify.verify(
        files.read(path), verify.trusted(args.key), path.parent, image, base, time.time()
    )
    say(f"{path}: {found}")
