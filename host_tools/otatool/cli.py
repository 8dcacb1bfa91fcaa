"""The command line: finds the command, prints errors as sentences. No work is done here.

Only the module of the command that runs is imported, so that --version and --help answer at
once, and a command whose libraries are missing, such as the virtual board on Windows, breaks no
other.
"""

import argparse
import importlib
import os
import sys

from ota.errors import OtaError
from ota.version import VERSION

from .errors import ToolError
from .terminal import meanings
from .terminal.plain import lenient, plain

if False:  # for type checkers: importing it takes its time
    from typing import NoReturn

COMMANDS = {
    "ptbl": "write a TobudOS partition table",
    "diff": "make a patch from two images",
    "patch": "apply a patch to an image",
    "image": "make an application image from a folder",
    "keygen": "make a signing key",
    "build": "make one signed package",
    "publish": "write packages and the signed manifest into a folder",
    "upload": "copy a published folder to where devices get it",
    "serve": "serve a published folder, for development",
    "fleet": "simulate many devices that update from a server",
    "provision": "set up a product: keys, layout, table, virtual board",
    "push": "install a package on a board over its serial port",
    "show": "describe a file: package, manifest, table, flash dump ...",
    "verify": "check a package, or a manifest and its packages, as a device would",
    "sim": "run a virtual board",
    "demo": "play an update, power cuts and a rollback, and check them",
}

_EXTRAS = {"micropython_run": "sim", "micropython_unix": "sim"}  # module: extra


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line; the usage is what --help is for."""

    def error(self, message: str) -> "NoReturn":
        """End with a sentence and where to read more; argparse prints its usage instead."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser(command: str = "") -> argparse.ArgumentParser:
    """The command line.

    Args:
        command: the one whose arguments are declared; of all others only the name is.
    Raises:
        ToolError: a library that the command needs is missing.
    """
    p = Parser(prog="otatool", description="Make, publish and try OTA updates.")
    p.add_argument("--version", action="version", version="otatool " + VERSION)
    sub = p.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        about = f"{summary[0].upper()}{summary[1:]}."
        added = sub.add_parser(name, help=summary, description=about)
        if name == command:
            try:
                module = importlib.import_module("otatool.commands." + name)
            except ImportError as e:
                raise ToolError(_missing(e)) from e
            module.add(added)
    return p


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status: 0 done, 1 failed, 2 wrong arguments."""
    words = sys.argv[1:] if argv is None else argv
    command = words[0] if words and words[0] in COMMANDS else ""
    lenient(sys.stdout)
    lenient(sys.stderr)
    try:
        args = parser(command).parse_args(words)
        return args.run(args) or 0
    except (ToolError, OtaError, OSError) as e:
        return _refuse(command, describe(e))
    except ImportError as e:
        return _refuse(command, _missing(e))
    except KeyboardInterrupt:
        return 130
    except Exception as e:
        if os.environ.get("OTATOOL_DEBUG"):
            raise
        text = f"{type(e).__name__}: {e}; this is a bug in otatool, please report it with what"
        return _refuse(command, f"{text} OTATOOL_DEBUG=1 prints")


def describe(e: BaseException) -> str:
    """One line for people about an error of ours or of the system."""
    if isinstance(e, OtaError):
        return meanings.explain(e)
    if isinstance(e, OSError) and e.strerror:
        return f"{e.filename}: {e.strerror}" if e.filename else e.strerror
    return str(e) or type(e).__name__


def _refuse(command: str, text: str) -> int:
    text = f"otatool {command}: {text}" if command else f"otatool: {text}"
    # What a board or a file says may be a part of it.
    print(plain(text, "\n"), file=sys.stderr)
    return 1


def _missing(e: ImportError) -> str:
    """What to do where a library is not there."""
    name = e.name or str(e)
    if name in ("fcntl", "pty", "termios", "tty"):
        return f"needs {name}, which this system does not have: Linux, macOS and WSL only"
    extra = _EXTRAS.get(name.partition(".")[0], "")
    package = f"'micropython-ota-tool[{extra}]'" if extra else "micropython-ota-tool"
    return f"needs {name}, which is not installed here: pip install {package}"


if __name__ == "__main__":
    sys.exit(main())
