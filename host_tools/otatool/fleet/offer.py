"""What devices work out of bytes that all of them get: by the device's code, once for all."""

from dataclasses import dataclass, field

from ota import manifest, package, state
from ota.crypto import Keys
from ota.state import record as slots

WHOLE = 10000  # of a fleet, in ten-thousandths


class _Anyone:
    """In place of keys: every signature is trusted."""

    def __contains__(self, ident) -> bool:
        return True

    def verify(self, ident, message, signature) -> None:
        """Nothing is rejected."""


@dataclass
class _Facts:
    """What manifest.decide() wants to know of a device."""

    product: str
    component: str
    in_place: bool
    device_id: bytes


@dataclass
class Offer:
    """What a server offers to the devices of one fleet.

    Attributes:
        target, strategy: of all devices.
        running: the image they run; None: the one that the first patch of the manifest is made
            for, so that all take this patch.
        keys: None trusts every signature.
        share: the part of the fleet, in ten-thousandths, that gets a release at most.
        newest: the choice of the newest release so far.
    """

    target: str = "app"
    strategy: str = "ab"
    running: slots.Image | None = None
    keys: Keys | None = None
    share: int = WHOLE
    newest: manifest.Choice | None = None
    _parsed: dict[bytes, dict] = field(default_factory=dict)
    _releases: dict[str, dict] = field(default_factory=dict)  # by version

    def parse(self, data: bytes) -> dict:
        """manifest.parse(). Raises as it does."""
        data = bytes(data)
        if data not in self._parsed:
            found = manifest.parse(data, _Anyone() if self.keys is None else self.keys)
            for release in found["releases"]:
                release["rollout"] = min(release["rollout"], self.share)
                self._releases[release["version"]] = release
            self._parsed[data] = found
        return self._parsed[data]

    def takes_part(self, device_id: bytes, choice: manifest.Choice) -> bool:
        """True if the device is among those that this release is for."""
        return manifest.takes_part(device_id, self._releases[choice.version])

    def decide(
        self, found: dict, record: slots.Record, device_id: bytes, now: int = 0
    ) -> manifest.Choice | None:
        """manifest.decide() for one device; sets the image that it runs if it has none yet."""
        if not record.image.digest:
            record.image = self._image(found)
        facts = _Facts(found["product"], self.target, self._in_place(), device_id)
        choice = manifest.decide(found, facts, record, now)
        if choice and (self.newest is None or _age(choice) > _age(self.newest)):
            self.newest = choice
        return choice

    def _in_place(self) -> bool:
        return state.facts(self.strategy)[0] == "in-place"

    def _image(self, found: dict) -> slots.Image:
        if self.running is None:
            self.running = slots.Image()
            for entry in _packages(found, self.target):
                if entry["base"] and entry["in_place"] == self._in_place():
                    self.running = slots.Image(
                        "", 0, entry["base"]["size"], entry["base"]["digest"]
                    )
                    break
        for release in found["releases"]:
            if any(i["digest"] == self.running.digest for i in _images(release, self.target)):
                self.running.version = release["version"]
        return self.running


def _age(choice: manifest.Choice) -> tuple:
    return choice.sequence, package.version(choice.version)


def _images(release: dict, target: str) -> list[dict]:
    return [image for image in release["images"] if image["target"] == target]


def _packages(found: dict, target: str) -> list[dict]:
    releases = sorted(found["releases"], key=lambda r: package.version(r["version"]), reverse=True)
    images = [i for r in releases for i in _images(r, target)]
    return images[0]["packages"] if images else []
