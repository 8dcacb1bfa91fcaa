"""The network between one device and the server: how long bytes take, and when it breaks.

Everything here is waiting before and while bytes of a real connection are taken; TCP itself
runs undisturbed over the machine's own network. docs/fleet.md says what follows from that.
"""

import random
from dataclasses import dataclass

from ota.errors import TransportError

from .clock import Watch

SEGMENT = 1460  # bytes of payload in a TCP segment over Ethernet
_AGAIN_S = 0.2  # a sender waits a round trip and at least this long before it sends again
_AGAIN_MAX_S = 60.0
_TIMES_LOST = 16  # then the next one arrives: no profile is so bad that nothing ever does


@dataclass(frozen=True)
class Profile:
    """latency_ms: one way. rate: bytes per second down, 0 for no limit. loss: part of the
    segments that are lost, 0 to 1. cuts_per_mb: how often the link breaks in 10^6 bytes,
    cuts_per_hour: in an hour of being connected; both on average."""

    latency_ms: float = 0.0
    rate: float = 0.0
    loss: float = 0.0
    cuts_per_mb: float = 0.0
    cuts_per_hour: float = 0.0


# Round figures to begin with, not measurements of a network: set your own.
PROFILES = {
    "perfect": Profile(),
    "wifi": Profile(latency_ms=5, rate=500_000, loss=0.005, cuts_per_mb=0.1, cuts_per_hour=0.5),
    "lte": Profile(latency_ms=50, rate=100_000, loss=0.01, cuts_per_mb=0.5, cuts_per_hour=2),
    "nb-iot": Profile(latency_ms=800, rate=2_500, loss=0.02, cuts_per_mb=5, cuts_per_hour=6),
}


class Cut(TransportError):
    """The link broke; to the device that is a connection that was reset."""

    def __init__(self):
        super().__init__("reset")


class Link:
    """One device's link.

    Args:
        rng: its own, so that what happens to it depends on nothing else.
    """

    def __init__(self, profile: Profile, watch: Watch, rng: random.Random):
        self._profile = profile
        self._watch = watch
        self._rng = rng
        self._round_trip = 2 * profile.latency_ms / 1000
        self._owed = 0.0  # seconds that bytes took and nobody waited for yet
        self._bytes_left = self._draw(profile.cuts_per_mb / 1e6)
        self._cut_at = 0.0
        self._segment_left = 0

    async def connect(self) -> None:
        """The round trip that opens a connection. Raises Cut."""
        self._cut_at = self._watch.now() + self._draw(self._profile.cuts_per_hour / 3600)
        await self.turn()

    async def turn(self) -> None:
        """One round trip: something small goes there, something small comes back, and what comes
        behind it begins with a segment of its own. Raises Cut."""
        owed, self._owed, self._segment_left = max(0.0, self._owed), 0.0, 0
        await self._wait(owed + self._round_trip + self._stall() + self._stall())

    def room(self) -> int:
        """How many bytes may be read next, at least 1. Raises Cut when the connection is cut."""
        if self._bytes_left < 1:
            self._bytes_left = self._draw(self._profile.cuts_per_mb / 1e6)
            raise Cut
        return max(1, int(min(self._segment_left or SEGMENT, self._bytes_left)))

    async def carry(self, length: int) -> None:
        """Bytes of a body come down: not more than room() gave. Raises Cut: they did not."""
        if not self._segment_left:
            self._segment_left = SEGMENT
            self._owed += self._stall()
        self._segment_left = max(0, self._segment_left - length)
        if self._profile.rate:
            self._owed += length / self._profile.rate
        if self._owed > self._watch.grain:
            await self.settle()
        self._bytes_left -= length

    async def settle(self) -> None:
        """Wait for what bytes have taken so far. Raises Cut."""
        owed, self._owed = self._owed, 0.0
        began = self._watch.now()
        await self._wait(owed)
        # Waited for too long: the bytes of that time have come as well.
        self._owed = owed - (self._watch.now() - began)

    async def _wait(self, seconds: float) -> None:
        left = self._cut_at - self._watch.now()
        if seconds > 0:
            await self._watch.sleep(min(seconds, max(0.0, left)))
        if left < seconds:
            raise Cut

    def _stall(self) -> float:
        # Seconds until a segment that may be lost, and lost again, has arrived.
        stall, again = 0.0, self._round_trip + _AGAIN_S
        for _ in range(_TIMES_LOST):
            if self._rng.random() >= self._profile.loss:
                break
            stall += again
            again = min(2 * again, _AGAIN_MAX_S)
        return stall

    def _draw(self, rate: float) -> float:
        return self._rng.expovariate(rate) if rate else float("inf")
