"""What differs between CPython and MicroPython, settled once; the rest does not know."""

try:
    from gc import collect
    from time import sleep_ms, ticks_diff, ticks_ms

    from micropython import const
except ImportError:
    from .cpython import collect, const, sleep_ms, ticks_diff, ticks_ms

__all__ = ("collect", "const", "sleep_ms", "ticks_diff", "ticks_ms")
