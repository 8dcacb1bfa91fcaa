"""A download that survives lost connections: it resumes where it stopped, after growing pauses."""

from ..compat import const, random_bytes, sleep_ms, ticks_diff, ticks_ms
from ..errors import TransportError
from . import http
from .retry import Patience, Ranges, passes, plain
from .wire import Limits

if False:  # for type checkers
    from ota_hints import Steps

_PROGRESS = const(16384)  # bytes after which earlier failures are forgotten
_SKIP = const(512)
_SKIPS = const(8)  # in one step
_POLL_MS = const(20)


class Resuming:
    """Readers of the file at url, from any offset, that reconnect by themselves.

    size: bytes the file must have, if known. tag: entity tag of a file that need not be sent
    again: the reader is then `unchanged`. part: bytes of one request, 0: all that is left.
    retries: failures allowed; the count restarts after 16 KB of progress. pause_ms: first pause;
    it doubles up to a minute, and rand(n) -> n bytes shortens it by up to a half. sleep(ms) is
    called for at most poll_ms. wait_ms: longest wait that a server may request, five times that
    in all; longer is "later". total_ms: limit of the whole download, 0: none but the following.
    Gives up two minutes after the time the file would take at the minimum rate. Waits requested
    by the server (Retry-After) are not counted. Two minutes below that rate are "slow". If a
    server rejects the Range of a request, the whole file is requested.
    options: further arguments of http.get (tls, headers, home, limits).
    """

    def __init__(
        self,
        url: str,
        size=None,
        retries: int = 8,
        pause_ms: int = 1000,
        tag=None,
        part: int = 0,
        wait_ms: int = 60000,
        total_ms: int = 0,
        rand=random_bytes,
        sleep=sleep_ms,
        clock=ticks_ms,
        get=http.get,
        **options,
    ):
        self.url = url
        self.total = size
        self.etag = None
        self._tag = tag
        self.patience = Patience(
            retries, pause_ms, options.get("rate", Limits.rate), rand, clock, wait_ms, total_ms
        )
        self._sleep = sleep
        self._clock = clock
        self._get = get
        self._own = None
        if part:
            options["size"] = part
            if not options.get("kept"):
                options["kept"] = self._own = http.Kept()
        self._options = options
        self._poll_ms = options.get("poll_ms", _POLL_MS)
        self.ranges = Ranges()

    def open(self, offset: int = 0) -> "Steps":
        """Generator: a reader from byte offset on; yields None while waiting.

        Raises TransportError as the reader does.
        """
        self.patience.begin()
        reader = _Reader(self, offset)
        connected = False
        try:
            while not reader.connected():
                yield None
            connected = True
            return reader
        finally:
            if not connected:
                reader.close()

    def ask(self, offset: int) -> "Steps":
        """Generator: the http.Response to one request for the same file as before.

        Raises TransportError as http.get does, "changed" for another file, "length" for an
        unexpected size.
        """
        http.secure(self.url, self._options)
        start = offset if self.ranges.wanted else 0
        etag = self.etag if start else self._tag
        options = self._options
        if not self.ranges.wanted and "size" in options:
            options = dict(options)
            options.pop("size")
        self.ranges.asked = bool(start or "size" in options)
        while True:
            response = yield from self._get(self.url, start, etag, clock=self._clock, **options)
            known = False
            try:
                self._identify(response)
                known = True
                return response
            except TransportError:
                # On a connection used before, it may be the answer to another request.
                if not response.reused:
                    raise
            finally:
                if not known:
                    response.close()

    def wait(self, ms: int) -> "Steps":
        """Generator: wait for ms milliseconds, yielding None."""
        start = self._clock()
        while True:
            left = ms - ticks_diff(self._clock(), start)
            if left <= 0:
                return
            self._sleep(min(left, self._poll_ms))
            yield None

    def close(self) -> None:
        """Close the connection kept between parts."""
        if self._own:
            self._own.close()

    def _identify(self, response):
        if response.total is not None:
            if self.total is None:
                self.total = response.total
            elif self.total != response.total:
                same = self.etag is not None and self.etag == response.etag
                if response.status == 206 and same:
                    raise TransportError("range", response.total)  # the same file, it says
                raise TransportError("changed" if self.etag else "length", response.total)
        if response.etag:
            if self.etag and self.etag != response.etag:
                raise TransportError("changed", response.status)
            self.etag = response.etag


