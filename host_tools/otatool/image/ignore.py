"""Which files of a folder stay out of an image: patterns as in a .gitignore.

A pattern a line; # begins a comment, ! takes in again what an earlier one left out, the last one
that fits counts. * and ? stop at a slash, ** does not; a slash at the end: folders only; one
elsewhere: from the folder of the image on, else at any depth. What is in a folder that is left
out cannot be taken in again.
"""

import re
from dataclasses import dataclass

from ..errors import ToolError

FILE = ".otaignore"
# Of editors, version control and systems. Hidden files are among them.
DEFAULT = (
    ".*", "__pycache__/", "*.pyc", "*.pyo", "*~", "*.swp", "*.swo", "*.bak", "*.orig", "*.rej",
    "*.tmp", "*.code-workspace", "Thumbs.db", "desktop.ini", "ehthumbs.db", "node_modules/",
    "CVS/", "venv/",
)  # fmt: skip
# Whoever gets an image can read it, so what is surely a password or a key of somebody stays out.
SECRET = (
    "wifi.json", "wifi_config.json", "secrets.json", "secrets.toml", "secrets.env",
    "credentials.json", "id_rsa", "id_ed25519", "id_ecdsa",
)  # fmt: skip
_PRIVATE = b"PRIVATE KEY-----"


@dataclass
class Pattern:
    """One line.

    Attributes:
        keep: it begins with !.
        folders: it fits folders only.
        secret: of SECRET.
    """

    text: str
    expression: re.Pattern
    keep: bool
    folders: bool
    secret: bool = False


class Ignore:
    """The patterns of an image folder.

    Args:
        text: of its FILE.

    Raises:
        ToolError: a bad pattern.
    """

    def __init__(self, text: str = ""):
        self._patterns = [_pattern(line) for line in DEFAULT]
        self._patterns += [_pattern(line, True) for line in SECRET]
        for line in text.splitlines():
            line = line.lstrip("\ufeff").rstrip()
            if line and not line.startswith("#"):
                self._patterns.append(_pattern(line))

    def hit(self, path: str, folder: bool) -> Pattern | None:
        """The pattern that leaves path out, None if it goes into the image.

        Args:
            path: below the folder of the image, with slashes.
        """
        last = None
        for p in self._patterns:
            if (folder or not p.folders) and p.expression.fullmatch(path):
                last = p
        return None if last is None or last.keep else last

    def taken(self, path: str) -> bool:
        """True if a line with ! names this file, so that it is wanted whatever it holds."""
        fits = [p for p in self._patterns if not p.folders and p.expression.fullmatch(path)]
        return bool(fits) and fits[-1].keep


def private(data: bytes) -> bool:
    """True for a file that holds a private key in PEM form."""
    return b"-----BEGIN " in data and _PRIVATE in data


def _pattern(line: str, secret: bool = False) -> Pattern:
    keep = line.startswith("!")
    text = line[1:] if keep else line
    text = text.removeprefix("\\")  # \\! and \\#: no sign
    folders = text.endswith("/")
    text = text.rstrip("/")
    anchored = "/" in text
    text = text.lstrip("/")
    if not text:
        raise ToolError(f"{FILE}: {line!r} is not a pattern")
    try:
        expression = re.compile(("" if anchored else "(?:.*/)?") + _translate(text), re.DOTALL)
    except re.error as e:
        raise ToolError(f"{FILE}: {line!r} is not a pattern: {e}") from e
    return Pattern(line, expression, keep, folders, secret)


def _translate(text: str) -> str:
    out = ""
    i = 0
    while i < len(text):
        c = text[i]
        i += 1
        if text.startswith("**/", i - 1):
            out += "(?:.*/)?"
            i += 2
        elif text.startswith("**", i - 1):
            out += ".*"
            i += 1
        elif c == "*":
            out += "[^/]*"
        elif c == "?":
            out += "[^/]"
        elif c == "[" and (end := text.find("]", i + 1)) > 0:
            inner = text[i:end].replace("\\", "\\\\")
            out += "[" + ("^" + inner[1:] if inner[0] in "!^" else inner) + "]"
            i = end + 1
        elif c == "\\" and i < len(text):
            out += re.escape(text[i])
            i += 1
        else:
            out += re.escape(c)
    return out
