"""What publish and upload share: their options, and the list of what was written."""

import argparse

from ..release.upload import MANIFEST_CACHE, Done
from ..terminal.plain import say, warn


def add_upload(p: argparse.ArgumentParser) -> None:
    """Declare the options of a command that writes to where devices get updates."""
    p.add_argument(
        "--cache-control",
        default=MANIFEST_CACHE,
        metavar="TEXT",
        help="Cache-Control of the manifest in object stores (%(default)s)",
    )
    p.add_argument("--dry-run", action="store_true", help="only print what would be written")


def put_done(done: Done, dry_run: bool) -> None:
    """Print what was written at a place, or would be."""
    say(done.place)
    for rows, word in (
        (done.kept, "already there"),
        (done.written, "would be written" if dry_run else "written"),
    ):
        say(*(f"  {word:16} {size:9} {name}" for name, size in rows))
    warn(*(f"{done.place}: {text}" for text in done.warnings))
