"""One connection of one device: aiohttp for HTTP, errors in the device's words."""

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import Callable, Iterator

import aiohttp
from aiohttp.abc import ResolveResult
from ota.errors import TransportError
from ota.transport.head import Head
from ota.version import VERSION

from ..errors import ToolError
from .clock import Clock
from .tally import Tally

# As on the device (ota.transport.wire).
_CONNECT_S = 10
_IDLE_S = 15
_KEPT_S = 3600  # the server ends a connection that nobody uses, or the device
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
    (aiohttp.ClientPayloadError, "short"),
    (OSError, "reset"),
    (aiohttp.ServerDisconnectedError, "reset"),
    (aiohttp.ClientError, "protocol"),
)


class Connection:
    """A connection that is open until close(): a session of its own, which makes no second one.

    reused: True once it has carried a response. Raises what words() says.
    """

    def __init__(self, http: aiohttp.ClientSession, tally: Tally):
        self.reused = False
        self._http = http
        self._tally = tally
        self._made = False
        self._response: aiohttp.ClientResponse | None = None
        tally.connecting()

    async def get(self, url: str, kind: str, fields: dict[str, str]) -> Head:
        """The head of the response to a request that is counted as kind."""
        began = time.monotonic()
        with words():
            self._response = await self._http.get(
                url, headers=fields, allow_redirects=False, trace_request_ctx=(self, kind)
            )
        self._tally.answered.append(time.monotonic() - began)
        version = self._response.version
        head = Head(self._response.status, version is not None and version >= (1, 1))
        for name, value in self._response.raw_headers:
            head.add(name + b":" + value)
        return head

    @property
    def head_length(self) -> int:
        """Bytes of the head, from status line to empty line, as they came."""
        r = self._response
        assert r is not None
        fields = sum(len(name) + len(value) + 4 for name, value in r.raw_headers)
        return len(f"HTTP/1.1 {r.status} {r.reason}\r\n") + fields + 2

    async def read(self, length: int) -> bytes:
        """At most so many bytes of the response's body; none at its end."""
        assert self._response is not None
        with words():
            return await self._response.content.read(length)

    def make(self) -> None:
        """Its socket is about to be opened. Raises TransportError if it has had one: that
        connection is gone, and whether there is another one the device decides."""
        if self._made:
            raise TransportError("reset")
        self._made = True

    async def close(self) -> None:
        """Close it, whatever is still to come."""
        if self._response is not None:
            self._response.close()
        await self._http.close()
        self._tally.closed()


class _Names(aiohttp.ThreadedResolver):
    """Looks each name up once: the name server is not what is tested here."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[tuple, asyncio.Task] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """As aiohttp asks for it."""
        key = host, port, family
        if key not in self._found:
            self._found[key] = asyncio.ensure_future(super().resolve(host, port, family))
        try:
            return list(await asyncio.shield(self._found[key]))
        except OSError:
            self._found.pop(key, None)
            raise


def connections(clock: Clock, tally: Tally) -> Callable[[], Connection]:
    """What makes connections. They share nothing but names that were looked up; each request is
    counted when it has been sent."""
    names = _Names()

    async def making(_, context, __) -> None:
        context.trace_request_ctx[0].make()

    async def sent(_, context, __) -> None:
        tally.asked(context.trace_request_ctx[1], clock.now())

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(making)
    trace.on_request_headers_sent.append(sent)

    def connection() -> Connection:
        http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1, resolver=names, keepalive_timeout=_KEPT_S),
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
        return Connection(http, tally)

    return connection


@contextlib.contextmanager
def words() -> Iterator[None]:
    """aiohttp's errors as TransportError in the words of the device's own client; ToolError if
    it is this machine that cannot."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as e:
        inner = getattr(e, "os_error", e)
        if isinstance(inner, OSError) and inner.errno in _EXHAUSTED:
            raise ToolError(
                f"this machine has no more connections to give ({inner.strerror}): fewer devices,"
                " more --spread, less --speed-up, or a higher ulimit -n"
            ) from e
        raise TransportError(next(word for kind, word in _WORDS if isinstance(e, kind))) from e
