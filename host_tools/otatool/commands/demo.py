"""otatool demo: the whole story of an update on the virtual board, each step checked."""

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

from rich.table import Table

from .. import demo
from ..demo import application
from ..demo.stage import Stage
from ..errors import ToolError
from ..product.provision import STRATEGIES
from ..terminal import console


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.add_argument("--strategy", choices=STRATEGIES, help="one strategy instead of all")
    p.add_argument(
        "--keep", metavar="DIR", help="keep boards, keys and packages in this new folder"
    )
    p.add_argument("--heap", default=demo.HEAP, help=f"of the board ({demo.HEAP})")
    p.add_argument("--quiet", action="store_true", help="leave out the board's own output")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Play it; the closing table compares the strategies."""
    out = console.console()
    stage = Stage(out, args.quiet)
    began = time.monotonic()
    stage.act("the application: a web server on microdot, in three versions")
    images = application.images(say=stage.step)
    sizes = ", ".join(f"{version}: {len(data)}" for version, data in images.items())
    stage.step(f"images (ROMFS, bytes): {sizes}")
    with contextlib.ExitStack() as stack:
        if args.keep:
            folder = Path(args.keep)
            if folder.exists() and any(folder.iterdir()):
                raise ToolError(f"{folder} is not empty: give a new folder")
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ota-demo-")))
        results = [
            demo.play(strategy, images, folder / strategy, stage, args.heap)
            for strategy in ([args.strategy] if args.strategy else STRATEGIES)
        ]
    out.print(_table(results, args.heap), soft_wrap=False)
    out.print(f"all steps went as expected, in {time.monotonic() - began:.0f} s")
    if args.keep:
        out.print(f"kept: {folder}; continue with", markup=False)
        board = folder / results[0].strategy / "board.flash"
        out.print(f"  otatool sim --heap {args.heap} {board}", markup=False)


def _table(results: list[demo.Result], heap: str) -> Table:
    table = Table(title=f"the update {application.OLD} to {application.NEW}, in bytes")
    for name in ("strategy", "image", "full", "got", "erases", "programs", "heap", "time"):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for r in results:
        table.add_row(
            r.strategy, str(r.image), str(r.package), str(r.downloaded), str(r.erases),
            str(r.programs), str(r.peak_heap), f"{r.seconds:.1f} s",
        )  # fmt: skip
    table.caption = (
        "full: the full package, the image deflated. got: downloaded, the manifest included. "
        "erases, programs: calls to the flash from publishing to confirm(). heap: most bytes "
        "alive at once, measured after a collection at each flash operation, application and "
        f"library included (heap of {heap}, 64-bit objects, code in RAM). time: from "
        "publishing to confirm(); the application asks once a second."
    )
    return table
