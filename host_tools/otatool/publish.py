"""A static folder that devices update from: packages named by digest, one signed manifest.

    manifest.ota            what devices ask for; replaced last, in one step
    packages/NAME.ota       named by the digest of their content: they never change
    .history/               what publish() needs for the next release: images and history.json

A device that asks in the middle sees the old state or the new one: new packages are written
first, packages of the manifest before stay. The same goes for other places that get a copy.
The history is as trusted as the key: who can change it gets his images into what is signed.
"""

import base64
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ota import manifest as device_manifest
from ota.crypto import Keys
from ota.errors import OtaError
from ota.package import version as parse_version

from . import build, search, upload
from .errors import ToolError
from .keys import SigningKey
from .place import Folder, Place
from .upload import MANIFEST as MANIFEST

WHOLE = 10000  # of the fleet, in ten-thousandths
_HISTORY = ".history"
_INDEX = "history.json"
_CACHE = "private, no-store"  # of the history, if somebody serves it


@dataclass
class Release:
    """What is published. channel: devices of other channels ask elsewhere; last: how many
    older versions get deltas; in_place: also deltas for devices with one slot, which have spare
    bytes of flash for a stash. rollout: the share of the fleet, in ten-thousandths; the others
    are told of the last release that went to all. windows: wbits of build.package(). quick: see
    delta.plan(); jobs: patches looked for at a time, see search.run()."""

    product: str
    version: str
    target: str = "app"
    floor: int = 0
    channel: str = "stable"
    last: int = 3
    in_place: bool = True
    block: int = build.BLOCK
    expires: int = 0
    spare: int = 0
    mpy: int = 0
    rollout: int = WHOLE
    windows: Sequence[int] = build.WINDOWS
    quick: bool = False
    jobs: int | None = 1


@dataclass
class Published:
    """One row per package: kind ("full", "delta", "in place"), base version, bytes, URL.

    done: what was written, or would be, the folder's first.
    """

    sequence: int
    image_size: int
    rows: list[tuple[str, str, int, str]]
    done: list[upload.Done]


def publish(
    folder: str | Path,
    image: bytes,
    release: Release,
    keys: Sequence[SigningKey],
    progress: Callable[[float], None] | None = None,
    places: Sequence[Place] = (),
    history: Place | None = None,
    cache: str = upload.MANIFEST_CACHE,
    dry_run: bool = False,
) -> Published:
    """Add a release to folder and replace its manifest.

    The last version may be published once more with the same image: a run that failed, a
    manifest that expires, or a rollout that goes on.

    progress: called with the part of the search for patches that is done, 0 to 1. places: get
    a copy. history: of earlier releases, by default in the folder. cache: Cache-Control of
    the manifest. dry_run: make everything, write nothing.
    Raises ToolError: the version is not newer than the last one, nothing differs, the
    device's own code refuses the result, or a place does not take it.
    """
    folder = Path(folder)
    if not keys:
        raise ToolError("devices refuse what is not signed: give a key")
    try:
        number = parse_version(release.version)
    except OtaError as e:
        raise ToolError(f"version {release.version!r}: dotted integers, such as 1.2.3") from e
    past = _History(history or history_of(folder), release.product)
    older = [r for r in past.releases if r["target"] == release.target]
    if older and parse_version(older[-1]["version"]) == number and past.image(older[-1]) == image:
        older.pop()
    if older and parse_version(older[-1]["version"]) >= number:
        raise ToolError(f"version {release.version} is not newer than {older[-1]['version']}")
    sequence = past.sequence + 1
    for place in places:
        upload.refuse_older(place, release.product, sequence)
    meta = build.Meta(
        release.product, release.version, release.target, release.floor, sequence, mpy=release.mpy
    )
    packages: dict[str, bytes] = {}
    entries: list[dict] = []
    rows: list[tuple[str, str, int, str]] = []

    def add(kind: str, base: str, built: build.Built, old: bytes | None) -> None:
        url = upload.package_name(built.data)
        packages[url] = built.data
        entry: dict = {"url": url, "size": len(built.data), "digest": built.digest.hex()}
        if old is not None:
            entry["base"] = _sized(old)
        if kind == "in place":
            entry["in_place"] = True
        entries.append(entry)
        rows.append((kind, base, len(built.data), url))

    add("full", "", build.full(image, meta, keys, release.block, wbits=release.windows), None)
    bases = [(r, past.image(r)) for r in (older[: -release.last - 1 : -1] if release.last else [])]
    ways = (False, True) if release.in_place else (False,)
    wanted = [
        build.searches(old, image, release.block, way, way, release.quick, release.spare)
        for _, old in bases
        for way in ways
    ]
    found = iter(search.run([s for each in wanted for s in each], progress, release.jobs))
    for r, old in bases:
        meta.base_version = r["version"]
        for in_place in ways:
            back = build.Meta(
                release.product, r["version"], release.target, r["floor"],
                base_version=release.version,
            ) if in_place else None  # fmt: skip
            built = build.patch(
                old, image, meta, keys, release.block, in_place, back,
                found=list(itertools.islice(found, 1 + in_place)), wbits=release.windows,
            )  # fmt: skip
            add("in place" if in_place else "delta", r["version"], built, old)
    entry = {
        "version": release.version,
        "floor": release.floor,
        "images": [{"target": release.target, **_sized(image), "packages": entries}],
    }
    releases = [entry]
    if release.rollout < WHOLE:
        entry["rollout"] = release.rollout
        releases += past.whole(release)
        for place in places or [Folder(folder)]:
            _refuse_gaps(place, releases[1:])
    data = sign_manifest(
        {
            "format": 1,
            "product": release.product,
            "channel": release.channel,
            "sequence": sequence,
            "issued": int(time.time()),
            **({"expires": release.expires} if release.expires else {}),
            "releases": releases,
        },
        keys,
    )
    new = upload.Content(data, packages)
    everywhere = [Folder(folder), *places]
    done = [upload.put_packages(place, new, dry_run) for place in everywhere]
    for place in places:  # again: the search took its time, and somebody else may publish
        upload.refuse_older(place, release.product, sequence)
    if not dry_run:
        past.add(release, image, sequence, entry)
    # Packages are all there: from here on devices are told about them.
    for place, d in zip(everywhere, done, strict=True):
        upload.put_manifest(place, new, d, cache, dry_run)
    return Published(sequence, len(image), rows, done)


