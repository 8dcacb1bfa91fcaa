"""The head of an HTTP response: status line and the few header fields that matter here."""

from ..apart import load
from ..compat import const
from ..errors import TransportError

_INTERIM = const(8)  # 1xx responses skipped before the real one
_NUMBER_MAX = const(0x7FFFFFFF)
_RETRY_MAX_S = const(3600)
_ETAG_MAX = const(128)
_WANTED = (
    b"content-length",
    b"transfer-encoding",
    b"content-encoding",
    b"content-range",
    b"etag",
    b"location",
    b"retry-after",
    b"date",
    b"connection",
)


class Head:
    """Status and wanted fields: names in lower case, values stripped, both bytes.

    later: True for HTTP/1.1, whose connections are kept unless somebody says otherwise.
    """

    def __init__(self, status: int, later: bool = True):
        self.status = status
        self.later = later
        self.fields: dict = {}

    def add(self, line: bytes) -> None:
        """Take one header line. Raises TransportError "protocol".

        A wanted field may come twice only with the same value.
        """
        name, colon, value = line.partition(b":")
        if not colon or not name or b" " in name or b"\t" in name:
            raise TransportError("protocol", "field")
        name = name.lower()
        if name in _WANTED:
            value = value.strip()
            before = self.fields.get(name, value)
            if before != value:
                if name == b"connection":
                    value = before + b"," + value  # a list, which may come in lines
                elif name != b"date":
                    raise TransportError("protocol", "twice")
            self.fields[name] = value

    @property
    def chunked(self) -> bool:
        """True for a chunked body. Raises TransportError "protocol" for other codings."""
        coding = self.fields.get(b"transfer-encoding")
        if coding is None:
            return False
        # With a length beside it two readers could disagree about where the body ends.
        if coding.lower() != b"chunked" or b"content-length" in self.fields:
            raise TransportError("protocol", "coding")
        return True

    @property
    def keeps(self) -> bool:
        """True if the server may take another request on this connection."""
        if not self.later or b"close" in self.fields.get(b"connection", b"").lower():
            return False
        return self.chunked or self.length is not None  # else its end is the body's

    @property
    def length(self):
        """Content-Length in bytes, or None. Raises TransportError "protocol"."""
        value = self.fields.get(b"content-length")
        return None if value is None else number(value, "protocol")

    @property
    def etag(self):
        """The strong entity tag with its quotes, or None."""
        value = self.fields.get(b"etag", b"")
        return str(value, "utf-8") if strong(value) else None

    @property
    def range(self):
        """(start, length, total or None) of Content-Range. Raises TransportError "range"."""
        unit, _, rest = self.fields.get(b"content-range", b"").partition(b" ")
        span, slash, total = rest.partition(b"/")
        start, dash, end = span.partition(b"-")
        if unit.lower() != b"bytes" or not slash or not dash:
            raise TransportError("range")
        start, end = number(start, "range"), number(end, "range")
        total = None if total == b"*" else number(total, "range")
        if end < start or (total is not None and end >= total):
            raise TransportError("range", start, end)
        return start, end - start + 1, total

    @property
    def unsatisfied(self):
        """The total that a 416 tells, or None."""
        value = self.fields.get(b"content-range", b"")
        if not value.startswith(b"bytes */"):
            return None
        return number(value[8:], "range")

    @property
    def retry_after_s(self):
        """Retry-After in seconds, at most an hour; None if absent or of no known form."""
        value = self.fields.get(b"retry-after", b"")
        if value.isdigit():
            return _RETRY_MAX_S if len(value) > 4 else min(int(value), _RETRY_MAX_S)
        # A date counts from the server's own Date: the device's clock may be anywhere.
        date = self.fields.get(b"date")
        if not value or not date:
            return None
        # Seldom needed, so imported then.
        seconds = load("transport.date").seconds
        later, now = seconds(value), seconds(date)
        if later is None or now is None:
            return None
        return min(max(later - now, 0), _RETRY_MAX_S)


def number(value: bytes, word: str) -> int:
    """A plain decimal number below 2^31. Raises TransportError word."""
    if not value.isdigit() or len(value) > 10 or int(value) > _NUMBER_MAX:
        raise TransportError(word, "number")
    return int(value)


def strong(etag: bytes) -> bool:
    """True for a strong entity tag, with quotes, that is fit to be sent back."""
    if not 2 <= len(etag) <= _ETAG_MAX or etag[0] != 0x22 or etag[-1] != 0x22:
        return False
    for c in etag[1:-1]:
        if not 0x21 <= c <= 0x7E or c == 0x22:
            return False
    return True


def read(wire):
    """Generator: read the head of the final response, return a Head.

    Raises TransportError "protocol", "headers", "reset", "timeout", "slow", and "status"
    for 101.
    """
    for _ in range(_INTERIM + 1):
        line = yield from _line(wire)
        head = Head(_status(line), line.startswith(b"HTTP/1.1"))
        size, count = len(line), 0
        while True:
            line = yield from _line(wire)
            if not line:
                break
            size += len(line) + 2
            count += 1
            if size > wire.limits.block or count > wire.limits.fields:
                raise TransportError("headers", size, count)
            head.add(line)
        if head.status == 101:
            raise TransportError("status", 101)
        if head.status >= 200:
            return head
    raise TransportError("protocol", "interim")


def _line(wire):
    while True:
        line = wire.line(wire.limits.line, "headers")
        if line is not None:
            return line
        yield


def _status(line: bytes) -> int:
    code = line[9:12]
    if (
        line[:9] not in (b"HTTP/1.1 ", b"HTTP/1.0 ")
        or len(code) != 3
        or not code.isdigit()
        or not b"100" <= code < b"600"
        or line[12:13] not in (b"", b" ")
    ):
        raise TransportError("protocol", "status")
    return int(code)
