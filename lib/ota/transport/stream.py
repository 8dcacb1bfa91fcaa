"""Readers over bytes in memory, and over any object that is read once from its start."""

import errno

from ..compat import const
from ..errors import TransportError

if False:  # for type checkers
    from ota_hints import Any, Callable, Writable

_PIECE = const(256)


class Memory:
    """Reader over data (bytes-like), from offset on."""

    def __init__(self, data, offset: int = 0):
        self._data = memoryview(data)
        self._at = offset

    def readinto(self, buf: "Writable") -> int:
        """Fill buf as far as there are bytes; 0 at the end."""
        n = min(len(buf), len(self._data) - self._at)
        buf[:n] = self._data[self._at : self._at + n]
        self._at += n
        return n

    def close(self) -> None:
        """Nothing to release."""


def opener(source: "Any") -> "Callable":
    """Make an open_at(offset) function over a file-like object.

    The object is read once, from its current position, and closed by its owner.

    Args:
        source: has readinto(buf) or read(n) -> bytes; 0 or b"" is the end, None "not yet".
    Returns:
        open_at(offset), which raises TransportError "range" for an offset that was already read,
        "short" beyond the end, "reset" if the source fails.
    """
    stream = _Stream(source)

    def open_at(offset):
        yield from stream.skip(offset)
        return stream

    return open_at


class _Stream:
    """Transport reader that knows its position."""

    def __init__(self, source):
        self._source = source
        self._whole = hasattr(source, "readinto")
        if not self._whole and not hasattr(source, "read"):
            raise TypeError("readinto or read is needed")
        self._at = 0

    def readinto(self, buf):
        """Fill buf as far as there are bytes; 0 at the end, None for "not yet"."""
        try:
            if self._whole:
                n = self._source.readinto(buf)
            else:
                n = self._source.read(len(buf))
                if n is not None:
                    data, n = n, len(n)
                    buf[:n] = data
        except OSError as e:
            if e.errno == errno.EAGAIN:
                return None
            raise TransportError("reset", self._at, e)
        if n:
            self._at += n
        return n

    def skip(self, offset):
        """Generator: read and discard up to offset; yields while waiting."""
        if offset < self._at:
            raise TransportError("range", offset, self._at)
        piece = memoryview(bytearray(min(_PIECE, offset - self._at)))
        while self._at < offset:
            n = self.readinto(piece[: offset - self._at])
            if n is None:
                yield None
            elif not n:
                raise TransportError("short", self._at, offset)

    def close(self):
        """Leave the source open: an update closes and reopens at another offset."""
