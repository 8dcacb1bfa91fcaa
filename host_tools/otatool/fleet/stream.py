"""One connection of one device, with the face of ota.transport.sockets.Stream.

Nothing here waits: wait() leaves to the network (network.py) what is to be awaited before the
next step of the device's code. Bytes are given to it only when its link has carried them.
"""

import asyncio
import errno
import re
import ssl
import time
from functools import partial

from ota.errors import TransportError
from ota.transport.wire import Limits

from ..errors import ToolError
from .incoming import Incoming
from .link import Link
from .names import Names
from .tally import Tally

_ADDRESSES = 4  # tried per name, as ota.transport.sockets
_LOOK_S = 1.0  # how often the device looks whether it has waited too long
_HEAD_MAX = 8192  # more than the device takes: its own limits decide
_HEAD_END = re.compile(rb"\n\r?\n")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,10})[ \t]*\r?\n", re.IGNORECASE)
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL)


class Stream:
    """A connection to a place, (host, port, SSLContext or None).

    Args:
        requests: of its device, for what is asked and answered (requests.py).
        clock: returns milliseconds, as its device counts them.
        work: called with what is to be awaited.
    """

    def __init__(self, place: tuple, link: Link, tally: Tally, requests, clock, work):
        self._place = place
        self._link = link
        self._tally = tally
        self._requests = requests
        self._clock = clock
        self._work = work
        self._in = Incoming()
        self._transport: asyncio.Transport | None = None
        self._counted = False
        self._ready = bytearray()
        self._asked_at = 0.0
        self._head = False  # the head of an answer is what comes next
        self._left: int | None = 0  # bytes of a body that are still to come, None: not known
        self._long = False  # the last wait was a long one: the device checks its limits
        self._ended = False
        self._error: TransportError | None = None

    async def open(self, names: Names, limits: Limits) -> None:
        """Connect, with one round trip of the link; check() raises what went wrong."""
        try:
            addresses = await names.find(*self._place[:2])
            self._tally.connecting()
            self._counted = True
            began = self._clock()
            await self._link.connect()
            if self._clock() - began > limits.connect_ms:
                raise TransportError("connect", errno.ETIMEDOUT)
            for address in addresses[:_ADDRESSES]:
                try:
                    await self._dial(address, limits)
                    self._error = None
                    return
                except TransportError as e:
                    self._error = e
                    if e.reason != "connect":
                        return
        except TransportError as e:
            self._error = e

    def check(self) -> None:
        """Raise what went wrong so far, once for all."""
        if self._error:
            raise self._error

    def readinto(self, buf: bytearray | memoryview) -> int | None:
        """How many bytes came, 0 at the end, None for not yet. Raises TransportError."""
        if self._long:
            self._long = False
            return None
        n = min(len(buf), len(self._ready))
        if n:
            buf[:n] = self._ready[:n]
            del self._ready[:n]
            return n
        self.check()
        # Nothing was asked and something is there: the device sees that and goes.
        silent = self._head or self._left != 0 or not (self._in.data or self._in.ended)
        return None if silent and not self._ended else 0

    def write(self, data: bytes | memoryview) -> int:
        """Send a request, whole. Raises TransportError "reset"."""
        self.check()
        if self._in.ended or self._transport is None:
            raise TransportError("reset")
        request = bytes(data)
        self._transport.write(request)
        self._requests.asked(request, self._place)
        self._asked_at = time.monotonic()
        self._head = True
        return len(request)

    def wait(self, writing: bool, ms: int) -> None:
        """Let more come before the next step, whatever ms is: steps are not what takes time."""
        self._work(self._more)

    def close(self) -> None:
        """Close it, whatever is still to come; may be called more than once."""
        if self._transport:
            self._transport.abort()
            self._transport = None
        if self._counted:
            self._counted = False
            self._tally.closed()

    async def _dial(self, address: str, limits: Limits) -> None:
        host, port, context = self._place
        loop = asyncio.get_running_loop()
        more: dict = {}
        if context:
            more = {"server_hostname": host, "ssl_handshake_timeout": limits.handshake_ms / 1000}
        connect = partial(loop.create_connection, lambda: self._in, address, port, ssl=context)
        seconds = (limits.connect_ms + (limits.handshake_ms if context else 0)) / 1000
        try:
            self._transport, _ = await asyncio.wait_for(connect(**more), seconds)
        except ssl.SSLError as e:
            raise TransportError("tls", e) from e
        except asyncio.TimeoutError as e:  # no OSError before Python 3.11
            raise TransportError("connect", e) from e
        except OSError as e:
            if e.errno in _EXHAUSTED:
                raise ToolError(
                    f"this machine has no more connections ({e.strerror}): fewer devices,"
                    " more --spread, less --speed-up, or a higher ulimit -n"
                ) from e
            shaking = context and isinstance(e, ConnectionError)
            refused = isinstance(e, ConnectionRefusedError)
            raise TransportError("reset" if shaking and not refused else "connect", e) from e

    async def _more(self) -> None:
        if self._error or self._transport is None:
            return  # the device has left it meanwhile
        began = self._clock()
        try:
            if self._head:
                await self._take_head()
            elif self._left != 0:
                await self._take_body()
        except TransportError as e:
            self._error = e
        self._long = self._clock() - began > 1000 * _LOOK_S

    async def _take_head(self) -> None:
        end = _HEAD_END.search(self._in.data)
        whole = self._in.ended or len(self._in.data) > _HEAD_MAX
        if not end and not whole:
            await self._in.more(_LOOK_S)
            return  # the device sees whether that took too long
        head = self._in.take(end.end() if end else len(self._in.data))
        if not head:
            self._end()
            return
        self._tally.answered.append(time.monotonic() - self._asked_at)
        interim = head[9:10] == b"1"
        self._requests.answered(head[9:12])
        await self._link.turn()
        self._tally.heads += len(head)
        self._ready += head
        self._head = interim
        length = _LENGTH.search(head)
        self._left = int(length[1]) if length else None

    async def _take_body(self) -> None:
        room = self._link.room()
        if not self._in.data:
            if self._in.ended:
                await self._link.settle()
                self._end()
            else:
                await self._in.more(_LOOK_S)
            return
        piece = self._in.take(room if self._left is None else min(room, self._left))
        await self._link.carry(len(piece))
        if self._left is not None:
            self._left -= len(piece)
            if not self._left:
                await self._link.settle()
        self._requests.came(len(piece), self._left == 0)
        self._ready += piece

    def _end(self) -> None:
        if self._in.error:
            raise TransportError("reset", self._in.error)
        self._ended = True
