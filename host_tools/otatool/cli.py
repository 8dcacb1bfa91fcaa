"""The command line: finds the commands, prints errors in words. No work is done here.

Only the module of the command that is run is imported: a command whose libraries are not there,
such as the virtual board on Windows, breaks no other.
"""

import argparse
import importlib
import os
import sys

from ota.errors import OtaError
from ota.version import VERSION

from .errors import ToolError
from .terminal import console, meanings

COMMANDS = ("ptbl", "diff", "patch", "image", "keygen", "build", "publish", "upload", "serve",
            "fleet", "provision", "push", "show", "verify", "sim", "demo")  # fmt: skip


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line; the usage is what --help is for."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help tells more\n")


def parser(only: str = "") -> argparse.ArgumentParser:
    """The command line. only: this command alone; "": all whose libraries are there."""
    p = Parser(prog="otatool", description="Make, publish and try OTA updates.")
    p.add_argument("--version", action="version", version="otatool " + VERSION)
    sub = p.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in (only,) if only else COMMANDS:
        try:
            module = importlib.import_module("otatool.commands." + name)
        except ImportError as e:
            if only:
                raise ToolError(_missing(e)) from e
            sub.add_parser(name, help=f"cannot run here: {e}")
            continue
        module.add(sub)
    return p


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit status: 0 done, 1 refused, 2 wrong arguments."""
    words = sys.argv[1:] if argv is None else argv
    only = words[0] if words and words[0] in COMMANDS else ""
    console.lenient(sys.stdout)
    console.lenient(sys.stderr)
    try:
        args = parser(only).parse_args(words)
        return args.run(args) or 0
    except (ToolError, OtaError, OSError) as e:
        return _refuse(only, describe(e))
    except ImportError as e:
        return _refuse(only, _missing(e))
    except KeyboardInterrupt:
        return 130
    except Exception as e:
        if os.environ.get("OTATOOL_DEBUG"):
            raise
        text = f"{type(e).__name__}: {e}; this is a mistake of otatool, please report it with what"
        return _refuse(only, f"{text} OTATOOL_DEBUG=1 in the environment prints")


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
    print(console.plain(text, "\n"), file=sys.stderr)
    return 1


def _missing(e: ImportError) -> str:
    """What to do where a library is not there."""
    name = e.name or str(e)
    if name in ("fcntl", "pty", "termios", "tty"):
        return f"needs {name}, which this system has not: it runs on Linux, macOS and WSL only"
    return f"needs {name}, which is not installed here: pip install micropython-ota-tool"


if __name__ == "__main__":
    sys.exit(main())
