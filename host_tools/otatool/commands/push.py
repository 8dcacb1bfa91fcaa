"""otatool push: install a package on a board over its REPL."""

import argparse

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from ..board import push
from ..terminal.console import console, harmless


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.add_argument("port", help="such as /dev/ttyACM0, COM3, or the pty of otatool sim")
    p.add_argument("package")
    p.add_argument("--no-reset", action="store_true", help="do not restart the board")
    p.add_argument(
        "--layout",
        default=push.LAYOUT,
        help=f"layout file on the board, used if no boot stage ran ({push.LAYOUT})",
    )
    p.add_argument("--downgrade", action="store_true", help="accept a version that is not newer")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Push and show how far it is."""
    out = console()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("ask", total=None)

        def progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total or None)

        version = push.push(
            args.port,
            args.package,
            progress,
            not args.no_reset,
            args.layout,
            lambda text: bar.console.print(harmless(text)),
            args.downgrade,
        )
    then = "it will start at the next reset" if args.no_reset else "the board restarts into it"
    out.print(f"{version} is installed: {then}, and must confirm() to be kept", highlight=False)
