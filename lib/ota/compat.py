"""What differs between CPython and MicroPython, settled once; the rest does not know."""

import time

try:
    from micropython import const
except ImportError:

    def const(x):
        """CPython has no const(); the value itself does."""
        return x


try:
    ticks_ms = time.ticks_ms
    ticks_diff = time.ticks_diff
    sleep_ms = time.sleep_ms
except AttributeError:

    def ticks_ms() -> int:
        """Milliseconds of a clock that never goes back."""
        return int(time.monotonic() * 1000)

    def ticks_diff(later: int, earlier: int) -> int:
        """Milliseconds from earlier to later."""
        return later - earlier

    def sleep_ms(ms: int) -> None:
        """Sleep for ms milliseconds."""
        time.sleep(ms / 1000)
