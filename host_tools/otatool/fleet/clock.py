"""Simulated time: every wait is shortened by one factor, everything else takes what it takes."""

import array
import asyncio
import time

_GRAIN_S = 0.01  # of real time: the event loop is not much finer


class Clock:
    """Seconds since the fleet was started. speed_up: how many of them go by in one real second.

    grain: what is shorter is better added up before it is waited for. late: by how many
    seconds each wait was too long.
    """

    def __init__(self, speed_up: float = 1.0):
        self._speed_up = speed_up
        self._start = time.monotonic()
        self.grain = _GRAIN_S * speed_up
        self.late = array.array("f")

    def now(self) -> float:
        """Seconds since the start."""
        return (time.monotonic() - self._start) * self._speed_up

    async def sleep(self, seconds: float) -> None:
        """Wait for so many simulated seconds."""
        due = self.now() + seconds
        await asyncio.sleep(seconds / self._speed_up)
        self.late.append(max(0.0, self.now() - due))
