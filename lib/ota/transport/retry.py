"""Retry policy: when to retry a failed download, when to give up, when to omit the Range."""

from ..compat import const, ticks_diff
from ..errors import TransportError

if False:  # for type checkers
    from ota_hints import OtaError

_PAUSE_MAX_MS = const(60000)
_GRACE_MS = const(120000)  # beside what the file takes at the lowest rate
_WAIT_MS = const(60000)
_WAITS = const(5)  # times wait_ms that servers may ask for in all
_NAME_TRIES = const(2)
_AGAIN = ("connect", "dns", "timeout", "reset", "short")
# Timeouts and overload, also those of gateways (520 to 530), a connection or a handshake that was
# the wrong one (421, 425).
_AGAIN_STATUS = (408, 421, 425, 429, 500, 502, 503, 504)
# Once more: a store that has not spread a new file yet, a signed address that has just ended.
_ONCE_STATUS = (403, 404)

# What a server says to a Range that it does not like: asked without, it may give the file.
_REFUSED = (304, 400, 405, 406, 412, 413, 416, 417, 501, 505)
_DOUBTED = ("status", "protocol", "reset", "short", "timeout")
_DOUBTS = const(2)


def passes(error: "OtaError") -> bool:
    """True if a TransportError may go away when the request is repeated."""
    if error.reason == "status":
        status = error.args[1]
        return status in _AGAIN_STATUS or status in _ONCE_STATUS or 520 <= status <= 530
    return error.reason in _AGAIN


def plain(error: "OtaError") -> bool:
    """True for a failure that is reported as it is, however often it was tried."""
    return not passes(error) or (error.reason == "status" and error.args[1] in _ONCE_STATUS)


class Patience:
    """Retry policy of one file: how long to wait after a failure, and when to give up.

    retries, pause_ms, wait_ms, total_ms, rand, clock: as resume.Resuming takes them. rate: the
    lowest, bytes per second; 0: there is no limit of time but total_ms.
    """

    def __init__(self, retries, pause_ms, rate, rand, clock, wait_ms=_WAIT_MS, total_ms=0):
        self._retries = retries
        self._pause_ms = pause_ms
        self._rate = rate
        self._rand = rand
        self._clock = clock
        self._wait_ms = wait_ms
        self._total_ms = total_ms
        self._since = None
        self._granted = 0  # ms that servers asked to wait
        self._once = 0
        self._left = _GRACE_MS  # ms of waiting until the next bytes must have come
        self._last = None  # when it was looked at last; None: nobody waits
        self.pausing = False

    def begin(self) -> None:
        """Start the time limit of the whole download, unless it has started."""
        if self._since is None:
            self._since = self._clock()

    def asks(self) -> None:
        """Start counting the wait of a caller that wants bytes."""
        if self._last is None:
            self._last = self._clock()

    def waits(self) -> None:
        """Nothing came. Raises TransportError "slow" if too little came for two minutes.

        The rate that a connection is held to (wire.py) does not see a server that gives one byte
        to each request, or says much around few bytes: this one counts what a reader gets, over
        all connections, while it waits. A pause is nobody's fault.
        """
        now = self._clock()
        if self._total_ms and ticks_diff(now, self._since) > self._total_ms:
            raise TransportError("slow", self._total_ms)
        self._waited(now)
        if self._left < 0 and self._rate:
            raise TransportError("slow", _GRACE_MS)

    def got(self, n: int) -> None:
        """n bytes came: at the lowest rate they take so long."""
        if self._last is not None:
            self._waited(self._clock())
            self._last = None
        if self._rate and self._left < _GRACE_MS:
            self._left = min(self._left + n * 1000 // self._rate, _GRACE_MS)

    def _waited(self, now):
        if self._last is not None and not self.pausing:
            self._left -= ticks_diff(now, self._last)
        self._last = now

    def renew(self) -> None:
        """End a pause; failures are counted, so each try has its two minutes."""
        self.pausing = False
        self._left = _GRACE_MS

    def wish(self, error: "OtaError") -> int | None:
        """Milliseconds that the server asks to wait; None if it does not say.

        Raises TransportError "later" with the seconds if that is too long to wait here.
        """
        if error.reason != "status" or len(error.args) < 3:
            return None
        ms = error.args[2] * 1000
        self._granted += ms
        if ms > self._wait_ms or self._granted > _WAITS * self._wait_ms:
            raise TransportError("later", error.args[2], error)
        return ms

    def pause(self, failures: int) -> int:
        """Milliseconds before the next try without a Retry-After: doubling, with jitter."""
        ms = min(self._pause_ms << min(failures - 1, 16), _PAUSE_MAX_MS)
        return ms - ms * self._rand(1)[0] // 512

    def over(self, failures: int, error: "OtaError", size: int) -> bool:
        """True to give up after this error and so many failures without progress.

        size: bytes of the file, or received so far; 0: not known.
        """
        once = error.reason == "status" and error.args[1] in _ONCE_STATUS
        self._once = self._once + 1 if once else 0
        if self._once > 1:
            return True
        return failures > self._limit(error) or self._late(size)

    def _limit(self, error):
        # A name that does not exist seldom appears within a minute.
        named = error.args[:2] == ("dns", "name")
        return min(_NAME_TRIES, self._retries) if named else self._retries

    def _late(self, size):
        # True if the whole file would be here by now at the minimum rate.
        if not size or not self._rate:
            return False
        limit = size * 1000 // self._rate + _GRACE_MS + self._granted
        return ticks_diff(self._clock(), self._since) > limit


class Ranges:
    """Whether the next request for a file has a Range.

    Some servers and gateways reject or garble it but would send the whole file; without this
    fallback, a download that was interrupted once could never finish.

    wanted: the next request has one where it needs it. asked: the last one had.
    """

    def __init__(self):
        self.wanted = True
        self.asked = False
        self._never = False
        self._doubts = 0
        self._turned = False

    def refused(self, error: "OtaError", last: bool) -> bool:
        """True to repeat the request at once without a Range, which may have caused error.

        A rejection is believed at once. After an error that may also be an outage, every second
        request has no Range, and neither has the last one before giving up.
        last: no other retry is left.
        """
        if not self.asked:
            self.wanted = not self._never
            return False
        status = error.args[1] if error.reason == "status" else 0
        if error.reason == "range" or status in _REFUSED:
            self._never = True
        elif last and error.reason in _DOUBTED and not self._turned:
            self._turned = True
        else:
            self._doubts += status > 0
            self.wanted = self._doubts < _DOUBTS
            return False
        self.wanted = False
        return True

    def forget(self) -> None:
        """Forget earlier failures after enough progress."""
        self._doubts = 0
        self._turned = False
