"""Download into a file of the board's file system, as wget does."""

import os

from ..compat import const
from .resume import Resuming

if False:  # for type checkers
    from ota_hints import Any, Steps

_BUFFER = const(1024)


def fetch(url: str, file: "Any", options: dict | None = None) -> "Steps":
    """Generator: the file at url into file, a path or an object with write().

    A path is complete or not there: bytes go to path + ".part" first. Yields
    ("stream", done, total) in bytes and None while waiting; returns the bytes got.
    Raises TransportError; OSError from the file system.
    """
    if isinstance(file, str):
        part = file + ".part"
        with open(part, "wb") as f:
            got = yield from _copy(url, f, options)
        # Renaming replaces in one step on littlefs.
        os.rename(part, file)
        return got
    return (yield from _copy(url, file, options))


def _copy(url, f, options):
    reader = yield from Resuming(url, **(options or {})).open(0)
    try:
        buf = memoryview(bytearray(_BUFFER))
        got = 0
        while True:
            n = reader.readinto(buf)
            if n is None:
                yield None
            elif not n:
                return got
            else:
                f.write(buf[:n])
                got += n
                yield "stream", got, reader.length or 0
    finally:
        reader.close()
