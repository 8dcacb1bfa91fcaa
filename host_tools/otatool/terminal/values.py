"""What people type, read in one place for every command: versions, names, sizes, shares, numbers.

Each function returns the value, or raises ToolError with a sentence that says what is allowed.
"""

import argparse
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ota.errors import OtaError
from ota.package import version as parse_version
from ota.transport import url as device_url

from ..errors import ToolError

WHOLE = 10000  # all of a fleet, in ten-thousandths
BLOCKS = (256, 512, 1024, 2048, 4096)  # bytes of an output block (docs/format.md)
U32 = (1 << 32) - 1
SIZE_MAX = 256 << 20  # bytes
LAST = 31  # older versions that get patches: a manifest lists at most 32 packages

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._+-]{0,30}[A-Za-z0-9_+-])?")
_SIZE = re.compile(r"(0x[0-9a-f]+|[0-9]+)(?:([km])(?:i?b)?)?")
_SUFFIX = {None: 1, "k": 1 << 10, "m": 1 << 20}
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%?")
_HOST = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}|localhost|\d+\.\d+\.\d+\.\d+", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/?(?!/)", re.IGNORECASE)


def version(text: str) -> str:
    """A version: dotted integers, 1 to 4 of them."""
    try:
        parse_version(text)
    except OtaError as e:
        hint = ""
        found = re.search(r"(?<![\d.])\d{1,5}(\.\d{1,5}){0,3}(?![\d.])", text, re.ASCII)
        if found and len(found[0]) <= 15:
            hint = f"; {found[0]} would do"
        raise ToolError(
            f"{text!r} is not a version: dotted integers such as 1.2.3 (at most 4 of them, 5 "
            f"digits each, 15 characters in all), without v or -rc1{hint}"
        ) from e
    return text


def name(text: str, what: str = "name") -> str:
    """The name of a product, channel, target or component, which also becomes part of file names.

    Args:
        what: "product", ... for the sentence.
    """
    if not _NAME.fullmatch(text):
        raise ToolError(
            f"{what} {text!r}: 1 to 32 ASCII letters, digits and . _ + -, a letter or "
            "digit first, no dot last"
        )
    return text


def size(text: str) -> int:
    """Bytes: 4096, 0x1000, 4K or 4KiB, 1M (K is 1024)."""
    m = _SIZE.fullmatch(text.lower()) if text.isascii() else None
    if not m or re.match("0[0-9]", m[1]):
        raise ToolError(f"{text!r} is not a size: bytes, like 2048, 0x800, 2K or 1M")
    found = int(m[1], 0) * _SUFFIX[m[2]]
    if found > SIZE_MAX:
        raise ToolError(f"{text!r}: no board has more than 256M of flash")
    return found


def positive_size(text: str) -> int:
    """As size(), and at least one byte."""
    found = size(text)
    if not found:
        raise ToolError(f"{text!r} is not a size: bytes, at least one")
    return found


def block(text: str) -> int:
    """Bytes of an output block, as size() reads them."""
    found = size(text)
    if found not in BLOCKS:
        raise ToolError(f"{text!r}: a block has {', '.join(map(str, BLOCKS))} bytes")
    return found


def share(text: str) -> int:
    """A percentage, with or without %, in ten-thousandths."""
    m = _PERCENT.fullmatch(text.strip())
    found = round(float(m[1]) * WHOLE / 100) if m else WHOLE + 1
    if m and not found and float(m[1]):
        raise ToolError(f"{text!r}: the smallest percentage above 0 is 0.01")
    if found > WHOLE:
        raise ToolError(f"{text!r} is not a share: a percentage, 0 to 100, such as 5, 2.5 or 5%")
    return found


def number(least: int = 0, most: int = U32) -> Callable[[str], int]:
    """A function that reads an integer from least to most."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}|0x[0-9a-f]{1,15}", text.lower()):
            found = least - 1
        else:
            found = int(text, 16 if text[:2].lower() == "0x" else 10)
        if not least <= found <= most:
            raise ToolError(f"{text!r}: must be a whole number from {least} to {most}")
        return found

    return read


floor = number()


def file_url(text: str) -> str:
    """The address of a manifest or a package, http or https, with the path of a file."""
    try:
        device_url.parse(text)
        path = urlsplit(text).path
    except (OtaError, ValueError) as e:
        raise ToolError(f"{text}: an address is http://HOST/PATH or https://HOST/PATH") from e
    if not path or path.endswith("/"):
        whole = text.rstrip("/") + "/manifest.ota"
        hint = "" if "?" in text else f", such as {whole}"
        raise ToolError(f"{text}: does not name a file; give the whole address{hint}")
    return text


def folder_or_url(text: str, exists: bool = False) -> str:
    """A place of published files: a path, or a URL with its scheme.

    Args:
        exists: a folder of that name is there, so it is meant.

    Raises:
        ToolError: what looks like a host or a mistyped URL.
    """
    if not text:
        raise ToolError("'' is not a place: a folder, or a URL such as s3://BUCKET/PREFIX")
    if "://" in text:
        if re.match(r"https?://", text, re.IGNORECASE):
            raise ToolError(
                f"{text}: a web server takes no uploads; give the place of its files: a folder, "
                "sftp://USER@HOST/PATH, s3://BUCKET/PREFIX"
            )
        return text
    if exists or text[:1] in "./~\\":
        return text
    scheme = _SCHEME.match(text)
    if scheme and "." not in scheme[1] and scheme[1].lower() != "localhost":
        rest = text[scheme.end() :]
        raise ToolError(f"{text}: did you mean {scheme[1]}://{rest}? A folder: ./{text}")
    host = re.split(r"[/\\:]", text)[0]
    if _HOST.fullmatch(host):
        raise ToolError(
            f"{text} looks like a server: give sftp://USER@{host}/PATH, or the URL of the store; "
            f"a folder of that name: ./{text}"
        )
    return text


def type_of(function: Callable[..., Any], *more: Any) -> Callable[[str], Any]:
    """An argparse type from a function of this module: wrong usage, exit status 2."""

    def convert(text: str):
        try:
            return function(text, *more)
        except ToolError as e:
            raise argparse.ArgumentTypeError(str(e)) from e

    return convert
