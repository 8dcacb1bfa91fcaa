"""A static folder that devices update from: packages named by digest, one signed manifest.

    manifest.ota            what devices ask for; replaced last, in one step
    packages/NAME.ota       named by the digest of their header: they never change
    .history/               what publish() needs for the next release: images and history.json

A device that asks in the middle sees the old state or the new one: new packages are written
first, packages of the manifest before stay.
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

from . import build, files, search
from .errors import ToolError
from .keys import SigningKey

MANIFEST = "manifest.ota"


@dataclass
class Release:
    """What is published. channel: devices of other channels ask elsewhere; last: how many
    older versions get deltas; in_place: also deltas for devices with one slot, which have spare
    bytes of flash for a stash. quick: see delta.plan(); jobs: patches looked for at a time, see
    search.run()."""

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
    quick: bool = False
    jobs: int | None = 1


@dataclass
class Published:
    """One row per package: kind ("full", "delta", "in place"), base version, bytes, URL."""

    sequence: int
    image_size: int
    rows: list[tuple[str, str, int, str]]


def publish(
    folder: str | Path,
    image: bytes,
    release: Release,
    keys: Sequence[SigningKey],
    progress: Callable[[float], None] | None = None,
) -> Published:
    """Add a release to folder and replace its manifest.

    progress: called with the part of the search for patches that is done, 0 to 1.
    Raises ToolError: the version is not newer than the last one, nothing differs, or the
    device's own code refuses the result.
    """
    folder = Path(folder)
    if not keys:
        raise ToolError("devices refuse what is not signed: give a key")
    try:
        number = parse_version(release.version)
    except OtaError as e:
        raise ToolError(f"version {release.version!r}: dotted integers, such as 1.2.3") from e
    history = _History(folder, release.product)
    older = [r for r in history.releases if r["target"] == release.target]
    for r in older:
        if parse_version(r["version"]) >= number:
            raise ToolError(f"version {release.version} is not newer than {r['version']}")
    sequence = history.sequence + 1
    meta = build.Meta(
        release.product, release.version, release.target, release.floor, sequence, mpy=release.mpy
    )
    entries: list[dict] = []
    rows: list[tuple[str, str, int, str]] = []

    def add(kind: str, base: str, built: build.Built, old: bytes | None) -> None:
        url = f"packages/{built.digest.hex()[:24]}.ota"
        path = folder / url
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            files.write(path, built.data)
        entry: dict = {"url": url, "size": len(built.data), "digest": built.digest.hex()}
        if old is not None:
            entry["base"] = _sized(old)
        if kind == "in place":
            entry["in_place"] = True
        entries.append(entry)
        rows.append((kind, base, len(built.data), url))

    add("full", "", build.full(image, meta, keys, release.block), None)
    bases = [
        (r, history.image(r)) for r in (older[: -release.last - 1 : -1] if release.last else [])
    ]
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
                found=list(itertools.islice(found, 1 + in_place)),
            )  # fmt: skip
            add("in place" if in_place else "delta", r["version"], built, old)
    data = sign_manifest(
        {
            "format": 1,
            "product": release.product,
            "channel": release.channel,
            "sequence": sequence,
            "issued": int(time.time()),
            **({"expires": release.expires} if release.expires else {}),
            "releases": [
                {
                    "version": release.version,
                    "floor": release.floor,
                    "images": [{"target": release.target, **_sized(image), "packages": entries}],
                }
            ],
        },
        keys,
    )
    history.add(release, image, sequence)
    # Packages are all there: from here on devices are told about them.
    files.write(folder / MANIFEST, data)
    return Published(sequence, len(image), rows)


def latest(folder: str | Path, target: str = "app") -> bytes:
    """Image of the newest release of target in folder. Raises ToolError if there is none."""
    history = _History(Path(folder))
    for release in reversed(history.releases):
        if release["target"] == target:
            return history.image(release)
    raise ToolError(f"{folder}: no image of {target!r} was published there")


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

    def __init__(self, folder: Path, product: str = ""):
        self._folder = folder / ".history"
        self.product = product
        self.sequence = 0
        self.releases: list[dict] = []
        index = self._folder / "history.json"
        if index.exists():
            content = json.loads(files.read(index))
            if product and content["product"] != product:
                raise ToolError(f"{folder} belongs to product {content['product']!r}")
            self.sequence = content["sequence"]
            self.releases = content["releases"]

    def image(self, release: dict) -> bytes:
        """Image of an earlier release."""
        return files.read(self._folder / release["image"])

    def add(self, release: Release, image: bytes, sequence: int) -> None:
        """Keep a release for the deltas of later ones."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{release.target}-{release.version}.img"
        files.write(self._folder / name, image)
        self.releases.append(
            {
                "target": release.target,
                "version": release.version,
                "floor": release.floor,
                "image": name,
            }
        )
        content = {"product": self.product, "sequence": sequence, "releases": self.releases}
        files.write(self._folder / "history.json", json.dumps(content, indent=1))


def _sized(image: bytes) -> dict:
    return {"size": len(image), "digest": hashlib.sha256(image).hexdigest()}
