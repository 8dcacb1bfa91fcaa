"""Head of an HTTP response: status line and the header fields that matter here."""

from ..compat import const
from ..errors import TransportError
from . import url

if False:  # for type checkers
    from ota_hints import Steps, Wire

_INTERIM = const(8)  # 1xx responses skipped before the real one
_BLANK = const(4)  # empty lines passed over before a status line
_NUMBER_MAX = const(0x7FFFFFFF)
_DIGITS = const(20)  # some servers pad with zeros
_RETRY_MAX_S = const(3600)
_ETAG_MAX = const(128)
_FRAMING = const(4)  # so many of _WANTED say which bytes the body is
_LISTS = const(5)  # so many may come in several lines
_PLAIN = (
    b"  identity none binary raw plain 7bit 8bit utf-8 utf8 us-ascii ascii iso-8859-1 aws-chunked "
)
_MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"
_WANTED = (
    b"content-length",
    b"content-range",
    b"transfer-encoding",
    b"content-encoding",
    b"connection",
    b"location",
    b"etag",
    b"retry-after",
    b"date",
)


class Head:
    """Status and wanted fields: names in lower case, values stripped, both bytes.

    later: True for HTTP/1.1, which keeps connections by default.
    location: target of a redirect, text; "" if missing.
    """

    def __init__(self, status: int, later: bool = True):
        self.status = status
        self.later = later
        self.location = ""
        self.fields: dict = {}
        self._last = b""  # wanted field of the line before

    def add(self, line: bytes, whole: bool = True) -> None:
        """Take one header line, or the first bytes of a longer one. Raises TransportError.

        Other fields are ignored, even if malformed. A wanted field that continues on a second
        line, is longer than the buffer, or occurs twice with different values is "protocol" or
        "headers" if it determines the bytes of the body; otherwise it counts as missing.
        """
        if line[:1] in b" \t":
            if self._last:  # RFC 9112 5.2: a field of two lines
                self._spoil(self._last, "protocol")
            return
        name, colon, value = line.partition(b":")
        bare = name.strip().lower()
        self._last = b""
        if not colon or bare not in _WANTED:
            return
        if len(bare) != len(name):
            raise TransportError("protocol", "field")  # which others may read otherwise
        self._last = bare
        if not whole:
            self._spoil(bare, "headers")
            return
        value = value.strip()
        before = self.fields.get(bare, value)
        if before == value:
            self.fields[bare] = value
        elif bare != b"content-range" and _WANTED.index(bare) < _LISTS:
            self.fields[bare] = before + b"," + value
        else:
            self._spoil(bare, "protocol")

    def _spoil(self, name, word):
        at = _WANTED.index(name)
        if at < _FRAMING or (name == b"location" and self.moved):
            raise TransportError(word, "field")
        self.fields[name] = b"close" if at < _LISTS else b""

    @property
    def moved(self) -> bool:
        """True for a status of a redirect."""
        return self.status in (301, 302, 303, 307, 308)

    @property
    def chunked(self) -> bool:
        """True for a chunked body. Raises TransportError "protocol" for other codings."""
        coding = self.fields.get(b"transfer-encoding")
        if coding is None:
            return False
        found = [c.strip() for c in coding.lower().split(b",")]
        found = [c for c in found if c != b"identity"]
        if not found:
            return False  # what HTTP said in 1999 for "as it is"
        # With a length beside it two readers could disagree about where the body ends.
        if found != [b"chunked"] or b"content-length" in self.fields:
            raise TransportError("protocol", "coding")
        return True

    @property
    def encoded(self) -> bool:
        """True if the body is not the file's own bytes according to Content-Encoding.

        Some servers and stores put a character set there, or how the file was uploaded.
        """
        for c in self.fields.get(b"content-encoding", b"").lower().split(b","):
            if b" %s " % c.strip() not in _PLAIN:
                return True
        return False

    @property
    def keeps(self) -> bool:
        """True if the connection can be used for another request."""
        if not self.later or b"close" in self.fields.get(b"connection", b"").lower():
            return False
        return self.chunked or self.length is not None  # else its end is the body's

    @property
    def length(self) -> int | None:
        """Content-Length in bytes, or None if absent or empty. Raises TransportError "protocol"
        if it is not one number."""
        found = None
        for value in self.fields.get(b"content-length", b"").split(b","):
            value = value.strip()
            if value:
                n = number(value[1:] if value[:1] == b"+" else value, "protocol")
                if found not in (None, n):
                    raise TransportError("protocol", "twice")
                found = n
        return found

    @property
    def etag(self) -> str | None:
        """The strong entity tag with its quotes, or None."""
        value = self.fields.get(b"etag", b"")
        return str(value, "utf-8") if strong(value) else None

    @property
    def range(self) -> tuple:
        """(start, length, total or None) of Content-Range. Raises TransportError "range"."""
        span, slash, total = self._span().partition(b"/")
        start, dash, end = span.partition(b"-")
        if not slash or not dash:
            raise TransportError("range")
        start, end = number(start.strip(), "range"), number(end.strip(), "range")
        total = None if total.strip() == b"*" else number(total.strip(), "range")
        if end < start or (total is not None and end >= total):
            raise TransportError("range", start, end)
        return start, end - start + 1, total

    @property
    def unsatisfied(self) -> int | None:
        """The total size in a 416, or None."""
        value = self._span()
        return number(value[2:].strip(), "range") if value[:2] == b"*/" else None

    def _span(self):
        # Without the unit, which is also written "bytes=" or "bytes:", or left out.
        value = self.fields.get(b"content-range", b"")
        return (value[5:] if value[:5].lower() == b"bytes" else value).lstrip(b" \t=:")

    @property
    def retry_after_s(self) -> int | None:
        """Retry-After in seconds, at most an hour; None if absent or unknown."""
        value = self.fields.get(b"retry-after", b"")
        if value.isdigit():
            return _RETRY_MAX_S if len(value) > 4 else min(int(value), _RETRY_MAX_S)
        # A date counts from the server's own Date: the device's clock may be anywhere.
        date = self.fields.get(b"date")
        if not value or not date:
            return None
        later, now = seconds(value), seconds(date)
        if later is None or now is None:
            return None
        return min(max(later - now, 0), _RETRY_MAX_S)


