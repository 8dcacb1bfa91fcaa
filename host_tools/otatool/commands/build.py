"""otatool build: one signed package file, for a USB stick, a serial line or by hand."""

import argparse

from .. import files
from ..image import build as images
from ..patch import jobs as search
from ..release import package as build
from ..terminal import console as consoles
from ..terminal import values
from . import add_quick, add_wbits, searching, windows
from ._release import add_release, image, signing


def add(sub) -> None:
    """Declare the arguments."""
    p = sub.add_parser("build", help="make one signed package")
    number = values.type_of(values.floor)
    p.add_argument("image", help="the new image")
    p.add_argument("out", help="package file to write")
    add_release(p)
    p.add_argument("--floor", type=number, default=0, help="security version of this image (0)")
    p.add_argument("--base", help="old image: make a patch against it")
    p.add_argument("--base-version", type=values.type_of(values.version))
    p.add_argument("--in-place", action="store_true", help="a patch for devices with one slot")
    p.add_argument("--reverse", action="store_true", help="with --in-place: add the way back")
    p.add_argument(
        "--base-floor", type=number, default=0, help="security version of the old image (0)"
    )
    add_quick(p)
    p.add_argument(
        "--spare",
        type=values.type_of(values.size),
        default=0,
        help="with --in-place: flash of the OTA partition that the package, its way back and one "
        "block leave, such as 16k (0)",
    )
    add_wbits(p)
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
    meta = build.Meta(
        args.product, args.version, args.target, args.floor, base_version=args.base_version or "",
        mpy=images.needs_mpy(new),
    )  # fmt: skip
    if args.base:
        back = None
        if args.reverse:
            back = build.Meta(
                args.product, args.base_version or "0", args.target, args.base_floor,
                mpy=images.needs_mpy(old),
            )  # fmt: skip
        wanted = build.searches(
            old, new, args.block, args.in_place, args.reverse, args.quick, args.spare
        )
        with searching("looking for the smallest patch") as progress:
            found = search.run(wanted, progress, jobs=None)
        built = build.patch(
            old, new, meta, keys, args.block, args.in_place, back, found=found,
            wbits=windows(args),
        )  # fmt: skip
    else:
        built = build.full(new, meta, keys, args.block, wbits=windows(args))
    files.write(args.out, built.data)
    share = 100 * len(built.data) / len(new)
    consoles.console().print(
        f"{args.out}: {len(built.data)} bytes, {share:.1f} % of the image, "
        f"{len(built.chunks)} chunks, window {built.wbits}, digest {built.digest.hex()[:16]}"
    )
