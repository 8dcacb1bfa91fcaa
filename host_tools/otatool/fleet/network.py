"""Between the device's own code, which is asked again and again, and asyncio, which waits.

ota.source, ota.transport.resume and ota.transport.http run here as they are on a device: what
they use to connect, sleep and get the time comes from this file.
"""

import ssl
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any

from ota.errors import TransportError
from ota.transport import http

from .clock import Watch
from .link import Link
from .names import Names
from .requests import Requests
from .stream import Stream
from .tally import Tally

_STEP_MS = 1 << 30  # a wait is one step, not many


class Network:
    """The network as one device sees it. resting: it waits, and no request is under way.
    requests: by purpose."""

    def __init__(self, names: Names, link: Link, watch: Watch, tally: Tally):
        self.resting = False
        self.requests = Requests(tally, watch)
        self._names = names
        self._link = link
        self._watch = watch
        self._tally = tally
        self._work: Callable[[], Awaitable[None]] | None = None

    def options(self, rand: Callable[[int], bytes], tls: ssl.SSLContext | None, part: int) -> dict:
        """Keyword arguments of ota.source.static.Static.

        Args:
            rand, part: of Resuming.
        """
        return {
            "get": self._get,
            "sleep": self._sleep,
            "clock": self._watch.ticks,
            "rand": rand,
            "poll_ms": _STEP_MS,
            "part": part,
            "tls": tls,
        }

    async def run(self, steps: Generator) -> Any:
        """Run a generator of the device's code to its end; returns its result."""
        try:
            while True:
                try:
                    next(steps)
                except StopIteration as e:
                    return e.value
                work, self._work = self._work, None
                if work:
                    await work()
        finally:
            steps.close()

    async def rest(self, seconds: float) -> None:
        """Let simulated seconds go by."""
        self.resting = True
        await self._watch.sleep(seconds)
        self.resting = False

    def _get(self, url, offset, etag, clock, **options):
        # As Resuming calls http.get.
        try:
            response = yield from http.get(
                url, offset, etag, connect=self._connect, clock=clock, **options
            )
        except TransportError as e:
            self.requests.failed(e)
            raise
        return _Response(response, self.requests)

    def _connect(self, host, port, context, limits, clock):
        # As http.get calls ota.transport.sockets.connect.
        place = host, port, context
        stream = Stream(place, self._link, self._tally, self.requests, clock, self._await)
        connected = False
        try:
            self._await(partial(stream.open, self._names, limits))
            yield None
            stream.check()
            connected = True
            return stream
        finally:
            if not connected:
                stream.close()

    def _sleep(self, ms: int) -> None:
        self.requests.pausing()
        self._await(partial(self.rest, ms / 1000))

    def _await(self, work: Callable[[], Awaitable[None]]) -> None:
        self._work = work


class _Response:
    """A body.Response that reports what goes wrong while it is read."""

    def __init__(self, response, requests: Requests):
        self._response = response
        self._requests = requests

    def __getattr__(self, name: str):
        return getattr(self._response, name)

    def readinto(self, buf):
        """As of the response."""
        try:
            return self._response.readinto(buf)
        except TransportError as e:
            self._requests.failed(e)
            raise
