"""A streaming HTTP/1.1 GET in fixed memory, for one file at a time.

A connection is used once and closed, or left to the next request in a Kept. The caller
decides what a status means for the update.
"""

from ..compat import ticks_ms
from ..errors import TransportError
from ..modules import load
from ..version import VERSION
from . import head as _head
from . import sockets
from . import url as _url
from .body import Response
from .wire import Limits, Wire

if False:  # for type checkers
    from ota_hints import Any, Callable, Steps

# Fields that say what this client can do and wants; a caller must not change them.
_OWN = (
    "host range if-range if-none-match connection accept-encoding content-length"
    " transfer-encoding te upgrade expect trailer user-agent"
).split()


class Kept:
    """Keep-alive: at most one connection between two requests to the same server.

    RFC 9112 section 9: a response that was read to its end leaves its connection usable unless
    one side said "close".
    """

    def __init__(self):
        self._wire = None
        self._place = None

    def take(self, place: tuple) -> "Wire | None":
        """The Wire kept for place, (scheme, host, port), or None; any other one is closed.

        Not reused if the peer closed it or sent more than was requested.
        """
        if self._wire and not (self._place == place and self._wire.silent()):
            self.close()
        wire, self._wire = self._wire, None
        return wire

    def give(self, wire: "Wire", place: tuple) -> None:
        """Keep the Wire of a connection to place, (scheme, host, port)."""
        self.close()
        self._wire, self._place = wire, place

    def close(self) -> None:
        """Close what is kept; may be called more than once."""
        if self._wire:
            self._wire.close()
            self._wire = None


def get(
    url: str,
    offset: int = 0,
    etag: str | None = None,
    headers: dict | None = None,
    tls: "Any" = None,
    size: int | None = None,
    home: "Any" = None,
    kept: Kept | None = None,
    connect: "Callable" = sockets.connect,
    clock: "Callable" = ticks_ms,
    **changes: "Any",
) -> "Steps":
    """Generator: request url from byte offset on.

    Args:
        etag: strong entity tag. With an offset, the whole file is sent if it has changed; without
            one, the response is 304 without a body if it has not.
        headers: dict of further fields. They are sent to home only, and not after a redirect to
            another server; a dict under an address, {"https://cdn.example.com": {...}}, is sent
            to that server.
        tls: configuration as for tls.context(), or an SSLContext.
        size: bytes to request; the server may send more.
        home: an address on the server that headers belong to, "" for none; default: url.
        kept: Kept whose connection is used, and which takes this one after the body was read.
        changes: of wire.Limits.
    Returns:
        Response; a 200 to a Range request has offset 0, the caller decides.
    Raises:
        TransportError: "url", "dns", "connect", "tls", "timeout", "slow", "reset", "protocol",
            "headers", "redirect", "downgrade", "encoding", "changed", ("range", 416, total),
            ("status", code[, Retry-After in seconds]).
    """
    limits = Limits(**changes)
    if etag is not None and not _head.strong(etag.encode()):
        raise TransportError("headers", "etag")
    asked = ""
    if offset or size:
        asked = "Range: bytes=%d-%s\r\n" % (offset, offset + size - 1 if size else "")
    if etag:
        asked += ("If-Range: " if offset else "If-None-Match: ") + etag + "\r\n"
    if not kept:
        asked += "Connection: close\r\n"
    target = _url.parse(url)
    home = target[:3] if home is None else home and _url.parse(home)[:3]
    for _ in range(limits.redirects + 1):
        # Joined once, in one piece: an address may be long.
        text = "".join((
            "GET ", target[3], " HTTP/1.1\r\nHost: ",
            _url.authority(target[0], target[1], target[2]),
            "\r\nUser-Agent: micropython-ota/", VERSION, "\r\nAccept-Encoding: identity\r\n",
            asked, fields_for(headers, target[:3], home), "\r\n",
        ))  # fmt: skip
        wire, head, reused = yield from _exchange(
            target, text.encode(), tls, connect, clock, limits, kept
        )
        del text
        done = False
        try:
            reply = _reply(wire, head, offset, etag, size)
            if reply:
                reply.reused = reused
                if kept and head.keeps:
                    reply.leave(kept, target[:3])
                done = True
        finally:
            if not done:
                wire.close()
        if reply:
            return reply
        if not head.location:
            raise TransportError("redirect", "location")
        source, target = target, _url.resolve(target, head.location)
        wire = head = None
        if source[0] == "https" and target[0] == "http":
            raise TransportError("downgrade")
        if source[:3] != target[:3]:
            home = ""
    raise TransportError("redirect", limits.redirects)


