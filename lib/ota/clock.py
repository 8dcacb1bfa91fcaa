"""What time it is, on boards that often do not know: for TLS, expiry and maintenance windows.

A board that does not know may still know what time has surely passed, a lower bound: its firmware
was built then, or a manifest that it accepted was issued then.
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

_guess = None  # seconds, ticks when seen last: of a clock that goes on from a lower bound
_asked = None  # ticks of the last good answer of a time server
_most = 0  # later than this it cannot be, seconds; 0: nobody said yet


def now(sure: bool = False) -> int:
    """Seconds since 1970, 0 on a board whose clock was not set: it says 2000 or 1970, or more than
    it can be by what ensure() was told.

    sure: 0, too, while the clock goes on from a lower bound, see ensure(): it may be years
    behind, so nothing has ended wrongly by it, but its time of day means nothing.
    """
    seconds = _seconds()
    if seconds <= _SET or 0 < _most < seconds:
        return 0
    return 0 if sure and _guessed(seconds) else seconds


def ensure(bound: int = 0, ntp=None) -> bool:
    """See to it that the clock says no less than bound and no absurd time, so that dates can be
    checked.

    bound: seconds since 1970 that have surely passed, 0: not known; more than 20 years later is
    absurd. ntp: a time server, asked where the clock says less or more than that, after each
    start, and again when its last answer is an hour old, so that a wrong answer, which nobody
    signed, does not last; an answer outside the bounds is none. Without one the clock is set to
    bound where it is wrong, if this port can. A clock that stays wrong makes certificates fail,
    as it must. Returns True if the clock is within the bounds.
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
    # True if the clock was set by a time server and is within the bounds.
    global _guess, _asked
    before, ticks = _seconds(), ticks_ms()
    try:
        # Of micropython-lib, frozen on most ports with a network.
        ntptime = firmware("ntptime")
        ntptime.host = ntp
        ntptime.settime()
    except (ImportError, OSError, OverflowError, ValueError):
        return False  # no such module, no answer, none that is a time
    seconds = _seconds()
    if bound <= seconds <= _most and not 0 <= seconds - _NEVER_S < _JUMP_S:
        _guess = None
        _asked = ticks_ms()
        return True
    # The module has set the clock to it: back to what it said, so that it is not taken for set.
    if before <= _most:
        _set(before + ticks_diff(ticks_ms(), ticks) // 1000)
    return False


def since(month: int) -> int:
    """When a month of a state record began, seconds since 1970; 0 for 0, none known."""
    return month and _SET + month * _MONTH_S


def later(month: int, issued: int) -> int:
    """The month to keep when a manifest was accepted: the later one, of 30 days since 2025.

    month: kept until now. issued: of the manifest, seconds since 1970, 0: it does not say.
    """
    # What is kept never goes back, and a publisher's clock may be years ahead: by what the
    # manifest says alone a board would then find that all certificates have ended.
    known = _months(now(True))
    last = known or max(month, _months(now())) + _AHEAD
    return max(month, min(_months(issued), last, _MONTHS))


def _months(seconds):
    return max(seconds - _SET, 0) // _MONTH_S


def _go_on_from(bound):
    # Sets the clock to a bound; False where that is not possible.
    global _guess
    if not _set(bound):
        return False
    _guess = bound, ticks_ms()
    return _seconds() >= bound


def _set(seconds):
    # As ntptime does; False where that is not possible.
    try:
        machine = firmware("machine")
        t = time.gmtime(seconds - _EPOCH_2000 if _from_2000() else seconds)
        machine.RTC().datetime((t[0], t[1], t[2], t[6] + 1, t[3], t[4], t[5], 0))
    except (ImportError, AttributeError, TypeError, ValueError, OverflowError, OSError):
        return False  # no clock that can be set, or none that goes so far
    return True


def _guessed(seconds):
    # Somebody who sets the clock makes it jump. Ticks go round in days: each look counts anew.
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
