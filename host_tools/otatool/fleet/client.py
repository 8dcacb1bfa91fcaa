"""One HTTP request of one device over its link: aiohttp for HTTP, errors in the device's words."""

import contextlib
import errno
import re
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
from ota.errors import TransportError
from ota.transport import head
from ota.version import VERSION

from ..errors import ToolError
from .clock import Clock
from .link import Link
from .tally import Tally

# As on the device (ota.transport.wire, ota.transport.http, ota.transport.head).
_CONNECT_S = 10
_IDLE_S = 15
_REDIRECTS = 5
_RETRY_MAX_S = 3600
_PART = re.compile(r"bytes (\d{1,10})-\d{1,10}/(\d{1,10})", re.ASCII)
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL)
# The first that fits is the word for it.
_WORDS = (
    (aiohttp.ClientConnectorDNSError, "dns"),
    (aiohttp.ClientConnectorCertificateError, "tls"),
    (aiohttp.ClientSSLError, "tls"),
    (aiohttp.ClientConnectorError, "connect"),
    (aiohttp.ConnectionTimeoutError, "connect"),
    (aiohttp.ServerTimeoutError, "timeout"),
    (aiohttp.InvalidURL, "url"),
    (aiohttp.TooManyRedirects, "redirect"),
    (aiohttp.ClientPayloadError, "short"),
    (OSError, "reset"),
    (aiohttp.ServerDisconnectedError, "reset"),
    (aiohttp.ClientError, "protocol"),
)


def session(clock: Clock, tally: Tally) -> aiohttp.ClientSession:
    """What all devices share: no connection is used twice, and each request is counted when it
    has been sent, also one that a redirect asks for."""

    async def sent(_, context, __) -> None:
        tally.asked(context.trace_request_ctx, clock.now())

    async def redirected(_, context, __) -> None:
        tally.was(context.trace_request_ctx, "redirect")

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(sent)
    trace.on_request_redirect.append(redirected)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True, ttl_dns_cache=None),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_IDLE_S),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "User-Agent": f"micropython-ota/{VERSION} (otatool fleet)",
            "Accept-Encoding": "identity",
        },
        skip_auto_headers=("Accept",),
        trace_configs=[trace],
    )


class Answer:
    """An answer. status: 200, 206, 304 or 416. start: of the body in the file; total: bytes of
    the file, None if not told; etag: a strong one, or ""."""

    def __init__(self, response: aiohttp.ClientResponse, link: Link):
        self.status = response.status
        self.start, self.total = 0, response.content_length
        etag = response.headers.get("ETag", "")
        self.etag = etag if head.strong(etag.encode()) else ""
        self._response = response
        self._link = link
        if self.status == 206:
            part = _PART.fullmatch(response.headers.get("Content-Range", ""))
            if not part:
                raise TransportError("range", 206)
            self.start, self.total = int(part[1]), int(part[2])

    async def body(self, take: Callable[[bytes], object]) -> None:
        """Give the body to take() as it comes down. Raises TransportError."""
        while piece := await self._response.content.read(self._link.room()):
            await self._link.carry(len(piece))
            take(piece)
        await self._link.settle()


class Client:
    """Requests of one device."""

    def __init__(self, http: aiohttp.ClientSession, link: Link, tally: Tally):
        self._http = http
        self._link = link
        self._tally = tally

    @contextlib.asynccontextmanager
    async def ask(self, url: str, kind: str, fields: dict[str, str]) -> AsyncIterator[Answer]:
        """The answer to a request that is counted as kind, while its connection is open.

        Raises TransportError in the words of the device's own client; ToolError if it is this
        machine that cannot.
        """
        self._tally.connecting()
        try:
            await self._link.connect()
            began = time.monotonic()
            async with self._http.get(
                url, headers=fields, max_redirects=_REDIRECTS, trace_request_ctx=kind
            ) as response:
                self._tally.answered.append(time.monotonic() - began)
                for each in (*response.history, response):
                    self._tally.heads += _length(each)
                if response.status == 304:
                    self._tally.was(kind, "unchanged")
                await self._link.turn()
                _check(response)
                yield Answer(response, self._link)
        except (aiohttp.ClientError, OSError) as e:
            raise _error(e) from e
        finally:
            self._tally.closed()


def _check(response: aiohttp.ClientResponse) -> None:
    if response.url.scheme == "http" and any(r.url.scheme == "https" for r in response.history):
        raise TransportError("downgrade")
    if response.status not in (200, 206, 304, 416):
        wait = response.headers.get("Retry-After", "")
        whole = wait.isascii() and wait.isdigit()
        seconds = (min(int(wait[:5]), _RETRY_MAX_S),) if whole else ()
        raise TransportError("status", response.status, *seconds)


def _length(response: aiohttp.ClientResponse) -> int:
    # Of status line, fields and the empty line, as they went over the wire.
    fields = sum(len(name) + len(value) + 4 for name, value in response.raw_headers)
    return len(f"HTTP/1.1 {response.status} {response.reason}\r\n") + fields + 2


def _error(e: Exception) -> TransportError:
    inner = getattr(e, "os_error", e)
    if isinstance(inner, OSError) and inner.errno in _EXHAUSTED:
        raise ToolError(
            f"this machine has no more connections to give ({inner.strerror}): fewer devices,"
            " more --spread, less --speed-up, or a higher ulimit -n"
        ) from e
    return TransportError(next(word for kind, word in _WORDS if isinstance(e, kind)))
