"""Install a package on a board over its REPL, for development."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from ota import package as package
from ota.errors import OtaError

from .. import files
from ..errors import ToolError
from ..terminal import meanings
from .repl import REMOTE, Repl

LAYOUT = "/rom/layout.json"
_NAME = "package.ota"

# A board whose boot stage ran has a Device. Elsewhere the layout says what the board is.
# Lines of ours begin with a word that no other output begins with.
# Mounting leaves the board in our folder, where it would look for modules.
_INSTALL = """\
import os
os.chdir("/")
import ota
from ota import device, errors
def _push_install():
    if device.current is None:
        try:
            from layout import LAYOUT
        except ImportError:
            LAYOUT = %(layout)r
        ota.configure(LAYOUT)
    def progress(stage, done, total):
        print("ota-push:", stage, done, total)
    def install(**options):
        with open(%(path)r, "rb") as f:
            return ota.install(f, progress=progress, **options)
    options = %(options)r
    try:
        r = install(**options)
    except TypeError:
        if not options:
            raise
        r = install()
        print("ota-push: unknown")
    if r["result"] == "later":
        raise r["error"]
    if r["result"] == "trial":
        raise errors.StateError("trial")
    if r["result"] == "none":  # this very image runs
        raise errors.PolicyError("older", r["version"])
    print("ota-push: ready", r["version"], r["size"])
try:
    _push_install()
except errors.OtaError as e:
    print("ota-push: refused", type(e).__name__, e.reason, e.code, "; ".join(map(str, e.args[1:])))
finally:
    del _push_install
"""
_LINE = re.compile(
    r"ota-push: (?:ready (?P<ready>[0-9.]{1,15}) \d+"
    r"|refused (?P<kind>\w+) (?P<word>\w+) (?P<code>\d{1,9}) ?(?P<details>.*)"
    r"|(?P<unknown>unknown)"
    r"|(?P<stage>\w+) (?P<done>\d{1,12}) (?P<total>\d{1,12}))",
    re.ASCII,
)
_OLDER = "the board's ota library does not support --downgrade: it accepts older packages anyway"


def push(
    port: str,
    path: str | Path,
    progress: Callable[[str, int, int], None] | None = None,
    reset: bool = True,
    layout: str = LAYOUT,
    line: Callable[[str], None] | None = None,
    downgrade: bool = False,
) -> str:
    """Install the package at path on the board at port; returns its version.

    Args:
        progress: called with (stage, done, total), in bytes, as the board reports them.
        reset: restart the board, which then starts the new image.
        layout: file on the board, read where no boot stage ran.
        line: gets what else the board prints, as it prints it.
        downgrade: also a version that is not newer than the one that runs.

    Raises:
        ToolError: also when the board rejects the package, with its word, code and sizes.
    """
    data = files.read(path)
    try:
        package.parse(data[: sum(package.lengths(data))])
    except OtaError as e:
        raise ToolError(f"{path} is not a package ({e.reason}): otatool build makes one") from e
    ready = ""
    refused = ""
    known = True

    def take(text: str) -> None:
        nonlocal ready, refused, known
        m = _LINE.fullmatch(text)
        if not m:
            if text and line:
                line(text)
        elif m["ready"]:
            ready = m["ready"]
        elif m["kind"]:
            details = m["details"].split("; ")
            refused = meanings.sentence(m["kind"], m["word"], int(m["code"]), details)
        elif m["unknown"]:
            known = False
        elif progress:
            progress(m["stage"], int(m["done"]), int(m["total"]))

    options = {"downgrade": True} if downgrade else {}
    code = _INSTALL % {"layout": layout, "path": f"{REMOTE}/{_NAME}", "options": options}
    with tempfile.TemporaryDirectory() as folder:
        files.write(Path(folder) / _NAME, data)
        for fresh in (False, True):
            try:
                with Repl(port, fresh, line) as repl:
                    _install(repl, folder, code, take)
                    if ready and reset:
                        repl.reset()
                break
            except ToolError as e:
                # Something that the application left behind (a timer that prints, memory that
                # it holds) came in between: once more after a soft reset, without it.
                if ready or refused or fresh or not isinstance(e, _Disturbed):
                    raise
    if refused:
        raise ToolError(f"the board rejected the package: {refused}")
    if not ready:
        raise ToolError("the board did not report that the package is installed; see its console")
    if not known and line:
        line(_OLDER)
    return ready


def _install(repl, folder, code, take):
    """Let the board install. Raises ToolError, _Disturbed if it may go better alone."""
    try:
        repl.share(folder)
        repl.run(code, take)
    except ToolError as e:
        if "no module named 'ota'" in str(e):
            raise ToolError(
                "the board has no ota library: freeze it into the firmware, or "
                "mpremote mip install package.json"
            ) from e
        raise _Disturbed(str(e)) from e


class _Disturbed(ToolError):
    """The way to the board broke, or its code."""
