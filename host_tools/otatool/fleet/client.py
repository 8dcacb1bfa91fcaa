"""Requests of one device over its link, each on the connection of the one before if it may be."""

import contextlib
from collections.abc import AsyncIterator, Callable

from ota.errors import TransportError
from ota.transport.head import Head
from ota.transport.url import join, parse

from .connection import Connection
from .link import Link
from .tally import Tally

# As on the device (ota.transport.wire, ota.transport.http).
_REDIRECTS = 5
REDIRECTED = (301, 302, 303, 307, 308)


class Answer:
    """An answer. status: 200, 206, 304 or 416. start: of the body in the file; total: bytes of
    the file, None if not told; etag: a strong one, or ""; reused: True if the connection had
    carried another one before."""

    def __init__(self, connection: Connection, head: Head, link: Link):
        self.status = head.status
        self.start, self.total = 0, head.length
        if self.status == 206:
            self.start, _, self.total = head.range
        self.etag = head.etag or ""
        self.reused = connection.reused
        self._connection = connection
        self._keeps = self.status in (200, 206) and head.keeps
        self._whole = False
        self._link = link

    @property
    def leaves(self) -> bool:
        """True if the next request may use the connection: the body was read to its end."""
        return self._whole and self._keeps

    async def body(self, take: Callable[[bytes], object]) -> None:
        """Give the body to take() as it comes down. Raises TransportError."""
        while piece := await self._connection.read(self._link.room()):
            await self._link.carry(len(piece))
            take(piece)
        await self._link.settle()
        self._whole = True


class Client:
    """Requests of one device: at most one connection at a time, which it shares with nobody."""

    def __init__(self, connection: Callable[[], Connection], link: Link, tally: Tally):
        self._new = connection
        self._link = link
        self._tally = tally
        self._kept: Connection | None = None
        self._place: tuple = ()

    @contextlib.asynccontextmanager
    async def ask(self, url: str, kind: str, fields: dict[str, str]) -> AsyncIterator[Answer]:
        """The answer to a request that is counted as kind, while its body may be read.

        Its connection is then left to the next request to the same scheme, host and port, or
        closed. Raises TransportError in the words of the device's own client; ToolError if it is
        this machine that cannot.
        """
        for _ in range(_REDIRECTS + 1):
            connection, head = await self._exchange(url, kind, fields)
            leaves = False
            try:
                if head.status not in REDIRECTED:
                    _check(head)
                    answer = Answer(connection, head, self._link)
                    yield answer
                    leaves = answer.leaves
                    return
                self._tally.was(kind, "redirect")
                source, url = url, _target(url, head)
            finally:
                if leaves:
                    connection.reused = True
                    self._kept, self._place = connection, parse(url)[:3]
                else:
                    await connection.close()
            if source[:6].lower() == "https:" and parse(url)[0] == "http":
                raise TransportError("downgrade")
        raise TransportError("redirect", _REDIRECTS)

    async def close(self) -> None:
        """Close the connection that is kept; may be called more than once."""
        kept, self._kept = self._kept, None
        if kept:
            await kept.close()

    async def _exchange(
        self, url: str, kind: str, fields: dict[str, str]
    ) -> tuple[Connection, Head]:
        place = parse(url)[:3]
        if self._kept and self._place == place:
            kept, self._kept = self._kept, None
            # As on the device: that it is gone since is no failure yet.
            with contextlib.suppress(TransportError):
                return kept, await self._get(kept, url, kind, fields)
        await self.close()
        connection = self._new()
        return connection, await self._get(connection, url, kind, fields)

    async def _get(
        self, connection: Connection, url: str, kind: str, fields: dict[str, str]
    ) -> Head:
        """The head of the response, which came down the link."""
        done = False
        try:
            if not connection.reused:
                await self._link.connect()
            head = await connection.get(url, kind, fields)
            if head.status == 304:
                self._tally.was(kind, "unchanged")
            await self._link.turn()
            self._tally.heads += connection.head_length
            done = True
            return head
        finally:
            if not done:
                await connection.close()


def _target(url: str, head: Head) -> str:
    try:
        location = str(head.fields.get(b"location", b""), "utf-8")
    except ValueError as e:
        raise TransportError("url", "character") from e
    if not location:
        raise TransportError("redirect", "location")
    return join(url, location)


def _check(head: Head) -> None:
    if head.status not in (200, 206, 304, 416):
        wait_s = head.retry_after_s
        raise TransportError("status", head.status, *(() if wait_s is None else (wait_s,)))
