"""otatool build: one signed package file, for a USB stick, a serial line or by hand."""

import argparse

from rich.console import Console

from .. import build, diff, files, keys, search
from . import add_quick, add_wbits, searching, windows


def add(sub) -> None:
    """Declare the arguments."""
    p = sub.add_parser("build", help="make one signed package")
    p.add_argument("image", help="the new image")
    p.add_argument("out", help="package file to write")
    p.add_argument("--product", required=True)
    p.add_argument("--version", required=True, help="dotted integers")
    p.add_argument("--key", action="append", required=True, help="private key; may be repeated")
    p.add_argument("--target", default="app", help="what the image is for (app)")
    p.add_argument("--floor", type=int, default=0, help="security version of this image (0)")
    p.add_argument("--base", help="old image: make a patch against it")
    p.add_argument("--base-version", default="")
    p.add_argument("--in-place", action="store_true", help="a patch for devices with one slot")
    p.add_argument("--reverse", action="store_true", help="with --in-place: add the way back")
    p.add_argument("--base-floor", type=int, default=0, help="security version of the old image")
    add_quick(p)
    p.add_argument(
        "--spare",
        default="0",
        help="with --in-place: flash of the OTA partition that the package, its way back and one "
        "block leave, such as 16k (0)",
    )
    add_wbits(p)
    p.add_argument("--block", type=int, default=build.BLOCK, help="output block, bytes (4096)")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> int | None:
    """Build and say how large it became."""
    signing = [keys.load(k) for k in args.key]
    new = files.read(args.image)
    meta = build.Meta(
        args.product, args.version, args.target, args.floor, base_version=args.base_version
    )
    if (args.in_place and not args.base) or (args.reverse and not args.in_place):
        print("otatool build: --reverse needs --in-place, --in-place needs --base")
        return 2
    if args.base:
        back = None
        if args.reverse:
            back = build.Meta(args.product, args.base_version or "0", args.target, args.base_floor)
        old = files.read(args.base)
        wanted = build.searches(
            old, new, args.block, args.in_place, args.reverse, args.quick,
            diff.parse_size(args.spare),
        )  # fmt: skip
        with searching("looking for the smallest patch") as progress:
            found = search.run(wanted, progress, jobs=None)
        built = build.patch(
            old, new, meta, signing, args.block, args.in_place, back, found=found,
            wbits=windows(args),
        )  # fmt: skip
    else:
        built = build.full(new, meta, signing, args.block, wbits=windows(args))
    files.write(args.out, built.data)
    share = 100 * len(built.data) / len(new)
    Console().print(
        f"{args.out}: {len(built.data)} bytes, {share:.1f} % of the image, "
        f"{len(built.chunks)} chunks, window {built.wbits}, digest {built.digest.hex()[:16]}"
    )
    return None
