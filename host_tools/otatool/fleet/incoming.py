"""What comes over one connection, until somebody takes it."""

import asyncio
from typing import Any

_ROOM = 65536  # bytes, then the server has to wait


class Incoming(asyncio.Protocol):
    """data: bytes that came and were not taken. ended: there will be no more; error: why, None
    if the server closed in good order."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False
        self.error: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._wake: asyncio.Future | None = None

    def connection_made(self, transport: Any) -> None:
        """asyncio's word that it is open."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio's word that bytes came."""
        self.data += data
        if len(self.data) >= _ROOM and self._transport and not self._paused:
            self._transport.pause_reading()
            self._paused = True
        self._notify()

    def eof_received(self) -> None:
        """asyncio's word that the server has no more to say."""
        self.ended = True
        self._notify()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's word that it is closed."""
        self.ended, self.error = True, self.error or exc
        self._notify()

    def take(self, length: int) -> bytes:
        """At most so many of the bytes that came."""
        taken = bytes(self.data[:length])
        del self.data[:length]
        if self._paused and len(self.data) < _ROOM and self._transport:
            self._transport.resume_reading()
            self._paused = False
        return taken

    async def more(self, seconds: float) -> None:
        """Wait until something comes or it ends, but not longer than so many real seconds."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(seconds, self._notify)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None

    def _notify(self) -> None:
        if self._wake and not self._wake.done():
            self._wake.set_result(None)
