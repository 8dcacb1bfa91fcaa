"""otatool publish: add a release to the folder that devices update from, and to its copies."""

import argparse
import datetime
import time
from pathlib import Path

from rich.table import Table

from ..errors import ToolError
from ..product import settings
from ..release import destination, publish
from ..terminal import values
from ..terminal.console import console, row, searching
from ..terminal.plain import warn
from ._release import add_release, image, signing, windows
from ._upload import add_upload, put_done


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.add_argument("folder", help="static folder, served by any web server")
    p.add_argument("image", help="the new image (otatool image, or any bytes)")
    add_release(p, ", newer than the last", "that of the last release, 0 for the first")
    p.add_argument("--channel", type=values.type_of(values.name, "channel"), default="stable")
    p.add_argument(
        "--last",
        type=values.type_of(values.number(0, values.LAST)),
        default=3,
        help="deltas from this many versions (3)",
    )
    p.add_argument(
        "--slot-size",
        type=values.type_of(values.positive_size),
        default=0,
        metavar="BYTES",
        help="size of the devices' slots: warn if an image does not fit; later releases "
        "remember it",
    )
    p.add_argument(
        "--layout",
        metavar="FILE",
        help="layout.json of the devices, which has the slot size, too (the one next to the key)",
    )
    p.add_argument("--no-in-place", action="store_true", help="no deltas for one-slot devices")
    p.add_argument(
        "--jobs",
        type=values.type_of(values.number(1, 1024)),
        help="parallel patch searches; each takes 400 bytes of memory per byte of image "
        "(one per processor)",
    )
    p.add_argument(
        "--rollout",
        default="100",
        metavar="PERCENT",
        help="share of the devices that are offered this version; publish it again with a larger "
        "share to continue the rollout, which keeps its packages as they are (100)",
    )
    p.add_argument(
        "--expires",
        metavar="DATE",
        help="devices that know the time reject the manifest from then on: 2027-06-30, UTC, or "
        "a Unix time (never)",
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
        if day and not day.tzinfo:
            day = day.replace(tzinfo=datetime.timezone.utc)
        end = int(day.timestamp() if day else text)
    except (ValueError, OverflowError) as e:
        raise ToolError(f"--expires {text}: a date such as 2027-06-30, or seconds") from e
    if not time.time() < end < 1 << 32:
        raise ToolError(f"--expires {text}: must be in the future, or every device rejects it")
    return end


def _slot(args: argparse.Namespace) -> int:
    """Bytes of the devices' slots as far as arguments say it; 0: an earlier release may."""
    beside = Path(args.key[0]).with_name("layout.json")
    path = args.layout or (beside if beside.is_file() else None)
    if args.slot_size or not path:
        return args.slot_size
    product, component, size = settings.slot_size(path)
    if (product, component) == (args.product, args.target):
        return size
    if args.layout:
        raise ToolError(f"{path} is of product {product!r}, component {component!r}")
    return 0


def _place(text: str) -> destination.Place:
    return destination.locate(
        values.folder_or_url(text, "://" not in text and Path(text).exists())
    )


def _inside(history: str, folder: str) -> bool:
    """True if a folder for the history is one that is served, other than the usual one."""
    if destination.remote(history):
        return False
    path, root = Path(history).resolve(), Path(folder).resolve()
    return path == root or (root in path.parents and path != root / ".history")


def run(args: argparse.Namespace) -> None:
    """Publish and print what was written."""
    try:
        rollout = values.share(args.rollout)
    except ToolError as e:
        raise ToolError(f"--rollout {e}") from e
    release = publish.Release(
        args.product, args.version, args.target, args.floor, args.channel, args.last,
        not args.no_in_place, args.block, _end(args.expires), args.spare,
        quick=args.quick, jobs=args.jobs, rollout=rollout, windows=windows(args),
    )  # fmt: skip
    if destination.remote(args.folder):
        raise ToolError(f"{args.folder}: the folder is a local one, give the URL with --to")
    values.folder_or_url(args.folder, Path(args.folder).exists())
    history = _place(args.history) if args.history else None
    to = [_place(url) for url in args.to]
    served = any(f"{history.label}/".startswith(f"{p.label}/") for p in to) if history else False
    if served or (args.history and _inside(args.history, args.folder)):
        raise ToolError("--history is inside what devices are served: choose a private place")
    new = image(args.image, args.target)
    release.slot = _slot(args)
    signing_keys = signing(args.key)
    with searching("searching for the smallest patches") as progress:
        done = publish.publish(
            args.folder, new, release, signing_keys, progress, to, history,
            args.cache_control, args.dry_run,
        )  # fmt: skip
    table = Table(title=f"{args.product} {args.version}, manifest {done.sequence}")
    for name in ("package", "from", "bytes", "% of image", "file"):
        table.add_column(name, justify="right" if name in ("bytes", "% of image") else "left")
    for kind, base, size, url in done.rows:
        row(table, kind, base, str(size), f"{100 * size / done.image_size:.1f}", url)
    out = console()
    out.print(table, soft_wrap=False)
    if done.reused:
        out.print("the packages published before are reused")
    for d in done.done:
        put_done(d, args.dry_run)
    warn(*done.warnings)
