"""Install a package on a board over its REPL, for development."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from ota import package as package
from ota.errors import OtaError

from . import files
from .errors import ToolError
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
    with open(%(path)r, "rb") as f:
        r = ota.install(f, progress=progress)
    print("ota-push: ready", r["version"], r["size"])
try:
    _push_install()
except errors.OtaError as e:
    print("ota-push: refused", type(e).__name__, e.reason, e.code)
finally:
    del _push_install
"""


def push(
    port: str,
    path: str | Path,
    progress: Callable[[str, int, int], None] | None = None,
    reset: bool = True,
    layout: str = LAYOUT,
    line: Callable[[str], None] | None = None,
) -> str:
    """Install the package at path on the board at port; returns its version.

    progress(stage, done, total): bytes, as the board reports them. reset: restart the board,
    which then starts the new image. layout: file on the board, read where no boot stage ran.
    line: gets what else the board prints. Raises ToolError; the board's own refusal with its
    word and code.
    """
    data = files.read(path)
    try:
        package.parse(data[: sum(package.lengths(data))])
    except OtaError as e:
        raise ToolError(f"{path} is no package ({e.reason}): otatool build makes one") from e
    ready = ""
    refused = ""

    def take(text: str) -> None:
        nonlocal ready, refused
        word, *rest = text.split() or [""]
        if word != "ota-push:":
            if text and line:
                line(text)
        elif rest[0] == "ready":
            ready = rest[1]
        elif rest[0] == "refused":
            refused = f"{rest[2]} (code {rest[3]}, {rest[1]})"
        elif progress:
            progress(rest[0], int(rest[1]), int(rest[2]))

    with tempfile.TemporaryDirectory() as folder, Repl(port) as repl:
        files.write(Path(folder) / _NAME, data)
        repl.share(folder)
        try:
            repl.run(_INSTALL % {"layout": layout, "path": f"{REMOTE}/{_NAME}"}, take)
        except ToolError as e:
            if "no module named 'ota'" not in str(e):
                raise
            raise ToolError(
                "the board has no ota library: freeze it into the firmware, or "
                "mpremote mip install package.json"
            ) from e
        if ready and reset:
            repl.reset()
    if refused:
        raise ToolError(f"the board refused the package: {refused}")
    if not ready:
        raise ToolError("the board did not say that the package is installed; its console tells")
    return ready
