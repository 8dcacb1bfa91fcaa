"""otatool build: one signed package file, for a USB stick, a serial line or by hand."""

import argparse

from .. import files
from ..image.build import needs_mpy
from ..release import package
from ..terminal import values
from ..terminal.console import searching
from ..terminal.plain import say
from ._release import add_release, image, signing, windows


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.add_argument("image", help="the new image")
    p.add_argument("out", help="package file to write")
    add_release(p, "", "0", "with --in-place: ")
    p.add_argument("--base", help="old image: make a patch from it")
    p.add_argument("--base-version", type=values.type_of(values.version))
    p.add_argument("--in-place", action="store_true", help="a patch for devices with one slot")
    p.add_argument(
        "--reverse",
        action="store_true",
        help="with --in-place: add the reverse package, for a rollback",
    )
    p.add_argument(
        "--base-floor",
        type=values.type_of(values.floor),
        default=0,
        help="security version of the old image (0)",
    )
    p.set_defaults(run=run, error=p.error)


def run(args: argparse.Namespace) -> None:
    """Build and say how large it became."""
    if (args.in_place and not args.base) or (args.reverse and not args.in_place):
        args.error("--reverse needs --in-place, --in-place needs --base")
    inputs = [args.image, *([args.base] if args.base else [])]
    files.check_output(args.out, *inputs, *args.key)
    new = image(args.image, args.target)
    old = image(args.base, args.target) if args.base else b""
    keys = signing(args.key)
    meta = package.Meta(
        args.product, args.version, args.target, args.floor or 0,
        base_version=args.base_version or "", mpy=needs_mpy(new),
    )  # fmt: skip
    if args.base:
        back = None
        if args.reverse:
            back = package.Meta(
                args.product, args.base_version or "0", args.target, args.base_floor,
                mpy=needs_mpy(old),
            )  # fmt: skip
        with searching("searching for the smallest patch") as progress:
            found = package.search(
                old, new, args.block, args.in_place, args.reverse, args.quick, args.spare, progress
            )
        built = package.patch(
            old, new, meta, keys, args.block, args.in_place, back, found=found,
            wbits=windows(args),
        )  # fmt: skip
    else:
        built = package.full(new, meta, keys, args.block, wbits=windows(args))
    files.write(args.out, built.data)
    share = 100 * len(built.data) / len(new)
    say(
        f"{args.out}: {len(built.data)} bytes, {share:.1f} % of the image, "
        f"{len(built.chunks)} chunks, window {built.wbits}, digest {built.digest.hex()[:16]}"
    )
