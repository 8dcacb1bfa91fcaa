"""The body of an HTTP response as a reader: by length, by chunks, or until the close."""

from ..compat import const
from ..errors import TransportError

if False:  # for type checkers
    from ota_hints import Kept, Writable

_DIGITS = const(20)  # some servers pad sizes with zeros, to 16 as a rule
_HEX = b"0123456789abcdefABCDEF"

# What comes next in a chunked body.
_SIZE = const(1)
_DATA = const(2)
_AFTER = const(3)
_TRAILER = const(4)


class Response:
    """Response to a GET, a reader of its body.

    offset: of its first byte in the whole file; length: bytes from there, or None; total: bytes
    of the whole file, or None; etag: strong, or None; status: 200, 206, or 416 if nothing is left
    after offset. reused: True if the connection has carried another response before.
    """

    def __init__(self, wire, status, offset, length, total, etag, chunked=False):
        self.status = status
        self.offset = offset
        self.length = length
        self.total = total
        self.etag = etag
        self.reused = False
        self._wire = wire
        self._kept = None
        self._place = None
        self._got = 0
        self._begun = None  # a line whose end has not come yet
        self._next = _SIZE if chunked else 0
        self._left = 0 if chunked else length
        self._trailers = [0, 0]

    def readinto(self, buf: "Writable") -> int | None:
        """Read into buf; returns bytes, 0 at the end, None for "not yet".

        Raises TransportError "short" if the body ends early, "timeout", "slow", "reset",
        "protocol", "headers" (trailers), and closes the connection.
        """
        if not self._wire:
            return 0
        n = -1
        try:
            n = self._read(buf)
        finally:
            if n == 0 and self._kept:
                self._kept.give(self._wire, self._place)
                self._wire = None
            elif n is not None and n <= 0:
                self.close()
        return n

    def leave(self, kept: "Kept", place: tuple) -> None:
        """Keep the connection in an http.Kept for place after the body has been read."""
        self._kept, self._place = kept, place

    def close(self) -> None:
        """Close the connection; may be called more than once."""
        if self._wire:
            self._wire.close()
            self._wire = None

    def _read(self, buf):
        while self._next and self._next != _DATA:
            line = self._line()
            if line is None:
                return None
            if self._frame(line):
                if self.length is not None and self._got != self.length:
                    raise TransportError("short", self._got)
                return 0
        left = self._left
        if left is not None:
            if not left:
                return 0
            if len(buf) > left:
                buf = memoryview(buf)[:left]
        n = self._wire.readinto(buf)
        if n:
            self._took(n)
        elif n == 0 and left is not None:
            raise TransportError("short", self._got)
        return n

    def _took(self, n):
        self._got += n
        if self._left is not None:
            self._left -= n
            if self._next and not self._left:
                self._next = _AFTER
        if self.length is not None and self._got > self.length:
            raise TransportError("protocol", "length")

    def _line(self):
        wire = self._wire
        word = "headers" if self._next == _TRAILER else "protocol"
        try:
            if self._begun is None:
                self._begun = wire.line(wire.limits.line, word)
            # Longer than the buffer: an extension or a trailer, which is skipped.
            if self._begun is None or (wire.more and not wire.rest(word)):
                return None
        except TransportError as e:
            if e.reason != "reset" or len(e.args) > 1:
                raise
            # The stream ended: after the last chunk only an empty line is missing, before it
            # the body is incomplete.
            if self._next != _TRAILER:
                raise TransportError("short", self._got)
            self._begun = b""
        line, self._begun = self._begun, None
        return line

    def _frame(self, line):
        # Take one line between chunks; True after the last of all.
        if self._next == _SIZE:
            self._left = _size(line)
            self._next = _DATA if self._left else _TRAILER
        elif self._next == _AFTER:
            if line:
                raise TransportError("protocol", "chunk")
            self._next = _SIZE
        elif not line:
            return True
        else:
            self._trailers[0] += len(line) + self._wire.over + 2
            self._trailers[1] += 1
            limits = self._wire.limits
            if self._trailers[0] > limits.block or self._trailers[1] > limits.fields:
                raise TransportError("headers", self._trailers[0])
        return False


def _size(line):
    digits = line.partition(b";")[0].strip()
    if not 0 < len(digits) <= _DIGITS:
        raise TransportError("protocol", "chunk")
    for i in range(len(digits)):
        if digits[i : i + 1] not in _HEX:
            raise TransportError("protocol", "chunk")
    size = int(digits, 16)
    if size > 0x7FFFFFFF:
        raise TransportError("protocol", "chunk")
    return size