class _Reader:
    """Transport reader; offset: of its first byte; length: bytes from there, or None."""

    def __init__(self, source, offset):
        self.offset = offset
        self._source = source
        self._patience = source.patience
        self._at = offset
        self._mark = offset  # where failures were last forgotten
        self._failures = 0
        self._response = None
        self._work = self._connect()
        self._closed = False

    @property
    def length(self):
        """Bytes from offset to the end of the file; None if the server does not say."""
        total = self._source.total
        return None if total is None else total - self.offset

    @property
    def etag(self):
        """The file's strong entity tag, or None."""
        return self._source.etag

    @property
    def unchanged(self) -> bool:
        """True if the file still has the given tag; it is not sent then."""
        return self._response is not None and self._response.status == 304

    def readinto(self, buf):
        """Bytes into buf: how many, 0 at the end, None for not yet (also while reconnecting).

        Raises TransportError as http.get and Response do when trying again does not help or
        was tried often and long enough and nothing ever came; "retries" (args: bytes got, last
        failure) if something had come; "slow"; "later" (args: seconds).
        """
        if self._closed:
            return 0
        try:
            if self._work and not self.connected():
                return None
            n = self._read(buf)
            if n is None:
                self._patience.waits()
            else:
                self._patience.got(n)
            return n
        except TransportError:
            self.close()
            raise

    def connected(self) -> bool:
        """Continue connecting; False while there is no response yet. Raises TransportError."""
        if not self._work:
            return True
        patience = self._patience
        patience.asks()
        try:
            next(self._work)
            patience.waits()
        except StopIteration:
            self._work = None
            patience.got(0)
        return False

    def close(self) -> None:
        """Close the connection and stop trying; may be called more than once."""
        self._closed = True
        if self._work:
            self._work.close()
            self._work = None
        self._drop()
        self._source.close()

    def _connect(self, error=None):
        # Connect, after a failure if error is one, until it succeeds.
        patience = self._patience
        while True:
            if error:
                ms = self._failed(error)
                patience.pausing = True
                yield from self._source.wait(ms)
                patience.renew()
            try:
                yield from self._ask()
                return
            except TransportError as e:
                self._drop()
                error = e

    def _ask(self):
        response = yield from self._source.ask(self._at)
        self._response = response
        # A server that ignores Range sends the whole file: skip what has been read already.
        left = self._at - response.offset
        buf = memoryview(bytearray(min(left, _SKIP)))
        turn = 0
        while left:
            n = response.readinto(buf[: min(left, len(buf))])
            if n == 0:
                raise TransportError("short", self._at - left)
            if n:
                self._patience.got(n)
                self._patience.asks()
                left -= n
                turn += 1
            if not n or turn % _SKIPS == 0:
                yield None

    def _read(self, buf):
        total = self._source.total
        try:
            n = self._response.readinto(buf)
            if n:
                self._at += n
                if total is not None and self._at > total:
                    raise TransportError("length", self._at)
            elif n == 0 and total is not None and self._at < total:
                # The end of a part, not of the file: request the next one at once.
                if not self._response.length:
                    raise TransportError("short", self._at)
                self._drop()
                self._work = self._connect()
                return None
        except TransportError as e:
            self._drop()
            self._work = self._connect(e)
            return None
        if n == 0:
            self.close()
        return n

    def _drop(self):
        if self._response:
            self._response.close()
            self._response = None

    def _failed(self, e):
        # Count a failure: milliseconds to wait, or the end.
        source, patience = self._source, self._patience
        if self._at - self._mark >= _PROGRESS:
            self._failures = 0
            self._mark = self._at
            source.ranges.forget()
        ms, last = None, True
        if passes(e):
            self._failures += 1
            ms = patience.wish(e)
            last = patience.over(self._failures, e, source.total or self._at)
        if source.ranges.refused(e, last):
            return 0
        if not last:
            return patience.pause(self._failures) if ms is None else ms
        if plain(e) or self._at == self.offset:
            raise e
        raise TransportError("retries", self._at - self.offset, e)