def latest(history: Place, target: str = "app") -> bytes:
    """Image of the newest release of target. Raises ToolError if there is none."""
    past = _History(history)
    for release in reversed(past.releases):
        if release["target"] == target:
            return past.image(release)
    raise ToolError(f"{history.label}: no image of {target!r} was published there")


def history_of(folder: str | Path) -> Place:
    """Where publish() keeps the history unless told otherwise."""
    return Folder(Path(folder) / _HISTORY)


def sign_manifest(content: dict, keys: Sequence[SigningKey]) -> bytes:
    """Manifest bytes: JSON, then one signature line per key; read by the device's own code.

    Raises ToolError if the device would refuse it.
    """
    body = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    lines = b"".join(
        b"sig " + k.id.hex().encode() + b" " + base64.b64encode(k.sign(body)) + b"\n" for k in keys
    )
    try:
        device_manifest.parse(body + lines, Keys([k.public for k in keys]))
    except OtaError as e:
        hint = ""
        if e.reason == "size":
            hint = f": {len(body + lines)} bytes, give fewer old versions (--last)"
        raise ToolError(f"a device would refuse the manifest, {e.reason}{hint}") from e
    return body + lines


class _History:
    """Releases published before, with their images. product: whose they must be."""

    def __init__(self, place: Place, product: str = ""):
        self._place = place
        self.product = product
        self.sequence = 0
        self.releases: list[dict] = []
        if place.size(_INDEX) is not None:
            try:
                content = json.loads(place.read(_INDEX))
                owner, self.sequence = content["product"], content["sequence"]
                self.releases = content["releases"]
            except (ValueError, KeyError, TypeError) as e:
                raise ToolError(f"{place.label}: {_INDEX} is damaged") from e
            if product and owner != product:
                raise ToolError(f"{place.label} belongs to product {owner!r}")

    def image(self, release: dict) -> bytes:
        """Image of an earlier release."""
        return self._place.read(release["image"])

    def whole(self, release: Release) -> list[dict]:
        """The manifest's entry of the last release of the target before this one that went to
        the whole fleet; empty if there is none."""
        number = parse_version(release.version)
        for r in reversed(self.releases):
            if r["target"] == release.target and parse_version(r["version"]) < number:
                entry = r.get("entry")
                if entry and entry.get("rollout", WHOLE) == WHOLE:
                    return [entry]
        return []

    def add(self, release: Release, image: bytes, sequence: int, entry: dict) -> None:
        """Keep a release for the deltas of later ones, and its entry in the manifest; the same
        once more takes its place."""
        name = f"{release.target}-{release.version}.img"
        row = {
            "target": release.target,
            "version": release.version,
            "floor": release.floor,
            "image": name,
            "entry": entry,
        }
        number = parse_version(release.version)
        others = [
            r
            for r in self.releases
            if r["target"] != release.target or parse_version(r["version"]) != number
        ]
        self._place.put(name, image, _CACHE)
        content = {"product": self.product, "sequence": sequence, "releases": [*others, row]}
        self._place.put(_INDEX, json.dumps(content, indent=1).encode(), _CACHE)


def _refuse_gaps(place: Place, releases: list[dict]) -> None:
    """Raises ToolError unless all packages of earlier releases are still there."""
    for release in releases:
        for package in (p for image in release["images"] for p in image["packages"]):
            if place.size(package["url"]) != package["size"]:
                raise ToolError(
                    f"{place.label}: packages of {release['version']} are missing, which devices "
                    f"outside of the rollout are told of"
                )


def _sized(image: bytes) -> dict:
    return {"size": len(image), "digest": hashlib.sha256(image).hexdigest()}
