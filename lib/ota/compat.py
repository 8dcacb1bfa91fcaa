"""What differs between CPython and MicroPython, settled once; the rest does not know."""

try:
    from gc import collect
    from json import loads
    from time import sleep_ms, ticks_diff, ticks_ms

    from micropython import const
except ImportError:
    from .cpython import collect, const, loads, sleep_ms, ticks_diff, ticks_ms

try:
    from gc import mem_free, threshold
except ImportError:
    # CPython, or a port without it: there garbage waits until memory is short.

    def threshold(n=-1):  # type: ignore[misc]
        return -1

    def mem_free():  # type: ignore[misc]
        return 0


def collect_often() -> int:
    """Collect garbage now, and then whenever a sixteenth of what is free now was taken: garbage
    does not come between what stays, and long pieces find room. Returns what threshold() takes
    to have it as before."""
    before = threshold()
    collect()
    threshold(mem_free() // 16)
    return before


try:
    from os import urandom as random_bytes
except ImportError:

    def random_bytes(n):  # type: ignore[misc]
        """n bytes for jitter, of the clock: this port has no random source."""
        return bytes([ticks_ms() >> i & 0xFF for i in range(n)])


__all__ = (
    "collect", "collect_often", "const", "loads", "random_bytes", "sleep_ms", "threshold",
    "ticks_diff", "ticks_ms",
)  # fmt: skip
