"""What time it is, on boards that often do not know: for TLS, expiry and maintenance windows."""

import time

from .compat import const

_EPOCH_2000 = const(946684800)
_SET = const(1735689600)  # 2025: a clock that says less was not set


def now() -> int:
    """Seconds since 1970, 0 on a board whose clock was not set: it says 2000 or 1970."""
    seconds = _seconds()
    return seconds if seconds > _SET else 0


def ensure(bound: int = 0, ntp=None) -> bool:
    """Ask the network for the time where the clock is not set or says less than bound.

    bound: seconds since 1970 that have surely passed, such as the build of the firmware. ntp: a
    time server; None: nobody is asked. An answer below bound is no answer. Certificates can
    then be checked against their dates; a clock that stays wrong makes them fail, as it must.
    Returns True if the clock is good.
    """
    bound = max(bound, _SET)
    if _seconds() > bound:
        return True
    if ntp:
        try:
            # Of micropython-lib, frozen on most ports with a network.
            import ntptime

            ntptime.host = ntp
            ntptime.settime()
        except (ImportError, OSError, OverflowError, ValueError):
            return False  # no such module, no answer, none that is a time
    return _seconds() > bound


def _seconds():
    seconds = int(time.time())
    return seconds + _EPOCH_2000 if time.gmtime(0)[0] == 2000 else seconds