def secure(url: str, options: dict) -> None:
    """Replace "tls" of options by an SSLContext if url needs one: once for all requests, because
    certificates take heap and time."""
    if url[:6].lower() == "https:":
        options["tls"] = _context(options.get("tls"))


def _context(tls):
    # Of a dict or None; anything else is an SSLContext already.
    if tls is not None and not isinstance(tls, dict):
        return tls
    # Plain HTTP must not load TLS.
    return load("transport.tls").context(tls)


def _exchange(target, request, tls, connect, clock, limits, kept):
    # Send the request on the kept connection or a new one: (wire, head, True if it was kept).
    found = None
    wire = kept and kept.take(target[:3])
    try:
        if wire:
            try:
                head = yield from _ask(wire, request, limits.idle_ms)
                found = wire, head, True
            except TransportError:
                # Closed while idle, or out of step: not a failure yet.
                wire.close()
        if not found:
            context = _context(tls) if target[0] == "https" else None
            wire = Wire(None, limits, clock)  # its buffer before what TLS takes
            wire.stream = yield from connect(target[1], target[2], context, limits, clock)
            wait_ms = limits.handshake_ms if context else limits.idle_ms
            head = yield from _ask(wire, request, wait_ms)
            found = wire, head, False
        return found
    finally:
        if wire and not found:
            wire.close()


def _ask(wire, request, wait_ms):
    yield from wire.send(request, wait_ms)
    return (yield from _head.read(wire))


def _reply(wire, head, offset, etag, size):
    # A Response, or None for a redirect.
    status = head.status
    if head.moved:
        return None
    if status == 416 and offset:
        total = head.unsatisfied
        if total != offset:
            raise TransportError("range", 416, total)
        wire.close()
        return Response(None, 416, offset, 0, total, head.etag)
    if status == 304 and etag and not offset:
        wire.close()
        return Response(None, 304, 0, 0, None, etag)
    if status not in (200, 203, 206):  # 203: through a proxy; what came is checked as ever
        wait_s = head.retry_after_s
        if wait_s is None:
            raise TransportError("status", status)
        raise TransportError("status", status, wait_s)
    if head.encoded:
        raise TransportError("encoding")
    chunked = head.chunked
    if not chunked:
        wire.body()
    length = total = head.length
    # Some say 200 to what is a part by its field.
    if status != 206 and not ((offset or size) and head.fields.get(b"content-range")):
        return Response(wire, 200, 0, length, total, head.etag, chunked)
    start, count, total = head.range
    if not (offset or size) or start != offset or length not in (None, count):
        raise TransportError("range", start, count)
    if etag and head.etag and head.etag != etag:
        raise TransportError("changed", 206)
    return Response(wire, 206, offset, count, total, head.etag, chunked)


def fields_for(headers: "Any", place: tuple, home: tuple) -> str:
    """The caller's header fields for a place, (scheme, host, port), as lines.

    home: place that the fields without an address belong to. Raises TransportError "headers" for
    a field that could split the request, "url".
    """
    text = ""
    for name in headers or ():
        value = headers[name]
        if isinstance(value, dict):
            there = _url.parse(name)[:3]
            text += fields_for(value, place, there)
            continue
        if name.lower() in _OWN:
            raise TransportError("headers", name)
        for c in name:
            if not "!" <= c <= "~" or c in '()<>@,;:\\"/[]?={}':
                raise TransportError("headers", "name")
        for c in value:
            if not " " <= c <= "~":
                raise TransportError("headers", "value")
        if not name:
            raise TransportError("headers", "name")
        if place == home:
            text += name + ": " + value + "\r\n"
    return text
