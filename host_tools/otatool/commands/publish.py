"""otatool publish: add a release to the folder that devices update from, and to its copies."""

import argparse
import datetime
import time

from rich.table import Table

from .. import build, console, diff, files, keys, place, publish
from ..errors import ToolError
from . import add_quick, add_upload, add_wbits, put_done, searching, windows


def add(sub) -> None:
    """Declare the arguments."""
    p = sub.add_parser("publish", help="write packages and the signed manifest into a folder")
    p.add_argument("folder", help="static folder, served by any web server")
    p.add_argument("image", help="the new image (otatool image, or any bytes)")
    p.add_argument("--product", required=True)
    p.add_argument("--version", required=True, help="dotted integers, newer than the last")
    p.add_argument("--key", action="append", required=True, help="private key; may be repeated")
    p.add_argument("--target", default="app", help="what the image is for (app)")
    p.add_argument("--floor", type=int, default=0, help="security version of this image (0)")
    p.add_argument("--channel", default="stable")
    p.add_argument("--last", type=int, default=3, help="deltas from this many versions (3)")
    add_wbits(p)
    p.add_argument("--block", type=int, default=build.BLOCK, help="output block, bytes (4096)")
    p.add_argument(
        "--spare",
        default="0",
        help="flash of the OTA partition of one-slot devices that package, way back and one block "
        "leave, such as 16k (0)",
    )
    p.add_argument("--no-in-place", action="store_true", help="no deltas for one-slot devices")
    add_quick(p)
    p.add_argument(
        "--jobs",
        type=int,
        help="patches looked for at a time, 400 bytes of memory for a byte of image each "
        "(as many as processors)",
    )
    p.add_argument(
        "--rollout",
        type=float,
        default=100,
        metavar="PERCENT",
        help="share of the devices that are told of this version; publish the same again with a "
        "larger one to go on (100)",
    )
    p.add_argument(
        "--expires",
        metavar="DATE",
        help="devices that know the time refuse the manifest from then on: 2027-06-30, UTC, or "
        "seconds since 1970 (never)",
    )
    p.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="URL",
        help="copy packages and manifest there: s3://bucket/prefix, gs://, sftp://, a folder; may "
        "be repeated",
    )
    p.add_argument(
        "--history",
        metavar="PLACE",
        help="where images of earlier releases are kept, a folder or a private URL "
        "(FOLDER/.history)",
    )
    add_upload(p)
    p.set_defaults(run=run)


def _end(text: str | None) -> int:
    """Seconds since 1970 at which --expires ends; 0: never."""
    if text is None:
        return 0
    try:
        day = datetime.datetime.fromisoformat(text) if "-" in text else None
        end = int(day.replace(tzinfo=datetime.timezone.utc).timestamp() if day else text)
    except ValueError as e:
        raise ToolError(f"--expires {text}: a date such as 2027-06-30, or seconds") from e
    if not time.time() < end < 1 << 32:
        raise ToolError(f"--expires {text}: every device would refuse it; give a time to come")
    return end


def run(args: argparse.Namespace) -> None:
    """Publish and print what was written."""
    out = console.console()
    if not 0 <= args.rollout <= 100:
        raise ToolError(f"--rollout {args.rollout:g}: a percentage, 0 to 100")
    release = publish.Release(
        args.product, args.version, args.target, args.floor, args.channel, args.last,
        not args.no_in_place, args.block, _end(args.expires), diff.parse_size(args.spare),
        quick=args.quick, jobs=args.jobs, rollout=round(args.rollout * publish.WHOLE / 100),
        windows=windows(args),
    )  # fmt: skip
    if place.remote(args.folder):
        raise ToolError(f"{args.folder}: the folder is a local one, give the URL with --to")
    history = place.locate(args.history) if args.history else None
    to = [place.locate(url) for url in args.to]
    if history and any(f"{history.label}/".startswith(f"{p.label}/") for p in to):
        raise ToolError("--history lies in what devices are served: choose a private place")
    signing = [keys.load(k) for k in args.key]
    with searching("looking for the smallest patches") as progress:
        done = publish.publish(
            args.folder, files.read(args.image), release, signing, progress, to, history,
            args.cache_control, args.dry_run,
        )  # fmt: skip
    table = Table(title=f"{args.product} {args.version}, manifest {done.sequence}")
    for name in ("package", "from", "bytes", "% of image", "file"):
        table.add_column(name, justify="right" if name in ("bytes", "% of image") else "left")
    for kind, base, size, url in done.rows:
        table.add_row(kind, base, str(size), f"{100 * size / done.image_size:.1f}", url)
    out.print(table, soft_wrap=False)
    for d in done.done:
        put_done(d, args.dry_run)
