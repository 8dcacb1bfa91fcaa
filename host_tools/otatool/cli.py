"""The command line: finds the commands, prints errors in words. No work is done here."""

import argparse
import importlib
import sys

from ota.errors import OtaError
from ota.version import VERSION

from . import console, meanings
from .errors import ToolError

COMMANDS = ("ptbl", "diff", "patch", "image", "keygen", "build", "publish", "upload", "serve",
            "fleet", "provision", "push", "show", "verify", "sim", "demo")  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    p = argparse.ArgumentParser(prog="otatool", description="Make, publish and try OTA updates.")
    p.add_argument("--version", action="version", version="otatool " + VERSION)
    sub = p.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        importlib.import_module("otatool.commands." + name).add(sub)
    return p


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status: 0 done, 1 refused, 2 wrong arguments."""
    args = parser().parse_args(argv)
    console.lenient(sys.stdout)
    console.lenient(sys.stderr)
    try:
        return args.run(args) or 0
    except (ToolError, OtaError, OSError) as e:
        # What a board or a file says may be a part of it.
        print(console.plain(f"otatool {args.command}: {describe(e)}", "\n"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def describe(e: BaseException) -> str:
    """One line for people about an error of ours or of the system."""
    if isinstance(e, OtaError):
        return meanings.explain(e)
    return str(e)


if __name__ == "__main__":
    sys.exit(main())
