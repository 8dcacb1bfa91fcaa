"""The current time, for TLS, expiry and maintenance windows, on boards that often do not know it.

A board whose clock is not set may still know a lower bound: when its firmware was built, or when
a manifest that it accepted was issued.
"""

import time

from .compat import const, ticks_diff, ticks_ms
from .modules import firmware

_EPOCH_2000 = const(946684800)
_SET = const(1735689600)  # 2025: a clock that says less was not set
_MONTH_S = const(2592000)  # 30 days: no calendar is needed
_MONTHS = const(255)  # that a byte can tell
_AHEAD = const(12)  # months
_JUMP_S = const(60)
_AHEAD_S = const(631152000)  # 20 years: no board is as much older than its newest manifest
_ASK_MS = const(3600000)
_NEVER_S = const(2085978496)  # 2036-02-07: a time server that says 0, it does not know itself

_guess = None  # (seconds, ticks) when last seen, of a clock that was set to a lower bound
_asked = None  # ticks of the last valid answer of a time server
_most = 0  # upper bound of the time, seconds; 0: not known yet


def now(sure: bool = False) -> int:
    """Unix seconds, or 0 if the clock is not set or is beyond the upper bound of ensure().

    Args:
        sure: return 0 as well if the clock was only set to a lower bound, see ensure(): it may be
            years behind, so nothing expires too early by it, but its time of day means nothing.
    """
    seconds = _seconds()
    if seconds <= _SET or 0 < _most < seconds:
        return 0
    return 0 if sure and _guessed(seconds) else seconds


def ensure(bound: int = 0, ntp: str | None = None) -> bool:
    """Make sure the clock is not earlier than `bound`, nor absurdly late, so that certificate
    dates can be checked.

    A time server's answer is not signed: answers outside the bounds are ignored, and it is asked
    after each start and again when its last answer is an hour old, so that a wrong one does not
    last. Without a server a wrong clock is set to `bound`, if the port can. If the clock stays
    wrong, certificates fail, as they must.

    Args:
        bound: lower bound of the time in Unix seconds, 0 if not known; the upper bound is 20
            years later.
        ntp: host name of a time server.
    Returns:
        True if the clock is within the bounds.
    """
    global _most
    known = bound > _SET
    bound = max(bound, _SET)
    _most = bound + _AHEAD_S
    seconds = _seconds()
    right = bound <= seconds <= _most
    if not ntp:
        return right or (known and _go_on_from(bound))
    doubtful = not right or _guessed(seconds)
    if doubtful or _asked is None or not 0 <= ticks_diff(ticks_ms(), _asked) < _ASK_MS:
        answered = _ask(ntp, bound)
        if doubtful:
            return answered
    return True


def _ask(ntp, bound):
    # True if a time server has set the clock, and within the bounds.
    global _guess, _asked
    before, ticks = _seconds(), ticks_ms()
    try:
        # Of micropython-lib, frozen on most ports with a network.
        ntptime = firmware("ntptime")
        ntptime.host = ntp
        ntptime.settime()
    except (ImportError, OSError, OverflowError, ValueError):
        return False  # no such module, no answer, or an invalid one
    seconds = _seconds()
    if bound <= seconds <= _most and not 0 <= seconds - _NEVER_S < _JUMP_S:
        _guess = None
        _asked = ticks_ms()
        return True
    # ntptime has set the clock to that answer: set it back, so that it does not count as set.
    if before <= _most:
        _set(before + ticks_diff(ticks_ms(), ticks) // 1000)
    return False


def since(month: int) -> int:
    """Start of a month of a state record in Unix seconds; 0 for 0, not known."""
    return month and _SET + month * _MONTH_S


def later(month: int, issued: int) -> int:
    """The month to record after a manifest was accepted, in units of 30 days since 2025.

    Args:
        month: recorded until now; never decreases.
        issued: issue date of the manifest in Unix seconds, 0 if it has none.
    """
    # The publisher's clock may be years ahead. Trusting the manifest alone, a board would then
    # find all certificates expired.
    known = _months(now(True))
    last = known or max(month, _months(now())) + _AHEAD
    return max(month, min(_months(issued), last, _MONTHS))


def _months(seconds):
    return max(seconds - _SET, 0) // _MONTH_S


def _go_on_from(bound):
    # Set the clock to a bound; False if that is not possible.
    global _guess
    if not _set(bound):
        return False
    _guess = bound, ticks_ms()
    return _seconds() >= bound


def _set(seconds):
    # As ntptime does; False if that is not possible.
    try:
        machine = firmware("machine")
        t = time.gmtime(seconds - _EPOCH_2000 if _from_2000() else seconds)
        machine.RTC().datetime((t[0], t[1], t[2], t[6] + 1, t[3], t[4], t[5], 0))
    except (ImportError, AttributeError, TypeError, ValueError, OverflowError, OSError):
        return False  # the clock cannot be set, or not to that year
    return True


def _guessed(seconds):
    # If somebody sets the clock, it jumps. Ticks wrap within days, so count from the last look.
    global _guess
    if _guess:
        ticks = ticks_ms()
        went = ticks_diff(ticks, _guess[1]) // 1000
        _guess = (seconds, ticks) if abs(seconds - _guess[0] - went) < _JUMP_S else None
    return _guess is not None


def _from_2000():
    return time.gmtime(0)[0] == 2000


def _seconds():
    seconds = int(time.time())
    return seconds + _EPOCH_2000 if _from_2000() else seconds
