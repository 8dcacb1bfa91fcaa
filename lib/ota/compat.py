"""What differs between CPython and MicroPython, settled once; the rest does not know."""

try:
    from gc import collect
    from time import sleep_ms, ticks_diff, ticks_ms

    from micropython import const
except ImportError:
    from .cpython import collect, const, sleep_ms, ticks_diff, ticks_ms

try:
    from os import urandom as random_bytes
except ImportError:

    def random_bytes(n):  # type: ignore[misc]
        """n bytes for jitter, of the clock: this port has no random source."""
        return bytes([ticks_ms() >> i & 0xFF for i in range(n)])


__all__ = ("collect", "const", "random_bytes", "sleep_ms", "ticks_diff", "ticks_ms")
