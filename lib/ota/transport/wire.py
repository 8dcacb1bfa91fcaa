"""Buffered connection: reads lines or bulk data within limits of size and time.

The stream below it has readinto(buf) -> n, 0 at the end, None for "not yet"; wait(writing, ms),
which returns when I/O is possible or after ms; write(data) -> n or None; and close().
"""

from ..compat import const, ticks_diff
from ..errors import TransportError

if False:  # for type checkers
    from ota_hints import Steps, Writable

_FILLS = const(8)  # of the line buffer in one step: the caller feeds a watchdog in between


class Limits:
    """Limits of time, rate and size; each may be given as a keyword argument.

    poll_ms: longest wait of one step inside poll; 0 for an event loop.
    rate, rate_ms: minimum bytes per second, checked whenever rate_ms were spent waiting.
    line: bytes of the buffer for header lines; longer lines that are not needed are skipped.
    block, fields: bytes of all lines of a response head together, and their number. Large sites
    send some 6 KB in 40 lines, a few of more than 1024 bytes.
    """

    connect_ms = 10000
    handshake_ms = 30000
    idle_ms = 15000
    rate = 64
    rate_ms = 60000
    poll_ms = 20
    redirects = 5
    line = 1024
    block = 32768
    fields = 256

    def __init__(self, **changes):
        for name in changes:
            if not hasattr(Limits, name) or name.startswith("_"):
                raise TypeError(name)
            setattr(self, name, changes[name])


class _Pace:
    # Only time spent waiting counts: a reader that is busy erasing flash is not late.

    def __init__(self, limits, clock):
        self._limits = limits
        self._clock = clock
        self._since = None
        self._waited = 0
        self._bytes = 0

    def waiting(self):
        now = self._clock()
        if self._since is None:
            self._since = now
        elif ticks_diff(now, self._since) > self._limits.idle_ms:
            raise TransportError("timeout", self._limits.idle_ms)

    def got(self, n):
        self._bytes += n
        if self._since is None:
            return
        self._waited += ticks_diff(self._clock(), self._since)
        self._since = None
        if self._waited >= self._limits.rate_ms:
            if self._bytes * 1000 < self._limits.rate * self._waited:
                raise TransportError("slow", self._bytes, self._waited)
            self._waited = self._bytes = 0


class Wire:
    """Reads a stream through one small buffer, which is freed during a body without lines.

    stream: may be set later than the buffer. clock() returns milliseconds, like compat.ticks_ms.
    """

    _buf: bytearray
    _mv: memoryview

    def __init__(self, stream, limits: Limits, clock):
        self.limits = limits
        self.stream = stream
        self._clock = clock
        self._pace = _Pace(limits, clock)
        self._at = 0
        self._end = 0
        self._body = False
        self.more = False
        self.over = 0
        self._fills = 0
        self._take()

    def line(self, limit: int, word: str) -> bytes | None:
        """The next line as bytes without its end; None if it is not whole yet.

        CR LF and LF end a line. If it is longer than limit bytes with its end, or than the
        buffer, its first bytes are returned and `more` is true: call rest() then. Raises
        TransportError "protocol" for NUL or a lone CR in it, word, "reset" if the stream ends.
        """
        if not self._buf:
            self._take()
        limit = min(limit, len(self._buf))
        while True:
            end = self._buf.find(b"\n", self._at, self._end)
            n = (end + 1 if end >= 0 else self._end) - self._at
            self.more = n > limit or (end < 0 and n == limit)
            if self.more or end >= 0:
                line = bytes(self._mv[self._at : self._at + limit if self.more else end])
                self._at += limit if self.more else n
                self.over = 0
                if not self.more and line.endswith(b"\r"):
                    line = line[:-1]
                if b"\r" in (line[:-1] if self.more else line) or b"\0" in line:
                    raise TransportError("protocol", "line")
                return line
            n = self._fill(word)
            if n is None:
                return None
            if not n:
                raise TransportError("reset")

    def rest(self, word: str, into: memoryview | None = None) -> bool | None:
        """Read the rest of a line that line() returned in part; True at its end, else None.

        into: memoryview for the rest without the LF; None: discard it. `over` counts its bytes.
        Raises TransportError word if it exceeds into or limits.block; "reset".
        """
        most = self.limits.block if into is None else len(into)
        while True:
            end = self._buf.find(b"\n", self._at, self._end)
            stop = self._end if end < 0 else end
            n = self.over + stop - self._at
            if n > most:
                raise TransportError(word, n)
            if into is not None:
                into[self.over : n] = self._mv[self._at : stop]
            self.over = n
            self._at = stop
            if end >= 0:
                self._at += 1
                self.more = False
                return True
            n = self._fill(word)
            if n is None:
                return None
            if not n:
                raise TransportError("reset")

    def readinto(self, buf: "Writable") -> int | None:
        """Read into buf; returns bytes, 0 at the end of the stream, None for "not yet".

        Raises TransportError "timeout", "slow", "reset".
        """
        n = min(self._end - self._at, len(buf))
        if n:
            buf[:n] = self._mv[self._at : self._at + n]
            self._at += n
        else:
            n = self._pull(buf)
        if self._body and self._at == self._end:
            self._buf = self._mv = None  # type: ignore[assignment]
        return n

    def body(self) -> None:
        """Free the buffer once it is empty: no line comes before the next request."""
        self._body = True

    def send(self, data: bytes, wait_ms: int) -> "Steps":
        """Generator: write data; wait_ms is the longest pause without progress.

        Raises TransportError "timeout", "reset"; "tls" for a failed handshake.
        """
        left = memoryview(data)
        start = self._clock()
        while left:
            n = self.stream.write(left)
            if n:
                left = left[n:]
                start = self._clock()
                continue
            if ticks_diff(self._clock(), start) > wait_ms:
                raise TransportError("timeout", wait_ms)
            self.stream.wait(True, self.limits.poll_ms)
            yield

    def silent(self) -> bool:
        """True if the connection is open and there is nothing to read."""
        if self._at < self._end:
            return False
        try:
            return self.stream.readinto(bytearray(1)) is None
        except TransportError:
            return False

    def close(self) -> None:
        """Close the connection; may be called more than once."""
        if self.stream:
            self.stream.close()
            self.stream = None

    def _take(self):
        self._buf = bytearray(self.limits.line)
        self._mv = memoryview(self._buf)
        self._at = self._end = 0
        self._body = False

    def _fill(self, word):
        if self._at:
            # A copy, because a slice moved onto itself is not safe everywhere.
            rest = bytes(self._mv[self._at : self._end])
            self._mv[: len(rest)] = rest
            self._at = 0
            self._end = len(rest)
        if self._end == len(self._buf):
            raise TransportError(word)
        self._fills = (self._fills + 1) % _FILLS
        if not self._fills:
            return None
        n = self._pull(self._mv[self._end :])
        self._end += n or 0
        return n

    def _pull(self, buf):
        n = self.stream.readinto(buf)
        if n is None:
            self._pace.waiting()
            self.stream.wait(False, self.limits.poll_ms)
            n = self.stream.readinto(buf)
            if n is None:
                return None
        self._pace.got(n)
        return n
