"""Simulated time: every wait is shortened by one factor, everything else takes what it takes."""

import array
import asyncio
import time

_GRAIN_S = 0.01  # of real time: the event loop is not much finer


class Clock:
    """Seconds since the fleet was started.

    grain: what is shorter is better added up before it is waited for. shortened: the part of a
    wait that is left out, 0 to 1. late: by how many seconds each wait was too long.

    Args:
        speed_up: how many of them go by in one real second.
    """

    def __init__(self, speed_up: float = 1.0):
        self._speed_up = speed_up
        self._start = time.monotonic()
        self.grain = _GRAIN_S * speed_up
        self.shortened = max(0.0, 1 - 1 / speed_up)
        self.late = array.array("f")

    def now(self) -> float:
        """Seconds since the start."""
        return (time.monotonic() - self._start) * self._speed_up

    async def sleep(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        due = self.now() + seconds
        await asyncio.sleep(seconds / self._speed_up)
        self.late.append(max(0.0, self.now() - due))


class Watch:
    """What one device takes for the time: its waits have their full length, what the server and
    this machine do takes what it really takes. So its limits mean the same at any speed."""

    def __init__(self, clock: Clock):
        self.now = clock.now
        self.grain = clock.grain
        self._clock = clock
        self._gained = 0.0  # seconds by which its waits were shortened

    def ticks(self) -> int:
        """Milliseconds, as ota.compat.ticks_ms."""
        return int(1000 * (time.monotonic() + self._gained))

    async def sleep(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        await self._clock.sleep(seconds)
        self._gained += seconds * self._clock.shortened
