"""Run a fleet against a server until its rollout is over, and say how it went."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from ota.crypto import Keys
from ota.errors import OtaError
from ota.manifest import Choice
from ota.state import record as slots
from ota.transport import tls
from ota.transport.url import parse

from ..errors import ToolError
from .clock import Clock, Watch
from .device import Device, Schedule
from .link import Link, Profile
from .names import Names
from .network import Network
from .offer import WHOLE, Offer
from .tally import Tally, quantile, until

_LOOK_S = 0.1  # how often the run looks whether it is over
_FINISH_S = 20  # real ones, for requests under way at the end
_FILES = 64  # open files beside the connections
_LONG_S = 1e8
_POLLS = 10  # after so many intervals a rollout is not waited for any longer


@dataclass(frozen=True)
class Settings:
    """A fleet.

    Attributes:
        poll_s, retry_s, spread_s, start_s, limit_s: simulated seconds; None: spread over one poll
            interval, and an end after ten of them.
        percent: of the devices that take the release.
        speed_up: simulated seconds in a real one.
        spread_mirrors, conditional, part: as device.Schedule.
        running: image of the devices, None for one that a patch fits.
        keys: None trusts every signature.
    """

    devices: int = 1000
    profile: Profile = Profile()
    poll_s: float = 3600.0
    retry_s: float = 300.0
    spread_s: float | None = None
    start_s: float = 600.0
    limit_s: float | None = None
    percent: float = 100.0
    seed: int = 0
    speed_up: float = 60.0
    target: str = "app"
    strategy: str = "ab"
    spread_mirrors: bool = False
    conditional: bool = True
    part: int = 0
    running: slots.Image | None = None
    keys: Keys | None = None


def simulate(
    url: str | Sequence[str], settings: Settings, progress: Callable[[float], None] | None = None
) -> dict:
    """Let a fleet update from the manifest at url; returns the figures of docs/fleet.md.

    Args:
        url: or a sequence of those of mirrors.
        progress: called with the part of the devices that is done, 0 to 1.

    Raises:
        ToolError: a setting makes no sense, or this machine cannot hold so many connections.
    """
    s = settings
    _check(s)
    for each in [url] if isinstance(url, str) else url:
        _check_url(each)
    _allow(s.devices + _FILES)
    return asyncio.run(_Fleet(url, s).run(progress or (lambda part: None)))


class _Fleet:
    def __init__(self, url: str | Sequence[str], s: Settings):
        self.settings = s
        spread_s = s.poll_s if s.spread_s is None else s.spread_s
        self.schedule = Schedule(
            url if isinstance(url, str) else tuple(url),
            s.poll_s,
            s.retry_s,
            spread_s,
            s.start_s,
            s.spread_mirrors,
            s.conditional,
            s.part,
            tls.context(),
        )
        self.limit_s = s.limit_s or spread_s + _POLLS * s.poll_s
        share = round(s.percent * WHOLE / 100)
        self.offer = Offer(s.target, s.strategy, s.running, s.keys, share)
        self.tally = Tally()
        self.devices: list[Device] = []
        self._wanted: tuple[Choice | None, list[Device]] = None, []

    async def run(self, progress: Callable[[float], None]) -> dict:
        began = time.monotonic()
        self.clock = Clock(self.settings.speed_up)
        names = Names()
        self.devices = [self._device(n, names) for n in range(self.settings.devices)]
        tasks = [asyncio.create_task(d.run()) for d in self.devices]
        try:
            while not self._over(progress) and self.clock.now() < self.limit_s:
                await _look(tasks)
            await self._finish(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self._figures(self.clock.now(), time.monotonic() - began)

    async def _finish(self, tasks: list[asyncio.Task]) -> None:
        # What the server was asked is waited for: it counts it, and so it has a kind here.
        deadline = time.monotonic() + _FINISH_S
        while not all(d.resting for d in self.devices) and time.monotonic() < deadline:
            for device, task in zip(self.devices, tasks, strict=True):
                if device.resting:
                    task.cancel()
            await _look([task for task in tasks if not task.cancelled()])

    def _device(self, number: int, names: Names) -> Device:
        # What a device is and does must not depend on what happens on its link.
        own = random.Random(f"{self.settings.seed}/{number}/device")
        watch = Watch(self.clock)
        rng = random.Random(f"{self.settings.seed}/{number}/link")
        network = Network(names, Link(self.settings.profile, watch, rng), watch, self.tally)
        ident = own.randbytes(8)
        return Device(ident, self.schedule, self.offer, network, self.clock, self.tally, own)

    def _over(self, progress: Callable[[float], None]) -> bool:
        wanted, done = self._split(self.offer.newest)
        asked = sum(d.polls > 0 for d in self.devices)
        progress(min(asked / len(self.devices), len(done) / (len(wanted) or 1)))
        return asked == len(self.devices) and len(done) == len(wanted)

    def _split(self, choice: Choice | None) -> tuple[list[Device], list[Device]]:
        """The devices that a release is for, and those of them that have it."""
        if choice is None:
            return [], []
        if self._wanted[0] is not choice:  # a new release, for other devices
            self._wanted = choice, [d for d in self.devices if d.takes(choice)]
        wanted = self._wanted[1]
        return wanted, [d for d in wanted if d.record.image.digest == choice.image_digest]

    def _figures(self, seconds: float, real_seconds: float) -> dict:
        s, t, choice = self.settings, self.tally, self.offer.newest
        wanted, done = self._split(choice)
        body = sum(t.body.values())
        return {
            "urls": [url] if isinstance(url := self.schedule.url, str) else list(url),
            "devices": s.devices,
            "profile": asdict(s.profile),
            "poll_s": s.poll_s,
            "retry_s": s.retry_s,
            "spread_s": self.schedule.spread_s,
            "start_s": s.start_s,
            "limit_s": self.limit_s,
            "percent": s.percent,
            "seed": s.seed,
            "speed_up": s.speed_up,
            "strategy": s.strategy,
            "spread_mirrors": s.spread_mirrors,
            "conditional": s.conditional,
            "part": s.part,
            "signature_checked": s.keys is not None,
            "release": choice
            and {
                "version": choice.version,
                "sequence": choice.sequence,
                "image_size": choice.image_size,
                "package_size": choice.size,
                "delta": choice.delta,
            },
            "wanted": len(wanted),
            "updated": len(done),
            "packages": sorted({d.package for d in done}),
            "until_s": until([d.updated_s or 0.0 for d in done], len(wanted)),
            "seconds": round(seconds, 3),
            "real_seconds": round(real_seconds, 3),
            "bytes": {
                **t.body,
                "heads": t.heads,
                "total": body + t.heads,
                "per_device": round((body + t.heads) / s.devices, 1),
            },
            "requests": {**t.requests, "total": t.requests.total()},
            "servers": dict(t.servers),
            "peak_requests_per_s": t.peak_requests,
            "connections": t.connections,
            "peak_connections": t.peak_connections,
            "failures": dict(t.failures.most_common()),
            "given_up": t.given_up,
            "machine": {
                "late_s_99": round(quantile(self.clock.late, 0.99), 3),
                "answer_ms_50": round(1000 * quantile(t.answered, 0.5), 3),
                "answer_ms_99": round(1000 * quantile(t.answered, 0.99), 3),
            },
        }


async def _look(tasks: list[asyncio.Task]) -> None:
    # Let devices live for a while; what stopped one of them stops the run.
    ended, _ = await asyncio.wait(tasks, timeout=_LOOK_S, return_when=asyncio.FIRST_EXCEPTION)
    for task in ended:
        if not task.cancelled():
            task.result()


def _check_url(url: str) -> None:
    try:
        parse(url)
    except OtaError as e:
        raise ToolError(f"{url}: not an http or https URL ({', '.join(map(str, e.args))})") from e


def _check(s: Settings) -> None:
    for name, value, least, most in (
        ("devices", s.devices, 1, 1_000_000),
        ("percent", s.percent, 0, 100),
        ("poll, seconds", s.poll_s, 1, _LONG_S),
        ("retry, seconds", s.retry_s, 1, _LONG_S),
        ("part, bytes", s.part, 0, 1 << 30),
        ("spread, seconds", s.spread_s or 0, 0, _LONG_S),
        ("start, seconds", s.start_s, 0, _LONG_S),
        ("limit, seconds", s.limit_s or 1, 1, _LONG_S),
        ("speed-up", s.speed_up, 0.1, 100_000),
        ("latency, ms", s.profile.latency_ms, 0, 60_000),
        ("bandwidth, bytes per second", s.profile.rate, 0, 1e10),
        ("loss, of 1", s.profile.loss, 0, 0.9),
        ("cuts per mb", s.profile.cuts_per_mb, 0, 1e5),
        ("cuts per hour", s.profile.cuts_per_hour, 0, 1e5),
    ):
        if not least <= value <= most:  # nan is not either
            raise ToolError(f"{name}: {value:g} is not between {least:g} and {most:g}")


def _allow(files: int) -> None:
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < files:
        wish = files if hard == resource.RLIM_INFINITY else min(files, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wish), hard))
