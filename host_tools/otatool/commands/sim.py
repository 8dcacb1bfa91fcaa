"""otatool sim: make a virtual board, run it."""

import argparse
import contextlib
import sys
from pathlib import Path

from .. import files
from ..errors import ToolError
from ..product import settings
from ..sim import Board, chip, console, firmware, launcher
from ..terminal import values

_SIZE = values.type_of(values.size)


def add(p: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    p.description = (
        "Run the virtual board whose flash is the file FLASH. On a terminal you get "
        "its console: Ctrl-C goes to the board, Ctrl-] leaves. mpremote connects to the pty "
        "printed at the start."
    )
    p.add_argument("flash", metavar="FLASH", help="as otatool provision or --create made it")
    p.add_argument("--heap", default="192K", help="heap of the board's MicroPython (192K)")
    p.add_argument(
        "--cut",
        type=int,
        action="append",
        metavar="N",
        help="cut the power at the N-th flash operation of this run; may be repeated, counted "
        "from the cut before",
    )
    p.add_argument(
        "--cut-effect",
        choices=launcher.EFFECTS,
        default="middle",
        help="how much of that operation still happens: nothing, half or all of it (middle)",
    )
    p.add_argument("--once", action="store_true", help="stay off after the last cut, or a reset")
    p.add_argument("--no-restart", action="store_true", help="stay off after any cut or reset")
    p.add_argument(
        "--timing", action="store_true", help="make flash operations as slow as SPI NOR"
    )
    p.add_argument(
        "--pin", type=int, action="append", choices=range(63), metavar="N", default=[],
        help="hold a pin down, such as the button for a factory restore; may be repeated",
    )  # fmt: skip
    p.add_argument(
        "--console", action="store_true", help="read input even if it is not a terminal"
    )
    p.add_argument("--link", metavar="PATH", help="keep a symbolic link to the pty")
    p.add_argument(
        "--report",
        action="store_true",
        help="print flash operations, resets and heap use at the end",
    )
    new = p.add_argument_group("make a board instead of running one")
    new.add_argument("--create", metavar="LAYOUT", help="layout.json of the new board FLASH")
    new.add_argument("--size", type=_SIZE, default=1 << 20, help="flash, bytes (1M)")
    new.add_argument("--sector", type=_SIZE, default=4096, help="bytes (4K)")
    new.add_argument("--program", type=_SIZE, default=8, help="program unit, bytes (8)")
    new.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="PARTITION=FILE",
        help="initial contents of a partition (or an offset); may be repeated",
    )
    new.add_argument("--boot", metavar="FILE", help="boot.py of the firmware")
    new.add_argument("--main", metavar="FILE", help="main.py of the firmware")
    new.add_argument("--no-lib", action="store_true", help="no ota in the firmware")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make or run a board."""
    if args.create:
        _create(args)
        return
    keyboard = args.console or sys.stdin.isatty()
    board = Board(
        args.flash,
        heap=args.heap,
        cut=args.cut,
        cut_effect=args.cut_effect,
        once=args.once,
        restart=not args.no_restart,
        timing=args.timing,
        measure=args.report,
        pins=args.pin,
        link=args.link,
        output=_print,
    )
    try:
        console.run(board, keyboard)
    finally:
        if board.left:
            print(f"sim: the board is off: {board.left}", file=sys.stderr)
            if args.report:
                _report(board.counters())


def _create(args) -> None:
    if Path(args.flash).exists():
        raise ToolError(f"{args.flash} exists; remove it or choose another name")
    layout = settings.numbers(settings.read(args.create))
    contents: dict[str | int, bytes] = {}
    for image in args.image:
        where, equals, path = image.partition("=")
        if not equals:
            raise ToolError(f"--image {image}: give PARTITION=FILE")
        contents[int(where, 0) if where[:1].isdigit() else where] = files.read(path)
    boot, main = (path and files.read(path).decode() for path in (args.boot, args.main))
    rom = firmware.build(layout, boot, main, lib=not args.no_lib)
    chip.create(args.flash, layout, args.size, args.sector, args.program, rom, contents)
    print(f"{args.flash}: firmware of {len(rom)} bytes; start it: otatool sim {args.flash}")


def _print(data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # "| head": the board keeps running
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _report(counters: dict) -> None:
    wear = counters.pop("wear")
    for name, value in counters.items():
        print(f"{name.replace('_', ' '):18} {value}")
    print(f"{'wear, most':18} {max(wear)}")
