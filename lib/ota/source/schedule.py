"""When a device asks for updates: spread over the fleet, with jitter, in a maintenance window.

Pure: seconds in, seconds out. config "poll": {"every_s", "jitter", "spread_s", "retry_s",
"window", "utc_offset_s"}, docs/fleet.md.
"""

from ..compat import const
from ..errors import FlashError

if False:  # for type checkers
    from ota_hints import Callable

_DAY_S = const(86400)
_EVERY_S = const(86400)
_SPREAD_S = const(600)
_RETRY_S = const(300)
_JITTER = const(10)  # percent
_DOUBLINGS = const(8)


def first_s(poll: dict, rand: "Callable") -> int:
    """Seconds from a start to the first request.

    Random, so that the devices of a street do not all ask at once after a power failure.

    Args:
        poll: config "poll".
        rand: rand(n) returns n random bytes.
    """
    return _part(poll.get("spread_s", _SPREAD_S), rand)


def next_s(poll: dict, rand: "Callable", failures: int = 0) -> int:
    """Seconds until the next request: every_s, or after failures in a row a pause that starts at
    retry_s and doubles; both vary by up to jitter percent."""
    wait = poll.get("every_s", _EVERY_S)
    if failures:
        wait = min(wait, poll.get("retry_s", _RETRY_S) << min(failures - 1, _DOUBLINGS))
    range_s = wait * poll.get("jitter", _JITTER) // 100
    return max(1, wait - range_s + _part(2 * range_s, rand))


def closed_s(poll: dict, now: int, rand: "Callable") -> int:
    """Seconds until the maintenance window allows an update; 0: now.

    "window" is ["HH:MM", "HH:MM"], local times at utc_offset_s. The second may be on the next
    day; two equal times make a whole day. Without a window, or with a clock that is not set
    (now is 0), updates are always allowed. Devices start at random times after the window opens,
    within spread_s and its first half.

    Raises:
        FlashError: "config" for an invalid window.
    """
    window = poll.get("window")
    if not window:
        return 0
    try:
        opens, closes = (_seconds(t) for t in window)
    except (ValueError, AttributeError) as e:
        raise FlashError("config", "poll.window", e)
    if not now:
        return 0
    at = (now + poll.get("utc_offset_s", 0)) % _DAY_S
    length = (closes - opens) % _DAY_S or _DAY_S
    if (at - opens) % _DAY_S < length:
        return 0
    spread_s = min(poll.get("spread_s", _SPREAD_S), length // 2)
    return (opens - at) % _DAY_S + _part(spread_s, rand)


def _part(seconds, rand):
    """A uniformly distributed integer from 0 to seconds."""
    return int.from_bytes(rand(4), "big") * (seconds + 1) >> 32


def _seconds(text):
    hours, colon, minutes = text.partition(":")
    if not colon or not hours.isdigit() or not minutes.isdigit():
        raise ValueError(text)
    hours, minutes = int(hours), int(minutes)
    if hours > 24 or minutes > 59:
        raise ValueError(text)
    return (hours * 60 + minutes) * 60 % _DAY_S
