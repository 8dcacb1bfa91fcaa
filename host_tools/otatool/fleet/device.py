"""One simulated device: polls, decides, downloads, tries again (docs/way.md, up to "write")."""

import random
import ssl
from dataclasses import dataclass

from ota import clock as date
from ota.errors import OtaError, TransportError
from ota.manifest import Choice
from ota.source import mirrors, schedule
from ota.source.static import Static
from ota.state import record as slots

from .clock import Clock
from .flash import Flash
from .network import Network
from .offer import Offer
from .tally import Tally


@dataclass(frozen=True)
class Schedule:
    """What all devices are set to, as their configuration.

    Attributes:
        url: of the manifest; a tuple: mirrors.
        spread_mirrors: each device starts with a different mirror.
        poll_s: between two polls.
        retry_s: after a failure, doubled with each further one.
        spread_s: the first poll comes at random within it.
        start_s: the same of the first one after an update, which is a restart.
        conditional: ask with the entity tag of a manifest that had nothing.
        part: bytes asked for by one request, 0: all.
        tls: for https.
    """

    url: str | tuple[str, ...]
    poll_s: float
    retry_s: float
    spread_s: float
    start_s: float
    spread_mirrors: bool = False
    conditional: bool = True
    part: int = 0
    tls: ssl.SSLContext | None = None


class Device:
    """ident: its id, bytes. polls: finished ones. record: what it runs. updated_s: when it had
    the newest image it has; package: SHA-256 of what it downloaded for that, as hex."""

    def __init__(
        self,
        ident: bytes,
        schedule: Schedule,
        offer: Offer,
        network: Network,
        clock: Clock,
        tally: Tally,
        rng: random.Random,
    ):
        self.ident = ident
        self.polls = 0
        self.record = slots.Record()
        self.updated_s: float | None = None
        self.package = ""
        self._schedule = schedule
        self._offer = offer
        self._network = network
        self._clock = clock
        self._tally = tally
        self._rng = rng
        self._known: dict = {}  # tags of manifests that had nothing for this device
        self._flash = Flash(offer.strategy)

    @property
    def resting(self) -> bool:
        """True while it waits and no request is under way."""
        return self._network.resting

    async def run(self) -> None:
        """Live until cancelled."""
        s = self._schedule
        poll = {"every_s": int(s.poll_s), "retry_s": int(s.retry_s), "spread_s": int(s.start_s)}
        failures = 0
        await self._network.rest(self._rng.random() * s.spread_s)
        while True:
            try:
                choice = await self._network.run(self._steps())
                failures = 0
            except OtaError:
                choice = None
                failures += 1
                self._tally.given_up += 1
            self.polls += 1
            if choice:
                self._restart(choice)
                pause_s = schedule.first_s(poll, self._rng.randbytes)
            else:
                pause_s = schedule.next_s(poll, self._rng.randbytes, failures)
            await self._network.rest(pause_s)

    def takes(self, choice: Choice) -> bool:
        """True if the part of the devices that gets this release has this one in it."""
        return self._offer.takes_part(self.ident, choice)

    def _restart(self, choice: Choice) -> None:
        self.record.image = slots.Image(
            choice.version, choice.floor, choice.image_size, choice.image_digest
        )
        self.record.sequence = choice.sequence
        self.updated_s = self._clock.now()
        self._known.clear()
        self._flash.forget()

    def _sources(self) -> list[Static]:
        s = self._schedule
        options = self._network.options(self._rng.randbytes, s.tls, s.part)
        known = self._known if s.conditional else {}
        if isinstance(s.url, str):
            return [Static(s.url, options, None, known)]
        return mirrors.sources(s.url, options, self.ident if s.spread_mirrors else None, known)

    def _steps(self):
        # Which failure passes the turn to the next server: as ota.source.mirrors.run.
        sources = self._sources()
        for source in sources:
            try:
                return (yield from self._update(source))
            except OtaError as e:
                self._failed(e)
                if source is sources[-1] or not mirrors.passes(e):
                    raise
        return None

    def _update(self, source: Static):
        # One update, over one connection if the server keeps it (ota.update.run).
        try:
            try:
                return (yield from self._ask(source))
            except TransportError as e:
                if e.reason != "changed":
                    raise
                self._failed(e)
            # The package was replaced while it came; there is a new manifest, too.
            return (yield from self._ask(source))
        finally:
            source.close()

    def _ask(self, source: Static):
        self._network.requests.begin("manifest")
        data = yield from source.check()
        if data is None:
            return None
        found = self._offer.parse(data)
        choice = self._offer.decide(found, self.record, self.ident, date.now())
        if choice is None:
            source.report("none", found.get("expires", 0))
            return None
        self._network.requests.begin("package")
        self.package = yield from self._flash.receive(source.open(choice.url, choice.size), choice)
        return choice

    def _failed(self, error: OtaError) -> None:
        if isinstance(error, TransportError):
            self._network.requests.failed(error)
        else:
            self._tally.failures[error.reason] += 1
