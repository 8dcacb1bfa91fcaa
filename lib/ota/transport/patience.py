"""When a download that failed is tried again, and when no more."""

from ..compat import const, ticks_diff

_PAUSE_MAX_MS = const(60000)
_GRACE_MS = const(120000)  # beside what the file takes at the lowest rate
_NAME_TRIES = const(2)
_AGAIN = ("connect", "dns", "timeout", "reset", "short")
_AGAIN_STATUS = (408, 429, 500, 502, 503, 504)


def passes(error) -> bool:
    """True if a TransportError may be another one, or none, the next time."""
    if error.reason == "status":
        return error.args[1] in _AGAIN_STATUS
    return error.reason in _AGAIN


class Patience:
    """With one file: how long to wait after a failure, and which failure is the last one.

    retries, pause_ms, rand, clock: as resume.Resuming takes them. rate: the lowest, bytes per
    second; 0: there is no limit of time.
    """

    def __init__(self, retries, pause_ms, rate, rand, clock):
        self._retries = retries
        self._pause_ms = pause_ms
        self._rate = rate
        self._rand = rand
        self._clock = clock
        self._since = None
        self._granted = 0  # ms that servers asked to wait

    def begin(self) -> None:
        """The time of the whole download begins, unless it has."""
        if self._since is None:
            self._since = self._clock()

    def pause(self, failures: int, error) -> int:
        """Milliseconds before the next try: the server's wish, or doubling with jitter."""
        if error.reason == "status" and len(error.args) > 2:
            ms = error.args[2] * 1000
            self._granted += ms
            return ms
        ms = min(self._pause_ms << min(failures - 1, 16), _PAUSE_MAX_MS)
        return ms - ms * self._rand(1)[0] // 512

    def over(self, failures: int, error, size) -> bool:
        """True if error, so many failures without progress, is the last one. size: of the file
        in bytes, or None."""
        return failures > self._limit(error) or self._late(size)

    def _limit(self, error):
        # A name that does not exist seldom comes to be within a minute.
        named = error.args[:2] == ("dns", "name")
        return min(_NAME_TRIES, self._retries) if named else self._retries

    def _late(self, size):
        # True when even the lowest rate would have brought the whole file by now.
        if not size or not self._rate:
            return False
        limit = size * 1000 // self._rate + _GRACE_MS + self._granted
        return ticks_diff(self._clock(), self._since) > limit
