"""One simulated device: polls, decides, downloads, tries again (docs/way.md, up to "write")."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from ota import slots
from ota.errors import ManifestError, OtaError, TransportError
from ota.manifest import MANIFEST_MAX, Choice
from ota.transport.resume import Resuming
from ota.transport.url import join

from .client import Answer, Client
from .clock import Clock
from .link import Cut
from .offer import Offer
from .tally import Tally

JITTER = 0.1  # a poll comes up to this part of the interval early or late
# What the device's own downloader tries again, and when it forgets failures (transport.resume).
AGAIN = ("connect", "dns", "timeout", "reset", "short")
AGAIN_STATUS = (408, 429, 500, 502, 503, 504)
PROGRESS = 16384
MANIFEST_RETRIES = 2  # as source.static

_T = TypeVar("_T")


@dataclass(frozen=True)
class Schedule:
    """When devices ask, the same for all. url: of the manifest. poll_s: between two polls;
    spread_s: the first comes at random within it. conditional: ask with the entity tag of the
    manifest that is known."""

    url: str
    poll_s: float
    spread_s: float
    conditional: bool = True


class Device:
    """ident: its id, bytes. polls: finished ones. resting: it waits, and no request is under way.
    record: what it runs. updated_s: when it had the
    newest image it has; package: SHA-256 of what it downloaded for that, as hex."""

    def __init__(
        self,
        ident: bytes,
        schedule: Schedule,
        offer: Offer,
        client: Client,
        clock: Clock,
        tally: Tally,
        rng: random.Random,
    ):
        self.ident = ident
        self.polls = 0
        self.resting = False
        self.record = slots.Record()
        self.updated_s: float | None = None
        self.package = ""
        self._schedule = schedule
        self._offer = offer
        self._client = client
        self._clock = clock
        self._tally = tally
        self._rng = rng
        # Of the device's downloader the fleet takes its pauses.
        self._retry = Resuming(schedule.url, rand=rng.randbytes)
        self._known = ""  # tag of a manifest that had nothing for this device
        self._wanted = b""  # digest of the package that is under way, what came of it, its tag
        self._got = bytearray()
        self._etag = ""

    async def run(self) -> None:
        """Live until cancelled."""
        await self._rest(self._rng.random() * self._schedule.spread_s)
        while True:
            try:
                await self._update()
            except TransportError:
                self._tally.given_up += 1
            except OtaError as e:
                self._tally.failures[e.reason] += 1
                self._tally.given_up += 1
            self.polls += 1
            jitter = self._rng.uniform(-JITTER, JITTER)
            await self._rest(self._schedule.poll_s * (1 + jitter))

    def takes(self, choice: Choice) -> bool:
        """True if the part of the devices that gets this release has this one in it."""
        return self._offer.takes_part(self.ident, choice)

    async def _update(self) -> None:
        # One update, over one connection if the server keeps it (ota.update.run).
        try:
            try:
                return await self._poll()
            except TransportError as e:
                if e.reason != "changed":
                    raise
            # The package was replaced while it came; there is a new manifest, too.
            await self._poll()
        finally:
            await self._client.close()

    async def _poll(self) -> None:
        asked = await self._trying(self._ask, MANIFEST_RETRIES)
        if asked is None:
            return
        found, etag = asked
        choice = self._offer.decide(found, self.record, self.ident)
        if choice is None:
            self._known = etag
            return
        if self._wanted != choice.digest:
            self._wanted, self._got = choice.digest, bytearray()
        self._etag = ""
        await self._trying(partial(self._fetch, choice), self._retry.retries)
        data, self._got = bytes(self._got), bytearray()
        self.package = self._offer.check(data, choice)
        self.record.image = slots.Image(
            choice.version, choice.floor, choice.image_size, choice.image_digest
        )
        self.record.sequence = choice.sequence
        self._known = ""  # the restart forgets it
        self.updated_s = self._clock.now()

    async def _ask(self) -> tuple[dict, str] | None:
        # The manifest and its tag; None if it still is one that had nothing.
        known = self._known if self._schedule.conditional else ""
        fields = {"If-None-Match": known} if known else {}
        data = bytearray()

        def take(piece: bytes) -> None:
            self._tally.body["manifest"] += len(piece)
            data.extend(piece)
            if len(data) > MANIFEST_MAX:
                raise ManifestError("size", len(data))

        async with self._client.ask(self._schedule.url, "manifest", fields) as answer:
            if answer.status == 304 and known:
                return None
            if answer.status != 200:
                raise TransportError("status", answer.status)
            await answer.body(take)
        return self._offer.parse(bytes(data)), answer.etag

    async def _fetch(self, choice: Choice) -> None:
        at = len(self._got)
        if at >= choice.size:
            return  # the link broke behind the last byte
        fields = {"Range": f"bytes={at}-"} if at else {}
        if at and self._etag:
            fields["If-Range"] = self._etag
        url = join(self._schedule.url, choice.url)
        async with self._client.ask(url, "resumed" if at else "package", fields) as answer:
            if answer.status not in (200, 206) or answer.start not in (0, at):
                raise TransportError("range", answer.status)
            other = answer.total not in (None, choice.size)
            if not (other and answer.reused):
                if self._etag and answer.etag and self._etag != answer.etag:
                    raise TransportError("changed", answer.status)
                if other:
                    raise TransportError("changed" if self._etag else "length", answer.total)
                self._etag = answer.etag or self._etag
                await self._receive(answer, choice.size)
        if other:
            # On a connection used before, it may be the answer to another request.
            return await self._fetch(choice)
        if len(self._got) < choice.size:
            raise TransportError("short", len(self._got))

    async def _receive(self, answer: Answer, size: int) -> None:
        # A server that ignores Range sends all of it: what is here already is passed over.
        skip = len(self._got) - answer.start

        def take(piece: bytes) -> None:
            nonlocal skip
            self._tally.body["package"] += len(piece)
            passed = min(skip, len(piece))
            skip -= passed
            self._got += piece[passed:]
            if len(self._got) > size:
                raise TransportError("length", len(self._got))

        await answer.body(take)

    async def _trying(self, step: Callable[[], Awaitable[_T]], retries: int) -> _T:
        failures, mark = 0, len(self._got)
        while True:
            try:
                return await step()
            except TransportError as e:
                self._tally.failures[_reason(e)] += 1
                status = e.reason == "status" and e.args[1] in AGAIN_STATUS
                if not status and e.reason not in AGAIN:
                    raise
                if len(self._got) - mark >= PROGRESS:
                    failures, mark = 0, len(self._got)
                failures += 1
                if failures > retries:
                    raise
                pause_s = self._retry.pause(failures, e) / 1000
            await self._rest(pause_s)

    async def _rest(self, seconds: float) -> None:
        self.resting = True
        await self._clock.sleep(seconds)
        self.resting = False


def _reason(e: TransportError) -> str:
    if isinstance(e, Cut):
        return "cut"
    return f"status {e.args[1]}" if e.reason == "status" else e.reason