def number(value: bytes, word: str) -> int:
    """A plain decimal number below 2^31. Raises TransportError word."""
    if not value.isdigit() or len(value) > _DIGITS or int(value) > _NUMBER_MAX:
        raise TransportError(word, "number")
    return int(value)


def seconds(value: bytes) -> int | None:
    """Seconds from the year 0 to a date like b"Sun, 06 Nov 1994 08:49:37 GMT", for differences.

    None for any other form. The calendar is not checked: the caller bounds the difference.
    """
    month = _MONTHS.find(value[8:11])
    if len(value) != 29 or value[25:] != b" GMT" or month < 0 or month % 3:
        return None
    for i in (5, 6, 12, 13, 14, 15, 17, 18, 20, 21, 23, 24):
        if not 0x30 <= value[i] <= 0x39:
            return None
    # The year begins in March here, so that its leap day is the last.
    month = (month // 3 + 10) % 12
    year = int(value[12:16]) - month // 10
    days = 365 * year + year // 4 - year // 100 + year // 400
    days += (153 * month + 2) // 5 + int(value[5:7])
    return ((days * 24 + int(value[17:19])) * 60 + int(value[20:22])) * 60 + int(value[23:25])


def strong(etag: bytes) -> bool:
    """True for a strong entity tag, with quotes, that can be sent back."""
    if not 2 <= len(etag) <= _ETAG_MAX or etag[0] != 0x22 or etag[-1] != 0x22:
        return False
    for c in etag[1:-1]:
        if not 0x21 <= c <= 0x7E or c == 0x22:
            return False
    return True


def read(wire: "Wire") -> "Steps":
    """Generator: read the head of the final response, return a Head.

    Raises TransportError "protocol", "headers", "reset", "timeout", "slow", "url" for a Location
    that is too long, and "status" for 101.
    """
    for _ in range(_INTERIM + 1):
        for _ in range(_BLANK + 1):
            line = yield from _line(wire)
            if line:
                break
        if wire.more:
            raise TransportError("headers", len(line))
        head = Head(_status(line), line.startswith(b"HTTP/1.1"))
        size, count = len(line), 0
        while True:
            line = yield from _line(wire)
            if not line:
                break
            if wire.more:
                yield from _long(wire, head, line)
            else:
                head.add(line)
            size += len(line) + wire.over + 2
            count += 1
            if size > wire.limits.block or count > wire.limits.fields:
                raise TransportError("headers", size, count)
        if head.status == 101:
            raise TransportError("status", 101)
        if head.status >= 200:
            if head.moved and not head.location:
                head.location = url.quoted(head.fields.get(b"location", b""))
            return head
    raise TransportError("protocol", "interim")


def _line(wire):
    while True:
        line = wire.line(wire.limits.line, "headers")
        if line is not None:
            return line
        yield


def _long(wire, head, line):
    # A line that is longer than the buffer: only where a redirect leads may be so long.
    name, _, value = line.partition(b":")
    into = text = None
    if head.moved and name.lower() == b"location":
        if head.location or b"location" in head.fields:
            raise TransportError("protocol", "twice")
        text = memoryview(bytearray(url.URL_MAX + 64))
        n = len(value)
        text[:n] = value
        into = text[n:]
    else:
        head.add(line, False)
    name = value = None
    while not wire.rest("url" if text else "headers", into):
        yield
    if text:
        head.location = url.quoted(bytes(text[: n + wire.over]).strip())


def _status(line: bytes) -> int:
    # RFC 9112 section 4, and what is easy to read all the same: lower case, a later 1.x, blanks.
    code, _, _ = line[8:].strip().partition(b" ")
    if (
        line[:7].upper() != b"HTTP/1."
        or not line[7:8].isdigit()
        or line[8:9] != b" "
        or len(code) != 3
        or not code.isdigit()
        or not b"100" <= code < b"600"
    ):
        raise TransportError("protocol", "status")
    return int(code)
