"""otatool serve: a development server for a published folder."""

import argparse
import threading
from pathlib import Path

from .. import files
from ..release import serve, verify
from ..release.upload import MANIFEST
from ..terminal.plain import note, say


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.add_argument("folder", help="folder that otatool publish writes")
    p.add_argument("--port", type=int, default=8000, help="0: any free one (8000)")
    p.add_argument(
        "--bind",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 lets boards on the network connect (127.0.0.1)",
    )
    p.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"), help="PEM files: serve https")
    p.add_argument(
        "--drop-after",
        type=int,
        metavar="BYTES",
        help="reset the connection after this many bytes of every body",
    )
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Serve until interrupted, one line per request."""
    with serve.start(
        args.folder,
        args.port,
        bind=args.bind,
        tls=args.tls and tuple(args.tls),
        drop_after=args.drop_after,
        log=lambda request: say(str(request)),
    ) as server:
        say(f"{server.url}{MANIFEST}")
        note(*(f"otatool serve: {text}" for text in _warnings(Path(args.folder) / MANIFEST)))
        threading.Event().wait()


def _warnings(manifest: Path):
    """What devices would stumble over, a sentence each."""
    if not manifest.is_file():
        yield (
            f"{manifest} is not there yet: devices get 404 until otatool publish has written "
            f"it; this is no folder of an application"
        )
        return
    how = verify.altered(files.read(manifest))
    if how:
        yield f"{manifest} was altered by a copy: {how}; devices reject it"
