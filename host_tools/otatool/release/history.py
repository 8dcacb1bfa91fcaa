"""What publish() keeps of earlier releases: their images, and history.json beside them.

It is as trusted as the key, but a damaged one, or one that names files elsewhere, is rejected.
"""

import hashlib
import json
import re

from ota.errors import OtaError
from ota.package import version as parse_version

from ..errors import ToolError
from ..terminal.values import WHOLE
from . import upload
from .destination import Place

INDEX = "history.json"
_CACHE = "private, no-store"  # if somebody serves it
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


class History:
    """Releases published before, oldest first, as they stand in the index.

    Args:
        product, channel: whose they must be; "": any.

    Attributes:
        sequence: of the last manifest.
        slots: bytes of the devices' slots, by target, as far as known.

    Raises:
        ToolError: one sentence for people.
    """

    def __init__(self, place: Place, product: str = "", channel: str = ""):
        self._place = place
        self.product = product
        self.channel = channel
        self.sequence = 0
        self.releases: list[dict] = []
        self.slots: dict[str, int] = {}
        if place.size(INDEX) is not None:
            self._read(product, channel)

    def of(self, target: str) -> list[dict]:
        """The releases of a target, oldest first."""
        return [r for r in self.releases if r["target"] == target]

    def image(self, release: dict) -> bytes:
        """Image of an earlier release.

        Raises:
            ToolError: it is missing, or was changed.
        """
        data = self._place.read(release["image"])
        for entry in _images(release):
            if entry["digest"] != hashlib.sha256(data).hexdigest():
                raise ToolError(f"{self._place.label}: {release['image']} was changed")
        return data

    def whole(self, target: str, below: str) -> list[dict]:
        """The manifest's entry of the last release of a target before version below that
        went to the whole fleet; empty if there is none."""
        number = parse_version(below)
        for r in reversed(self.of(target)):
            if parse_version(r["version"]) < number:
                entry = r.get("entry")
                if entry and entry.get("rollout", WHOLE) == WHOLE:
                    return [entry]
        return []

    def others(self, target: str) -> list[dict]:
        """The manifest's entries of all other targets, as they stood in the manifest before."""
        out: list[dict] = []
        for other in dict.fromkeys(r["target"] for r in self.releases):
            last = self.of(other)[-1]
            entry = last.get("entry")
            if other == target or not entry:
                continue
            out.append(entry)
            if entry.get("rollout", WHOLE) < WHOLE:
                out += self.whole(other, last["version"])
        return out

    def add(self, row: dict, image: bytes, sequence: int) -> None:
        """Keep a release for the deltas of later ones, and its entry in the manifest; the same
        version once more takes its place.

        Args:
            row: target, version, floor, entry, sequence and options of its packages.
        """
        number = parse_version(row["version"])
        others = [
            r
            for r in self.releases
            if r["target"] != row["target"] or parse_version(r["version"]) != number
        ]
        row = {**row, "image": f"{row['target']}-{row['version']}.img"}
        self._place.put(row["image"], image, _CACHE)
        content = {
            "product": self.product,
            "channel": self.channel,
            "sequence": sequence,
            "slots": self.slots,
            "releases": [*others, row],
        }
        self._place.put(INDEX, json.dumps(content, indent=1).encode(), _CACHE)

    def _read(self, product: str, channel: str) -> None:
        label = self._place.label
        try:
            content = json.loads(self._place.read(INDEX))
            owner, self.sequence = content["product"], content["sequence"]
            self.releases = content["releases"]
            self.slots = content.get("slots", {})
            before = content.get("channel", channel)
            if not isinstance(self.sequence, int) or not isinstance(self.slots, dict):
                raise TypeError
            for r in self.releases:
                _check(r)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OtaError) as e:
            raise ToolError(f"{label}: {INDEX} is damaged") from e
        if product and owner != product:
            raise ToolError(f"{label} belongs to product {owner!r}")
        if channel and before != channel:
            raise ToolError(
                f"{label} is of channel {before!r}, whose devices reject a manifest of {channel!r}"
                ": use another folder for that one"
            )


def _images(release: dict) -> list[dict]:
    return (release.get("entry") or {"images": []})["images"]


def _check(r: dict) -> None:
    """Raise ValueError, KeyError or TypeError for a release that publish() did not write."""
    parse_version(r["version"])
    if not isinstance(r["floor"], int) or not isinstance(r["target"], str):
        raise TypeError
    # Nothing outside of the history, and of what is served: it would be published.
    if not _IMAGE.fullmatch(r["image"]):
        raise ValueError
    for image in _images(r):
        for package in image["packages"]:
            if not upload.is_package_name(package["url"]) or package["size"] < 0:
                raise ValueError
